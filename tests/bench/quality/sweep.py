"""What is each cut worth, and how sure is that? Right, wrong and unknown hits over all cuts, under resampling.

A sample is drawn again by giving each cluster a weight, the number of times it was drawn; row 0 of all weights is the
sample itself. So every figure below comes as an array, whose first value is the estimate and whose others its spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 200
LEVEL = 95
ROUNDING = 1e-3  # of a hit: counts are whole, but 0.02 is not
WRONG, RIGHT, UNKNOWN, NOTHING = 0, 1, 2, 3  # what a hit would be; NOTHING: there is none to be had

# Of booleans, counts and shares alike: numpy says of few of its results which.
Array = Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number: how many cases stand behind it, and the interval that holds it."""

    value: float
    n: int
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        return {"value": self.value, "n": self.n, "low": self.low, "high": self.high}


def figure(values: Array, n: int) -> Figure:
    spread = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(spread, [(100 - LEVEL) / 2, (100 + LEVEL) / 2]) if len(spread) else (np.nan, np.nan)
    return Figure(float(values[0]), n, float(low), float(high))


def weights(groups: Sequence[Any], *, seed: int, draws: int = DRAWS) -> Array:
    """(1 + draws, n): how often each case counts."""
    names = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    places = np.array([names[name] for name in groups], dtype=np.int64)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    counts = np.vstack([np.ones(len(names), dtype=np.int64), drawn]).astype(np.float32)
    return counts[:, places]


def share(part: Array, whole: Array) -> Array:
    """NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


class Sweep:
    """Hits at every cut, the highest first; the columns are cuts, and at column 0 nothing is served."""

    def __init__(self, scores: Array, outcomes: Array, each: Array) -> None:
        servable = np.flatnonzero(outcomes != NOTHING)  # the others count among those asked, and no more
        order = servable[np.argsort(-scores[servable], kind="stable")]
        ordered = scores[order]
        last_of_its_score = np.ones(len(ordered), dtype=bool)
        last_of_its_score[:-1] = ordered[1:] != ordered[:-1]
        self.cuts = np.append(np.inf, ordered[last_of_its_score])
        self.asked = each.sum(axis=1, dtype=np.float64)
        self._columns = np.flatnonzero(last_of_its_score)
        self._each, self._order, self._outcomes = each, order, outcomes[order]
        self.right, self.wrong, self.unknown = (self._summed(it) for it in (RIGHT, WRONG, UNKNOWN))

    def _summed(self, outcome: int) -> Array:
        counted = self._each[:, self._order] * (self._outcomes == outcome)
        summed = np.cumsum(counted, axis=1, dtype=np.float32)[:, self._columns]  # exact: the sums are whole numbers
        return np.hstack([np.zeros((len(summed), 1), dtype=np.float32), summed])

    def best(self, *, e_hit: float | None = None, e_req: float | None = None) -> Array:
        """The column with the most right hits whose error is within the bound, one for each row."""
        if e_hit is not None:
            # Written without a division, so that no hits at all are within every bound.
            within = self.wrong <= e_hit * (self.right + self.wrong) + ROUNDING
        else:
            within = self.wrong <= (e_req or 0.0) * self.asked[:, None] + ROUNDING
        return np.argmax(np.where(within, self.right, -1), axis=1)

    def hits(self, columns: Array) -> Array:
        return self._at(self.right + self.wrong + self.unknown, columns)

    def right_hits(self, columns: Array) -> Array:
        return self._at(self.right, columns)

    def wrong_hits(self, columns: Array) -> Array:
        return self._at(self.wrong, columns)

    def at_cut(self, cut: float) -> Array:
        """The column that serves all of at least this score."""
        return np.full(len(self.asked), int(np.count_nonzero(self.cuts >= cut)) - 1)

    @staticmethod
    def _at(values: Array, columns: Array) -> Array:
        return np.take_along_axis(values, columns[:, None], axis=1)[:, 0]

    # -- For pairs, all of which have an outcome.

    @property
    def recall(self) -> Array:
        return share(self.right, self.right[:, -1:])

    @property
    def false_rate(self) -> Array:
        return share(self.wrong, self.wrong[:, -1:])

    def auc(self) -> Array:
        """The area under recall over false rate; ties count half."""
        recall, false = self.recall, self.false_rate
        return np.sum((recall[:, 1:] + recall[:, :-1]) / 2 * np.diff(false, axis=1), axis=1)

    def average_precision(self) -> Array:
        precision = share(self.right, self.right + self.wrong)
        return np.nansum(np.diff(self.recall, axis=1) * precision[:, 1:], axis=1)

    def recall_at_precision(self, least: float) -> Array:
        within = self.wrong <= (1 - least) * (self.right + self.wrong) + ROUNDING
        return np.max(np.where(within, self.recall, 0.0), axis=1)

    def recall_at_false_rate(self, most: float) -> Array:
        return np.max(np.where(self.false_rate <= most, self.recall, 0.0), axis=1)
