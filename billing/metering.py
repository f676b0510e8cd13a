"""What was used that Stripe does not know yet, and how is it told exactly once?

Each hour of a period is a bucket. Where the ledger counts more than was pushed, a MeterPush for the difference is
committed, then sent, then marked. Its identifier makes a second sending harmless for as long as Stripe remembers it;
after that nothing is sent again without a look at what Stripe counted. A customer has one push under way at a time.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

from django.db.models import F, Max, Sum

from billing import stripe_api
from billing.alerts import alert, each
from billing.errors import BillingRefused, BillingUnavailable
from billing.models import BillingAccount, BillingPeriod, MeterPush, UsageBucket
from cache_api import selectors
from tenants.isolation import as_owner, as_tenant

HOUR = timedelta(hours=1)
# Rows of an hour may still be on their way: spooled, or of a stream that runs on.
CLOSED_AFTER = timedelta(minutes=15)
TURNED_AFTER = timedelta(minutes=5)  # The invoice of a period waits an hour, no longer.
LOOK_BACK = timedelta(days=35)  # Stripe takes nothing older.
# Stripe remembers an identifier for at least 24 hours; the rest is for clocks and retries.
REMEMBERED = timedelta(hours=20)
SUMMED_AFTER = timedelta(hours=1)  # Its summaries lag behind what it accepted.
LEASE = timedelta(minutes=2)  # Above a send with all its retries: who died at it is followed after that.
RETRY_FIRST = timedelta(seconds=30)
RETRY_MAX = timedelta(minutes=15)

log = logging.getLogger(__name__)


class Outcome(Enum):
    DELIVERED = "delivered"
    REFUSED = "refused"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of an hour that falls into a period, and what was used in it."""

    hour: datetime
    period: BillingPeriod
    quantity: int

    @property
    def is_cut(self) -> bool:
        return self.period.start > self.hour or self.period.end < self.hour + HOUR

    def is_closed(self, now: datetime) -> bool:
        turns = self.period.end <= self.hour + HOUR
        return now >= (self.period.end + TURNED_AFTER if turns else self.hour + HOUR + CLOSED_AFTER)


def push_all(now: datetime) -> int:
    """Every tenant with a period that is billed by use; how many messages were delivered."""
    return each(metered_tenants(now), lambda tenant_id: push(tenant_id=tenant_id, now=now), now=now)


def metered_tenants(now: datetime) -> list[UUID]:
    with as_owner():
        metered = BillingPeriod.objects.filter(metered=True, end__gt=now - LOOK_BACK)
        return list(metered.order_by("tenant_id").values_list("tenant_id", flat=True).distinct())


def push(*, tenant_id: UUID, now: datetime, all_hours: bool = False) -> int:
    """Count anew, then send what is missing; how many were delivered. `all_hours`: also those not closed yet."""
    buckets_count(tenant_id=tenant_id, now=now, all_hours=all_hours)
    delivered = 0
    while (message := _take(tenant_id, now)) is not None:
        outcome = _settle(message, now)
        if outcome is Outcome.WAITING:
            break
        delivered += outcome is Outcome.DELIVERED
    return delivered


def buckets_count(*, tenant_id: UUID, now: datetime, all_hours: bool = False) -> None:
    """Raise each bucket to what the ledger says. None ever falls: rows too old to be kept are no credit."""
    pieces = list(pieces_used(tenant_id, now))
    with as_tenant(tenant_id):
        known = {
            (bucket.hour, bucket.period_start): bucket
            for bucket in UsageBucket.objects.select_for_update().filter(
                tenant_id=tenant_id, hour__in={piece.hour for piece in pieces}
            )
        }
        for piece in pieces:
            if not (all_hours or piece.is_closed(now)):
                continue
            place = (piece.hour, piece.period.start)
            quantity = piece.quantity - _told_elsewhere(place, pieces, known)
            if quantity > (known[place].quantity if place in known else 0):
                UsageBucket.objects.update_or_create(
                    tenant_id=tenant_id, hour=place[0], period_start=place[1], defaults={"quantity": quantity}
                )


