"""How does the audit trail leave as a file?

Every column of a row is there, so that whoever has the file can check the chain without us.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, Literal
from uuid import UUID

from tenants import audit
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import AuditEvent
from tenants.selectors import EVERY_EVENT, AuditFilters, audit_rows

ROWS_AT_A_TIME = 500
COLUMNS = ("seq", "at", "actor_kind", "actor_id", "address", "action", "target", "diff", "hash")
# What a spreadsheet would take for a formula.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")

Kind = Literal["csv", "ndjson"]
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def audit_export(*, tenant_id: UUID, kind: Kind, actor: Actor, filters: AuditFilters = EVERY_EVENT) -> Iterator[str]:
    """The whole trail from its beginning, or what fits, in pieces. That it was taken stands in it."""
    with as_tenant(tenant_id):
        audit.record(tenant_id=tenant_id, actor=actor, action="audit.export", diff={"format": kind})
    return _pieces(tenant_id, kind, filters)


def _pieces(tenant_id: UUID, kind: Kind, filters: AuditFilters) -> Iterator[str]:
    if kind == "csv":
        yield _line(COLUMNS)
    last = 0
    while True:
        with as_tenant(tenant_id):
            found = audit_rows(tenant_id, filters).filter(seq__gt=last).order_by("seq")
            rows = [_row(event) for event in found[:ROWS_AT_A_TIME]]
        if not rows:
            return
        if kind == "csv":
            yield "".join(_line(_cell(row[name]) for name in COLUMNS) for row in rows)
        else:
            yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        last = rows[-1]["seq"]


def _row(event: AuditEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "actor_kind": event.actor_kind,
        "actor_id": None if event.actor_id is None else str(event.actor_id),
        "address": event.address,
        "action": event.action,
        "target": event.target,
        "diff": event.diff,
        "hash": bytes(event.hash).hex(),
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(FORMULAS) else text


def _line(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
