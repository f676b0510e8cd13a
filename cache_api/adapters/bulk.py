"""How are hundreds of entries written at once?

One statement for all of them: the arrays of a column each. Their vectors are laid aside, because the vector index takes
a hundred times as long for an entry as everything else; maintenance moves them in, so that the entries are served to
the same question at once and to similar ones as the index grows.
"""

import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from cache_api.adapters.store import COLUMN, plain_body, sealed_body
from cache_api.domain.entry import NewEntry
from tenants import vault

HALF_BYTES = 2


class Cursor(Protocol):
    def execute(self, sql: str, params: Any = None) -> Any: ...

    def fetchall(self) -> Sequence[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Imported:
    """An entry, and its vector as little-endian 16-bit floats if it brought one."""

    entry: NewEntry
    vector: bytes | None = None


_COLUMNS: Mapping[str, tuple[str, Callable[[NewEntry], Any]]] = {
    "id": ("uuid", lambda entry: entry.id),
    "fingerprint": ("bytea", lambda entry: entry.fingerprint),
    "scope": ("bytea", lambda entry: entry.scope),
    "caller_key": ("text", lambda entry: entry.caller_key),
    "namespace": ("text", lambda entry: entry.namespace),
    "provider": ("text", lambda entry: entry.provider),
    "model": ("text", lambda entry: entry.model),
    "endpoint": ("text", lambda entry: entry.endpoint),
    "source": ("text", lambda entry: entry.source),
    "matchable": ("boolean", lambda entry: entry.matchable),
    "usage": ("jsonb", lambda entry: orjson.dumps(entry.usage.as_dict()).decode()),
    "cost_usd": ("numeric", lambda entry: None if entry.cost_usd is None else str(entry.cost_usd)),
    "latency_ms": ("integer", lambda entry: entry.latency_ms),
    "metadata": ("jsonb", lambda entry: orjson.dumps(dict(entry.metadata)).decode()),
    "writer_id": ("uuid", lambda entry: entry.writer_id),
    "created_at": ("timestamptz", lambda entry: entry.created_at),
    "expires_at": ("timestamptz", lambda entry: entry.expires_at),
}
_NAMES = ", ".join(_COLUMNS)
_ARRAYS = ", ".join(f"%s::{kind}[]" for kind, _ in _COLUMNS.values())
# What was counted of an entry stays when it is imported again, and so does the vector of the same question.
_PUT = (
    f"INSERT INTO entry (tenant_id, project_id, body, size_bytes, {_NAMES}) "  # noqa: S608 (constants only)
    f"SELECT %s, %s, body, octet_length(body), {_NAMES} FROM unnest(%s::bytea[], {_ARRAYS}) AS given (body, {_NAMES}) "
    "ON CONFLICT (tenant_id, project_id, fingerprint) DO UPDATE SET quarantined = false, "
    + ", ".join(f"{name} = excluded.{name}" for name in ("body", "size_bytes", *_COLUMNS))
)
_THERE = (
    "SELECT fingerprint, id, body, expires_at, metadata::text, "
    "ARRAY(SELECT tag FROM entry_tag WHERE tenant_id = entry.tenant_id AND entry_id = entry.id) "
    "FROM entry WHERE tenant_id = %s AND project_id = %s AND fingerprint = ANY(%s) AND NOT quarantined"
)
_FORGET_LINKS = "DELETE FROM {table} WHERE tenant_id = %s AND entry_id = ANY(%s)"
_TAG = "INSERT INTO entry_tag (tenant_id, entry_id, tag) SELECT %s, * FROM unnest(%s::uuid[], %s::text[])"
_DEPEND = (
    "INSERT INTO entry_dependency (tenant_id, entry_id, name, version) "
    "SELECT %s, * FROM unnest(%s::uuid[], %s::text[], %s::text[])"
)
_LAY_ASIDE = (
    "INSERT INTO waiting_vector (tenant_id, entry_id, embedder, vector) "
    "SELECT %s, id, embedder, vector::halfvec "
    "FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS given (id, embedder, vector)"
)


def write(cursor: Cursor, tenant_id: UUID, project_id: UUID, imported: Sequence[Imported]) -> None:
    """In the transaction that is open. Of several with the same Fingerprint the last one stays."""
    last = {one.entry.fingerprint: one for one in imported}
    cursor.execute(_THERE, [tenant_id, project_id, list(last)])
    there = {bytes(fingerprint): row for fingerprint, *row in cursor.fetchall()}
    # What is there word for word stays as it is: writing it again would take its place in the index anew.
    new = [one for name, one in last.items() if name not in there or not _same(one.entry, *there[name])]
    if not new:
        return

    entries = [one.entry for one in new]
    columns = [[value(entry) for entry in entries] for _, value in _COLUMNS.values()]
    cursor.execute(_PUT, [tenant_id, project_id, [sealed_body(entry) for entry in entries], *columns])
    ids = [entry.id for entry in entries]
    for table in ("entry_tag", "entry_dependency"):
        cursor.execute(_FORGET_LINKS.format(table=table), [tenant_id, ids])
    if tags := [(entry.id, tag) for entry in entries for tag in dict.fromkeys(entry.tags)]:
        cursor.execute(_TAG, [tenant_id, *map(list, zip(*tags, strict=True))])
    if resting := [(entry.id, *_named(one)) for entry in entries for one in dict.fromkeys(entry.depends_on)]:
        cursor.execute(_DEPEND, [tenant_id, *map(list, zip(*resting, strict=True))])
    aside = [one for one in new if one.vector is not None and one.entry.fingerprint not in there]
    if vectors := [(one.entry.id, one.entry.embedder, _literal(one.vector or b"")) for one in aside]:
        cursor.execute(_LAY_ASIDE, [tenant_id, *map(list, zip(*vectors, strict=True))])


def _same(entry: NewEntry, entry_id: UUID, body: bytes, expires_at: datetime | None, metadata: str, tags: Any) -> bool:
    try:
        plain = vault.unseal(entry.tenant_id, bytes(body), column=COLUMN, row_id=entry_id)
    except vault.Corrupt:
        return False
    return (
        plain == plain_body(entry)
        and expires_at == entry.expires_at
        and orjson.loads(metadata) == entry.metadata
        and set(tags) == set(entry.tags)
    )


def half_vector(binary: bytes) -> bytes:
    """Little-endian 16-bit floats of pgvector's wire form: dimensions and a zero before them, all big-endian."""
    numbers = array("H", binary[2 * HALF_BYTES :])
    numbers.byteswap()
    return numbers.tobytes()


def _literal(vector: bytes) -> str:
    numbers = struct.unpack(f"<{len(vector) // HALF_BYTES}e", vector)
    return "[" + ",".join([f"{number:.5g}" for number in numbers]) + "]"


def _named(dependency: str) -> tuple[str, str]:
    name, _, version = dependency.partition("@")
    return name, version
