"""Does an invoice come to the cent and the second that Stripe would bill?"""

from collections.abc import Callable

import pytest

from .fixtures import BEGINNING
from .shop import DECLINED_LATER, Shop
from .world import DAY_SECONDS as DAY
from .world import HOUR_SECONDS as HOUR

NEXT_MONTH = BEGINNING + 31 * DAY
NOW = {"type": "now"}
UPGRADE = {
    "billing_cycle_anchor": NOW,
    "proration_behavior": "always_invoice",
    "payment_behavior": "pending_if_incomplete",
}


@pytest.mark.parametrize(
    ("plan", "used", "cents"),
    [
        ("pro", 0, 2900),
        ("pro", 100_000, 2900),
        ("pro", 100_062, 2900),  # 0.496 cents
        ("pro", 100_063, 2901),  # 0.504 cents: half up
        ("pro", 125_000, 3100),
        ("team", 1_500_000, 22_900),
        ("team", 12_000_000, 19_900 + 54_000 + 8_000),
    ],
)
def test_usage_above_the_allowance_is_billed_with_the_next_period(shop: Shop, plan: str, used: int, cents: int) -> None:
    customer = shop.customer().id
    shop.subscribe(customer, plan)
    shop.use(customer, used)

    shop.stripe.advance(to=NEXT_MONTH + HOUR)

    first, second = shop.invoices(customer)
    assert (first.status, first.total) == ("paid", shop.v1.prices.retrieve(shop.prices[plan]).unit_amount)
    assert (second.status, second.billing_reason, second.total) == ("paid", "subscription_cycle", cents)


