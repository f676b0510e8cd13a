"""What does an operator read across tenants? The one place of the admin that does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from billing.models import BillingAccount, BillingAlert, Invoice, MeterPush, StripeEvent, Subscription
from tenants.api_keys import keys_matching
from tenants.isolation import as_owner
from tenants.models import Member, Tenant

FOUND_MAX = 200
HINT_MIN_CHARACTERS = 4  # of a key: its beginning is the same for all


@dataclass(frozen=True, slots=True)
class Attention:
    """What waits for somebody."""

    alerts: list[BillingAlert]
    pushes: list[MeterPush]
    events: list[StripeEvent]
    names: dict[UUID, str]


@contextmanager
def reading_lists() -> Iterator[None]:
    """For django's own pages of a list."""
    with as_owner():
        yield


def tenants_found(word: str) -> set[UUID]:
    """By name, member mail, key hint, id of ours or of Stripe's."""
    word = word.strip()
    keys = {key.tenant_id for key in keys_matching(word)} if len(word) >= HINT_MIN_CHARACTERS else set()
    with as_owner():
        found = set(Tenant.objects.filter(name__icontains=word).values_list("id", flat=True)[:FOUND_MAX])
        members = Member.objects.filter(user__email__icontains=word)
        found |= set(members.values_list("tenant_id", flat=True)[:FOUND_MAX])
        bought = BillingAccount.objects.filter(Q(customer_id=word) | Q(subscription_id=word))
        found |= set(bought.values_list("tenant_id", flat=True))
        found |= set(Subscription.objects.filter(id=word).values_list("tenant_id", flat=True))
        found |= set(Invoice.objects.filter(id=word).values_list("tenant_id", flat=True))
        found |= set(Tenant.objects.filter(id=word).values_list("id", flat=True)) if _is_id(word) else set()
    return found | keys


def attention(now: datetime, *, limit: int = 100) -> Attention:
    with as_owner():
        alerts = list(BillingAlert.objects.filter(resolved_at=None).order_by("-created_at")[:limit])
        stuck = MeterPush.objects.filter(state__in=(MeterPush.FAILED, MeterPush.DOUBTFUL))
        pushes = list(stuck.order_by("created_at")[:limit])
        waiting = StripeEvent.objects.filter(state=StripeEvent.WAITING).exclude(problem="")
        events = list(waiting.order_by("created")[:limit])
        ids = {one.tenant_id for one in alerts} | {one.tenant_id for one in pushes}
        names = dict(Tenant.objects.filter(id__in=ids).values_list("id", "name"))
    return Attention(alerts, pushes, events, names)


def events_of(customer_id: str, *, limit: int = 50) -> list[StripeEvent]:
    """Newest first."""
    if not customer_id:
        return []
    with as_owner():
        return list(StripeEvent.objects.filter(customer_id=customer_id).order_by("-created")[:limit])


def _is_id(word: str) -> bool:
    try:
        UUID(word)
    except ValueError:
        return False
    return True
