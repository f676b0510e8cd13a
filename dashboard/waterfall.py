"""Where did the time of a call go?

The ledger keeps how long each kind of work took, not when: the bars stand in the order the work is begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cache_api.calls import LedgerRow


@dataclass(frozen=True, slots=True)
class Span:
    """`left` and `width` are percent of the whole call."""

    name: str
    words: str
    milliseconds: int
    left: float
    width: float


def spans(call: LedgerRow) -> Sequence[Span]:
    known = (
        ("embed", "Vector of the question", call.ms_embed),
        ("lookup", "Look-up", call.ms_lookup),
        ("upstream", "Provider", call.ms_upstream),
    )
    rest = max(0, call.ms_total - sum(took for _, _, took in known))
    parts = [part for part in (*known, ("rest", "Everything else", rest)) if part[2]]
    whole = max(1, sum(took for _, _, took in parts))
    found, at = [], 0
    for name, words, took in parts:
        found.append(Span(name, words, took, round(100 * at / whole, 2), round(100 * took / whole, 2)))
        at += took
    return found
