"""Which of a message's parts are its text, and what stands for each in the Scope?"""

from collections.abc import Callable, Sequence
from typing import Any

TEXT_PART = frozenset({"type", "text"})


def parted(
    parts: Sequence[Any], *, is_text: Callable[[Any], bool], told: Callable[[Any], Any]
) -> tuple[list[str], bool, list[Any]]:
    """The texts, whether they may be fuzzy, and all parts as they enter the Scope, one without text as `told` says.

    An image beside the text takes part by its bytes; how much the words alone say, similarity cannot tell.
    """
    texts, others = [], []
    for part in parts:
        if is_text(part):
            texts.append(part["text"])
            others.append({name: value for name, value in part.items() if name not in TEXT_PART} or None)
        else:
            others.append(told(part))
    return texts, bool(texts) and all(other is None for other in others), others
