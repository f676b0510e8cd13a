"""What must there be at Stripe for our plans to be sold, and what differs?

Each part is found, compared and only then written: a second run writes nothing. The plans are the truth; Stripe is
made to say the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing import stripe_api
from billing.events import TYPES
from billing.mirroring import PRODUCT_PREFIX, id_of
from billing.plans import PLANS, Plan
from billing.stripe_api import API_VERSION, METER_EVENT
from tenants import features

PORTAL_METADATA = {"cacheai": "portal"}
WEBHOOK_METADATA = {"cacheai": "webhook"}
CENTS = Decimal(100)
TAX_BEHAVIOR = "exclusive"

# Cards, addresses, tax ids, invoices and the end; plans are changed on our own pages, which show what it takes.
PORTAL_FEATURES: Mapping[str, Any] = {
    "customer_update": {"enabled": True, "allowed_updates": ["address", "email", "name", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
    "subscription_update": {"enabled": False},
}


class Immutable(Exception):
    """Stripe has a part that differs and cannot be changed."""


@dataclass(slots=True)
class Report:
    """What was missing or different, in words; with `check` nothing was written."""

    check: bool
    told: list[str] = field(default_factory=list)
    webhook_secret: str = field(default="", repr=False)  # shown once by Stripe, of an endpoint just made


def price_key(plan: str) -> str:
    return f"{plan}.month"


def usage_key(plan: str) -> str:
    return f"{plan}.requests"


def set_up(*, check: bool, webhook_url: str = "", return_url: str = "") -> Report:
    """Raises BillingError, Immutable."""
    report = Report(check)
    sold = [plan for plan in PLANS.values() if plan.is_sold]
    products = _products(report, sold)
    _features(report, sold, products)
    _prices(report, sold, _meter(report))
    _portal(report, return_url)
    if webhook_url:
        _webhook(report, webhook_url)
    return report


def _products(report: Report, sold: Sequence[Plan]) -> set[str]:
    """The ids of those there were."""
    wanted_ids = [PRODUCT_PREFIX + plan.name for plan in sold]
    there = {one["id"]: one for one in stripe_api.parts("products", {"ids": wanted_ids})}
    for plan in sold:
        product_id = PRODUCT_PREFIX + plan.name
        wanted = {"name": f"CacheAI {plan.title}", "active": True}
        _put(report, "products", there.get(product_id), wanted, made_with={"id": product_id})
    return set(there)


def _features(report: Report, sold: Sequence[Plan], products: set[str]) -> None:
    there = {one["lookup_key"]: one["id"] for one in stripe_api.parts("entitlements.features", {})}
    for name in features.TEAM:
        if name not in there:
            title = name.replace("_", " ").capitalize()
            made = _create(report, "entitlements.features", {"lookup_key": name, "name": title}, f"feature {name}")
            there[name] = made.get("id", "")
    for plan in sold:
        product_id = PRODUCT_PREFIX + plan.name
        attached = stripe_api.product_features(product_id) if product_id in products else ()
        held = {one["entitlement_feature"]["lookup_key"] for one in attached}
        for name in plan.features:
            if name in held:
                continue
            report.told.append(f"{product_id} lacks the feature {name}")
            if not report.check:
                stripe_api.product_feature_add(product_id, there[name])


def _meter(report: Report) -> str:
    """Immutable, but for its name."""
    wanted = {
        "event_name": METER_EVENT,
        "default_aggregation": {"formula": "sum"},
        "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
        "value_settings": {"event_payload_key": "value"},
    }
    for found in stripe_api.parts("billing.meters", {"status": "active"}):
        if found["event_name"] == METER_EVENT:
            if not _agrees(found, wanted):
                raise Immutable(f"The meter {METER_EVENT} at Stripe differs, and a meter cannot be changed.")
            return str(found["id"])
    made = _create(report, "billing.meters", {"display_name": "CacheAI requests", **wanted}, f"meter {METER_EVENT}")
    return str(made.get("id", ""))


def _prices(report: Report, sold: Sequence[Plan], meter_id: str) -> None:
    there = {price["lookup_key"]: price for price in stripe_api.prices() if price["lookup_key"]}
    for plan in sold:
        for lookup_key, wanted in _prices_of(plan, meter_id):
            found = there.get(lookup_key)
            if found is not None and _price_facts(found) == _price_facts(wanted):
                continue
            report.told.append(f"price {lookup_key} {'is missing' if found is None else 'differs'}")
            if report.check:
                continue
            # A price is never changed: a new one takes the name, and subscribers keep the old one.
            params = {**wanted, "lookup_key": lookup_key, "transfer_lookup_key": True}
            stripe_api.part_create("prices", params)
            if found is not None:
                stripe_api.part_update("prices", found["id"], {"active": False})


def _prices_of(plan: Plan, meter_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    assert plan.fee is not None  # noqa: S101 (what is sold has a price)
    common = {"product": PRODUCT_PREFIX + plan.name, "currency": "usd", "tax_behavior": TAX_BEHAVIOR}
    yield (
        price_key(plan.name),
        {**common, "unit_amount": int(plan.fee.price * CENTS), "recurring": {"interval": "month"}},
    )
    starts = [start for start, _ in plan.fee.overage]
    rates = [Decimal(0), *(rate * CENTS for _, rate in plan.fee.overage)]
    tiers = [
        {"up_to": up_to, "unit_amount_decimal": f"{rate.normalize():f}"}
        for up_to, rate in zip([*starts, "inf"], rates, strict=True)
    ]
    yield (
        usage_key(plan.name),
        {
            **common,
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter_id},
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": tiers,
        },
    )


def _price_facts(price: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two prices the same, of one that is wanted as of one that is there."""
    recurring = price["recurring"]
    tiers = [
        (None if tier["up_to"] in (None, "inf") else int(tier["up_to"]), Decimal(str(tier["unit_amount_decimal"])))
        for tier in price.get("tiers") or []
    ]
    return (
        id_of(price["product"]),
        price["currency"],
        price["tax_behavior"],
        price.get("unit_amount"),
        recurring["interval"],
        recurring.get("usage_type", "licensed"),
        recurring.get("meter"),
        price.get("tiers_mode"),
        tiers,
    )


