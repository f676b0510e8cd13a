"""The door to stripe: each call of ours, as one function; answers are plain dicts as Stripe's reference shows them.

A POST that changes a customer carries an idempotency key of its caller's making, `tenant:operation:op_id`, so that
whoever does not know whether it was done does it again. stripe is imported by the first call: it is 33 MB, and most web
processes never bill.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings

from billing.errors import BadSignature, BillingOff, BillingRefused, BillingUnavailable

TIMEOUT_SECONDS = 20
NETWORK_RETRIES = 3
SIGNATURE_TOLERANCE_SECONDS = 300
PAGE = 100
API_VERSION = "2026-10-28.endive"  # What stripe 16.1.0 speaks; webhook endpoints are made with it.
METER_EVENT = "cacheai_requests"

Seen = dict[str, Any]
Params = Mapping[str, Any]


class Duplicate(Exception):
    """The meter has an event with this identifier."""


def is_on() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def is_emulated() -> bool:
    return bool(settings.STRIPE_API_BASE)


# -- Customers


def customer_create(*, email: str, tenant_id: str, key: str) -> Seen:
    params = {"email": email, "metadata": {"tenant_id": tenant_id}}
    return _asked(lambda c: c.v1.customers.create(params, _once(key)))


def credit(customer_id: str, *, cents: int, reason: str, key: str) -> Seen:
    """Taken off the next invoice."""
    params = {"amount": -cents, "currency": "usd", "description": reason}
    return _asked(lambda c: c.v1.customers.balance_transactions.create(customer_id, params, _once(key)))


def customer_of_charge(charge_id: str) -> str:
    return str(_asked(lambda c: c.v1.charges.retrieve(charge_id))["customer"] or "")


# -- Checkout and portal


def checkout_create(params: Params, *, key: str) -> Seen:
    return _asked(lambda c: c.v1.checkout.sessions.create(dict(params), _once(key)))


def checkout_expire(session_id: str) -> Seen:
    """Refused where it is complete or expired already."""
    return _asked(lambda c: c.v1.checkout.sessions.expire(session_id))


def portal_create(*, customer_id: str, configuration: str, return_url: str) -> Seen:
    params = {"customer": customer_id, "configuration": configuration, "return_url": return_url}
    return _asked(lambda c: c.v1.billing_portal.sessions.create(params))


# -- Subscriptions


def subscriptions_of(customer_id: str) -> list[Seen]:
    params = {"customer": customer_id, "status": "all", "limit": PAGE}
    return list(_listed(lambda c: c.v1.subscriptions.list(params)))


def subscriptions() -> Iterator[Seen]:
    return _listed(lambda c: c.v1.subscriptions.list({"status": "all", "limit": PAGE}))


def subscription(subscription_id: str) -> Seen:
    return _asked(lambda c: c.v1.subscriptions.retrieve(subscription_id))


def subscription_update(subscription_id: str, params: Params, *, key: str) -> Seen:
    return _asked(lambda c: c.v1.subscriptions.update(subscription_id, dict(params), _once(key)))


def subscription_resume(subscription_id: str, *, key: str) -> Seen:
    return _asked(lambda c: c.v1.subscriptions.resume(subscription_id, {}, _once(key)))


def schedule(schedule_id: str) -> Seen:
    return _asked(lambda c: c.v1.subscription_schedules.retrieve(schedule_id))


def schedule_create(subscription_id: str, *, key: str) -> Seen:
    return _asked(lambda c: c.v1.subscription_schedules.create({"from_subscription": subscription_id}, _once(key)))


def schedule_update(schedule_id: str, params: Params, *, key: str) -> Seen:
    return _asked(lambda c: c.v1.subscription_schedules.update(schedule_id, dict(params), _once(key)))


def schedule_release(schedule_id: str, *, key: str) -> Seen:
    return _asked(lambda c: c.v1.subscription_schedules.release(schedule_id, {}, _once(key)))


def invoice_preview(params: Params) -> Seen:
    return _asked(lambda c: c.v1.invoices.create_preview(dict(params)))


def invoices_of(customer_id: str) -> list[Seen]:
    return list(_listed(lambda c: c.v1.invoices.list({"customer": customer_id, "limit": PAGE})))


def entitlements_of(customer_id: str) -> list[str]:
    """Names of the features that what was bought holds."""
    params = {"customer": customer_id, "limit": PAGE}
    found = _listed(lambda c: c.v1.entitlements.active_entitlements.list(params))
    return sorted(one["lookup_key"] for one in found)


# -- The meter


def meter_event(*, identifier: str, customer_id: str, value: int, at: datetime) -> None:
    """Raises Duplicate where the meter knows the identifier already."""
    params = {
        "event_name": METER_EVENT,
        "identifier": identifier,
        "timestamp": int(at.timestamp()),
        "payload": {"stripe_customer_id": customer_id, "value": str(value)},
    }
    try:
        _asked(lambda c: c.v1.billing.meter_events.create(params))
    except BillingRefused as error:
        if "already exists with identifier" in str(error):
            raise Duplicate(identifier) from error
        raise


def metered_hours(meter_id: str, *, customer_id: str, since: datetime, until: datetime) -> Mapping[int, int]:
    """What the meter sums up to, by the hour's first second. Both ends are whole hours."""
    params = {
        "customer": customer_id,
        "start_time": int(since.timestamp()),
        "end_time": int(until.timestamp()),
        "value_grouping_window": "hour",
        "limit": PAGE,
    }
    found = _listed(lambda c: c.v1.billing.meters.event_summaries.list(meter_id, params))
    return {one["start_time"]: int(Decimal(str(one["aggregated_value"]))) for one in found}


