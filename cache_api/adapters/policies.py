"""What does a project's Policy say, without asking the database each time?"""

import logging
import threading
import time
from dataclasses import dataclass
from uuid import UUID

import orjson

from cache_api.domain.policy import BadPolicy, Policy
from cache_api.ports import CacheUnavailable
from tenants import isolation

FRESH_SECONDS = 5.0
KEPT_SECONDS = 900.0  # while the database is away, the last known rules hold this long
READ_SECONDS = 0.05
PROJECTS_MAX = 10_000

_SELECT = "SELECT settings FROM policy WHERE tenant_id = %s AND project_id = %s"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    policy: Policy
    at: float


class Policies:
    """Safe in threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[UUID, UUID], _Known] = {}
        self._lock = threading.Lock()

    def of(self, tenant_id: UUID, project_id: UUID) -> Policy:
        """Raises CacheUnavailable if the rules were not read lately and cannot be read now."""
        key, now = (tenant_id, project_id), time.monotonic()
        known = self._known.get(key)
        if known is not None and now - known.at < FRESH_SECONDS:
            return known.policy
        try:
            rows = isolation.read(tenant_id, _SELECT, key, deadline_seconds=READ_SECONDS)
        except isolation.DatabaseUnavailable as error:
            if known is not None and now - known.at < KEPT_SECONDS:
                return known.policy
            raise CacheUnavailable(error.reason) from error
        policy = _built(rows[0][0], project_id) if rows else Policy()
        with self._lock:
            if len(self._known) >= PROJECTS_MAX:
                self._known.clear()
            self._known[key] = _Known(policy, now)
        return policy


def _built(settings: dict[str, object] | str, project_id: UUID) -> Policy:
    try:
        return Policy.build(orjson.loads(settings) if isinstance(settings, str) else settings)
    except (BadPolicy, TypeError):
        # Serving by rules nobody set would be a guess: pass the project's calls through until it is mended.
        log.error("policy_unreadable", extra={"project_id": str(project_id)})
        return Policy(mode="off")