def test_a_draft_takes_late_usage_until_its_hour_is_over(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.stripe.advance(to=NEXT_MONTH + HOUR - 1)
    assert shop.invoices(customer)[-1].status == "draft"

    shop.use(customer, 125_000, at=NEXT_MONTH - 1)
    shop.use(customer, 1_000_000, at=NEXT_MONTH)
    shop.stripe.advance(seconds=1)

    invoice = shop.invoices(customer)[-1]
    assert (invoice.status, invoice.total) == ("paid", 3100)
    assert invoice.parent.subscription_details.subscription == subscription.id
    shop.use(customer, 1_000_000, at=NEXT_MONTH - 1)
    assert shop.v1.invoices.retrieve(invoice.id).total == 3100


def test_an_upgrade_restarts_the_period_and_gives_back_the_rest_to_the_second(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.use(customer, 125_000)
    shop.stripe.advance(to=BEGINNING + 31 * DAY // 2)
    change = {"items": shop.switched(subscription, "team"), "billing_cycle_anchor": NOW}

    preview = shop.v1.invoices.create_preview({"subscription": subscription.id, "subscription_details": change})
    assert preview.total == 19_900 - 1450 + 200
    assert shop.again(subscription).to_dict() == subscription.to_dict()  # Nothing came of it.

    after = shop.v1.subscriptions.update(subscription.id, {**change, **UPGRADE})
    invoice = shop.v1.invoices.retrieve(after.latest_invoice)
    assert (invoice.status, invoice.total) == ("paid", preview.total)
    assert [line.amount for line in invoice.lines.data] == [line.amount for line in preview.lines.data]
    assert {item.current_period_start for item in after["items"].data} == {shop.stripe.now()}

    shop.use(customer, 1_000_000)
    shop.stripe.advance(seconds=31 * DAY + HOUR)
    assert shop.invoices(customer)[-1].total == 19_900


@pytest.mark.parametrize(("second", "credit"), [(1, -2900), (31 * DAY // 3, -1933), (31 * DAY - 1, 0)])
def test_a_proration_is_by_the_second_rounded_half_up(shop: Shop, second: int, credit: int) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.stripe.advance(seconds=second)
    details = {"items": shop.switched(subscription, "team"), "billing_cycle_anchor": NOW}

    preview = shop.v1.invoices.create_preview({"subscription": subscription.id, "subscription_details": details})

    assert preview.lines.data[0].amount == credit


def test_a_downgrade_waits_for_the_period_to_end(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer, "team")
    shop.use(customer, 1_500_000)
    schedule = shop.v1.subscription_schedules.create({"from_subscription": subscription.id})
    current = schedule.phases[0]
    this = {"items": shop.items("team"), "start_date": current.start_date, "end_date": current.end_date}
    phases = {"end_behavior": "release", "proration_behavior": "none", "phases": [this, {"items": shop.items("pro")}]}
    shop.v1.subscription_schedules.update(schedule.id, phases)

    shop.stripe.advance(to=NEXT_MONTH - 1)
    assert [item.price.lookup_key for item in shop.again(subscription)["items"].data] == ["team", "team.requests"]
    shop.stripe.advance(seconds=1 + HOUR)
    assert [item.price.lookup_key for item in shop.again(subscription)["items"].data] == ["pro", "pro.requests"]
    assert shop.invoices(customer)[-1].total == 2900 + 3000

    shop.stripe.advance(seconds=31 * DAY)
    assert shop.v1.subscription_schedules.retrieve(schedule.id).status == "released"
    assert shop.again(subscription).schedule is None
    assert shop.invoices(customer)[-1].total == 2900


def test_an_update_that_is_not_paid_stays_pending_and_comes_about_when_it_is(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    good = shop.v1.customers.retrieve(customer).invoice_settings.default_payment_method
    shop.card(customer, DECLINED_LATER)
    shop.stripe.advance(seconds=DAY)
    change = {"items": shop.switched(subscription, "team"), **UPGRADE}

    pending = shop.v1.subscriptions.update(subscription.id, change)
    assert pending.status == "active"
    assert pending.pending_update.expires_at == shop.stripe.now() + 23 * HOUR
    assert pending["items"].data[0].price.lookup_key == "pro"

    shop.v1.invoices.pay(pending.latest_invoice, {"payment_method": good})
    paid = shop.again(subscription)
    assert paid.pending_update is None
    assert paid["items"].data[0].price.lookup_key == "team"


def test_a_pending_update_expires_and_its_invoice_is_void(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.card(customer, DECLINED_LATER)
    change = {"items": shop.switched(subscription, "team"), **UPGRADE}
    invoice = shop.v1.subscriptions.update(subscription.id, change).latest_invoice

    shop.stripe.advance(seconds=23 * HOUR)

    assert shop.again(subscription).pending_update is None
    assert shop.v1.invoices.retrieve(invoice).status == "void"
    assert shop.again(subscription)["items"].data[0].price.lookup_key == "pro"


def test_a_declined_start_may_leave_nothing_behind(shop: Shop) -> None:
    customer = shop.customer(DECLINED_LATER).id

    with pytest.raises(Exception, match="declined"):
        shop.subscribe(customer, payment_behavior="error_if_incomplete")

    assert shop.v1.subscriptions.list({"customer": customer, "status": "all"}).data == []
    assert shop.subscribe(customer).status == "incomplete"


def test_a_declined_update_may_also_leave_nothing_behind(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.card(customer, DECLINED_LATER)
    change = {"items": shop.switched(subscription, "team"), **UPGRADE, "payment_behavior": "error_if_incomplete"}

    with pytest.raises(Exception, match="declined"):
        shop.v1.subscriptions.update(subscription.id, change)

    assert shop.again(subscription)["items"].data[0].price.lookup_key == "pro"
    assert len(shop.invoices(customer)) == 1


@pytest.mark.parametrize(
    ("card", "status", "told"), [(None, "paused", "paused"), ("pm_card_visa", "active", "updated")]
)
def test_a_trial_ends_by_its_card(shop: Shop, card: str | None, status: str, told: str) -> None:
    customer = shop.customer(None).id
    pause = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = shop.subscribe(customer, trial_period_days=14, trial_settings=pause)
    first = shop.invoices(customer)[0]
    assert (subscription.status, first.status, first.total) == ("trialing", "paid", 0)
    if card:
        shop.card(customer, card)
    shop.use(customer, 500_000)

    shop.stripe.advance(seconds=14 * DAY)

    assert shop.again(subscription).status == status
    types = [event.type for event in shop.v1.events.list({"limit": 100}).data]
    assert f"customer.subscription.{told}" in types
    assert types.count("customer.subscription.trial_will_end") == 1
    shop.stripe.advance(seconds=HOUR)
    assert [one.total for one in shop.invoices(customer)] == ([0, 2900] if card else [0])


def test_a_paused_subscription_resumes_with_a_card(shop: Shop) -> None:
    customer = shop.customer(None).id
    pause = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = shop.subscribe(customer, trial_period_days=1, trial_settings=pause)
    shop.stripe.advance(seconds=DAY)
    with pytest.raises(Exception, match="no attached payment source"):
        shop.v1.subscriptions.resume(subscription.id)

    shop.card(customer, "pm_card_visa")
    resumed = shop.v1.subscriptions.resume(subscription.id)

    assert resumed.status == "active"
    assert resumed["items"].data[0].current_period_start == shop.stripe.now()
    assert shop.invoices(customer)[-1].total == 2900


@pytest.mark.parametrize(
    ("after", "status"), [("unpaid", "unpaid"), ("canceled", "canceled"), ("past_due", "past_due")]
)
def test_a_renewal_that_fails_is_tried_again_and_then_given_up(shop: Shop, after: str, status: str) -> None:
    shop.stripe.controls(after_last_retry=after)
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.card(customer, DECLINED_LATER)

    shop.stripe.advance(to=NEXT_MONTH + HOUR)
    invoice = shop.invoices(customer)[-1]
    assert (shop.again(subscription).status, invoice.attempt_count) == ("past_due", 1)
    assert invoice.next_payment_attempt == shop.stripe.now() + 3 * DAY
    shop.stripe.advance(seconds=(3 + 5 + 7) * DAY)

    invoice = shop.v1.invoices.retrieve(invoice.id)
    assert (invoice.status, invoice.attempt_count, invoice.next_payment_attempt) == ("open", 4, None)
    assert shop.again(subscription).status == status


def test_paying_the_latest_invoice_makes_past_due_active(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.card(customer, DECLINED_LATER)
    shop.stripe.advance(to=NEXT_MONTH + HOUR)

    assert shop.stripe.pay(shop.again(subscription).latest_invoice, "4000000000000002") is None
    assert shop.stripe.pay(shop.again(subscription).latest_invoice, "4242424242424242")

    assert shop.again(subscription).status == "active"


def test_credit_is_taken_off_the_next_invoice(shop: Shop) -> None:
    customer = shop.customer().id
    shop.subscribe(customer)
    shop.v1.customers.balance_transactions.create(customer, {"amount": -500, "currency": "usd"})

    shop.stripe.advance(to=NEXT_MONTH + HOUR)

    invoice = shop.invoices(customer)[-1]
    assert (invoice.total, invoice.amount_due, invoice.amount_paid) == (2900, 2400, 2400)
    assert shop.v1.customers.retrieve(customer).balance == 0


def test_a_cancellation_at_the_period_end_bills_what_was_used(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    shop.use(customer, 125_000)
    shop.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    shop.stripe.advance(to=NEXT_MONTH + HOUR)

    ended = shop.again(subscription)
    assert (ended.status, ended.ended_at) == ("canceled", NEXT_MONTH)
    assert [one.total for one in shop.invoices(customer)] == [2900, 200]


def test_a_bad_address_holds_the_invoice_until_it_is_mended(shop: Shop) -> None:
    customer = shop.customer(address={"country": "DE"}).id
    shop.subscribe(customer, automatic_tax={"enabled": True})
    shop.v1.customers.update(customer, {"address": {"country": "ZZ"}})

    shop.stripe.advance(to=NEXT_MONTH + HOUR)
    held = shop.invoices(customer)[-1]
    assert (held.status, held.automatic_tax.status) == ("draft", "requires_location_inputs")

    shop.v1.customers.update(customer, {"address": {"country": "DE"}})
    assert shop.v1.invoices.retrieve(held.id).status == "paid"


def test_an_invoice_can_wait_to_be_finalized_by_hand(shop: Shop) -> None:
    customer = shop.customer().id
    shop.subscribe(customer)
    shop.stripe.advance(to=NEXT_MONTH)
    draft = shop.invoices(customer)[-1]
    shop.v1.invoices.update(draft.id, {"auto_advance": False})
    shop.stripe.advance(seconds=DAY)

    shop.use(customer, 125_000, at=NEXT_MONTH - 1)
    final = shop.v1.invoices.finalize_invoice(draft.id, {"auto_advance": True})

    assert (final.status, final.total) == ("paid", 3100)


def _on_the_clock(shop: Shop) -> tuple[str, Callable[[int], None]]:
    clock = shop.v1.test_helpers.test_clocks.create({"frozen_time": BEGINNING})
    customer = shop.customer(test_clock=clock.id)
    return customer.id, lambda at: shop.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": at})


def _on_our_own_time(shop: Shop) -> tuple[str, Callable[[int], None]]:
    return shop.customer().id, lambda at: shop.stripe.advance(to=at) and None


@pytest.mark.parametrize("time_of", [_on_the_clock, _on_our_own_time])
@pytest.mark.parametrize("steps", [1, 4])
def test_time_in_one_step_or_many_leaves_the_same_behind(
    shop: Shop, time_of: Callable[[Shop], tuple[str, Callable[[int], None]]], steps: int
) -> None:
    customer, advance = time_of(shop)
    shop.subscribe(customer, trial_period_days=14)

    for step in range(1, steps + 1):
        advance(BEGINNING + step * 60 * DAY // steps)

    seen = [(one.total, one.status, one.created - BEGINNING) for one in shop.invoices(customer)]
    assert seen == [(0, "paid", 0), (2900, "paid", 14 * DAY), (2900, "paid", 45 * DAY)]


def test_the_thirty_first_comes_back_after_a_short_month(shop: Shop) -> None:
    shop.stripe.advance(to=BEGINNING + 30 * DAY)  # 31 October
    subscription = shop.subscribe(shop.customer().id)
    turns = [subscription["items"].data[0].current_period_end]
    for _ in range(2):
        shop.stripe.advance(to=turns[-1])
        turns.append(shop.again(subscription)["items"].data[0].current_period_end)

    assert [(turn - BEGINNING) // DAY for turn in turns] == [60, 91, 122]  # 30 November, 31 December, 31 January