def pieces_used(tenant_id: UUID, now: datetime) -> Iterator[Piece]:
    """What the ledger has in each piece of the metered periods."""
    first = hour_of(now - LOOK_BACK) + HOUR
    with as_tenant(tenant_id):
        metered = BillingPeriod.objects.filter(tenant_id=tenant_id, metered=True, end__gt=first)
        periods = list(metered.order_by("start"))
    for period in periods:
        since, until = max(period.start, first), min(period.end, now)
        if since < until:
            rows = selectors.usage_by(tenant_id, None, bucket="hour", group_by=None, since=since, until=until)
            yield from (Piece(row.since, period, row.figures.billable) for row in rows if row.figures.billable)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def sent(push_row: MeterPush, now: datetime) -> None:
    """Mark it delivered; twice is once. Inside the tenant's transaction."""
    place = {"tenant_id": push_row.tenant_id, "hour": push_row.hour, "period_start": push_row.period_start}
    marked = (
        MeterPush.objects.filter(**place, revision=push_row.revision)
        .exclude(state=MeterPush.SENT)
        .update(state=MeterPush.SENT, settled_at=now, problem="")
    )
    if marked:
        UsageBucket.objects.filter(**place).update(pushed=F("pushed") + push_row.value)


def _told_elsewhere(
    place: tuple[datetime, datetime],
    pieces: list[Piece],
    known: Mapping[tuple[datetime, datetime], UsageBucket],
) -> int:
    """What was pushed of this hour under a period that was cut only afterwards: Stripe counted it where it belongs."""
    used = {(piece.hour, piece.period.start): piece.quantity for piece in pieces}
    others = (bucket for other, bucket in known.items() if other[0] == place[0] and other != place)
    return sum(max(0, one.pushed - used.get((one.hour, one.period_start), 0)) for one in others)


def _take(tenant_id: UUID, now: datetime) -> MeterPush | None:
    """The message to send now, committed: one that is under way, else a new one."""
    with as_tenant(tenant_id):
        BillingAccount.objects.select_for_update().get(tenant_id=tenant_id)
        message = MeterPush.objects.filter(tenant_id=tenant_id, state=MeterPush.SENDING).first()
        if message is None:
            message = _make(tenant_id, now)
        elif message.next_try_at > now:
            return None
        if message is None:
            return None

        message.next_try_at = now + LEASE
        message.save()
        return message


def _make(tenant_id: UUID, now: datetime) -> MeterPush | None:
    stuck = MeterPush.objects.filter(tenant_id=tenant_id, state__in=(MeterPush.FAILED, MeterPush.DOUBTFUL))
    waiting = set(stuck.values_list("hour", "period_start"))
    periods = {period.start: period for period in BillingPeriod.objects.filter(tenant_id=tenant_id, metered=True)}
    current = next((period for period in periods.values() if period.start <= now < period.end), None)
    oldest = hour_of(now - LOOK_BACK) + HOUR
    behind = UsageBucket.objects.filter(tenant_id=tenant_id, quantity__gt=F("pushed"), hour__gte=oldest)
    for bucket in behind.order_by("hour", "period_start"):
        period = periods.get(bucket.period_start)
        if period is None or (bucket.hour, bucket.period_start) in waiting:
            continue
        stamp_period = current if period.final else period
        if stamp_period is None:
            detail = {
                "quantity": bucket.quantity - bucket.pushed,
                "problem": "its period is invoiced, no other is open",
            }
            alert(tenant_id=tenant_id, kind="late_unbilled", subject=bucket.hour.isoformat(), detail=detail, now=now)
            continue
        return _message(bucket, hour_of(now) if period.final else bucket.hour, stamp_period, period.final, now)
    return None


