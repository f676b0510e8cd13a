"""What would past questions have come to, at each setting?

They are asked in order of time, of a cache that is empty at first. A question that none stored before it answers is
stored itself. Nobody knows which answers were right: of each hit by similarity, 1 - p is expected to be wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import sqrt
from typing import NamedTuple

PROMISES = (0.005, 0.01, 0.02, 0.05)
FLOORS = (0.70, 0.80, 0.90)
BORDERLINE = 20
_NORMAL_95 = 1.96


class Near(NamedTuple):
    """An earlier question in the same scope that every guard lets pass."""

    place: int  # among all questions
    similarity: float
    probability: float


@dataclass(frozen=True, slots=True)
class Past:
    """A question that was asked."""

    cost_usd: Decimal | None
    same: int | None  # where the very same was asked before
    near: Sequence[Near]
    looked_up: bool = True  # False: nothing of the kind is kept


@dataclass(frozen=True, slots=True)
class Outcome:
    max_wrong_hit_rate: float
    similarity_floor: float
    exact_hits: int
    similar_hits: int
    expected_wrong: float
    low: float
    high: float
    saved_usd: Decimal


@dataclass(frozen=True, slots=True)
class Pair:
    asked: int
    near: Near


def outcome(past: Sequence[Past], *, promise: float, floor: float, cut: float) -> Outcome:
    stored = [False] * len(past)
    exact = similar = 0
    wrong = variance = 0.0
    saved = Decimal(0)
    for place, one in enumerate(past):
        if not one.looked_up:
            continue
        if one.same is not None and stored[one.same]:
            exact += 1
            saved += one.cost_usd or 0
            continue
        served = max(
            (
                near.probability
                for near in (one.near if one.same is None else past[one.same].near)
                if stored[near.place] and near.similarity >= floor and near.probability >= cut
            ),
            default=None,
        )
        if served is None:
            stored[one.same if one.same is not None else place] = True
            continue
        similar += 1
        wrong += 1 - served
        variance += served * (1 - served)
        saved += one.cost_usd or 0
    spread = _NORMAL_95 * sqrt(variance)
    return Outcome(promise, floor, exact, similar, wrong, max(0.0, wrong - spread), wrong + spread, saved)


def borderline(past: Sequence[Past], cut: float) -> list[Pair]:
    """The pairs whose probability is nearest to the cut, one of each question."""
    best = (
        Pair(place, min(one.near, key=lambda near: abs(near.probability - cut)))
        for place, one in enumerate(past)
        if one.near and one.same is None
    )
    return sorted(best, key=lambda pair: abs(pair.near.probability - cut))[:BORDERLINE]
