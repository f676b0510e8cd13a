"""Is the promise kept, and from which probability on is it?"""

import random

import pytest

from cache_api.domain.risk import Checked, Sample, alarmed, controlled_cut, interval, learn, measured, pooled, tightens

PROMISE = 0.02
SHIPPED = 0.9


def world(seed: int, n: int, times: float = 1.0) -> list[Checked]:
    """Answers that are wrong so many times as often as their probability says."""
    chance = random.Random(seed)
    told = [1 - chance.random() ** 2 * 0.3 for _ in range(n)]
    return [Checked(p, chance.random() < times * (1 - p)) for p in told]


@pytest.mark.parametrize(
    ("wrong", "checked", "low", "high"),  # scipy.stats.beta.ppf
    [(0, 300, 0.0, 0.012221), (10, 2000, 0.002400, 0.009176), (7, 570, 0.004951, 0.025138), (3, 3, 0.292402, 1.0)],
)
def test_the_interval_is_clopper_and_pearsons(wrong: int, checked: int, low: float, high: float) -> None:
    assert interval(wrong, checked) == pytest.approx((low, high), abs=2e-6)


def test_few_checks_say_no_rate() -> None:
    assert measured(0, 99).rate is None
    assert measured(1, 100).rate == 0.01


def test_samples_that_stand_for_as_much_each_are_one_sample() -> None:
    assert pooled([Sample(200, 2, 4_000.0), Sample(300, 3, 6_000.0)]) == measured(5, 500)
    assert pooled([Sample(0, 0, 0.0), Sample(300, 3, 6_000.0)]) == measured(3, 300)
    assert pooled([]).rate is None


def test_a_thin_sample_of_much_widens_the_interval() -> None:
    found = pooled([Sample(100, 1, 9_900.0), Sample(900, 9, 100.0)])

    assert found.rate == pytest.approx(0.01)
    assert measured(1, 100).high < found.high < measured(2, 100).high
    assert found.low <= measured(1, 100).low


def test_before_there_are_enough_checks_there_is_no_cut_of_ones_own() -> None:
    assert controlled_cut([Checked(0.99, wrong=False)] * 71, PROMISE, shipped=SHIPPED) is None
    assert controlled_cut([Checked(0.99, wrong=False)] * 72, PROMISE, shipped=SHIPPED) == 0.99


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("times", [1.0, 2.0, 4.0])
def test_above_the_learnt_cut_the_promise_is_kept(seed: int, times: float) -> None:
    cut = controlled_cut(world(seed, 3_000, times), PROMISE, shipped=SHIPPED)
    assert cut is not None
    later = [check for check in world(seed + 100, 20_000, times) if check.probability >= cut]
    assert sum(check.wrong for check in later) / len(later) <= PROMISE


def test_a_worse_world_has_a_higher_cut() -> None:
    cuts = [controlled_cut(world(1, 5_000, times), PROMISE, shipped=SHIPPED) for times in (0.5, 1.0, 4.0)]
    assert cuts == sorted(cuts, key=lambda cut: cut or 2.0)
    assert len(set(cuts)) == 3


def test_where_all_is_wrong_there_is_no_cut() -> None:
    assert controlled_cut([Checked(0.99, wrong=True)] * 500, PROMISE, shipped=SHIPPED) is None


def test_the_shipped_cut_is_loosened_only_while_hardly_more_is_wrong_than_over_it() -> None:
    over = [Checked(0.98, wrong=False)] * 400
    one, two = ([Checked(0.95, wrong=at < wrong) for at in range(200)] for wrong in (3, 4))

    assert controlled_cut(over + one, PROMISE, shipped=0.97) == 0.95  # 0.5 points
    assert controlled_cut(over + two, PROMISE, shipped=0.97) == 0.98
    assert controlled_cut(over + two, PROMISE, shipped=0.95) == 0.95  # nothing is loosened
    known = [Checked(0.98, wrong=at < 3) for at in range(400)]
    assert controlled_cut(known + two, PROMISE, shipped=0.97) == 0.95  # 0.75 points were wrong before


