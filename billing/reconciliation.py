"""Do the ledger, what was pushed and what Stripe counted come to the same?

Per tenant and hour of 35 days. What differs is an alert, with the three figures; it is resolved when they agree again.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from billing import metering, stripe_api
from billing.alerts import alert, each, resolve
from billing.metering import HOUR, LOOK_BACK, hour_of
from billing.mirroring import certain_time
from billing.models import BillingAccount, BillingPeriod, MeterPush, UsageBucket
from tenants.isolation import as_tenant
from tenants.selectors import tenant_of

# An hour is closed and pushed by then, and Stripe's summary shows it.
SETTLED_AFTER = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Drift:
    """An hour in which the three do not agree."""

    hour: datetime
    ledger: int
    pushed: int
    stripe: int
    kind: str = "drift"


def reconcile_all(now: datetime) -> int:
    """How many hours differ."""
    return each(metering.metered_tenants(now), lambda tenant_id: len(reconcile(tenant_id=tenant_id, now=now)), now=now)


def reconcile(*, tenant_id: UUID, now: datetime) -> list[Drift]:
    """Raises BillingError where Stripe cannot be asked."""
    first, last = hour_of(now - LOOK_BACK) + HOUR, hour_of(now - SETTLED_AFTER)
    with as_tenant(tenant_id):
        customer_id = BillingAccount.objects.get(tenant_id=tenant_id).customer_id
    summed = stripe_api.metered_hours(stripe_api.meter_id(), customer_id=customer_id, since=first, until=last)
    drifts = [*_ledger_and_pushed(tenant_id, first, last, now), *_pushed_and_stripe(tenant_id, first, last, summed)]
    with as_tenant(tenant_id):
        for kind in ("drift", "over_count", "stripe_drift"):
            found = {drift.hour.isoformat(): drift for drift in drifts if drift.kind == kind}
            resolve(tenant_id=tenant_id, kind=kind, now=now, but=list(found))
            for subject, drift in found.items():
                detail = {"ledger": drift.ledger, "pushed": drift.pushed, "stripe": drift.stripe}
                alert(tenant_id=tenant_id, kind=kind, subject=subject, detail=detail, now=now)
    return drifts


def _ledger_and_pushed(tenant_id: UUID, first: datetime, last: datetime, now: datetime) -> list[Drift]:
    """By the hour of use. Of an hour that a period cuts, calls are counted; those are kept for days only."""
    kept_since = now - timedelta(days=tenant_of(tenant_id=tenant_id).detail_days)
    pieces = [piece for piece in metering.pieces_used(tenant_id, now) if piece.hour < last]
    unknown = {piece.hour for piece in pieces if piece.is_cut and piece.hour < kept_since}
    ledger: Counter[datetime] = Counter()
    for piece in pieces:
        ledger[piece.hour] += piece.quantity
    with as_tenant(tenant_id):
        metered = BillingPeriod.objects.filter(tenant_id=tenant_id, metered=True).values_list("start", flat=True)
        buckets = UsageBucket.objects.filter(
            tenant_id=tenant_id, hour__gte=first, hour__lt=last, period_start__in=list(metered)
        )
        pushed: Counter[datetime] = Counter()
        for bucket in buckets:
            pushed[bucket.hour] += bucket.pushed
    hours = sorted({*ledger, *pushed} - unknown)
    return [
        Drift(hour, ledger[hour], pushed[hour], pushed[hour], "drift" if ledger[hour] > pushed[hour] else "over_count")
        for hour in hours
        if ledger[hour] != pushed[hour]
    ]


def _pushed_and_stripe(tenant_id: UUID, first: datetime, last: datetime, summed: Mapping[int, int]) -> list[Drift]:
    """By the hour a message was stamped with: late usage is counted in another than its own."""
    with as_tenant(tenant_id):
        told: Counter[int] = Counter()
        stamped = MeterPush.objects.filter(
            tenant_id=tenant_id, state=MeterPush.SENT, stamped_at__gte=first, stamped_at__lt=last
        )
        for message in stamped:
            told[int(hour_of(message.stamped_at).timestamp())] += message.value
    return [
        Drift(certain_time(at), told[at], told[at], summed.get(at, 0), "stripe_drift")
        for at in sorted({*told, *summed})
        if told[at] != summed.get(at, 0)
    ]
