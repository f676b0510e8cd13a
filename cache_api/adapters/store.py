"""Which stored answers are there for a Request? The exact read, the only vector query, and the write."""

import logging
import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from cache_api.adapters.breaker import Breaker
from cache_api.domain.entry import SYNTHESIZED, Candidate, Entry, NewEntry, Vector
from cache_api.domain.evidence import Check
from cache_api.domain.request import Caller, Request
from cache_api.domain.usage import Usage
from cache_api.ports import CacheUnavailable
from tenants import isolation, vault

READ_SECONDS = 0.05
READ_MANY_SECONDS = 0.25  # a list of 2,048 vectors is some 16 MB
WRITE_SECONDS = 0.1
WRITTEN_AT_ONCE = 64  # of many entries, in one message: so each stays well within its deadline
COLUMN = "entry.body"
BYTEA = 17  # the type's number in every PostgreSQL

_NOTHING_TOLD = (False, None, None, None)
_UNDER = "SELECT body, endpoint, scope FROM entry WHERE tenant_id = %s AND id = %s AND NOT quarantined"
_QUARANTINE = "UPDATE entry SET quarantined = true WHERE tenant_id = %s AND id = %s"

_WRITTEN = [
    "tenant_id",
    "id",
    "project_id",
    "fingerprint",
    "scope",
    "caller_key",
    "namespace",
    "provider",
    "model",
    "endpoint",
    "source",
    "embedder",
    "vector",
    "matchable",
    "quarantined",
    "body",
    "size_bytes",
    "usage",
    "cost_usd",
    "latency_ms",
    "metadata",
    "writer_id",
    "created_at",
    "expires_at",
    "hits",
    "saved_usd",
    "alias_of",
]
_PUT = f"INSERT INTO entry ({', '.join(_WRITTEN)}) VALUES "  # noqa: S608
_ROW = f"({', '.join(['%s'] * 12)}, %s::halfvec, %s, false, {', '.join(['%s'] * 9)}, 0, 0, NULL)"
_REPLACING = " ON CONFLICT (tenant_id, project_id, fingerprint) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _WRITTEN if name not in {"tenant_id", "project_id"}
)
_FORGET_LINKS = (
    "DELETE FROM entry_tag WHERE tenant_id = %s AND entry_id = ANY(%s); "
    "DELETE FROM entry_dependency WHERE tenant_id = %s AND entry_id = ANY(%s)"
)
_TAG = "INSERT INTO entry_tag (tenant_id, entry_id, tag) VALUES (%s, %s, %s)"
_DEPEND = "INSERT INTO entry_dependency (tenant_id, entry_id, name, version) VALUES (%s, %s, %s, %s)"

log = logging.getLogger(__name__)


