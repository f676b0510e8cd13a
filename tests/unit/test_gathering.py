"""Do callers share a trip, without waiting for one another's time or errors?"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from cache_api.adapters.gathering import Gatherer, Overdue

LONG_SECONDS = 10.0


class Trips:
    """Batches as they arrive; each waits at the gate until the test opens it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.arrived = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def __call__(self, items: list[str]) -> Sequence[str]:
        self.batches.append(items)
        self.arrived.release()
        assert self.gate.acquire(timeout=LONG_SECONDS)
        if "bad" in items:
            raise ValueError("bad batch")
        if "lost" in items:
            return []
        return [item.upper() for item in items]


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def waiting(gatherer: Gatherer[str, str], count: int) -> None:
    """Return when so many callers stand in line."""
    deadline = threading.Event()
    for _ in range(10_000):
        if len(gatherer._waiting) == count:
            return
        deadline.wait(0.001)
    raise AssertionError(f"{len(gatherer._waiting)} wait, not {count}")


def test_a_lone_caller_leaves_at_once() -> None:
    gatherer = Gatherer[str, str](lambda items: [item.upper() for item in items])
    assert gatherer.submit("a", LONG_SECONDS) == "A"


def test_what_arrives_during_a_trip_is_the_next_trip() -> None:
    trips = Trips()
    gatherer = Gatherer(trips)
    with ThreadPoolExecutor(8) as callers:
        first = callers.submit(gatherer.submit, "a", LONG_SECONDS)
        trips.arrived.acquire()
        others = []
        for count, item in enumerate("bcd", start=1):
            others.append(callers.submit(gatherer.submit, item, LONG_SECONDS))
            waiting(gatherer, count)
        trips.gate.release(2)
        assert [first.result(), *(other.result() for other in others)] == ["A", "B", "C", "D"]
    assert trips.batches == [["a"], ["b", "c", "d"]]


def test_a_batch_is_never_larger_than_allowed() -> None:
    trips = Trips()
    trips.gate.release(10)
    gatherer = Gatherer(trips, max_batch=2)
    assert gatherer.submit_all(["a", "b", "c", "d", "e"], LONG_SECONDS) == ["A", "B", "C", "D", "E"]
    assert trips.batches == [["a", "b"], ["c", "d"], ["e"]]


def test_an_error_reaches_the_callers_of_its_batch_and_no_other() -> None:
    trips = Trips()
    gatherer = Gatherer(trips)
    with ThreadPoolExecutor(8) as callers:
        before = callers.submit(gatherer.submit, "a", LONG_SECONDS)
        trips.arrived.acquire()
        bad = callers.submit(gatherer.submit_all, ["bad", "b"], LONG_SECONDS)
        waiting(gatherer, 2)
        trips.gate.release()
        assert before.result() == "A"
        trips.arrived.acquire()
        after = callers.submit(gatherer.submit, "c", LONG_SECONDS)
        waiting(gatherer, 1)
        trips.gate.release(2)
        with pytest.raises(ValueError, match="bad batch"):
            bad.result()
        assert after.result() == "C"


def test_a_batch_that_loses_an_answer_is_an_error_for_all_its_callers() -> None:
    trips = Trips()
    trips.gate.release()
    with pytest.raises(ValueError, match="zip"):
        Gatherer(trips).submit("lost", LONG_SECONDS)


def test_who_goes_with_items_still_in_line_does_not_take_the_lead_along() -> None:
    trips = Trips()
    gatherer = Gatherer(trips, max_batch=1)
    with ThreadPoolExecutor(2) as callers:
        leaving = callers.submit(gatherer.submit_all, ["bad", "b", "c"], LONG_SECONDS)
        trips.arrived.acquire()
        after = callers.submit(gatherer.submit, "d", LONG_SECONDS)
        waiting(gatherer, 3)
        trips.gate.release(2)
        with pytest.raises(ValueError, match="bad batch"):
            leaving.result()
        assert after.result() == "D"
    assert trips.batches == [["bad"], ["d"]]


def test_who_waits_too_long_goes_and_is_left_out_of_the_next_trip() -> None:
    trips, clock = Trips(), Clock()
    gatherer = Gatherer(trips, now=clock)
    with ThreadPoolExecutor(8) as callers:
        first = callers.submit(gatherer.submit, "a", LONG_SECONDS)
        trips.arrived.acquire()
        with pytest.raises(Overdue):
            gatherer.submit("late", 0.0)
        other = callers.submit(gatherer.submit, "b", LONG_SECONDS)
        waiting(gatherer, 2)
        trips.gate.release(2)
        assert (first.result(), other.result()) == ("A", "B")
    assert trips.batches == [["a"], ["b"]]


def test_who_joins_a_hanging_trip_waits_no_longer_than_its_own_time() -> None:
    trips = Trips()
    gatherer = Gatherer(trips)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(gatherer.submit, "a", LONG_SECONDS)
        trips.arrived.acquire()
        with pytest.raises(Overdue):
            gatherer.submit("b", 0.01)
        trips.gate.release()
        assert first.result() == "A"
    trips.gate.release()
    assert gatherer.submit("c", LONG_SECONDS) == "C"


def test_a_crowd_that_comes_and_gives_up_at_all_times_loses_no_answer() -> None:
    gatherer = Gatherer[int, int](lambda items: [-item for item in items], max_batch=3)

    def ask(start: int) -> list[bool]:
        told = []
        for item in range(start, start + 500):
            try:
                told.append(gatherer.submit(item, 0.0 if item % 7 == 0 else LONG_SECONDS) == -item)
            except Overdue:
                told.append(item % 7 == 0)
        return told

    with ThreadPoolExecutor(8) as callers:
        answers = [right for told in callers.map(ask, range(0, 80_000, 10_000)) for right in told]

    assert all(answers)
    assert len(answers) == 4_000
