"""Does the emulator refuse what Stripe refuses, and say so in its words?"""

from collections.abc import Callable
from typing import Any

import pytest
import requests
import stripe

from .fixtures import API_KEY, Handle
from .shop import URL, Shop

SESSION = {"mode": "subscription", "success_url": URL}

# What is asked of a shop, the parameter that is blamed, a part of what is said.
REFUSED: list[tuple[Callable[[Shop], Any], str | None, str]] = [
    (lambda s: s.v1.customers.create({"mail": "a"}), "mail", "Received unknown parameter: mail"),
    (lambda s: s.v1.customers.list({"limit": 101}), "limit", "between 1 and 100"),
    (lambda s: s.v1.customers.list({"limit": "ten"}), "limit", "Invalid integer: ten"),
    (lambda s: s.v1.prices.list({"expand": ["data.nothing"]}), "expand", "cannot be expanded"),
    (lambda s: s.v1.customers.retrieve("cus_none"), "id", "No such customer: 'cus_none'"),
    (lambda s: s.v1.products.create({"id": "plan_pro", "name": "Again"}), "id", "already exists"),
    (lambda s: s.v1.products.create({}), "name", "Missing required param: name"),
    (lambda s: s.v1.prices.create(_price(lookup_key="pro")), "lookup_key", "already uses that lookup key"),
    (
        lambda s: s.v1.prices.create(_price(recurring={"interval": "fortnight"})),
        "recurring[interval]",
        "must be one of",
    ),
    (lambda s: s.v1.prices.create(_price(recurring={"interval": "month", "usage_type": "metered"})), None, "meter"),
    (lambda s: s.v1.prices.create(_price(billing_scheme="tiered")), "tiers", "must specify `tiers`"),
    (lambda s: s.v1.prices.create(_price(unit_amount_decimal="0.5")), "unit_amount", "only specify one"),
    (lambda s: s.v1.prices.update(s.prices["pro"], {"unit_amount": 1}), "unit_amount", "unknown parameter"),
    (lambda s: s.v1.prices.list({"lookup_keys": [str(n) for n in range(11)]}), "lookup_keys", "up to 10"),
    (lambda s: s.v1.billing.meters.create(_meter()), "event_name", "already created an active meter"),
    (
        lambda s: s.v1.checkout.sessions.create({**SESSION, "line_items": [{"price": s.prices["pro"]}]}),
        None,
        "Quantity is req",
    ),
    (
        lambda s: s.v1.checkout.sessions.create(
            {**SESSION, "line_items": [{"price": s.prices["pro.requests"], "quantity": 1}]}
        ),
        "line_items[0][quantity]",
        "should not be specified where usage_type is `metered`",
    ),
    (lambda s: s.checkout(s.customer().id, tax_id_collection={"enabled": True}), None, "`customer_update[name]`"),
    (lambda s: s.checkout(s.customer().id, automatic_tax={"enabled": True}), None, "valid address"),
    (lambda s: s.checkout(s.customer().id, success_url="/back"), "success_url", "explicit scheme"),
    (lambda s: s.subscribe(s.customer(None).id), None, "no attached payment source"),
    (lambda s: s.subscribe(s.customer().id, items=[]), None, "at least one"),
    (lambda s: s.subscribe(s.customer().id, items=[{"price": "price_none"}]), "items[0][price]", "No such price"),
    (lambda s: s.subscribe(s.customer().id, items=s.items("pro") * 2), "items", "multiple subscription items"),
    (lambda s: s.subscribe(s.customer().id, trial_end=1), "trial_end", "in the future"),
    (lambda s: _updated(s, billing_cycle_anchor="now"), "billing_cycle_anchor", "Invalid object"),
    (lambda s: _updated(s, items=[{"id": "si_none", "price": s.prices["team"]}]), "items[0][id]", "No such subscr"),
    (lambda s: _updated(s, payment_behavior="pending_if_incomplete", metadata={"a": "b"}), "metadata", "supported"),
    (lambda s: s.v1.subscriptions.resume(s.subscribe(s.customer().id).id), "id", "is paused"),
    (lambda s: s.v1.subscriptions.cancel(_cancelled(s)), "id", "No such subscription"),
    (lambda s: s.v1.subscriptions.update(_cancelled(s), {"items": s.items("team")}), None, "A canceled subscription"),
    (lambda s: _scheduled_twice(s), "from_subscription", "already attached to a schedule"),
    (lambda s: _cancelled_while_scheduled(s), None, "managed by the subscription schedule"),
    (lambda s: s.v1.invoices.pay(s.subscribe(s.customer().id).latest_invoice), None, "already paid"),
    (lambda s: s.v1.invoices.finalize_invoice(s.subscribe(s.customer().id).latest_invoice), None, "already finalized"),
    (lambda s: s.v1.invoices.void_invoice(s.subscribe(s.customer().id).latest_invoice), None, "only void open"),
    (
        lambda s: s.v1.customers.tax_ids.create(s.customer().id, {"type": "eu_vat", "value": "?"}),
        "value",
        "Invalid value",
    ),
    (lambda s: s.v1.billing_portal.sessions.create({"customer": s.customer().id}), None, "portal settings"),
    (lambda s: s.v1.webhook_endpoints.create({"url": "here", "enabled_events": ["*"]}), "url", "explicit scheme"),
    (lambda s: s.v1.webhook_endpoints.create({"url": URL, "enabled_events": ["invoice.payed"]}), None, "must be one"),
]


