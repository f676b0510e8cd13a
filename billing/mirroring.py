"""What does an object of Stripe's come to in our tables? Pure: dicts in, rows out."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.models import BillingPeriod, Invoice, Subscription
from billing.plans import ENDED, PLANS

PRODUCT_PREFIX = "cacheai_"  # of the catalogue's product ids; the plan's name follows
CENTS = Decimal(100)
# In the metadata of a schedule's phase; Stripe copies it to the subscription, so it must not be the name plan_of reads.
NEXT_PLAN = "next_plan"

Seen = Mapping[str, Any]


def time_of(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def certain_time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def usd(cents: int | None) -> Decimal:
    return Decimal(cents or 0) / CENTS


def id_of(reference: Any) -> str:
    """Of an object, whether expanded or not."""
    if reference is None:
        return ""
    return reference if isinstance(reference, str) else str(reference["id"])


def plan_of(subscription: Seen) -> str:
    """The product says it; a subscription an operator linked says it itself."""
    named = subscription["metadata"].get("plan") or ""
    for item in subscription["items"]["data"]:
        product = id_of(item["price"]["product"])
        if not _is_metered(item) and product.startswith(PRODUCT_PREFIX):
            named = named or product.removeprefix(PRODUCT_PREFIX)
    return named if named in PLANS else ""


def subscription_row(tenant_id: UUID, seen: Seen) -> Subscription:
    items = seen["items"]["data"]
    starts = [item["current_period_start"] for item in items]
    ends = [item["current_period_end"] for item in items]
    return Subscription(
        tenant_id=tenant_id,
        id=seen["id"],
        state=seen["status"],
        plan=plan_of(seen),
        items=[{"id": item["id"], "price": item["price"]["id"], "metered": _is_metered(item)} for item in items],
        period_start=time_of(max(starts, default=None)),
        period_end=time_of(min(ends, default=None)),
        trial_end=time_of(seen["trial_end"]),
        cancels_at=_cancels_at(seen, ends),
        ended_at=time_of(seen["ended_at"]),
        created_at=certain_time(seen["created"]),
    )


def invoice_row(tenant_id: UUID, seen: Seen) -> Invoice:
    parent = seen.get("parent") or {}
    details = parent.get("subscription_details") or {}
    changes = seen["status_transitions"]
    problem = seen.get("last_finalization_error") or {}
    return Invoice(
        tenant_id=tenant_id,
        id=seen["id"],
        subscription_id=id_of(details.get("subscription")),
        number=seen.get("number") or "",
        status=seen["status"] or "draft",
        reason=seen.get("billing_reason") or "",
        total_usd=usd(seen["total"]),
        amount_due_usd=usd(seen["amount_due"]),
        amount_paid_usd=usd(seen["amount_paid"]),
        period_start=certain_time(seen["period_start"]),
        period_end=certain_time(seen["period_end"]),
        created_at=certain_time(seen["created"]),
        finalized_at=time_of(changes.get("finalized_at")),
        paid_at=time_of(changes.get("paid_at")),
        next_payment_attempt=time_of(seen.get("next_payment_attempt")),
        hosted_invoice_url=seen.get("hosted_invoice_url") or "",
        invoice_pdf=seen.get("invoice_pdf") or "",
        problem=problem.get("message") or "" if seen["status"] == "draft" else "",
    )


def period_row(subscription: Subscription) -> BillingPeriod | None:
    if subscription.period_start is None or subscription.period_end is None:
        return None
    in_trial = subscription.trial_end is not None and subscription.period_start < subscription.trial_end
    bills = subscription.state in ("active", "past_due", "unpaid") or subscription.ended_at is not None
    return BillingPeriod(
        tenant_id=subscription.tenant_id,
        start=subscription.period_start,
        end=min(subscription.period_end, subscription.ended_at or subscription.period_end),
        subscription_id=subscription.id,
        plan=subscription.plan,
        metered=bills and not in_trial and any(item["metered"] for item in subscription.items),
    )


def governing(rows: Iterable[Subscription]) -> Subscription | None:
    """The one that counts, where there are several: the newest that goes on, else the newest."""
    return max(rows, key=lambda row: (row.state not in ENDED, row.state != "incomplete", row.created_at), default=None)


def past_due_since(subscription: Subscription, invoices: Iterable[Invoice]) -> datetime | None:
    """When the oldest invoice that is not paid was sent, whenever we hear of it."""
    if subscription.state != "past_due":
        return None
    owed = [one.finalized_at for one in invoices if one.status == "open" and one.subscription_id == subscription.id]
    return min((at for at in owed if at is not None), default=None)


def is_final(period: BillingPeriod, ends: datetime, invoices: Iterable[Invoice]) -> bool:
    """An invoice made at its end takes its usage until it is finalised."""
    return any(
        one.subscription_id == period.subscription_id and one.created_at >= ends and one.finalized_at is not None
        for one in invoices
    )


def next_plan(schedule: Seen | None) -> str:
    """Where the phase after the current one of a planned downgrade leads."""
    if schedule is None or not schedule["current_phase"]:
        return ""
    for phase in schedule["phases"]:
        if phase["start_date"] > schedule["current_phase"]["start_date"]:
            named = (phase.get("metadata") or {}).get(NEXT_PLAN) or ""
            return named if named in PLANS else ""
    return ""


def _is_metered(item: Seen) -> bool:
    recurring = item["price"]["recurring"] or {}
    return bool(recurring.get("usage_type") == "metered")


def _cancels_at(seen: Seen, ends: list[int]) -> datetime | None:
    if seen["cancel_at"] is not None:
        return time_of(seen["cancel_at"])
    return time_of(max(ends, default=None)) if seen["cancel_at_period_end"] else None
