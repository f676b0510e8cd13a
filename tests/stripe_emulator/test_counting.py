"""Does the meter count each event once, within its limits of time?"""

import pytest
import stripe

from .fixtures import BEGINNING
from .shop import Shop
from .world import DAY_SECONDS as DAY
from .world import HOUR_SECONDS as HOUR


def _event(shop: Shop, customer: str, *, identifier: str = "one", value: str = "5", at: int | None = None) -> None:
    shop.v1.billing.meter_events.create(
        {
            "event_name": "requests",
            "identifier": identifier,
            "timestamp": at or shop.stripe.now(),
            "payload": {"stripe_customer_id": customer, "value": value},
        }
    )


def _hours(shop: Shop, customer: str, since: int, until: int) -> dict[int, float]:
    span = {"customer": customer, "start_time": since, "end_time": until, "value_grouping_window": "hour"}
    found = shop.v1.billing.meters.event_summaries.list(shop.meter, span)
    return {one.start_time - BEGINNING: one.aggregated_value for one in found.data}


def test_an_identifier_counts_once_a_day_whatever_its_value(shop: Shop) -> None:
    customer = shop.customer().id
    _event(shop, customer)
    with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier one"):
        _event(shop, customer, value="6")

    shop.stripe.advance(seconds=DAY)
    _event(shop, customer)

    assert _hours(shop, customer, BEGINNING, BEGINNING + 2 * DAY) == {0: 5, DAY: 5}


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [(-35 * DAY - 1, False), (-35 * DAY, True), (0, True), (300, True), (301, False)],
)
def test_an_event_is_neither_too_old_nor_too_early(shop: Shop, seconds: int, taken: bool) -> None:
    customer = shop.customer().id
    if taken:
        _event(shop, customer, at=BEGINNING + seconds)
        return
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _event(shop, customer, at=BEGINNING + seconds)
    assert refused.value.param == "timestamp"


@pytest.mark.parametrize("value", ["many", "", "NaN"])
def test_a_value_is_a_number(shop: Shop, value: str) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        _event(shop, shop.customer().id, value=value)


def test_an_unknown_customer_is_taken_and_counted_nowhere(shop: Shop) -> None:
    _event(shop, "cus_none")

    assert [one["id"] for one in shop.stripe.world.where("_meter_error")] == ["one"]


def test_summaries_lag_behind_and_invoices_do_not(shop: Shop) -> None:
    shop.stripe.controls(summary_lag_seconds=600)
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.use(customer, 125_000)

    assert _hours(shop, customer, BEGINNING, BEGINNING + HOUR) == {}
    assert shop.v1.invoices.create_preview({"subscription": subscription.id}).total == 2900 + 200

    shop.stripe.advance(seconds=600)
    assert _hours(shop, customer, BEGINNING, BEGINNING + HOUR) == {0: 125_000}


def test_summaries_are_of_whole_hours(shop: Shop) -> None:
    customer = shop.customer().id
    for at in (BEGINNING - 1, BEGINNING, BEGINNING + HOUR - 1, BEGINNING - 2 * HOUR):
        _event(shop, customer, identifier=str(at), at=min(at, BEGINNING + 300))

    assert _hours(shop, customer, BEGINNING - 2 * HOUR, BEGINNING + HOUR) == {-2 * HOUR: 5, -HOUR: 5, 0: 10}
    with pytest.raises(stripe.InvalidRequestError, match="hour boundaries"):
        _hours(shop, customer, BEGINNING + 60, BEGINNING + HOUR)


def test_customers_are_counted_apart(shop: Shop) -> None:
    mine, theirs = shop.customer().id, shop.customer().id
    _event(shop, mine)

    assert _hours(shop, theirs, BEGINNING, BEGINNING + HOUR) == {}
