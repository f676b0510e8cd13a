"""How often did providers refuse? Best effort: an error is no answer, so it has no row in the ledger."""

import logging
import threading
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import orjson

from cache_api.domain.request import Request
from tenants import isolation

REPORT_SECONDS = 5.0
WRITE_SECONDS = 1.0
KINDS_MAX = 1_000  # of hour, project, model and status together; beyond it errors go uncounted until the next report

_Kind = tuple[UUID, datetime, UUID, str, str, int]

log = logging.getLogger(__name__)


class ErrorCounts:
    """Counts in memory; a timer adds them to the hour."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[_Kind] = Counter()
        self._timer: threading.Timer | None = None

    def note(self, request: Request, status: int) -> None:
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        caller = request.caller
        kind = (caller.tenant_id, hour, caller.project_id, request.target.provider, request.parsed.model, status)
        with self._lock:
            if kind in self._counts or len(self._counts) < KINDS_MAX:
                self._counts[kind] += 1
            if self._timer is None:
                self._timer = threading.Timer(REPORT_SECONDS, self.report)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self.report()

    def report(self) -> None:
        with self._lock:
            counts, self._counts, self._timer = self._counts, Counter(), None
        names = ("tenant_id", "hour", "project_id", "provider", "model", "status")
        rows = [dict(zip(names, kind, strict=True)) | {"errors": count} for kind, count in counts.items()]
        try:
            isolation.read_before_tenant(
                "SELECT error_put(%s::jsonb)", (orjson.dumps(rows).decode(),), deadline_seconds=WRITE_SECONDS
            )
        except isolation.DatabaseUnavailable:
            log.warning("errors_not_counted", extra={"rows": len(rows)})
