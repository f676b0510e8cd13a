"""What do the checks of an entry's answer say of serving it again?

    p = (k * p0 + sum of w_i * c_i) / (k + sum of w_i)
    w_i = trust_i * exp(-((s - s_i) / width)^2)

the mean of a Beta distribution whose prior is the calibrated probability p0 with the weight of k checks; c_i is 1 where
the answer was found right at similarity s_i, else 0. A question as near as one that was answered wrongly, or a little
nearer, is not served at all.
"""

from collections.abc import Sequence
from math import exp
from typing import NamedTuple

PRIOR_CHECKS = 15.0
WIDTH = 0.03  # of cosine: how far a check tells of its neighbours
SHUT_ABOVE_WRONG = 0.02
CHECKS_KEPT = 32  # the newest
CHECKS_OF_ONE_KEY = 4  # a key that says it a thousand times is no thousand witnesses

TRUST = {"judge": 1.0, "member": 1.0, "caller": 0.5}


class Check(NamedTuple):
    """One question for which somebody said whether an entry's answer is right."""

    similarity: float
    right: bool
    trust: float


def posterior(prior: float, similarity: float, checks: Sequence[Check]) -> float:
    """The probability that the answer is right, after its checks."""
    weight, right = PRIOR_CHECKS, PRIOR_CHECKS * prior
    for check in checks:
        near = check.trust * exp(-(((similarity - check.similarity) / WIDTH) ** 2))
        weight += near
        right += near * check.right
    return right / weight


def is_shut(similarity: float, checks: Sequence[Check]) -> bool:
    """Whether a question as near, or nearly as near, was answered wrongly."""
    return any(not check.right and similarity < check.similarity + SHUT_ABOVE_WRONG for check in checks)
