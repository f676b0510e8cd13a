"""What may an operator do for a tenant?"""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from billing import limits, operating, services
from billing.errors import BillingRefused, BillingUnavailable
from billing.models import Credit
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import AuditEvent
from tests.billing.buying import Buyer

OPERATOR = Actor("operator", uuid4())


def why(buyer: Buyer) -> dict[str, Any]:
    return {"tenant_id": buyer.tenant_id, "reason": "asked by phone", "actor": OPERATOR, "now": buyer.now}


def test_a_plan_that_is_given_stands_above_what_was_bought(buyer: Buyer) -> None:
    operating.plan_set(plan="enterprise", **why(buyer))
    assert (buyer.tenant.plan, buyer.tenant.rpm) == ("enterprise", 30_000)
    buyer.subscribe("pro")
    assert buyer.tenant.plan == "enterprise"

    operating.plan_set(plan="", **why(buyer))

    assert buyer.tenant.plan == "pro"
    with as_tenant(buyer.tenant_id):
        given = AuditEvent.objects.filter(action="plan.given").order_by("seq")
        assert [event.diff for event in given] == [
            {"plan": ["", "enterprise"], "reason": "asked by phone"},
            {"plan": ["enterprise", ""], "reason": "asked by phone"},
        ]


def test_plans_are_given_without_a_stripe_key_too(cast: Any, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    from django.utils import timezone

    from tenants.selectors import tenant_of

    operating.plan_set(tenant_id=cast.owner.tenant_id, plan="team", reason="ours", actor=OPERATOR, now=timezone.now())

    assert tenant_of(tenant_id=cast.owner.tenant_id).plan == "team"


def test_a_grant_raises_a_limit_until_its_date(buyer: Buyer) -> None:
    until = buyer.now + timedelta(days=3)
    operating.grant_give(name="rpm", value=500, until=until, **why(buyer))
    operating.grant_give(name="sso", value=None, until=until, **why(buyer))
    assert (buyer.tenant.rpm, buyer.tenant.features) == (500, ["sso"])

    buyer.stripe.advance(to=int(until.timestamp()))
    limits.apply_due(buyer.now)

    assert (buyer.tenant.rpm, buyer.tenant.features) == (100, [])


def test_a_grant_never_lowers_and_can_be_taken_back(buyer: Buyer) -> None:
    operating.grant_give(name="rpm", value=5, until=None, **why(buyer))
    assert buyer.tenant.rpm == 100
    grant_id = operating.grant_give(name="members_max", value=9, until=None, **why(buyer))
    assert buyer.tenant.members_max == 9

    operating.grant_revoke(grant_id=grant_id, **why(buyer))

    assert buyer.tenant.members_max == 2
    with pytest.raises(BillingRefused):
        operating.grant_revoke(grant_id=grant_id, **why(buyer))


def test_granted_requests_count_where_the_plan_ends_at_them(buyer: Buyer) -> None:
    operating.grant_give(name="requests_included", value=200_000, until=None, **why(buyer))
    assert buyer.tenant.requests_included == 200_000

    buyer.subscribe("pro")

    assert buyer.tenant.requests_included == 100_000  # What Stripe's price includes.


@pytest.mark.parametrize(("name", "value"), [("sso", 1), ("rpm", None), ("name", 1), ("plan", None)])
def test_nothing_else_can_be_granted(buyer: Buyer, name: str, value: int | None) -> None:
    with pytest.raises(BillingRefused):
        operating.grant_give(name=name, value=value, until=None, **why(buyer))


def test_a_credit_is_taken_off_the_next_invoice(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    operating.credit_give(usd=Decimal("5.00"), **why(buyer))

    buyer.wait(days=31, hours=2)

    assert (buyer.invoices[-1].total_usd, buyer.invoices[-1].amount_due_usd) == (29, 24)


def test_a_credit_whose_answer_was_lost_is_given_once(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.stripe.fault("500_after", times=4, path="/v1/customers")
    with pytest.raises(BillingUnavailable):
        operating.credit_give(usd=Decimal("5.00"), **why(buyer))

    assert operating.credits_send(buyer.now) == 1
    assert operating.credits_send(buyer.now) == 0

    customer = buyer.stripe.client.v1.customers.retrieve(buyer.account.customer_id)
    assert customer.balance == -500
    with as_tenant(buyer.tenant_id):
        assert Credit.objects.get().transaction_id


def test_a_trial_is_extended(buyer: Buyer) -> None:
    buyer.subscribe("pro", card=None, trial_days=14)

    operating.trial_extend(until=buyer.now + timedelta(days=30), **why(buyer))

    buyer.wait(days=20)
    assert (buyer.account.state, buyer.tenant.plan) == ("trialing", "pro")


def test_a_subscription_made_in_stripe_is_linked(buyer: Buyer) -> None:
    client = buyer.stripe.client
    customer = client.v1.customers.create({"email": "big@example.test"})
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    product = client.v1.products.create({"name": "Contract of a large team"})
    price = client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 250_000, "recurring": {"interval": "year"}}
    )
    made = client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id}], "default_payment_method": card.id}
    )

    operating.subscription_link(subscription_id=made.id, plan="enterprise", **why(buyer))

    assert (buyer.tenant.plan, buyer.account.customer_id) == ("enterprise", customer.id)
    buyer.wait(days=40)
    assert buyer.tenant.plan == "enterprise"


def test_another_tenants_customer_is_not_linked(buyer: Buyer, cast: Any) -> None:
    buyer.subscribe("pro")
    subscription_id = buyer.account.subscription_id

    with pytest.raises(BillingRefused, match="another tenant"):
        operating.subscription_link(
            subscription_id=subscription_id, plan="pro", **{**why(buyer), "tenant_id": cast.outsider.tenant_id}
        )


def test_an_operator_goes_down_at_once_and_what_was_paid_is_credit(buyer: Buyer) -> None:
    buyer.subscribe("team")

    services.plan_change_now(tenant_id=buyer.tenant_id, plan="pro", actor=OPERATOR, now=buyer.now)

    assert buyer.tenant.plan == "pro"
    customer = buyer.stripe.client.v1.customers.retrieve(buyer.account.customer_id)
    assert customer.balance == -17_000