def meter_id() -> str:
    """Of our one meter; refused where the catalogue was not set up."""
    for meter in _listed(lambda c: c.v1.billing.meters.list({"status": "active", "limit": PAGE})):
        if meter["event_name"] == METER_EVENT:
            return str(meter["id"])
    raise BillingRefused("no_catalogue", "Run manage.py stripe_setup: there is no meter yet.")


# -- Events


def signed_event(body: bytes, signature: str) -> Seen:
    """The event of a webhook call. Raises BadSignature."""
    import stripe

    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(body, signature, secret, SIGNATURE_TOLERANCE_SECONDS)
            event = json.loads(body)
        except (stripe.SignatureVerificationError, ValueError, TypeError):  # TypeError: a signature that is no ASCII
            continue
        if isinstance(event, dict) and event.get("object") == "event":
            return event
    raise BadSignature(BadSignature.__doc__)


def events_since(since: datetime) -> Iterator[Seen]:
    """Newest first; Stripe keeps them for 30 days."""
    params = {"created": {"gte": int(since.timestamp())}, "limit": PAGE}
    return _listed(lambda c: c.v1.events.list(params), for_json=True)


# -- Prices


def price_ids() -> Mapping[str, str]:
    """Of the active prices with a lookup key."""
    return {price["lookup_key"]: price["id"] for price in prices() if price["lookup_key"]}


def prices() -> Iterator[Seen]:
    return _listed(lambda c: c.v1.prices.list({"active": True, "limit": PAGE, "expand": ["data.tiers"]}))


# -- The catalogue's parts, by the name of their collection. No keys: each is looked for before it is made


def parts(collection: str, params: Params) -> Iterator[Seen]:
    return _listed(lambda c: _service(c, collection).list({**params, "limit": PAGE}))


def part_create(collection: str, params: Params) -> Seen:
    return _asked(lambda c: _service(c, collection).create(dict(params)))


def part_update(collection: str, part_id: str, params: Params) -> Seen:
    return _asked(lambda c: _service(c, collection).update(part_id, dict(params)))


def product_features(product_id: str) -> Iterator[Seen]:
    return _listed(lambda c: c.v1.products.features.list(product_id, {"limit": PAGE}))


def product_feature_add(product_id: str, feature_id: str) -> Seen:
    return _asked(lambda c: c.v1.products.features.create(product_id, {"entitlement_feature": feature_id}))


def close() -> None:
    """Give this thread's connection back; the next call opens one."""
    if _http.cache_info().currsize:
        _http().close()


def _service(client: Any, collection: str) -> Any:
    found = client.v1
    for name in collection.split("."):
        found = getattr(found, name)
    return found


def _once(key: str) -> Params:
    return {"idempotency_key": key}


def _asked(ask: Callable[[Any], Any]) -> Seen:
    with _translated():
        found: Seen = ask(_connected()).to_dict()
        return found


def _listed(ask: Callable[[Any], Any], *, for_json: bool = False) -> Iterator[Seen]:
    with _translated():
        for one in ask(_connected()).auto_paging_iter():
            yield one.to_dict(for_json=for_json)


class _translated:
    """stripe's exceptions become ours."""

    def __enter__(self) -> None:
        if not is_on():
            raise BillingOff

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        import stripe

        if not isinstance(error, stripe.StripeError):
            return
        status = error.http_status or 0
        if isinstance(error, stripe.APIConnectionError) or status in (0, 408, 409, 429) or status >= 500:
            raise BillingUnavailable from error
        raise BillingRefused(error.code or f"http_{status}", error.user_message or str(error)) from error


def _connected() -> Any:
    return _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@cache
def _client(secret: str, base: str) -> Any:
    import stripe

    return stripe.StripeClient(
        secret,
        max_network_retries=NETWORK_RETRIES,
        http_client=_http(),
        base_addresses={"api": base, "meter_events": base} if base else None,
    )


@cache
def _http() -> Any:
    import stripe

    return stripe.RequestsClient(timeout=TIMEOUT_SECONDS)
