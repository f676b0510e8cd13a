"""What must an operator look at?"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from billing.models import BillingAlert

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


def resolve(*, tenant_id: UUID, kind: str, now: datetime, but: list[str]) -> None:
    """All of a kind are over, but those."""
    found = BillingAlert.objects.filter(tenant_id=tenant_id, kind=kind, resolved_at=None)
    found.exclude(subject__in=but).update(resolved_at=now)
