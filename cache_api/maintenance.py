"""What goes, and what is filled in, by itself?"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import orjson
from redis import Redis
from redis.exceptions import RedisError

from cache_api.adapters import blocklist
from cache_api.adapters.bulk import half_vector_literal
from cache_api.adapters.embedding_queue import BACKGROUND_BATCH
from cache_api.adapters.store import COLUMN, vector_literal
from cache_api.adapters.used import BYTES, ENTRIES, set_used
from cache_api.domain.entry import Vector
from cache_api.ports import CacheUnavailable
from tenants import vault
from tenants.isolation import as_owner

ENTRIES_PER_TRANSACTION = 1_000
MOVED_AT_A_TIME = 25  # vectors, into an index that takes some milliseconds for each: others wait no longer
ENTRIES_OPENED_AT_A_TIME = 20  # a body may be a megabyte
EMBED_SECONDS = 10.0
FILL_SECONDS = 20.0  # the clock calls again soon; other work comes in between
PROBE_TEXT = "ready"
SURPLUS_KEPT = timedelta(days=14)
EVICTED_AT_A_TIME = 20_000  # of one tenant in one run
EVICT_SECONDS = 60.0  # then the queue's other tasks come in between

log = logging.getLogger(__name__)

# Stale entries may stand in for a failing provider, if a policy allows it: for 30 days at most.
_EXPIRED = """
DELETE FROM entry WHERE (tenant_id, id) IN (
  SELECT entry.tenant_id, entry.id FROM entry LEFT JOIN policy USING (tenant_id, project_id)
  WHERE entry.expires_at < %(now)s
    - make_interval(secs => coalesce((policy.settings->>'stale_on_error_seconds')::float, 0))
  LIMIT %(limit)s FOR UPDATE OF entry SKIP LOCKED)
