"""What did Stripe tell us, and was it acted on?

A webhook is kept once and answered at once; a task acts on it. An event says only whose state changed: that is then
read from Stripe anew. What webhooks lost is fetched by night, from a cursor.
"""

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from billing import stripe_api
from billing.accounts import account_sync, tenant_of
from billing.alerts import alert
from billing.errors import BillingError
from billing.mirroring import certain_time, id_of
from billing.models import Cursor, StripeEvent
from tenants.isolation import as_owner, as_tenant, read_before_tenant

TYPES = (
    "checkout.session.completed",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "customer.subscription.pending_update_expired",
    "invoice.created",
    "invoice.finalized",
    "invoice.finalization_failed",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.voided",
    "entitlements.active_entitlement_summary.updated",
    "charge.dispute.created",
)
DISPUTE = "charge.dispute.created"
KEPT = timedelta(days=35)  # Longer than Stripe itself keeps them.
REMEMBERED_BY_STRIPE = timedelta(days=30)
OVERLAP = timedelta(hours=1)  # An event may be listed a little after its time.
BATCH = 200
RETRY_FIRST = timedelta(seconds=30)
RETRY_MAX = timedelta(hours=1)
CURSOR = "events"
KEEP_SECONDS = 5.0  # Stripe waits 20 for an answer.

log = logging.getLogger(__name__)


def event_keep(event: Mapping[str, Any]) -> None:
    """Once, however often it comes. The app's login may add an event, and not read it. Raises DatabaseUnavailable."""
    read_before_tenant(_KEEP, _row(event), deadline_seconds=KEEP_SECONDS)


def act(now: datetime) -> int:
    """On what waits; one look at Stripe for all events of a customer. How many events are done with."""
    with as_owner():
        waiting = list(
            StripeEvent.objects.filter(state=StripeEvent.WAITING, next_try_at__lte=now).order_by("created")[:BATCH]
        )
    _find_disputed(waiting)
    done = 0
    for customer_id in dict.fromkeys(event.customer_id for event in waiting):
        done += _act_for(customer_id, [event for event in waiting if event.customer_id == customer_id], now)
    return done


def event_again(*, event_id: str, now: datetime) -> None:
    """An operator has it acted on once more."""
    with as_owner():
        StripeEvent.objects.filter(id=event_id).update(state=StripeEvent.WAITING, next_try_at=now, problem="")


def fetch(now: datetime, *, since: datetime | None = None) -> int:
    """Events that no webhook brought, since the last time; how many there were in all. Raises BillingError."""
    with as_owner():
        last = Cursor.objects.filter(name=CURSOR).values_list("at", flat=True).first()
    start = since or (last - OVERLAP if last else now - REMEMBERED_BY_STRIPE)
    seen = [event for event in stripe_api.events_since(start) if event["type"] in TYPES]
    for event in seen:
        event_keep(event)
    with as_owner():
        Cursor.objects.update_or_create(name=CURSOR, defaults={"at": now})
        StripeEvent.objects.filter(created__lt=now - KEPT).exclude(state=StripeEvent.WAITING).delete()
    return len(seen)


def _find_disputed(events: list[StripeEvent]) -> None:
    """A dispute names a charge, and the charge its customer."""
    for event in events:
        if event.type == DISPUTE and not event.customer_id:
            try:
                event.customer_id = stripe_api.customer_of_charge(id_of(event.payload["data"]["object"]["charge"]))
            except BillingError:
                continue
            with as_owner():
                StripeEvent.objects.filter(id=event.id).update(customer_id=event.customer_id)


def _act_for(customer_id: str, events: list[StripeEvent], now: datetime) -> int:
    tenant_id = tenant_of(customer_id) if customer_id else None
    if tenant_id is None:
        return _mark(events, StripeEvent.IGNORED, now)
    try:
        account_sync(tenant_id=tenant_id, now=now)
    except BillingError as error:
        log.warning("events_wait", extra={"tenant_id": str(tenant_id), "reason": type(error).__name__})
        _later(events, error, now)
        return 0
    _tell_disputes(tenant_id, events, now)
    return _mark(events, StripeEvent.DONE, now)


def _tell_disputes(tenant_id: UUID, events: list[StripeEvent], now: datetime) -> None:
    for event in events:
        if event.type == DISPUTE:
            subject = id_of(event.payload["data"]["object"])
            with as_tenant(tenant_id):
                alert(tenant_id=tenant_id, kind="dispute", subject=subject, detail={"event": event.id}, now=now)


def _mark(events: list[StripeEvent], state: str, now: datetime) -> int:
    with as_owner():
        return StripeEvent.objects.filter(id__in=[event.id for event in events]).update(
            state=state, done_at=now, problem=""
        )


def _later(events: list[StripeEvent], error: BillingError, now: datetime) -> None:
    """Never given up: there is nothing in it that only this event would say, and an operator sees what waits."""
    for event in events:
        wait = min(RETRY_MAX, RETRY_FIRST * 2 ** min(event.attempts, 10))
        with as_owner():
            StripeEvent.objects.filter(id=event.id).update(
                attempts=event.attempts + 1, next_try_at=now + wait, problem=str(error)
            )


def _customer_of(event: Mapping[str, Any]) -> str:
    thing = event["data"]["object"]
    if thing.get("object") == "customer":
        return str(thing["id"])
    return id_of(thing.get("customer"))


def _row(event: Mapping[str, Any]) -> list[Any]:
    return [event["id"], event["type"], certain_time(event["created"]), json.dumps(event), _customer_of(event)]


_KEEP = """
INSERT INTO stripe_event (id, type, created, payload, customer_id, state, attempts, next_try_at, problem, received_at)
VALUES (%s, %s, %s, %s, %s, 'waiting', 0, now(), '', now()) ON CONFLICT DO NOTHING
"""
