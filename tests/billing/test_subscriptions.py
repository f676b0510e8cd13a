"""What does a tenant pay, and what may it use, while a subscription lives?

With STRIPE_TEST_KEY the same is asked of Stripe itself, on a sandbox with test clocks.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings

from billing import accounts, catalogue, reconciliation, selectors, services, stripe_api
from billing.errors import BillingRefused
from billing.plans import PLANS
from tests.billing import sandbox
from tests.billing.buying import Buyer
from tests.conftest import Cast
from tests.stripe_emulator.fixtures import BEGINNING

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)  # a month of 30 days


@pytest.fixture
def buyer(cast: Cast, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Buyer]:
    if not sandbox.KEY:
        yield request.getfixturevalue("emulated_buyer")
        return
    monkeypatch.setattr(settings, "STRIPE_SECRET_KEY", sandbox.KEY)
    monkeypatch.setattr(settings, "STRIPE_API_BASE", sandbox.BASE)
    catalogue.set_up(check=False)
    with sandbox.begun(BEGINNING) as stripe:
        yield Buyer(cast.owner.tenant_id, cast.owner.project_id, cast.owner.user_id, stripe)
    stripe_api.close()


def in_november(buyer: Buyer) -> Buyer:
    buyer.stripe.advance(to=int(NOVEMBER.timestamp()))
    return buyer


def test_a_tenant_that_buys_has_the_plan(buyer: Buyer) -> None:
    buyer.subscribe("pro")

    tenant, pro = buyer.tenant, PLANS["pro"]
    assert (tenant.plan, tenant.rpm, tenant.entries_max, tenant.members_max) == ("pro", 1000, 100_000, 5)
    assert tenant.features == list(pro.features)
    assert (tenant.requests_included, tenant.requests_hard) == (100_000, False)
    assert tenant.overage_cap_usd == 29
    assert tenant.period_start == buyer.account.period_start
    assert [one.total_usd for one in buyer.invoices] == [29]


@pytest.mark.parametrize(
    ("plan", "requests", "usd"),
    [("pro", 100_000, "29"), ("pro", 125_000, "31"), ("team", 1_500_000, "229")],
)
def test_the_next_invoice_is_the_price_and_the_overage(buyer: Buyer, plan: str, requests: int, usd: str) -> None:
    buyer.subscribe(plan)
    buyer.use(requests, at=buyer.now + timedelta(days=3))
    buyer.wait(days=4)
    assert buyer.push() == 1

    buyer.wait(days=27, hours=2)

    assert [one.total_usd for one in buyer.invoices][-1] == Decimal(usd)
    assert buyer.invoices[-1].status == "paid"


def test_usage_of_the_last_minutes_is_on_its_periods_invoice(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.use(125_000, at=buyer.now + timedelta(days=30, hours=23))

    buyer.wait(days=31, minutes=6)
    assert buyer.push() == 1
    buyer.wait(hours=2)

    assert buyer.invoices[-1].total_usd == 31


def test_an_upgrade_starts_a_new_period_now(buyer: Buyer) -> None:
    in_november(buyer).subscribe("pro")
    buyer.use(125_000, at=NOVEMBER + timedelta(days=14))
    buyer.wait(until=NOVEMBER + timedelta(days=15))

    preview = services.upgrade_preview(tenant_id=buyer.tenant_id, plan="team", now=buyer.now)
    assert services.upgrade_now(tenant_id=buyer.tenant_id, plan="team", actor=buyer.actor, now=buyer.now) == ""

    assert buyer.invoices[-1].total_usd == Decimal("186.50")
    assert preview.total_usd == Decimal("184.50")  # The overage was not pushed yet.
    assert (buyer.tenant.plan, buyer.tenant.period_start) == ("team", NOVEMBER + timedelta(days=15))


def test_an_upgrade_whose_card_is_declined_leaves_the_plan_and_says_where_to_pay(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.card("pm_card_chargeCustomerFail")

    url = services.upgrade_now(tenant_id=buyer.tenant_id, plan="team", actor=buyer.actor, now=buyer.now)

    assert url.startswith("http")
    assert buyer.tenant.plan == "pro"


def test_an_upgrade_that_was_refused_can_be_tried_again(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.card("pm_card_chargeCustomerFail")
    services.upgrade_now(tenant_id=buyer.tenant_id, plan="team", actor=buyer.actor, now=buyer.now)
    with pytest.raises(BillingRefused):  # The first is still waiting for its payment.
        services.upgrade_now(tenant_id=buyer.tenant_id, plan="team", actor=buyer.actor, now=buyer.now)
    buyer.card()
    buyer.wait(hours=23, minutes=30)  # It is given up; under its key the refusal is still remembered.

    services.upgrade_now(tenant_id=buyer.tenant_id, plan="team", actor=buyer.actor, now=buyer.now)

    assert buyer.tenant.plan == "team"


def test_a_downgrade_waits_for_the_periods_end(buyer: Buyer) -> None:
    in_november(buyer).subscribe("team")
    buyer.wait(days=10)

    services.downgrade_at_period_end(tenant_id=buyer.tenant_id, plan="pro", actor=buyer.actor, now=buyer.now)

    assert buyer.account.next_plan == "pro"
    buyer.wait(until=NOVEMBER + timedelta(days=30) - timedelta(seconds=1))
    assert buyer.tenant.plan == "team"
    buyer.wait(hours=2)
    assert buyer.tenant.plan == "pro"
    assert [one.total_usd for one in buyer.invoices] == [199, 29]
    assert buyer.account.next_plan == ""


def test_a_planned_downgrade_can_be_taken_back(buyer: Buyer) -> None:
    in_november(buyer).subscribe("team")
    services.downgrade_at_period_end(tenant_id=buyer.tenant_id, plan="pro", actor=buyer.actor, now=buyer.now)

    services.change_undo(tenant_id=buyer.tenant_id, actor=buyer.actor, now=buyer.now)

    assert buyer.account.next_plan == ""
    buyer.wait(days=31)
    assert buyer.tenant.plan == "team"


def test_a_cancelled_plan_lasts_to_the_periods_end(buyer: Buyer) -> None:
    in_november(buyer).subscribe("pro")
    services.cancel_at_period_end(tenant_id=buyer.tenant_id, actor=buyer.actor, now=buyer.now)
    assert buyer.account.cancels_at == NOVEMBER + timedelta(days=30)
    buyer.use(125_000, at=NOVEMBER + timedelta(days=3))

    buyer.wait(days=29)
    buyer.push()
    assert buyer.tenant.plan == "pro"
    buyer.wait(days=1, hours=2)

    assert (buyer.account.state, buyer.tenant.plan, buyer.tenant.requests_hard) == ("canceled", "free", True)
    assert buyer.tenant.period_start == NOVEMBER + timedelta(days=30)
    assert [one.total_usd for one in buyer.invoices] == [29, 2]


def test_a_cancellation_can_be_taken_back(buyer: Buyer) -> None:
    in_november(buyer).subscribe("pro")
    services.cancel_at_period_end(tenant_id=buyer.tenant_id, actor=buyer.actor, now=buyer.now)
    services.change_undo(tenant_id=buyer.tenant_id, actor=buyer.actor, now=buyer.now)

    buyer.wait(days=31)

    assert (buyer.account.state, buyer.tenant.plan) == ("active", "pro")


# -- Trials


def test_in_a_trial_there_is_no_overage_and_nothing_is_pushed(buyer: Buyer) -> None:
    buyer.subscribe("pro", card=None, trial_days=14)

    assert (buyer.tenant.plan, buyer.tenant.requests_hard) == ("pro", True)
    buyer.use(125_000, at=buyer.now)
    buyer.wait(days=2)
    assert buyer.push() == 0


def test_a_trial_that_ends_without_a_card_is_paused_and_free(buyer: Buyer) -> None:
    buyer.subscribe("pro", card=None, trial_days=14)

    buyer.wait(days=14, hours=2)

    assert (buyer.account.state, buyer.tenant.plan) == ("paused", "free")
    assert buyer.account.converted_at is None


def test_a_paused_tenant_that_brings_a_card_goes_on(buyer: Buyer) -> None:
    buyer.subscribe("pro", card=None, trial_days=14)
    buyer.wait(days=15)
    buyer.card()

    services.resume(tenant_id=buyer.tenant_id, actor=buyer.actor, now=buyer.now)

    assert (buyer.account.state, buyer.tenant.plan) == ("active", "pro")
    assert buyer.account.converted_at is not None


def test_a_trial_that_ends_with_a_card_converts_when_money_moved(buyer: Buyer) -> None:
    buyer.subscribe("pro", trial_days=14)
    assert [one.total_usd for one in buyer.invoices] == [0]

    buyer.wait(days=14, minutes=5)
    assert (buyer.account.state, buyer.account.converted_at) == ("active", None)
    assert buyer.tenant.requests_hard is False
    buyer.wait(hours=2)

    assert [one.amount_paid_usd for one in buyer.invoices] == [0, 29]
    assert buyer.account.converted_at is not None


# -- Payments that fail


def test_past_due_keeps_the_plan_seven_days_then_only_reads(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.card("pm_card_chargeCustomerFail")
    buyer.wait(days=31, hours=2)
    since = buyer.account.past_due_since
    assert buyer.account.state == "past_due"
    assert since is not None

    buyer.wait(until=since + timedelta(days=6))
    assert (buyer.tenant.plan, buyer.tenant.read_only) == ("pro", False)
    buyer.wait(until=since + timedelta(days=8))
    assert (buyer.tenant.plan, buyer.tenant.read_only) == ("pro", True)

    buyer.card()
    buyer.stripe.client.v1.invoices.pay(buyer.invoices[-1].id)
    buyer.hear()
    assert (buyer.account.state, buyer.tenant.read_only) == ("active", False)


def test_who_never_pays_has_the_free_limits(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.card("pm_card_chargeCustomerFail")

    buyer.wait(days=60)

    assert (buyer.account.state, buyer.tenant.plan, buyer.tenant.read_only) == ("unpaid", "free", False)


def test_a_second_subscription_is_told_an_operator(buyer: Buyer) -> None:
    from billing.models import BillingAlert
    from tenants.isolation import as_tenant

    buyer.subscribe("pro")
    buyer.subscribe("team")

    with as_tenant(buyer.tenant_id):
        assert [one.kind for one in BillingAlert.objects.filter(resolved_at=None)] == ["two_subscriptions"]


def test_the_nightly_look_finds_what_no_webhook_told(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.stripe.client.v1.subscriptions.cancel(buyer.account.subscription_id)

    assert accounts.sync_all(buyer.now) == 1

    assert buyer.tenant.plan == "free"


def test_calls_found_after_the_invoice_are_on_the_next_one_and_shown_as_late(buyer: Buyer) -> None:
    in_november(buyer).subscribe("pro")
    buyer.use(110_000, at=NOVEMBER + timedelta(days=3))
    buyer.wait(days=4)
    buyer.push()
    buyer.wait(until=NOVEMBER + timedelta(days=30, hours=2))
    assert buyer.invoices[-1].total_usd == Decimal("29.80")

    buyer.use(5_000, at=NOVEMBER + timedelta(days=29))
    assert buyer.push() == 1

    seen = selectors.overview(tenant_id=buyer.tenant_id, now=buyer.now)
    assert (seen.usage.requests, seen.usage.late_requests) == (0, 5_000)
    buyer.use(100_000, at=NOVEMBER + timedelta(days=40))
    buyer.wait(until=NOVEMBER + timedelta(days=41))
    buyer.push()
    buyer.wait(until=NOVEMBER + timedelta(days=61, hours=2))
    assert buyer.invoices[-1].total_usd == Decimal("29.40")
    assert reconciliation.reconcile(tenant_id=buyer.tenant_id, now=buyer.now) == []


def test_what_was_read_first_is_never_written_last(buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> None:
    buyer.subscribe("pro")
    read = stripe_api.subscriptions_of

    def overtaken(customer_id: str) -> Any:
        """Between what this one reads and what it writes, all is over and another has written so."""
        seen = read(customer_id)
        monkeypatch.setattr(stripe_api, "subscriptions_of", read)
        buyer.stripe.client.v1.subscriptions.cancel(buyer.account.subscription_id)
        accounts.account_sync(tenant_id=buyer.tenant_id, now=buyer.now)
        return seen

    monkeypatch.setattr(stripe_api, "subscriptions_of", overtaken)
    accounts.account_sync(tenant_id=buyer.tenant_id, now=buyer.now)

    assert (buyer.account.state, buyer.tenant.plan) == ("canceled", "free")
