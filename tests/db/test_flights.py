"""Who buys an answer that several ask for at once?"""

from collections.abc import Callable
from uuid import uuid4

from cache_api.adapters.breaker import Breaker
from cache_api.adapters.flights import SharedFlights
from cache_api.domain.decision import Hit, Reason
from cache_api.domain.entry import Entry
from cache_api.domain.request import Request
from cache_api.wiring import redis_client
from tests.unit.builders import entry_of, request_of


def process(find_exact: Callable[[Request], Entry | None]) -> SharedFlights:
    return SharedFlights(redis=redis_client(), breaker=Breaker(), find_exact=find_exact)


def asked() -> Request:
    return request_of(f"Who is {uuid4()}?")


def test_what_was_taken_away_since_the_landing_is_bought_anew() -> None:
    flights, request = process(lambda _: None), asked()
    flights.enter(request, seconds=5).land(Hit(entry_of(), Reason.COALESCED))

    again = flights.enter(request, seconds=5)

    assert again.landed is None
    assert again.depart() is None


def test_another_process_waits_for_the_landing_and_reads_what_was_stored() -> None:
    stored, request = entry_of(), asked()
    leading, other = process(lambda _: stored), process(lambda _: stored)
    flight, following = leading.enter(request, seconds=5), other.enter(request, seconds=5)
    assert flight.depart() is None
    flight.land(Hit(stored, Reason.COALESCED))

    assert following.depart() == Hit(stored, Reason.COALESCED)


def test_nothing_is_left_to_wait_for_when_the_leader_comes_home_with_nothing() -> None:
    leading, other, request = process(lambda _: None), process(lambda _: None), asked()
    flight = leading.enter(request, seconds=5)
    assert flight.depart() is None
    flight.land(None)

    assert other.enter(request, seconds=5).depart() is None
