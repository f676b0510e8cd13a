"""Does every tenant's audit trail still hold together?"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import structlog

from tenants import audit, selectors
from tenants.isolation import as_tenant
from tenants.models import AuditHead

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trail:
    """How long a tenant's trail is, its last hash, and what does not fit."""

    tenant_id: UUID
    seq: int
    hash: str
    faults: list[str]


def trails() -> Iterator[Trail]:
    for tenant_id in selectors.tenant_ids():
        yield trail_of(tenant_id=tenant_id)


def trail_of(*, tenant_id: UUID, newest: int | None = None) -> Trail:
    """The whole of it, or so many rows at its end."""
    with as_tenant(tenant_id):
        # Held still: a row added meanwhile would look like one that was slipped in.
        head = AuditHead.objects.select_for_update().filter(tenant_id=tenant_id).first()
        faults = list(audit.faults(tenant_id=tenant_id, newest=newest))
    return Trail(tenant_id, head.seq if head else 0, bytes(head.hash).hex() if head else "", faults)


def log_trails() -> int:
    """Each head goes to the log, out of reach of whoever can change the tables; how many trails have faults."""
    broken = 0
    for trail in trails():
        log.info("audit_head", tenant_id=str(trail.tenant_id), seq=trail.seq, hash=trail.hash)
        if trail.faults:
            broken += 1
            log.error("audit_fault", tenant_id=str(trail.tenant_id), faults=trail.faults)
    return broken
