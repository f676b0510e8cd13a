"""How likely does the stored answer to one question answer another one rightly?

    p = 1 / (1 + exp(-score) + doubt),  score = bias + sum of weight_i * feature_i,  doubt = sum of doubt_i * feature_i

A feature of likeness has a weight of at least 0 and one of difference a weight of at most 0, so that a nearer vector
never lowers p and a difference never raises it. A difference that changes the answer however near the vectors are has
a doubt too: p never comes over 1 / (1 + doubt), and below keeps the order that the weights give it.

`confidence.json` has the weights, learnt by `tests/bench/quality/train.py`, for one embedder and one set of features.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from math import exp
from pathlib import Path
from typing import Any, Self

from cache_api.domain.features import FEATURES, FEATURES_VERSION, features
from cache_api.domain.records import record

FILE = Path(__file__).with_name("confidence.json")
NEVER = 2.0  # no probability is so high
_SCORE_MOST = 40.0  # beyond, p is 1 to the last bit


class BadWeights(Exception):
    """The file of weights is damaged, or written for other features."""


@record(frozen=True, slots=True)
class Calibration:
    """What was learnt, for one embedder."""

    embedder: str
    bias: float
    weights: tuple[float, ...]  # in the order of FEATURES
    doubts: tuple[float, ...]  # the same
    cuts: Mapping[float, float]  # promised share of wrong hits -> least p

    @classmethod
    def read(cls, file: Path = FILE) -> Self:
        """Raises BadWeights."""
        return cls.build(json.loads(file.read_bytes()))

    @classmethod
    def build(cls, written: Mapping[str, Any]) -> Self:
        """Raises BadWeights."""
        if written["sha256"] != digest(written):
            raise BadWeights("The weights are not those that were written")
        known = set(written["weights"]) == set(FEATURES) >= set(written["doubts"])
        if written["features"] != FEATURES_VERSION or not known:
            raise BadWeights("The weights are for other features")
        return cls(
            embedder=written["embedder"],
            bias=written["bias"],
            weights=tuple(written["weights"][name] for name in FEATURES),
            doubts=tuple(written["doubts"].get(name, 0.0) for name in FEATURES),
            cuts={float(promise): cut for promise, cut in written["cuts"].items()},
        )

    def probability(self, asked: str, stored: str, cosine: float) -> float:
        return self.of(features(asked, stored, cosine))

    def of(self, values: Sequence[float]) -> float:
        score = self.bias + sum([weight * value for weight, value in zip(self.weights, values, strict=True)])
        doubt = sum([doubt * value for doubt, value in zip(self.doubts, values, strict=True)])
        return 1 / (1 + exp(-max(-_SCORE_MOST, min(_SCORE_MOST, score))) + doubt)

    def cut(self, promise: float) -> float:
        """The least p at which no more than this share of the hits is wrong; between two promises, the stricter's."""
        kept = [one for one in self.cuts if one <= promise]
        return self.cuts[max(kept)] if kept else NEVER

    def promise_of(self, probability: float) -> float | None:
        """The strictest promise under which so likely an answer is served; None: under none of them."""
        return min((promise for promise, cut in self.cuts.items() if probability >= cut), default=None)


@cache
def shipped() -> Calibration:
    return Calibration.read()


def digest(written: Mapping[str, Any]) -> str:
    """Of all but itself."""
    rest = {name: value for name, value in written.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
