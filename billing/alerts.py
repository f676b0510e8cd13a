"""What must an operator look at?"""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from billing.errors import BillingRefused
from billing.models import BillingAlert
from tenants.isolation import as_tenant

log = logging.getLogger(__name__)


def alert(*, tenant_id: UUID, kind: str, subject: str, detail: Mapping[str, Any], now: datetime) -> None:
    """Once for each subject, inside the tenant's transaction; one that was resolved and comes back is open again."""
    found, made = BillingAlert.objects.get_or_create(
        tenant_id=tenant_id, kind=kind, subject=subject, defaults={"detail": dict(detail), "created_at": now}
    )
    if not made:
        BillingAlert.objects.filter(tenant_id=tenant_id, kind=kind, subject=subject).update(
            detail=dict(detail), resolved_at=None
        )
    if made or found.resolved_at is not None:
        log.error("billing_alert", extra={"tenant_id": str(tenant_id), "reason": kind, "subject": subject})


def each(tenant_ids: Iterable[UUID], work: Callable[[UUID], int], *, now: datetime) -> int:
    """The sum of what was done. What Stripe refuses to one tenant is an alert, and holds up no other."""
    done = 0
    for tenant_id in tenant_ids:
        try:
            done += work(tenant_id)
        except BillingRefused as error:
            with as_tenant(tenant_id):
                detail = {"problem": str(error)}
                alert(tenant_id=tenant_id, kind="stripe_refused", subject=error.reason, detail=detail, now=now)
    return done


def resolve(*, tenant_id: UUID, kind: str, now: datetime, but: list[str]) -> None:
    """All of a kind are over, but those."""
    found = BillingAlert.objects.filter(tenant_id=tenant_id, kind=kind, resolved_at=None)
    found.exclude(subject__in=but).update(resolved_at=now)