def _price(**params: Any) -> dict[str, Any]:
    return {"product": "plan_pro", "currency": "usd", "unit_amount": 100, "recurring": {"interval": "month"}, **params}


def _meter() -> Any:
    return {"display_name": "Again", "event_name": "requests", "default_aggregation": {"formula": "sum"}}


def _updated(shop: Shop, **params: Any) -> Any:
    return shop.v1.subscriptions.update(shop.subscribe(shop.customer().id).id, params)


def _cancelled(shop: Shop) -> str:
    return str(shop.v1.subscriptions.cancel(shop.subscribe(shop.customer().id).id).id)


def _scheduled_twice(shop: Shop) -> None:
    subscription = shop.subscribe(shop.customer().id).id
    for _ in range(2):
        shop.v1.subscription_schedules.create({"from_subscription": subscription})


def _cancelled_while_scheduled(shop: Shop) -> None:
    subscription = shop.subscribe(shop.customer().id).id
    shop.v1.subscription_schedules.create({"from_subscription": subscription})
    shop.v1.subscriptions.update(subscription, {"cancel_at_period_end": True})


@pytest.fixture(scope="module")
def every() -> Any:
    """One shop for the whole table: a refusal leaves nothing behind."""
    from .server import Server
    from .world import World

    world = World(frozen_at=1_790_812_800)
    world.controls.webhook_mode = "held"
    with Server(world) as server:
        yield Shop.opened(Handle(server.url, world))


@pytest.mark.parametrize(("ask", "param", "said"), REFUSED)
def test_what_stripe_refuses_is_refused(every: Shop, ask: Callable[[Shop], Any], param: str | None, said: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        ask(every)

    assert said in str(refused.value)
    assert param is None or refused.value.param == param
    assert refused.value.http_status in (400, 404)
    assert (refused.value.request_id or "").startswith("req_")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer sk_live_real"}, 401),
        ({"Authorization": f"Bearer {API_KEY}", "Stripe-Version": "2020-08-27"}, 400),
        ({"Authorization": f"Bearer {API_KEY}"}, 200),
    ],
)
def test_a_test_key_and_our_version_are_needed(every: Shop, headers: dict[str, str], status: int) -> None:
    answer = requests.get(f"{every.stripe.url}/v1/customers", headers=headers, timeout=30)

    assert answer.status_code == status
    assert ("error" in answer.json()) is (status != 200)


def test_a_path_that_stripe_does_not_know_is_told(every: Shop) -> None:
    answer = requests.get(
        f"{every.stripe.url}/v1/usage_records", headers={"Authorization": f"Bearer {API_KEY}"}, timeout=30
    )

    assert answer.status_code == 404
    assert "Unrecognized request URL" in answer.json()["error"]["message"]
