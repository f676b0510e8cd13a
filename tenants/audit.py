"""Who did what, and can anybody have changed the answer since?

    hash = SHA-256(hash of the row before || canonical row)

The canonical row is JSON with sorted keys, without spaces. A tenant's rows are numbered without a gap under a lock on
its head, inside the transaction of the act itself: what is not done is not told, and what is told was done.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from tenants.models import AuditEvent, AuditHead

FIRST_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person, a key, an operator, or CacheAI itself."""

    kind: str  # person, key, operator, system
    id: UUID | None = None
    address: str = ""


SYSTEM = Actor("system")


def record(
    *, tenant_id: UUID, actor: Actor, action: str, target: str = "", diff: Mapping[str, Any] | None = None
) -> None:
    """Add a row, inside the `as_tenant` of the act. `diff` is plain JSON: no text of a call, no secret."""
    AuditHead.objects.get_or_create(tenant_id=tenant_id)
    head = AuditHead.objects.select_for_update().get(tenant_id=tenant_id)
    event = AuditEvent(
        tenant_id=tenant_id,
        seq=head.seq + 1,
        at=datetime.now(UTC),
        actor_kind=actor.kind,
        actor_id=actor.id,
        address=actor.address,
        action=action,
        target=target,
        diff=dict(diff or {}),
    )
    event.hash = chained(bytes(head.hash), event)
    event.save(force_insert=True)
    AuditHead.objects.filter(tenant_id=tenant_id).update(seq=event.seq, hash=event.hash)


def chained(before: bytes, event: AuditEvent) -> bytes:
    row = {
        "tenant_id": str(event.tenant_id),
        "seq": event.seq,
        "at": event.at.isoformat(),
        "actor_kind": event.actor_kind,
        "actor_id": None if event.actor_id is None else str(event.actor_id),
        "address": event.address,
        "action": event.action,
        "target": event.target,
        "diff": event.diff,
    }
    canonical = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(before + canonical.encode()).digest()


def faults(*, tenant_id: UUID, newest: int | None = None) -> Iterator[str]:
    """What does not fit in a tenant's chain, or in so many rows at its end, in words; inside its `as_tenant`."""
    head = AuditHead.objects.filter(tenant_id=tenant_id).first()
    events = AuditEvent.objects.filter(tenant_id=tenant_id).order_by("seq")
    start = 0 if newest is None or head is None else max(0, head.seq - newest)
    anchor = events.filter(seq=start).first() if start else None
    expected, before = (1, FIRST_HASH) if anchor is None else (anchor.seq + 1, bytes(anchor.hash))
    for event in events.filter(seq__gte=expected).iterator():
        if event.seq != expected:
            yield f"row {expected} is missing"
        if chained(before, event) != bytes(event.hash):
            yield f"row {event.seq} was changed"
        expected, before = event.seq + 1, bytes(event.hash)
    if head is not None and (head.seq != expected - 1 or bytes(head.hash) != before):
        yield f"the last rows are missing: the chain ended at {head.seq}"