"""

_WAITING = """
SELECT tenant_id, id, body FROM entry
WHERE {which} AND matchable AND NOT quarantined AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY tenant_id, id LIMIT %(limit)s
"""
_UNEMBEDDED = _WAITING.format(
    which="vector IS NULL AND NOT EXISTS (SELECT FROM waiting_vector AS laid_aside"
    " WHERE laid_aside.tenant_id = entry.tenant_id AND laid_aside.entry_id = entry.id)"
)
# Two ranges, which an index can find; "not this one" would read the whole table.
_OUTDATED = _WAITING.format(which="(embedder < %(version)s OR embedder > %(version)s) AND vector IS NOT NULL")
_MOVE_IN = (
    "UPDATE entry SET vector = %s::halfvec, embedder = %s "
    "WHERE tenant_id = %s AND id = %s AND vector IS NULL AND matchable"
)
_FILL = "UPDATE entry SET vector = %s::halfvec, embedder = %s WHERE tenant_id = %s AND id = %s"
_LISTED_UNEMBEDDED = """
SELECT tenant_id, project_id, id, digest, body FROM blocklist_entry
WHERE embedder <> %(version)s AND expires_at > %(now)s
"""
_FILL_LISTED = (
    "UPDATE blocklist_entry SET vector = %s::halfvec, embedder = %s "
    "WHERE tenant_id = %s AND project_id = %s AND id = %s"
)
# Imported entries brought theirs. Whatever became of an entry meanwhile, its vector waits no longer.
_LAID_ASIDE = """
DELETE FROM waiting_vector WHERE (tenant_id, entry_id) IN (
  SELECT tenant_id, entry_id FROM waiting_vector LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING vector, embedder, tenant_id, entry_id
"""
_SET_ASIDE = "UPDATE entry SET quarantined = true WHERE tenant_id = %s AND id = %s"
_UNMATCHABLE = "UPDATE entry SET matchable = false WHERE tenant_id = %s AND id = %s"


# One statement for all tenants: whose limits are lower than a minute ago gets time.
_NOTE_LIMITS = """
INSERT INTO storage_limit AS kept (tenant_id, entries_max, bytes_max)
SELECT id, entries_max, bytes_max FROM tenant
ON CONFLICT (tenant_id) DO UPDATE SET entries_max = excluded.entries_max, bytes_max = excluded.bytes_max,
  surplus_until = CASE WHEN excluded.entries_max < kept.entries_max
    OR coalesce(excluded.bytes_max, 9223372036854775807) < coalesce(kept.bytes_max, 9223372036854775807)
    THEN %(surplus_until)s END
WHERE (kept.entries_max, kept.bytes_max) IS DISTINCT FROM (excluded.entries_max, excluded.bytes_max)
"""
# Counted from an index, sizes too; those are added up only where a limit asks for them.
_STORED = """
SELECT held.tenant_id, held.entries_max, held.bytes_max, held.surplus_until, coalesce(counted.entries, 0),
  CASE WHEN held.bytes_max IS NULL THEN 0 ELSE
    (SELECT coalesce(sum(size_bytes), 0)::bigint FROM entry WHERE entry.tenant_id = held.tenant_id) END
FROM storage_limit AS held
LEFT JOIN (SELECT tenant_id, count(*) AS entries FROM entry GROUP BY tenant_id) AS counted USING (tenant_id)
"""
_NO_SURPLUS = "UPDATE storage_limit SET surplus_until = NULL WHERE tenant_id = %(tenant)s"
_LEAST_LATELY_USED = """
SELECT id, size_bytes FROM entry WHERE tenant_id = %s ORDER BY coalesce(last_hit_at, created_at), id LIMIT %s
"""
_EVICT = "DELETE FROM entry WHERE tenant_id = %(tenant)s AND id = ANY(%(ids)s)"


@dataclass(frozen=True, slots=True)
class Stored:
    """What a tenant has stored, and what its plan allows."""

    tenant_id: UUID
    entries_max: int
    bytes_max: int | None
    surplus_until: datetime | None
    entries: int
    bytes: int  # 0 where nothing limits them

    @property
    def entries_over(self) -> int:
        return max(0, self.entries - self.entries_max)

    @property
    def bytes_over(self) -> int:
        return 0 if self.bytes_max is None else max(0, self.bytes - self.bytes_max)

    @property
    def is_over(self) -> bool:
        return self.entries_over > 0 or self.bytes_over > 0


class Embedder(Protocol):
    def embed_many(self, texts: Sequence[str], deadline_seconds: float) -> list[Vector]: ...


def fill_vectors(embedder: Embedder, now: datetime, *, others_wait: Callable[[], bool] = lambda: False) -> int:
    """Embed what was stored or listed without a vector, or by another embedder; how many.

    Nobody waits for it: it ends as soon as there is work that somebody waits for.
    """
    ends = time.monotonic() + FILL_SECONDS
    filled = _moved_in(ends - EMBED_SECONDS, others_wait)  # what has to be embedded has its turn, too
    try:
        version = embedder.embed_many([PROBE_TEXT], EMBED_SECONDS)[0].embedder  # another than a minute ago, perhaps
        filled += _fill_blocklist(embedder, now, version)
        for which in (_UNEMBEDDED, _OUTDATED):
            while time.monotonic() < ends and not others_wait() and (waiting := _waiting(which, now, version)):
                filled += _fill(embedder, waiting)
    except CacheUnavailable as error:
        log.info("vectors_wait", extra={"reason": error.reason, "filled": filled})
    return filled


def _moved_in(ends: float, others_wait: Callable[[], bool]) -> int:
    """Vectors that were laid aside; how many. A few at a time: each has its place in the index to be found."""
    total = 0
    while time.monotonic() < ends and not others_wait():
        with as_owner() as connection, connection.cursor() as cursor:
            cursor.execute(_LAID_ASIDE, [MOVED_AT_A_TIME])
            rows = cursor.fetchall()
            cursor.executemany(_MOVE_IN, [(half_vector_literal(bytes(vector)), *rest) for vector, *rest in rows])
        if not rows:
            break
        total += len(rows)
    return total


def _waiting(which: str, now: datetime, version: str) -> list[tuple[UUID, UUID, bytes]]:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(which, {"now": now, "version": version, "limit": ENTRIES_OPENED_AT_A_TIME})
        rows: list[tuple[UUID, UUID, bytes]] = cursor.fetchall()
        return rows


def _fill(embedder: Embedder, waiting: Sequence[tuple[UUID, UUID, bytes]]) -> int:
    """Each comes out filled or set aside, so that it is not met again. Raises CacheUnavailable."""
    questions: dict[tuple[UUID, UUID], str] = {}
    for tenant_id, entry_id, body in waiting:
        try:
            text: Mapping[str, Any] = orjson.loads(vault.unseal(tenant_id, bytes(body), column=COLUMN, row_id=entry_id))
        except vault.Corrupt:
            _write(_SET_ASIDE, [(tenant_id, entry_id)])
        except vault.VaultUnavailable as error:
            raise CacheUnavailable(error.reason) from error
        else:
            if question := text.get("question"):
                questions[tenant_id, entry_id] = question
            else:
                _write(_UNMATCHABLE, [(tenant_id, entry_id)])

    keys = list(questions)
    for start in range(0, len(keys), BACKGROUND_BATCH):
        some = keys[start : start + BACKGROUND_BATCH]
        vectors = embedder.embed_many([questions[key] for key in some], EMBED_SECONDS)
        rows = zip(some, vectors, strict=True)
        _write(_FILL, [(vector_literal(vector), vector.embedder, *key) for key, vector in rows])
    return len(keys)


def _fill_blocklist(embedder: Embedder, now: datetime, version: str) -> int:
    """One at a time: there are few, and what blocks is worth more than what saves. Raises CacheUnavailable."""
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(_LISTED_UNEMBEDDED, {"now": now, "version": version})
        waiting = cursor.fetchall()
    for tenant_id, project_id, number, digest, body in waiting:
        try:
            query = blocklist.opened(tenant_id, digest, bytes(body))["query"]
        except vault.VaultUnavailable as error:
            raise CacheUnavailable(error.reason) from error
        (vector,) = embedder.embed_many([query], EMBED_SECONDS)
        _write(_FILL_LISTED, [(vector_literal(vector), vector.embedder, tenant_id, project_id, number)])
    return len(waiting)


def _write(sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.executemany(sql, rows)


def hold_to_limits(redis: Redis, now: datetime) -> int:
    """Bring every tenant back to the entries and bytes its plan allows, the least lately used first; how many went.

    What a lowered plan leaves too much is kept two weeks. The true numbers go to the web processes.
    """
    _run(_NOTE_LIMITS, {"now": now, "surplus_until": now + SURPLUS_KEPT})
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(_STORED)
        stored = [Stored(*row) for row in cursor.fetchall()]
    ends, removed = time.monotonic() + EVICT_SECONDS, 0
    pipe = redis.pipeline(transaction=False)
    for one in stored:
        gone, freed = 0, 0
        if not one.is_over:
            if one.surplus_until is not None:
                _run(_NO_SURPLUS, {"tenant": one.tenant_id})
        elif (one.surplus_until is None or one.surplus_until <= now) and time.monotonic() < ends:
            gone, freed = _evict(one)
        removed += gone
        set_used(pipe, one.tenant_id, {ENTRIES: one.entries - gone, BYTES: one.bytes - freed})
    with suppress(RedisError):  # Then the processes go on with what they know.
        pipe.execute()
    return removed


def _evict(stored: Stored) -> tuple[int, int]:
    """How many entries, and their bytes."""
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(_LEAST_LATELY_USED, [stored.tenant_id, EVICTED_AT_A_TIME])
        oldest = cursor.fetchall()
    gone: list[UUID] = []
    freed = 0
    for entry_id, size in oldest:
        if len(gone) >= stored.entries_over and freed >= stored.bytes_over:
            break
        gone.append(entry_id)
        freed += size
    for start in range(0, len(gone), ENTRIES_PER_TRANSACTION):
        _run(_EVICT, {"tenant": stored.tenant_id, "ids": gone[start : start + ENTRIES_PER_TRANSACTION]})
    return len(gone), freed


def _run(sql: str, values: Mapping[str, Any]) -> None:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(sql, values)


def expire(now: datetime) -> int:
    """Remove the entries and the pending misses whose time is over; how many."""
    removed = 0
    while count := _delete(_EXPIRED, now):
        removed += count
    removed += _delete("DELETE FROM blocklist_entry WHERE expires_at < %(now)s", now)
    return removed + _delete("DELETE FROM pending_miss WHERE expires_at < %(now)s", now)


def _delete(sql: str, now: datetime) -> int:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(sql, {"now": now, "limit": ENTRIES_PER_TRANSACTION})
        return int(cursor.rowcount)
