"""How long is an answer used, with the database there and away?"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tenants.isolation import DatabaseUnavailable
from tenants.kept import ASKING_SECONDS, Kept


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _kept(clock: Clock, limit: int = 100) -> Kept[str, str]:
    return Kept(fresh_seconds=5, usable_seconds=900, limit=limit, clock=clock)


def _away() -> str:
    raise DatabaseUnavailable("deadline")


def _never() -> str:
    raise AssertionError("must not ask")


def _says(answer: str) -> Callable[[], str]:
    return lambda: answer


def test_a_fresh_answer_is_not_asked_for_again() -> None:
    clock = Clock()
    kept = _kept(clock)
    kept.get("key", _says("one"))
    clock.now = 4.9

    assert kept.get("key", _never) == "one"


def test_an_old_answer_is_asked_for_again() -> None:
    clock = Clock()
    kept = _kept(clock)
    kept.get("key", _says("one"))
    clock.now = 5.0

    assert kept.get("key", _says("two")) == "two"


def test_in_an_outage_the_old_answer_goes_on() -> None:
    clock = Clock()
    kept = _kept(clock)
    kept.get("key", _says("one"))
    clock.now = 899.0

    assert kept.get("key", _away) == "one"
    assert kept.get("key", _never) == "one"  # And for a while the database is left alone.


def test_an_outage_does_not_lengthen_its_life() -> None:
    clock = Clock()
    kept = _kept(clock)
    kept.get("key", _says("one"))
    clock.now = 899.0
    kept.get("key", _away)
    clock.now = 905.0

    with pytest.raises(DatabaseUnavailable):
        kept.get("key", _away)


def test_without_an_old_answer_an_outage_shows() -> None:
    with pytest.raises(DatabaseUnavailable):
        _kept(Clock()).get("key", _away)


def test_while_one_asks_the_others_go_on_with_the_old_answer() -> None:
    clock = Clock()
    kept = _kept(clock)
    kept.get("key", _says("one"))
    clock.now = 6.0

    def slow() -> str:
        assert kept.get("key", _never) == "one"
        clock.now += ASKING_SECONDS
        assert kept.get("key", _says("meanwhile")) == "meanwhile"  # Not for longer than a deadline.
        return "two"

    assert kept.get("key", slow) == "two"


def test_a_refusal_is_not_kept_and_drops_what_was() -> None:
    clock = Clock()
    kept = _kept(clock)
    kept.get("key", _says("one"))
    clock.now = 6.0

    def refuse() -> str:
        raise PermissionError

    with pytest.raises(PermissionError):
        kept.get("key", refuse)
    assert "key" not in kept


def test_what_is_withdrawn_while_it_is_read_is_not_kept() -> None:
    kept = _kept(Clock())

    def ask() -> str:
        kept.forget("key")
        return "withdrawn"

    assert kept.get("key", ask) == "withdrawn"
    assert "key" not in kept


def test_it_holds_no_more_than_its_limit() -> None:
    kept = _kept(Clock(), limit=10)
    for number in range(50):
        kept.get(str(number), _says("x"))

    assert sum(str(number) in kept for number in range(50)) <= 10
    assert "49" in kept


def test_a_crowd_that_comes_for_something_new_asks_once() -> None:
    kept: Kept[str, str] = Kept(fresh_seconds=5, usable_seconds=900)
    asked: list[str] = []
    crowd = threading.Barrier(20)

    def ask() -> str:
        asked.append("once")
        time.sleep(0.05)  # as a database would
        return "known"

    def come(_: int) -> str:
        crowd.wait(10)
        return kept.get("key", ask)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(come, range(20))) == ["known"] * 20
    assert asked == ["once"]