def _message(bucket: UsageBucket, hour: datetime, within: BillingPeriod, late: bool, now: datetime) -> MeterPush:
    made = MeterPush.objects.filter(
        tenant_id=bucket.tenant_id, hour=bucket.hour, period_start=bucket.period_start
    ).aggregate(last=Max("revision"))
    revision = (made["last"] or 0) + 1
    place = f"{int(bucket.hour.timestamp())}:{int(bucket.period_start.timestamp())}"
    return MeterPush(
        tenant_id=bucket.tenant_id,
        hour=bucket.hour,
        period_start=bucket.period_start,
        revision=revision,
        identifier=f"{stripe_api.METER_EVENT}:{bucket.tenant_id}:{place}:{revision}",
        value=bucket.quantity - bucket.pushed,
        stamped_at=max(hour, within.start + timedelta(seconds=1)),
        late=late,
        created_at=now,
    )


def _settle(message: MeterPush, now: datetime) -> Outcome:
    if now >= message.created_at + REMEMBERED:
        return _look(message, now)

    customer_id = _customer_of(message.tenant_id)
    _note(message, tried_at=now, attempts=message.attempts + 1)
    try:
        stripe_api.meter_event(
            identifier=message.identifier, customer_id=customer_id, value=message.value, at=message.stamped_at
        )
    except stripe_api.Duplicate:
        log.info("meter_push_was_there", extra={"tenant_id": str(message.tenant_id)})
    except BillingUnavailable:
        return _later(message, now)
    except BillingRefused as error:
        return _stuck(message, MeterPush.FAILED, "push_failed", {"problem": str(error)}, now)

    with as_tenant(message.tenant_id):
        sent(message, now)
    return Outcome.DELIVERED


def _look(message: MeterPush, now: datetime) -> Outcome:
    """Too old to be sent blind: did Stripe count it?"""
    if message.tried_at is not None and now < message.tried_at + SUMMED_AFTER:
        return _later(message, now)
    hour = hour_of(message.stamped_at)
    try:
        summed = stripe_api.metered_hours(
            stripe_api.meter_id(), customer_id=_customer_of(message.tenant_id), since=hour, until=hour + HOUR
        )
    except BillingUnavailable:
        return _later(message, now)

    counted = summed.get(int(hour.timestamp()), 0)
    with as_tenant(message.tenant_id):
        told = stamped_sum(message.tenant_id, hour)
        if counted == told + message.value:
            sent(message, now)
            return Outcome.DELIVERED
        if counted == told:
            _note_inside(message, state=MeterPush.LOST, settled_at=now)
            return Outcome.REFUSED
    detail = {"stripe": counted, "told": told, "value": message.value}
    return _stuck(message, MeterPush.DOUBTFUL, "push_doubtful", detail, now)


def stamped_sum(tenant_id: UUID, hour: datetime) -> int:
    """What Stripe was told for an hour, as far as we know for certain."""
    told = MeterPush.objects.filter(
        tenant_id=tenant_id, state=MeterPush.SENT, stamped_at__gte=hour, stamped_at__lt=hour + HOUR
    )
    return int(told.aggregate(sum=Sum("value"))["sum"] or 0)


def _later(message: MeterPush, now: datetime) -> Outcome:
    wait = min(RETRY_MAX, RETRY_FIRST * 2 ** min(message.attempts, 10))
    _note(message, next_try_at=now + wait)
    return Outcome.WAITING


def _stuck(message: MeterPush, state: str, kind: str, detail: Mapping[str, object], now: datetime) -> Outcome:
    with as_tenant(message.tenant_id):
        _note_inside(message, state=state, problem=str(detail.get("problem", kind)))
        alert(tenant_id=message.tenant_id, kind=kind, subject=message.identifier, detail=detail, now=now)
    return Outcome.REFUSED


def _note(message: MeterPush, **values: object) -> None:
    with as_tenant(message.tenant_id):
        _note_inside(message, **values)


def _note_inside(message: MeterPush, **values: object) -> None:
    MeterPush.objects.filter(
        tenant_id=message.tenant_id,
        hour=message.hour,
        period_start=message.period_start,
        revision=message.revision,
        state=MeterPush.SENDING,
    ).update(**values)


def _customer_of(tenant_id: UUID) -> str:
    with as_tenant(tenant_id):
        return BillingAccount.objects.get(tenant_id=tenant_id).customer_id
