"""How are hundreds of entries written at once?

One statement for all of them. Their vectors are laid aside, because the vector index takes
a hundred times as long for an entry as everything else; maintenance moves them in, so that the entries are served to
the same question at once and to similar ones as the index grows.
"""

import struct
from array import array
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import orjson

from cache_api.adapters.store import COLUMN, plain_body
from cache_api.domain.entry import NewEntry
from tenants import vault

HALF_BYTES = 2


class Cursor(Protocol):
    def execute(self, sql: str, params: Any = None) -> Any: ...

    def fetchall(self) -> Sequence[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Imported:
    """An entry, and what of its own it brought: its age, its end, and maybe its vector."""

    line: int
    entry: NewEntry
    created_at: datetime
    expires_at: datetime | None
    metadata: Mapping[str, Any]
    vector: str  # little-endian 16-bit floats in base64; "" if it brought none
    embedder: str  # that made it


class Ready(NamedTuple):
    """One of them as the database takes it: sealed, and spelt in JSON."""

    line: int
    id: UUID
    fingerprint: bytes
    row: bytes
    plain: bytes  # what is sealed, for its like was sealed in other bytes
    expires_at: datetime | None
    metadata: Mapping[str, Any]
    tags: tuple[str, ...]
    depends_on: tuple[str, ...]
    aside: bytes  # its vector's row, if it has one


# Each column but those that are the same for all: its type in the message, and what makes its value of that.
_COLUMNS: Mapping[str, tuple[str, str]] = {
    "id": ("uuid", "id"),
    "fingerprint": ("text", "decode(fingerprint, 'hex')"),
    "scope": ("text", "decode(scope, 'hex')"),
    "caller_key": ("text", "caller_key"),
    "namespace": ("text", "namespace"),
    "provider": ("text", "provider"),
    "model": ("text", "model"),
    "endpoint": ("text", "endpoint"),
    "source": ("text", "source"),
    "matchable": ("boolean", "matchable"),
    "body": ("text", "decode(body, 'base64')"),
    "size_bytes": ("integer", "size_bytes"),
    "usage": ("jsonb", "usage"),
    "cost_usd": ("numeric", "cost_usd"),
    "latency_ms": ("integer", "latency_ms"),
    "metadata": ("jsonb", "metadata"),
    "writer_id": ("uuid", "writer_id"),
    "created_at": ("timestamptz", "created_at"),
    "expires_at": ("timestamptz", "expires_at"),
}
_GIVEN = "json_to_recordset(%s::json) AS given ({})"
_PUT = (
    f"INSERT INTO entry (tenant_id, project_id, {', '.join(_COLUMNS)}) "  # noqa: S608 (constants only)
    f"SELECT %s, %s, {', '.join(value for _, value in _COLUMNS.values())} "
    f"FROM {_GIVEN.format(', '.join(f'{name} {kind}' for name, (kind, _) in _COLUMNS.items()))} "
    "ON CONFLICT (tenant_id, project_id, fingerprint) DO {} RETURNING fingerprint"
)
_PUT_NEW = _PUT.format("NOTHING")
# What was counted of an entry stays when it is imported again, and so does the vector of the same question. Ids are in
# the order of time: what was stored after the upload stays, and so does what a later line of it brought.
_PUT_OVER = _PUT.format(
    "UPDATE SET quarantined = false, "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
    + " WHERE entry.id < excluded.id"
)
_THERE = (
    "SELECT fingerprint, id, body, expires_at, metadata::text, "
    "ARRAY(SELECT tag FROM entry_tag WHERE tenant_id = entry.tenant_id AND entry_id = entry.id) "
    "FROM entry WHERE tenant_id = %s AND project_id = %s AND fingerprint = ANY(%b) AND NOT quarantined"
)
_FORGET_LINKS = "DELETE FROM {table} WHERE tenant_id = %s AND entry_id = ANY(%s)"
_TAG = f"INSERT INTO entry_tag (tenant_id, entry_id, tag) SELECT %s, * FROM {_GIVEN.format('id uuid, tag text')}"  # noqa: S608
_DEPEND = (
    "INSERT INTO entry_dependency (tenant_id, entry_id, name, version) "  # noqa: S608
    f"SELECT %s, * FROM {_GIVEN.format('id uuid, name text, version text')}"
)
_LAY_ASIDE = (
    "INSERT INTO waiting_vector (tenant_id, entry_id, embedder, vector) "  # noqa: S608
    "SELECT %s, id, embedder, decode(vector, 'base64') "
    f"FROM {_GIVEN.format('id uuid, embedder text, vector text')}"
)


def ready(seal: Callable[[bytes, UUID], bytes], one: Imported) -> Ready:
    """`seal` is the vault's `sealer` of bodies."""
    entry, plain = one.entry, plain_body(one.entry)
    return Ready(
        one.line,
        entry.id,
        entry.fingerprint,
        orjson.dumps(_row_of(one, seal(plain, entry.id))),
        plain,
        one.expires_at,
        one.metadata,
        entry.tags,
        entry.depends_on,
        orjson.dumps({"id": entry.id, "embedder": one.embedder, "vector": one.vector}) if one.vector else b"",
    )


def write(cursor: Cursor, tenant_id: UUID, project_id: UUID, entries: Sequence[Ready]) -> None:
    """In the transaction that is open, with a cursor that sends values apart: PostgreSQL would read each as a part of
    the statement else. Of several with the same Fingerprint the last one stays.
    """
    # In one order whoever writes: two that put the same entries would wait for each other.
    last = sorted({one.fingerprint: one for one in entries}.values(), key=attrgetter("fingerprint"))
    place = tenant_id, project_id
    new = _put(cursor, _PUT_NEW, place, last)
    here = {one.fingerprint for one in new}
    vectors = [one.aside for one in new if one.aside]
    if held := [one for one in last if one.fingerprint not in here]:
        cursor.execute(_THERE, [*place, [one.fingerprint for one in held]])
        there = {bytes(fingerprint): row for fingerprint, *row in cursor.fetchall()}
        # What is there word for word stays as it is: writing it again would take its place in the index anew.
        other = [one for one in held if (row := there.get(one.fingerprint)) is None or not _same(tenant_id, one, *row)]
        over = _put(cursor, _PUT_OVER, place, other) if other else []
        for table in ("entry_tag", "entry_dependency") if over else ():
            cursor.execute(_FORGET_LINKS.format(table=table), [tenant_id, [one.id for one in over]])
        vectors += [one.aside for one in over if one.aside and one.fingerprint not in there]
        new += over
    if tags := [{"id": one.id, "tag": tag} for one in new for tag in dict.fromkeys(one.tags)]:
        cursor.execute(_TAG, [tenant_id, _message(tags)])
    if resting := [_link_of(one.id, name) for one in new for name in dict.fromkeys(one.depends_on)]:
        cursor.execute(_DEPEND, [tenant_id, _message(resting)])
    if vectors:
        cursor.execute(_LAY_ASIDE, [tenant_id, _list(vectors)])


def _put(cursor: Cursor, how: str, place: tuple[UUID, UUID], entries: Sequence[Ready]) -> list[Ready]:
    """Those that are in now."""
    cursor.execute(how, [*place, _list(one.row for one in entries)])
    written = {bytes(fingerprint) for (fingerprint,) in cursor.fetchall()}
    return [one for one in entries if one.fingerprint in written]


def _row_of(one: Imported, body: bytes) -> dict[str, Any]:
    entry = one.entry
    return {
        "id": entry.id,
        "fingerprint": entry.fingerprint.hex(),
        "scope": entry.scope.hex(),
        "caller_key": entry.caller_key,
        "namespace": entry.namespace,
        "provider": entry.provider,
        "model": entry.model,
        "endpoint": entry.endpoint,
        "source": entry.source,
        "matchable": entry.matchable,
        "body": b64encode(body).decode(),
        "size_bytes": len(body),
        "usage": entry.usage,
        "cost_usd": None if entry.cost_usd is None else str(entry.cost_usd),
        "latency_ms": entry.latency_ms,
        "metadata": one.metadata,
        "writer_id": entry.writer_id,
        "created_at": one.created_at,
        "expires_at": one.expires_at,
    }


def _link_of(entry_id: UUID, dependency: str) -> dict[str, Any]:
    name, _, version = dependency.partition("@")
    return {"id": entry_id, "name": name, "version": version}


def _message(rows: Sequence[Mapping[str, Any]]) -> str:
    """One text instead of an array of each column: the driver takes ten times as long over those."""
    return orjson.dumps(rows).decode()


def _list(rows: Iterable[bytes]) -> str:
    """The same, of rows that are spelt already."""
    return (b"[" + b",".join(rows) + b"]").decode()


def _same(
    tenant_id: UUID, one: Ready, entry_id: UUID, body: bytes, expires_at: datetime | None, metadata: str, tags: Any
) -> bool:
    try:
        plain = vault.unseal(tenant_id, bytes(body), column=COLUMN, row_id=entry_id)
    except vault.Corrupt:
        return False
    return (
        plain == one.plain
        and expires_at == one.expires_at
        and orjson.loads(metadata) == one.metadata
        and set(tags) == set(one.tags)
    )


def half_vector(binary: bytes) -> bytes:
    """Little-endian 16-bit floats of pgvector's wire form: dimensions and a zero before them, all big-endian."""
    numbers = array("H", binary[2 * HALF_BYTES :])
    numbers.byteswap()
    return numbers.tobytes()


def half_vector_literal(vector: bytes) -> str:
    numbers = struct.unpack(f"<{len(vector) // HALF_BYTES}e", vector)
    return "[" + ",".join([f"{number:.5g}" for number in numbers]) + "]"
