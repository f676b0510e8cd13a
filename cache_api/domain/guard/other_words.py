"""Is this a slip of the keys or an ending, or is it another word: `contact` and `contract`, `Niger` and `Nigeria`?

`other_words.txt` has the pairs of stems that only look alike, made by `tests/bench/quality/other_words.py`.
"""

from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("other_words.txt")


def are_other_words(stem: str, other: str) -> bool:
    """The same for both orders."""
    return f"{min(stem, other)} {max(stem, other)}" in _pairs()


@cache
def _pairs() -> frozenset[str]:
    return frozenset(FILE.read_text().splitlines())
