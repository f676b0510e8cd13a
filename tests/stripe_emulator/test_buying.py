"""Can a person buy, change a card and leave by the pages, and by no other way?"""

from typing import Any

import pytest
import requests

from .shop import URL, Shop

TRIAL = {
    "subscription_data": {
        "metadata": {"tenant_id": "7"},
        "trial_period_days": 14,
        "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
    },
    "payment_method_collection": "if_required",
}
DECLINED, DECLINED_LATER, ASKS = "4000000000000002", "4000000000000341", "4000002500003155"


def test_a_checkout_makes_a_subscription_once(shop: Shop) -> None:
    session = shop.checkout(shop.customer(None).id, metadata={"a": "b"}, client_reference_id="7")
    assert "Emulated, no money" in requests.get(session.url, timeout=30).text
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 2900)

    assert shop.stripe.checkout(session.id) == f"{URL}?cs={session.id}"
    assert shop.stripe.checkout(session.id) is None

    done = shop.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.default_payment_method"]})
    assert (done.status, done.payment_status, done.client_reference_id) == ("complete", "paid", "7")
    assert done.subscription.status == "active"
    assert done.subscription.default_payment_method.card.last4 == "4242"
    assert len(shop.v1.subscriptions.list().data) == 1
    assert requests.get(f"{shop.stripe.url}/checkout/{session.id}", timeout=30).status_code == 410


@pytest.mark.parametrize("card", [DECLINED, DECLINED_LATER, ASKS, ""])
def test_what_is_not_paid_is_not_bought(shop: Shop, card: str) -> None:
    customer = shop.customer(None).id
    session = shop.checkout(customer)

    assert shop.stripe.checkout(session.id, card=card) is None

    assert shop.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert shop.v1.subscriptions.list({"customer": customer, "status": "all"}).data == []
    assert shop.v1.customers.payment_methods.list(customer).data == []
    assert shop.stripe.checkout(session.id)


@pytest.mark.parametrize(("card", "collected"), [("", 0), (DECLINED_LATER, 1)])
def test_a_trial_needs_no_card(shop: Shop, card: str, collected: int) -> None:
    customer = shop.customer(None).id

    assert shop.stripe.checkout(shop.checkout(customer, **TRIAL).id, card=card)

    subscription = shop.v1.subscriptions.list({"customer": customer}).data[0]
    assert (subscription.status, subscription.metadata["tenant_id"]) == ("trialing", "7")
    assert len(shop.v1.customers.payment_methods.list(customer).data) == collected


def test_checkout_writes_down_who_is_taxed(shop: Shop) -> None:
    customer = shop.customer(None).id
    collect: dict[str, Any] = {
        "automatic_tax": {"enabled": True},
        "tax_id_collection": {"enabled": True},
        "customer_update": {"address": "auto", "name": "auto"},
    }
    session = shop.checkout(customer, **collect)

    assert shop.stripe.checkout(session.id, country="ZZ") is None
    assert shop.stripe.checkout(session.id, country="DE", tax_id_type="eu_vat", tax_id="??") is None
    assert shop.stripe.checkout(session.id, country="DE", name="ACME", tax_id_type="eu_vat", tax_id="DE123456789")

    found = shop.v1.customers.retrieve(customer, {"expand": ["tax_ids"]})
    assert (found.name, found.address.country) == ("ACME", "DE")
    assert [one.value for one in found.tax_ids.data] == ["DE123456789"]
    assert shop.invoices(customer)[0].automatic_tax.status == "complete"


def test_a_checkout_expires_after_a_day_or_when_told(shop: Shop) -> None:
    late, told = shop.checkout(shop.customer(None).id), shop.checkout(shop.customer(None).id)
    shop.v1.checkout.sessions.expire(told.id)

    shop.stripe.advance(seconds=86_400)

    for session in (late, told):
        assert shop.v1.checkout.sessions.retrieve(session.id).status == "expired"
        assert shop.stripe.checkout(session.id) is None


def test_the_portal_does_what_its_configuration_allows(shop: Shop) -> None:
    customer = shop.customer().id
    subscription = shop.subscribe(customer)
    allowed: Any = {"payment_method_update": {"enabled": True}, "invoice_history": {"enabled": True}}
    configuration = shop.v1.billing_portal.configurations.create({"features": allowed})
    session = shop.v1.billing_portal.sessions.create({"customer": customer, "return_url": URL})

    page = requests.get(session.url, timeout=30).text
    assert "Payment method" in page and "Cancel subscription" not in page
    assert shop.stripe.portal(session.id, "card", card=DECLINED) is None
    assert shop.stripe.portal(session.id, "card", card=DECLINED_LATER)
    assert shop.stripe.portal(session.id, "cancel", subscription=subscription.id) is None
    assert shop.again(subscription).default_payment_method is not None

    allowed["subscription_cancel"] = {"enabled": True, "mode": "at_period_end"}
    shop.v1.billing_portal.configurations.update(configuration.id, {"features": allowed})
    assert shop.stripe.portal(session.id, "cancel", subscription=subscription.id)
    assert shop.again(subscription).cancel_at_period_end is True
    assert shop.stripe.portal(session.id, "keep", subscription=subscription.id)
    assert shop.again(subscription).cancel_at is None


def test_nobody_cancels_what_is_anothers(shop: Shop) -> None:
    features: Any = {"subscription_cancel": {"enabled": True}}
    shop.v1.billing_portal.configurations.create({"features": features})
    others = shop.subscribe(shop.customer().id)
    session = shop.v1.billing_portal.sessions.create({"customer": shop.customer().id})

    assert shop.stripe.portal(session.id, "cancel", subscription=others.id) is None


def test_what_was_bought_brings_its_features_and_takes_them_along(shop: Shop) -> None:
    feature = shop.v1.entitlements.features.create({"lookup_key": "sso", "name": "SSO"})
    shop.v1.products.features.create("plan_team", {"entitlement_feature": feature.id})
    customer = shop.customer().id
    subscription = shop.subscribe(customer, "team")

    def held() -> list[str]:
        found = shop.v1.entitlements.active_entitlements.list({"customer": customer})
        return [one.lookup_key for one in found.data]

    assert held() == ["sso"]
    shop.v1.subscriptions.cancel(subscription.id)
    assert held() == []
    types = [event.type for event in shop.v1.events.list({"limit": 100}).data]
    assert types.count("entitlements.active_entitlement_summary.updated") == 2
