"""Which questions are not to be answered in a project?

A question is found by its keyed digest, or by its vector among all of the project: there are few.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db.models import F, QuerySet
from django.utils import timezone

from cache_api.adapters.breaker import Breaker
from cache_api.adapters.catalogue import Place, guarded, tell
from cache_api.adapters.store import vector_literal
from cache_api.domain.blocklist import ENTRIES_MAX, FALSE_POSITIVES_MAX, FLOOR, SAME, Match, digest_of
from cache_api.domain.entry import Vector
from cache_api.domain.request import Caller
from cache_api.models import BlocklistEntry
from cache_api.ports import CacheUnavailable
from tenants import isolation, vault
from tenants.audit import Actor
from tenants.isolation import as_tenant

T = TypeVar("T")

MATCH_SECONDS = 0.05
COUNT_SECONDS = 0.05
ADD_SECONDS = 2.0  # no model call waits for it
COLUMN = "blocklist_entry.body"

_OWN = "tenant_id = %s AND project_id = %s"
_LIVE = f"blocklist_entry WHERE {_OWN} AND expires_at > now()"
_LIKENESS = "CASE WHEN digest = ANY(%s) THEN 1 WHEN embedder = %s THEN 1 - (vector <=> %s::halfvec) END"
_NEAREST = (
    f"SELECT {_LIKENESS} AS likeness, id, digest, body, category, severity, hit_count FROM {_LIVE} "  # noqa: S608
    "ORDER BY likeness DESC NULLS LAST LIMIT 1"
)
_COUNT = f"UPDATE blocklist_entry SET hit_count = hit_count + 1 WHERE {_OWN} AND id = %s"  # noqa: S608

# The number is taken first: who adds at the same time waits for it, and then sees what was added.
_ADD = (
    "INSERT INTO blocklist_number (tenant_id, project_id, last) VALUES (%s, %s, 1) "  # noqa: S608 (constants only)
    "ON CONFLICT (tenant_id, project_id) DO UPDATE SET last = blocklist_number.last + 1; "
    f"DELETE FROM blocklist_entry WHERE {_OWN} AND expires_at <= now(); "
    "INSERT INTO blocklist_entry (tenant_id, project_id, id, digest, embedder, vector, body, category, severity, "
    "key_id, expires_at) SELECT %s, %s, last, %s, %s, %s::halfvec, %s, %s, %s, %s, now() + %s "
    f"FROM blocklist_number WHERE {_OWN} AND (SELECT count(*) FROM {_LIVE}) < %s "
    f"AND NOT EXISTS (SELECT FROM {_LIVE} AND {_LIKENESS} >= %s) RETURNING id"
)

log = logging.getLogger(__name__)


class Full(Exception):
    """The project's blocklist is full."""


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """What is put on the list."""

    query: str
    reason: str
    category: str
    severity: int
    metadata: Mapping[str, Any]
    kept: timedelta


@dataclass(frozen=True, slots=True)
class Listed:
    """A question as it is on the list."""

    id: int
    query: str
    reason: str
    category: str
    severity: int
    metadata: Mapping[str, Any]
    hit_count: int
    false_positives: int
    created_at: datetime
    expires_at: datetime


