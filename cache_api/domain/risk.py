"""Is the promise kept, and from which probability on is it?

A check is weighted by 1 / the chance it had to be made, so that a sample speaks for all.

    cut     the lowest t with n/(n+1) * W/n + 1/(n+1) <= a, on the way down from the shipped cut, or where that keeps
            it not, from where n first reaches 1/a
            (conformal risk control, arXiv 2208.02814; a is less than what is promised, for what drifts); under the
            shipped cut only while W/n is little more than what it is over it
    alarm   Page-Hinkley on wrong - (1 - p): answers are wrong more often than their probability says
    range   Clopper-Pearson, 95 %; of several samples together, for as many equal checks as they are worth (Kish)
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from math import ceil, exp, floor, lgamma, log
from operator import itemgetter
from typing import Literal, NamedTuple

from cache_api.domain.records import record

AIMED_AT = 0.7  # of what is promised
STRICTER = 0.25  # of what is promised, while there is an alarm
LOOSENED = 0.25  # of what is promised: so much more may be wrong than with the shipped cut
ALARM_AT = 3.0  # wrong answers more than foretold
ALARM_SLACK = 0.5  # of what is promised, a check: chance alone must not ring
CLEAN_CHECKS = 300  # after an alarm, within what is promised
MEASURED_FROM = 100  # checks; fewer say nothing yet
CONFIDENCE = 0.95
_BISECTIONS = 40

State = Literal["learning", "kept", "alarm"]


class Checked(NamedTuple):
    """An answer that was checked: what was foretold of it, and what came out."""

    probability: float
    wrong: bool
    weight: float = 1.0


@record(frozen=True, slots=True)
class Measured:
    """The share of wrong answers among those checked, with its 95 % interval."""

    checked: int
    wrong: int
    share: float
    low: float
    high: float

    @property
    def rate(self) -> float | None:
        """None: too few to say."""
        return self.share if self.checked >= MEASURED_FROM else None


class Sample(NamedTuple):
    """A random sample of what a project served; `stands_for` so many answers."""

    checked: int
    wrong: int
    stands_for: float


def measured(wrong: int, checked: int) -> Measured:
    return Measured(checked, wrong, wrong / checked if checked else 0.0, *interval(wrong, checked))


def pooled(samples: Sequence[Sample]) -> Measured:
    """Of all that several projects served: who served more counts for more, however much of it was checked.

    A sample of which each check stands for many answers tells less than its number. So the interval is that of as many
    checks of one weight as would tell the same, rounded to the wider side.
    """
    found = [sample for sample in samples if sample.checked]
    if len(found) < 2:
        return measured(sum(sample.wrong for sample in found), sum(sample.checked for sample in found))
    whole = sum(sample.stands_for for sample in found)
    share = sum(sample.stands_for * sample.wrong / sample.checked for sample in found) / whole
    alike = round(whole**2 / sum(sample.stands_for**2 / sample.checked for sample in found), 6)
    wrong = round(share * alike, 6)
    low, _ = interval(floor(wrong), ceil(alike))
    _, high = interval(min(ceil(wrong), floor(alike)), floor(alike))
    return Measured(sum(sample.checked for sample in found), sum(sample.wrong for sample in found), share, low, high)


def interval(wrong: int, checked: int) -> tuple[float, float]:
    """Clopper-Pearson: the rates under which so many, or so few, are not too unlikely."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if wrong == 0 else _solve(lambda p: 1 - _at_most(wrong - 1, checked, p), tail, rising=True)
    high = 1.0 if wrong == checked else _solve(lambda p: _at_most(wrong, checked, p), tail, rising=False)
    return low, high


def controlled_cut(checks: Sequence[Checked], promise: float, *, shipped: float) -> float | None:
    """The lowest probability at which the promise is kept; None: too few checks, or it is kept nowhere.

    The way begins at the shipped cut, where the promise is kept there; a breach above it may be chance.
    """
    aim = AIMED_AT * promise
    if aim <= 0 or len(checks) < 1 / aim:
        return None
    allowed = _share([check for check in checks if check.probability >= shipped]) + LOOSENED * promise
    over: list[tuple[float, bool]] = []  # each place for a cut, and whether the promise is kept there
    under: list[tuple[float, bool]] = []
    n = wrong = 0.0
    ordered = sorted(checks, key=lambda check: -check.probability)
    for seen, check in enumerate(ordered, start=1):
        n += check.weight
        wrong += check.weight * check.wrong
        if seen < 1 / aim or (seen < len(ordered) and ordered[seen].probability == check.probability):
            continue  # a cut lies between two probabilities
        kept = seen / (seen + 1) * wrong / n + 1 / (seen + 1) <= aim
        if check.probability >= shipped:
            over.append((check.probability, kept))
        else:
            under.append((check.probability, kept and wrong / n <= allowed))
    way = over if over and not over[-1][1] else over[-1:] + under
    return min((cut for cut, _ in takewhile(itemgetter(1), way)), default=None)


def _share(checks: Sequence[Checked]) -> float:
    """How many of those that these stand for are wrong."""
    whole = sum(check.weight for check in checks)
    return sum(check.weight for check in checks if check.wrong) / whole if checks else 0.0


def learn(
    judged: Sequence[Checked], served: Sequence[Checked], promise: float, *, shipped: float, stricter: float
) -> tuple[float | None, State]:
    """The cut that what was judged speaks for; None: the `shipped` one stays. Under an alarm it is the `stricter`.

    `served` are those of the judged that are a random sample of what was served. The others were not served: that they
    are wrong breaks no promise, and rings nothing; nor does what was served under a looser cut than is learnt now. That
    no cut can be found rings nothing either: one wrong answer among the first 1/a, which chance alone brings every
    other time, already forbids every cut.
    """
    cut = controlled_cut(judged, promise, shipped=shipped)
    still_served = [check for check in served if check.probability >= (shipped if cut is None else cut)]
    if promise > 0 and alarmed(still_served, promise) is not None:
        return stricter, "alarm"
    return cut, "learning" if cut is None else "kept"


def tightens(cut: float | None, before: float | None) -> bool:
    """Nobody waits to serve less; to serve more, a cut has to stand for a while."""
    return cut is not None and before is not None and cut > before


def alarmed(checks: Sequence[Checked], promise: float) -> int | None:
    """Where, among the checks in order of time, an alarm rang that is not over yet; None: all is well."""
    rang: int | None = None
    excess = lowest = 0.0
    since: list[bool] = []
    for place, check in enumerate(checks):
        if rang is not None:
            since.append(check.wrong)
            newest = since[-CLEAN_CHECKS:]
            if len(newest) == CLEAN_CHECKS and sum(newest) <= promise * CLEAN_CHECKS:
                rang, since, excess, lowest = None, [], 0.0, 0.0
            continue
        excess += check.wrong - (1 - check.probability) - ALARM_SLACK * promise
        lowest = min(lowest, excess)
        if excess - lowest > ALARM_AT:
            rang = place
    if rang is None and checks:
        wrong = sum(check.wrong for check in checks)
        if interval(wrong, len(checks))[0] > promise:
            rang = len(checks) - 1
    return rang


def _solve(share: Callable[[float], float], wanted: float, *, rising: bool) -> float:
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if (share(middle) < wanted) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_most(most: int, of: int, p: float) -> float:
    """The chance of at most so many among so many, each of chance p."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    whole = lgamma(of + 1)
    logs = (whole - lgamma(k + 1) - lgamma(of - k + 1) + k * log(p) + (of - k) * log(1 - p) for k in range(most + 1))
    return min(1.0, sum(map(exp, logs)))