class PostgresStore:
    """The Store port. A full disk takes no entry and still gives those it has: writes have a breaker of their own."""

    def __init__(
        self,
        *,
        reads: Breaker,
        writes: Breaker,
        stored: Callable[[Sequence[NewEntry]], None] = lambda entries: None,
    ) -> None:
        self._reads, self._writes = reads, writes
        self._stored = stored  # counts them

    def find_exact(self, request: Request) -> Entry | None:
        """The entry under the Request's Fingerprint, expired or not. Raises CacheUnavailable."""
        caller = request.caller
        rows = self._call(caller.tenant_id, "entry_exact", (caller.project_id, binary_array([request.fingerprint])))
        return self._entry(caller.tenant_id, rows[0]) if rows else None

    def search(
        self, request: Request, vector: Vector, *, limit: int, at_least: float = -1.0, checked: bool = False
    ) -> list[Candidate]:
        """The nearest live entries of the Request's Scope, nearest first. Raises CacheUnavailable.

        Those under the cosine `at_least` are left out, but for the nearest of all, which explains a miss: opening an
        entry costs as much as comparing a thousand. With `checked`, what was said of them comes along.
        """
        caller = request.caller
        values = (
            caller.project_id,
            request.scope,
            vector.embedder,
            request.fingerprint,
            binary_vector(vector),
            limit,
        )
        rows = self._call(caller.tenant_id, "entry_near", values)
        near_enough = [row for place, row in enumerate(rows) if not place or 1 - row[-1] >= at_least]
        found = ((self._entry(caller.tenant_id, row[:-2]), 1 - row[-1], row[-2]) for row in near_enough)
        candidates = [Candidate(entry, near, wrong) for entry, near, wrong in found if entry is not None]
        return self._checked(caller, candidates, vector) if checked and candidates else candidates

    def _checked(self, caller: Caller, candidates: Sequence[Candidate], vector: bytes) -> list[Candidate]:
        ids = b"".join([candidate.entry.id.bytes for candidate in candidates])
        rows = self._call(caller.tenant_id, "entry_checks", (caller.project_id, ids, binary_vector(vector)))
        told = {row[0]: row[1:] for row in rows}
        return [_with_checks(candidate, *told.get(candidate.entry.id, _NOTHING_TOLD)) for candidate in candidates]

    def put(self, entry: NewEntry) -> UUID:
        """Store it, in the place of one with the same Fingerprint. Raises CacheUnavailable."""
        self._write(entry.tenant_id, *put_statement([entry]))
        self._stored([entry])
        return entry.id

    def find_many(self, caller: Caller, fingerprints: Sequence[bytes]) -> dict[bytes, Entry]:
        """The entries under these Fingerprints, expired or not. Raises CacheUnavailable."""
        values = (caller.project_id, binary_array(fingerprints))
        rows = self._call(caller.tenant_id, "entry_exact", values, deadline_seconds=READ_MANY_SECONDS)
        entries = ((bytes.fromhex(row[2]), self._entry(caller.tenant_id, row)) for row in rows)
        return {fingerprint: entry for fingerprint, entry in entries if entry is not None}

    def put_many(self, entries: Sequence[NewEntry]) -> None:
        """Store them all, each in the place of one with the same Fingerprint. Raises CacheUnavailable."""
        for start in range(0, len(entries), WRITTEN_AT_ONCE):
            self._write(entries[start].tenant_id, *put_statement(entries[start : start + WRITTEN_AT_ONCE]))
        self._stored(entries)

    def _call(
        self, tenant_id: UUID, function: str, values: Sequence[Any], *, deadline_seconds: float = READ_SECONDS
    ) -> list[tuple[Any, ...]]:
        with self._reads.watch():
            try:
                return isolation.call(tenant_id, function, values, deadline_seconds=deadline_seconds)
            except isolation.DatabaseUnavailable as error:
                raise CacheUnavailable(error.reason) from error

    def _write(self, tenant_id: UUID, statement: str, values: Sequence[Any]) -> None:
        with self._writes.watch():
            try:
                isolation.write(tenant_id, statement, values, deadline_seconds=WRITE_SECONDS)
            except isolation.DatabaseUnavailable as error:
                raise CacheUnavailable(error.reason) from error

    def _entry(self, tenant_id: UUID, row: Sequence[Any]) -> Entry | None:
        """None for an entry that cannot be read: it is set aside, and the call is a miss."""
        try:
            return entry_of_row(tenant_id, row)
        except vault.Corrupt:
            log.warning("entry_quarantined", extra={"entry_id": str(row[0])})
            try:
                isolation.write(tenant_id, _QUARANTINE, (tenant_id, row[0]), deadline_seconds=WRITE_SECONDS)
            except isolation.DatabaseUnavailable:
                log.warning("quarantine_not_written")
            return None
        except vault.VaultUnavailable as error:
            raise CacheUnavailable from error


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it lies there, whoever may see it."""

    question: str | None
    answer: dict[str, Any]
    endpoint: str
    scope: bytes


def entry_under(tenant_id: UUID, entry_id: UUID) -> Kept | None:
    """None: it is gone, or cannot be read. Raises CacheUnavailable."""
    try:
        rows = isolation.read(tenant_id, _UNDER, (tenant_id, entry_id), deadline_seconds=READ_MANY_SECONDS)
        if not rows:
            return None
        body, endpoint, scope = rows[0]
        text = orjson.loads(vault.unseal(tenant_id, body, column=COLUMN, row_id=entry_id))
    except isolation.DatabaseUnavailable as error:
        raise CacheUnavailable(error.reason) from error
    except vault.Corrupt:
        return None
    return Kept(text["question"], text["answer"], endpoint, scope)


def _with_checks(
    candidate: Candidate,
    known_wrong: bool,
    similarities: Sequence[float] | None,
    rights: Sequence[bool] | None,
    trusts: Sequence[float] | None,
) -> Candidate:
    checks = tuple(map(Check, similarities or (), rights or (), trusts or ()))
    return replace(candidate, known_wrong=candidate.known_wrong or known_wrong, checks=checks)


def entry_of_row(tenant_id: UUID, row: Sequence[Any]) -> Entry:
    """Raises vault.Corrupt or vault.VaultUnavailable."""
    (entry_id, body, fingerprint, caller_key, provider, model, usage, cost, latency, created, expires, matchable) = row
    text = orjson.loads(vault.unseal(tenant_id, body, column=COLUMN, row_id=entry_id))
    return Entry(
        id=entry_id,
        cache_key=caller_key or fingerprint,
        question=text["question"],
        answer=text["answer"],
        provider=provider,
        model=model,
        usage=Usage(**orjson.loads(usage)),
        cost_usd=cost,
        latency_ms=latency,
        created_at=datetime.fromtimestamp(created, UTC),
        expires_at=None if expires is None else datetime.fromtimestamp(expires, UTC),
        matchable=matchable,
        synthesized=SYNTHESIZED in text,
    )


def plain_body(entry: NewEntry) -> bytes:
    text: dict[str, Any] = {"question": entry.question, "request": entry.request, "answer": entry.answer}
    if entry.source == SYNTHESIZED:
        text[SYNTHESIZED] = True  # beside the column: a look-up reads only what it must
    return orjson.dumps(text)


def sealed_body(entry: NewEntry, plain: bytes) -> bytes:
    """Its `plain_body`, sealed. Raises CacheUnavailable."""
    try:
        return vault.seal(entry.tenant_id, plain, column=COLUMN, row_id=entry.id)
    except vault.VaultUnavailable as error:
        raise CacheUnavailable from error


def put_statement(entries: Sequence[NewEntry]) -> tuple[str, list[Any]]:
    """One message that writes entries of one tenant with their tags and dependencies."""
    tenant_id, ids = entries[0].tenant_id, [entry.id for entry in entries]
    statements = [_PUT + ", ".join([_ROW] * len(entries)) + _REPLACING, _FORGET_LINKS]
    values = [value for entry in entries for value in _row_of(entry)]
    values += [tenant_id, ids, tenant_id, ids]
    for entry in entries:
        for tag in entry.tags:
            statements.append(_TAG)
            values += [tenant_id, entry.id, tag]
        for dependency in entry.depends_on:
            name, _, version = dependency.partition("@")
            statements.append(_DEPEND)
            values += [tenant_id, entry.id, name, version]
    return "; ".join(statements), values


def _row_of(entry: NewEntry) -> list[Any]:
    body = sealed_body(entry, plain_body(entry))
    return [
        entry.tenant_id,
        entry.id,
        entry.project_id,
        entry.fingerprint,
        entry.scope,
        entry.caller_key,
        entry.namespace,
        entry.provider,
        entry.model,
        entry.endpoint,
        entry.source,
        "" if entry.vector is None else entry.vector.embedder,
        None if entry.vector is None else vector_literal(entry.vector),
        entry.matchable,
        body,
        len(body),
        orjson.dumps(entry.usage.as_dict()).decode(),
        entry.cost_usd,
        entry.latency_ms,
        orjson.dumps(dict(entry.metadata)).decode(),
        entry.writer_id,
        entry.created_at,
        entry.expires_at,
    ]


def vector_literal(vector: bytes) -> str:
    """pgvector's text form of little-endian float32 bytes; halfvec keeps 11 bits, so five digits lose nothing."""
    return "[" + ",".join([f"{number:.5g}" for number in array("f", vector)]) + "]"


def binary_vector(vector: bytes) -> bytes:
    """pgvector's wire form of a halfvec: dimensions and a zero as 16 bits each, then 16-bit floats, all big-endian."""
    numbers = array("f", vector)
    return struct.pack(f">HH{len(numbers)}e", len(numbers), 0, *numbers)


def binary_array(items: Sequence[bytes]) -> bytes:
    """PostgreSQL's wire form of a bytea[]: dimensions, no nulls, type, size, lower bound; then each with its length."""
    head = struct.pack(">iiIii", 1, 0, BYTEA, len(items), 1)
    return head + b"".join([part for item in items for part in (len(item).to_bytes(4, "big"), item)])
