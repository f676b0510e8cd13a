"""Is a broken part left alone, and found again?"""

from contextlib import suppress

import pytest

from cache_api.adapters.breaker import Breaker
from cache_api.ports import CacheUnavailable


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with suppress(CacheUnavailable), breaker.watch():
            raise CacheUnavailable("deadline")


def is_asked(breaker: Breaker) -> bool:
    """Does a call get through? Its outcome is a failure, so that the breaker stays as it is."""
    asked = False
    with suppress(CacheUnavailable), breaker.watch():
        asked = True
        raise CacheUnavailable
    return asked


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(now=clock)


def test_four_failures_change_nothing_and_the_fifth_opens(breaker: Breaker) -> None:
    fail(breaker, 4)
    assert not breaker.is_open
    fail(breaker)
    assert breaker.is_open
    with pytest.raises(CacheUnavailable) as refused, breaker.watch():
        raise AssertionError("asked while open")
    assert refused.value.reason == "cache_unavailable"


def test_failures_far_apart_do_not_open(breaker: Breaker, clock: Clock) -> None:
    for _ in range(20):
        fail(breaker)
        clock.seconds += 2.6
    assert not breaker.is_open


def test_five_within_ten_seconds_open_although_calls_between_them_succeeded(breaker: Breaker, clock: Clock) -> None:
    for _ in range(5):
        with breaker.watch():
            clock.seconds += 1
        clock.seconds += 1
        fail(breaker)
    assert breaker.is_open


def test_after_five_seconds_one_probe_goes_and_the_others_stay(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.seconds += 4.9
    assert not is_asked(breaker)
    clock.seconds += 0.2
    with breaker.watch():
        assert not is_asked(breaker)
    assert not breaker.is_open


def test_a_failed_probe_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.seconds += 5.1
    fail(breaker)
    clock.seconds += 4.9
    assert not is_asked(breaker)
    clock.seconds += 0.2
    assert is_asked(breaker)


def test_a_probe_that_never_reports_does_not_keep_it_open(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.seconds += 5.1
    with suppress(KeyError), breaker.watch():
        raise KeyError
    assert not is_asked(breaker)
    clock.seconds += 5.1
    assert is_asked(breaker)


def test_after_closing_five_more_failures_are_needed(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.seconds += 5.1
    with breaker.watch():
        pass
    fail(breaker, 4)
    assert not breaker.is_open


def test_a_late_call_does_not_count_while_others_are_answered(breaker: Breaker, clock: Clock) -> None:
    for _ in range(20):
        with suppress(CacheUnavailable), breaker.watch():
            clock.seconds += 0.1
            with breaker.watch():
                pass
            raise CacheUnavailable("deadline")
    assert not breaker.is_open


def test_another_exception_is_not_the_parts_failure(breaker: Breaker) -> None:
    for _ in range(9):
        with suppress(ValueError), breaker.watch():
            raise ValueError
    assert not breaker.is_open