def _portal(report: Report, return_url: str) -> None:
    wanted: dict[str, Any] = {"features": PORTAL_FEATURES, "metadata": PORTAL_METADATA}
    if return_url:
        wanted["default_return_url"] = return_url
    found = next(
        (
            one
            for one in stripe_api.parts("billing_portal.configurations", {"active": True})
            if one["metadata"].items() >= PORTAL_METADATA.items()
        ),
        None,
    )
    _put(report, "billing_portal.configurations", found, wanted)


def _webhook(report: Report, url: str) -> None:
    wanted = {"url": url, "enabled_events": list(TYPES), "metadata": WEBHOOK_METADATA}
    found = next((one for one in stripe_api.parts("webhook_endpoints", {}) if one["url"] == url), None)
    if found is not None and found["api_version"] != API_VERSION:
        raise Immutable(f"The webhook endpoint {url} speaks {found['api_version']}: delete it at Stripe.")
    made = _put(report, "webhook_endpoints", found, wanted, made_with={"api_version": API_VERSION})
    report.webhook_secret = made.get("secret") or ""


def _put(
    report: Report,
    collection: str,
    found: Mapping[str, Any] | None,
    wanted: Mapping[str, Any],
    *,
    made_with: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What was written; empty if nothing had to be."""
    if found is None:
        return _create(report, collection, {**wanted, **(made_with or {})}, f"one of {collection}")
    differing = {name: value for name, value in wanted.items() if not _agrees(found.get(name), value)}
    if not differing:
        return {}
    report.told.append(f"{found['id']} differs in {', '.join(differing)}")
    if report.check:
        return {}
    return stripe_api.part_update(collection, found["id"], differing)


def _create(report: Report, collection: str, wanted: Mapping[str, Any], title: str) -> dict[str, Any]:
    report.told.append(f"{title} is missing")
    if report.check:
        return {}
    return stripe_api.part_create(collection, wanted)


def _agrees(found: Any, wanted: Any) -> bool:
    """Stripe says more than it was told."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_agrees(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and sorted(found) == sorted(wanted)
    return bool(found == wanted)
