"""How does a tenant come to a plan?"""

import urllib.error
import urllib.parse
import urllib.request
from decimal import Decimal
from typing import Any

import pytest

from billing import selectors, services
from billing.errors import BillingOff, BillingRefused, BillingUnavailable
from tenants import audit
from tenants.isolation import as_tenant
from tenants.models import AuditEvent
from tests.billing.buying import Buyer

BACK = "https://cache.example.test/billing"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def fill_in(url: str, **form: str) -> str:
    """What a person does on Stripe's page; where they come back to."""
    body = urllib.parse.urlencode({"name": "Team", "country": "US", "postal_code": "10001", **form}).encode()
    try:
        urllib.request.build_opener(_Stay).open(url, body, timeout=30).close()
    except urllib.error.HTTPError as answer:
        with answer:
            return str(answer.headers.get("Location") or "")
    return ""


def start(buyer: Buyer, plan: str = "pro") -> str:
    return services.checkout_start(
        tenant_id=buyer.tenant_id, plan=plan, email="owner@example.test", return_url=BACK, actor=buyer.actor
    )


def test_who_comes_back_from_checkout_has_the_plan_before_any_webhook(buyer: Buyer) -> None:
    back = fill_in(start(buyer), card="4242424242424242")

    assert back.startswith(f"{BACK}?cs=cs_")
    services.checkout_finish(tenant_id=buyer.tenant_id, now=buyer.now)

    assert buyer.tenant.plan == "pro"
    assert buyer.account.state == "trialing"
    with as_tenant(buyer.tenant_id):
        actions = list(
            AuditEvent.objects.filter(action__startswith="plan.").order_by("seq").values_list("action", flat=True)
        )
        assert actions == ["plan.checkout_started", "plan.applied"]
        assert list(audit.faults(tenant_id=buyer.tenant_id)) == []


def test_a_trial_needs_no_card_and_is_had_once(buyer: Buyer) -> None:
    fill_in(start(buyer))
    services.checkout_finish(tenant_id=buyer.tenant_id, now=buyer.now)
    assert buyer.account.state == "trialing"
    buyer.stripe.client.v1.subscriptions.cancel(buyer.account.subscription_id)
    buyer.hear()
    assert selectors.overview(tenant_id=buyer.tenant_id, now=buyer.now).trial_offered is False

    fill_in(start(buyer), card="4242424242424242")
    buyer.hear()

    assert buyer.account.state == "active"
    assert sorted(one.total_usd for one in buyer.invoices) == [0, 29]  # of one moment


def test_a_checkout_begun_anew_closes_the_one_before(buyer: Buyer) -> None:
    first, second = start(buyer), start(buyer, "team")

    assert not fill_in(first, card="4242424242424242").startswith(BACK)
    fill_in(second, card="4242424242424242")
    buyer.hear()

    assert buyer.tenant.plan == "team"
    assert len(buyer.stripe.world.kind("customer")) == 1


def test_who_has_a_plan_changes_it_and_buys_no_second(buyer: Buyer) -> None:
    fill_in(start(buyer))
    buyer.hear()

    with pytest.raises(BillingRefused, match="subscription already"):
        start(buyer, "team")


@pytest.mark.parametrize("plan", ["free", "enterprise", "gold", ""])
def test_only_what_is_sold_can_be_bought(buyer: Buyer, plan: str) -> None:
    with pytest.raises(BillingRefused):
        start(buyer, plan)


def test_a_customer_is_made_once_though_the_first_answer_was_lost(
    buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer.stripe.fault("500_after", times=4, path="/v1/customers")
    with pytest.raises(BillingUnavailable):
        start(buyer)

    services.checkout_start(
        tenant_id=buyer.tenant_id, plan="pro", email="teammate@example.test", return_url=BACK, actor=buyer.actor
    )

    assert [one["email"] for one in buyer.stripe.world.kind("customer").values()] == ["owner@example.test"]


def test_the_portal_is_for_who_bought_something(buyer: Buyer) -> None:
    with pytest.raises(BillingRefused):
        services.portal_start(tenant_id=buyer.tenant_id, return_url=BACK)

    start(buyer)

    assert services.portal_start(tenant_id=buyer.tenant_id, return_url=BACK).startswith(buyer.stripe.url)


def test_an_upgrade_in_a_trial_costs_nothing_yet(buyer: Buyer) -> None:
    fill_in(start(buyer), card="4242424242424242")
    buyer.hear()

    preview = services.upgrade_preview(tenant_id=buyer.tenant_id, plan="team", now=buyer.now)
    services.upgrade_now(tenant_id=buyer.tenant_id, plan="team", actor=buyer.actor, now=buyer.now)

    assert preview.total_usd == 0
    assert (buyer.account.state, buyer.tenant.plan) == ("trialing", "team")
    down = {"tenant_id": buyer.tenant_id, "actor": buyer.actor, "now": buyer.now}
    assert services.downgrade_at_period_end(plan="pro", **down)  # at once, and said so
    assert (buyer.account.state, buyer.tenant.plan) == ("trialing", "pro")


@pytest.mark.parametrize(("plan", "reason"), [("pro", "not_higher"), ("free", "not_sold"), ("gold", "not_sold")])
def test_an_upgrade_goes_up(buyer: Buyer, plan: str, reason: str) -> None:
    buyer.subscribe("team")

    with pytest.raises(BillingRefused) as refused:
        services.upgrade_now(tenant_id=buyer.tenant_id, plan=plan, actor=buyer.actor, now=buyer.now)
    assert refused.value.reason == reason


def test_without_a_key_every_act_says_that_billing_is_off(cast: Any, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""

    with pytest.raises(BillingOff, match="operator"):
        services.checkout_start(
            tenant_id=cast.owner.tenant_id, plan="pro", email="a@example.test", return_url=BACK, actor=audit.SYSTEM
        )
    assert selectors.mode() == "off"


# -- The spend cap


def test_the_spend_cap_is_the_plans_price_unless_it_was_set(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    seen = selectors.overview(tenant_id=buyer.tenant_id, now=buyer.now)
    assert (seen.cap.usd, seen.cap.is_default) == (29, True)

    services.spend_cap_set(tenant_id=buyer.tenant_id, usd=Decimal(5), actor=buyer.actor, now=buyer.now)
    assert buyer.tenant.overage_cap_usd == 5
    services.spend_cap_set(tenant_id=buyer.tenant_id, usd=None, actor=buyer.actor, now=buyer.now)

    assert buyer.tenant.overage_cap_usd == 29
    with pytest.raises(BillingRefused):
        services.spend_cap_set(tenant_id=buyer.tenant_id, usd=Decimal(-1), actor=buyer.actor, now=buyer.now)