def test_a_breach_above_the_shipped_cut_is_none_if_it_is_kept_there() -> None:
    first = [Checked(0.99, wrong=at < 2) for at in range(80)]
    rest = [Checked(0.98, wrong=False)] * 220

    assert controlled_cut(first + rest, PROMISE, shipped=0.97) == 0.98
    assert controlled_cut(first + rest, PROMISE, shipped=0.985) is None
    broken = [Checked(0.98, wrong=True)] * 5
    assert controlled_cut([Checked(0.99, wrong=False)] * 80 + broken, PROMISE, shipped=0.97) == 0.99


def test_nobody_waits_to_serve_less() -> None:
    assert tightens(0.98, 0.9)
    assert not tightens(0.9, 0.98)
    assert not tightens(0.98, None)


def test_what_a_looser_cut_served_rings_no_alarm() -> None:
    served = [Checked(0.8, wrong=True)] * 4
    judged = [Checked(0.99, wrong=False)] * 200
    assert learn(judged + served, served, PROMISE, shipped=SHIPPED, stricter=0.9965) == (0.99, "kept")


def test_a_rare_sample_speaks_for_all_it_stands_for() -> None:
    seen = [Checked(0.99, wrong=False, weight=1.0)] * 400 + [Checked(0.95, wrong=True, weight=33.0)]
    assert controlled_cut(seen, PROMISE, shipped=SHIPPED) == 0.99
    assert controlled_cut([check._replace(weight=1.0) for check in seen], PROMISE, shipped=SHIPPED) == 0.95


def served(seed: int, n: int, times: float) -> list[Checked]:
    return [check for check in world(seed, n * 6, times) if check.probability > 0.983][:n]


def test_answers_as_wrong_as_foretold_ring_no_alarm() -> None:
    rang = [seed for seed in range(40) if alarmed(served(seed, 1_000, 1.0), PROMISE) is not None]
    assert len(rang) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_a_drift_rings_within_some_hundred_checks(seed: int) -> None:
    seen = served(seed, 500, 1.0) + served(seed + 50, 400, 12.0)
    rang = alarmed(seen, PROMISE)
    assert rang is not None
    assert rang >= 500 or seed  # seldom it rings by chance before


def test_an_alarm_ends_with_three_hundred_checks_that_keep_the_promise() -> None:
    drifted = [Checked(0.99, wrong=True)] * 4
    clean = [Checked(0.995, wrong=False)] * 300
    assert alarmed(drifted + clean[:299], PROMISE) is not None
    assert alarmed(drifted + clean, PROMISE) is None


@pytest.mark.parametrize(
    ("judged", "served", "state"),
    [
        ([Checked(0.99, wrong=False)] * 71, [], "learning"),
        ([Checked(0.99, wrong=False)] * 72, [], "kept"),
        ([Checked(0.97, wrong=True)] * 72, [], "learning"),  # nobody was served what was wrong
        ([Checked(0.99, wrong=True)] + [Checked(0.99, wrong=False)] * 71, None, "learning"),  # no cut
        ([Checked(0.99, wrong=False)] * 72, [Checked(0.99, wrong=True)] * 4, "alarm"),
    ],
)
def test_a_cut_is_learnt_shipped_or_under_an_alarm_the_stricter(
    judged: list[Checked], served: list[Checked] | None, state: str
) -> None:
    cut = {"learning": None, "kept": 0.99, "alarm": 0.9937}[state]
    assert learn(judged, judged if served is None else served, PROMISE, shipped=SHIPPED, stricter=0.9937) == (
        cut,
        state,
    )


def test_without_a_promise_there_is_neither_cut_nor_alarm() -> None:
    assert learn(
        [Checked(0.99, wrong=True)] * 500, [Checked(0.99, wrong=True)] * 500, 0.0, shipped=SHIPPED, stricter=1.0
    ) == (
        None,
        "learning",
    )