class PostgresBlocklist:
    """The Blocklist port, and what those who look after a project do with it."""

    def __init__(self, *, breaker: Breaker) -> None:
        self._breaker = breaker

    # -- on a model call's path

    def match(self, caller: Caller, texts: Sequence[str], vector: Vector | None) -> Match | None:
        """The live listed question that is one of the texts, or else the nearest to the vector, from the floor up.

        The vector is the first text's. Raises CacheUnavailable.
        """
        place = (caller.tenant_id, caller.project_id)
        with self._breaker.watch():
            try:
                sought = self._sought(caller.tenant_id, texts, vector)
                rows = isolation.read(caller.tenant_id, _NEAREST, (*sought, *place), deadline_seconds=MATCH_SECONDS)
            except isolation.DatabaseUnavailable as error:
                raise CacheUnavailable(error.reason) from error
        if not rows or rows[0][0] is None or rows[0][0] < FLOOR:
            return None
        likeness, number, digest, body, category, severity, hit_count = rows[0]
        said = opened(caller.tenant_id, bytes(digest), bytes(body))
        return Match(number, said["query"], said["reason"], category, severity, float(likeness), hit_count)

    def count(self, caller: Caller, match: Match) -> None:
        """One more call met it. Never raises."""
        values = (caller.tenant_id, caller.project_id, match.id)
        try:
            isolation.write(caller.tenant_id, _COUNT, values, deadline_seconds=COUNT_SECONDS)
        except isolation.DatabaseUnavailable as error:
            log.warning("block_not_counted", extra={"reason": error.reason})

    # -- for those who look after a project; all raise DatabaseUnavailable

    def add(self, place: Place, question: NewQuestion, vector: Vector | None) -> tuple[int, bool]:
        """The number, and whether it is new: of what means the same there is one. Raises Full."""
        own = (place.tenant_id, place.project_id)
        sought = self._sought(place.tenant_id, [question.query], vector)
        _, embedder, literal = sought
        digest = digest_of(vault.digest_key(place.tenant_id), question.query)
        said = {"query": question.query, "reason": question.reason, "metadata": question.metadata}
        body = vault.seal(place.tenant_id, orjson.dumps(said), column=COLUMN, row_id=_row_id(digest))
        columns = (digest, embedder, literal, body, question.category, question.severity, place.key_id, question.kept)
        values = (*own, *own, *own, *columns, *own, *own, ENTRIES_MAX, *own, *sought, SAME)
        if rows := isolation.write(place.tenant_id, _ADD, values, deadline_seconds=ADD_SECONDS):
            return rows[0][0], True

        nearest = isolation.read(place.tenant_id, _NEAREST, (*sought, *own), deadline_seconds=ADD_SECONDS)
        if not nearest or nearest[0][0] is None or nearest[0][0] < SAME:
            raise Full(f"The blocklist holds {ENTRIES_MAX} questions: remove some first.")
        return nearest[0][1], False

    def _sought(
        self, tenant_id: UUID, texts: Sequence[str], vector: Vector | None
    ) -> tuple[list[bytes], str, str | None]:
        key = vault.digest_key(tenant_id)
        digests = [digest_of(key, text) for text in texts]
        return (digests, "", None) if vector is None else (digests, vector.embedder, vector_literal(vector))


def listed(place: Place, *, category: str | None, limit: int) -> list[Listed]:
    """The newest first."""
    found = _live(place).order_by("-id").defer("vector")
    with_category = found if category is None else found.filter(category=category)
    return [_listed(place.tenant_id, row) for row in _read(place, lambda: list(with_category[:limit]))]


def remove(place: Place, number: int, *, actor: Actor | None = None) -> bool:
    """False if it is not on the list. Of a person's removal the audit trail tells."""

    def removed() -> bool:
        gone = bool(_live(place).filter(id=number).delete()[0])
        if gone and actor is not None:
            tell(place, actor, "blocklist.remove", target=str(number))
        return gone

    return _read(place, removed)


def report_false_positive(place: Place, number: int) -> int | None:
    """How many reports there are of it now; None if it is not on the list. The fifth takes it off."""

    def report() -> int | None:
        found = _live(place).filter(id=number)
        if not found.update(false_positives=F("false_positives") + 1):
            return None
        reports: int = found.values_list("false_positives", flat=True)[0]
        if reports >= FALSE_POSITIVES_MAX:
            found.delete()
        return reports

    return _read(place, report)


def _live(place: Place) -> QuerySet[BlocklistEntry]:
    return BlocklistEntry.objects.filter(
        tenant_id=place.tenant_id, project_id=place.project_id, expires_at__gt=timezone.now()
    )


def _read(place: Place, read: Callable[[], T]) -> T:
    def as_its_tenant() -> T:
        with as_tenant(place.tenant_id):
            return read()

    return guarded(as_its_tenant)


def _listed(tenant_id: UUID, row: BlocklistEntry) -> Listed:
    said = opened(tenant_id, bytes(row.digest), bytes(row.body))
    return Listed(
        id=row.id,
        query=said["query"],
        reason=said["reason"],
        category=row.category,
        severity=row.severity,
        metadata=said["metadata"],
        hit_count=row.hit_count,
        false_positives=row.false_positives,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def opened(tenant_id: UUID, digest: bytes, body: bytes) -> dict[str, Any]:
    """What cannot be read any more goes on blocking."""
    try:
        said = vault.unseal(tenant_id, body, column=COLUMN, row_id=_row_id(digest))
    except vault.Corrupt:
        log.warning("blocklist_entry_unreadable")
        return {"query": "", "reason": "", "metadata": {}}
    opened: dict[str, Any] = orjson.loads(said)
    return opened


def _row_id(digest: bytes) -> UUID:
    return UUID(bytes=digest[:16])
