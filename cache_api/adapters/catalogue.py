"""What is stored in a project, for people and programs that look after it? Nothing here is on a model call's path.

Bodies are opened outside the transactions, a few at a time: the answers of a page may be a hundred megabytes together.
"""

import logging
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeVar, cast
from uuid import UUID

import orjson
import psycopg
from django.db import InterfaceError, OperationalError, connection
from django.db.models import BinaryField, Count, Func, IntegerField, Q, QuerySet, Sum, TextField
from django.db.models.functions import Cast, Coalesce
from pgvector import HalfVector
from pgvector.django import CosineDistance

from cache_api.adapters.bulk import half_vector
from cache_api.adapters.store import COLUMN
from cache_api.domain.entry import Vector
from cache_api.models import Entry, EntryDependency, EntryTag, Feedback
from tenants import audit, isolation, vault
from tenants.audit import Actor
from tenants.isolation import DatabaseUnavailable

T = TypeVar("T")
Order = Literal["-created", "created", "-hits", "-saved"]

BODIES_AT_A_TIME = 10
PAGE_MAX_BYTES = 8 * 1024 * 1024  # of questions and answers; a page that would be larger ends early
DELETED_AT_A_TIME = 1_000
EXPORTED_AT_A_TIME = 1_000
LOOKED_THROUGH_MAX = 2_500  # in a fifth of a second
VECTORS_AT_A_TIME = 4_000  # some 3 MB
EXPORTED_BYTES = 4 * 1024 * 1024  # of sealed bodies held at a time; they are opened one by one

_COLUMN_OF: Mapping[Order, str] = {
    "-created": "-created_at",
    "created": "created_at",
    "-hits": "-hits",
    "-saved": "-saved_usd",
}

_STORED_BYTES = Func("body", function="pg_column_size", output_field=IntegerField())
_WIRE_VECTOR = Func("vector", function="halfvec_send", output_field=BinaryField())

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries; what is given must all be true of one."""

    provider: str | None = None
    model: str | None = None
    namespace: str | None = None
    tag: str | None = None
    writer: UUID | None = None
    depends_on: str | None = None
    source: str | None = None
    status: Literal["live", "expired", "quarantined"] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    fingerprints: Sequence[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A project, and who works in it."""

    tenant_id: UUID
    project_id: UUID
    key_id: UUID | None = None


class Row(NamedTuple):
    """What an export tells of an entry: a model of each would take as long as all the rest."""

    id: UUID
    project_id: UUID
    fingerprint: bytes
    scope: bytes
    caller_key: str
    namespace: str
    provider: str
    model: str
    endpoint: str
    source: str
    embedder: str
    matchable: bool
    quarantined: bool
    size_bytes: int
    cost_usd: Decimal | None
    latency_ms: int
    writer_id: UUID | None
    hits: int
    saved_usd: Decimal
    created_at: datetime
    expires_at: datetime | None
    last_hit_at: datetime | None
    usage: Mapping[str, Any]
    metadata: Mapping[str, Any]


class Outline(NamedTuple):
    """What is looked through of an entry."""

    id: UUID
    size_bytes: int
    endpoint: str


R = TypeVar("R", Row, Outline)

# The driver takes ten times as long over times and JSON as we over their text.
_AS_TEXT = ("created_at", "expires_at", "last_hit_at", "usage", "metadata")  # the last of a Row
_TOLD = [Cast(name, TextField()) if name in _AS_TEXT else name for name in Row._fields]


@dataclass(slots=True)
class Described:
    """An entry with its text and what hangs on it; `text` is None if it cannot be opened."""

    entry: Entry
    text: Mapping[str, Any] | None
    tags: list[str] = field(default_factory=list)
    depends_on: list[str] = field(default_factory=list)
    similarity: float | None = None
    vector: bytes | None = None  # in pgvector's wire form


@dataclass(frozen=True, slots=True)
class Vectored:
    """An entry as far as it can be compared; the vector as little-endian 16-bit floats."""

    id: UUID
    fingerprint: bytes
    scope: bytes
    embedder: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class Page:
    entries: list[Described]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Sifted:
    """What was kept of those that were looked through, and the last of these."""

    entries: list[Described]
    looked_through: int
    last: Entry | None
    has_more: bool


@dataclass(frozen=True, slots=True)
class Counts:
    entries: int
    live: int
    hits: int


def page(
    place: Place,
    filters: Filters,
    *,
    order: Order,
    limit: int,
    now: datetime,
    after: tuple[str, UUID] | None = None,
    offset: int = 0,
) -> Page:
    """`after` is the last entry of the page before: its value in this order, and its id."""
    with reading(place):
        rows = list(_ordered(place, filters, order, now, after)[offset : offset + limit + 1])
    described = _described(place, rows[:limit])
    return Page(described, has_more=len(rows) > len(described))


def sifted(
    place: Place,
    filters: Filters,
    keep: Callable[[str, Mapping[str, Any]], bool],
    *,
    order: Order,
    limit: int,
    now: datetime,
    after: tuple[str, UUID] | None = None,
) -> Sifted:
    """Those whose endpoint and text `keep` takes. Each text has to be opened: as many as a person waits for."""
    with reading(place):
        outlines = _ordered(place, filters, order, now, after).values_list("id", "size_bytes", "endpoint")
        rows = [Outline._make(row) for row in outlines[: LOOKED_THROUGH_MAX + 1]]
    texts: dict[UUID, Mapping[str, Any]] = {}
    looked_through, last = 0, None
    for last, text in _with_texts(place, rows[:LOOKED_THROUGH_MAX]):
        looked_through += 1
        if text is not None and keep(last.endpoint, text):
            texts[last.id] = text
        if len(texts) == limit:
            break
    with reading(place):
        wanted = [*texts, *([last.id] if last else [])]
        entries = {entry.id: entry for entry in _of(place).filter(id__in=wanted).defer("body", "vector")}
        tags, names = _links(place, entry_id__in=list(texts))
    kept = [
        Described(entries[one], text, tags.get(one, []), names.get(one, []))
        for one, text in texts.items()
        if one in entries
    ]
    return Sifted(kept, looked_through, entries.get(last.id) if last else None, has_more=len(rows) > looked_through)


def nearest(place: Place, filters: Filters, vector: Vector, *, limit: int, now: datetime, offset: int = 0) -> Page:
    """By meaning, whatever the scope: to look around, not to answer."""
    distance = CosineDistance("vector", HalfVector(array("f", vector).tolist()))
    found = _entries(place, filters, now).filter(embedder=vector.embedder, vector__isnull=False)
    with reading(place):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL hnsw.iterative_scan = relaxed_order")
        nearby = found.annotate(distance=distance).order_by("distance").defer("body", "vector")
        rows = list(nearby[offset : offset + limit + 1])
    described = _described(place, rows[:limit])
    for one in described:
        one.similarity = round(1 - one.entry.distance, 4)  # type: ignore[attr-defined]
    ordered = sorted(described, key=lambda one: -(one.similarity or 0))
    return Page(ordered, has_more=len(rows) > len(described))


def every(
    place: Place, filters: Filters, *, now: datetime, limit: int | None, after: UUID | None = None
) -> Iterator[Described]:
    """All that fit, by id, with their vectors. Those stored later than `now` are left out, and so are unreadable ones.

    From the one behind the id `after` on, page by page, each in transactions of its own: whoever reads slowly holds
    nothing but a place in the order.
    """
    found = _known(place, filters, now).order_by("id")
    beyond = found if after is None else found.filter(id__gt=after)
    while limit is None or limit > 0:
        wanted = EXPORTED_AT_A_TIME if limit is None else min(limit, EXPORTED_AT_A_TIME)
        with reading(place):
            rows = list(map(_row, beyond.values_list(*_TOLD)[:wanted]))
        for group in _groups(rows):
            yield from _with_vectors(place, found, group)
        if len(rows) < wanted:
            return
        limit = None if limit is None else limit - wanted
        beyond = found.filter(id__gt=rows[-1].id)


def most_used(place: Place, *, now: datetime, limit: int) -> list[Vectored]:
    """Of those that may be served to similar questions."""
    with reading(place):
        return _vectored(_comparable(place, now).order_by("-hits", "-id")[:limit])


def vectors(place: Place, *, now: datetime, limit: int) -> Iterator[list[Vectored]]:
    """The newest of those that may be served to similar questions, page by page, each in a transaction of its own."""
    found = _comparable(place, now).order_by("-id")
    beyond = found
    while limit > 0:
        wanted = min(limit, VECTORS_AT_A_TIME)
        with reading(place):
            page = _vectored(beyond[:wanted])
        if page:
            yield page
        if len(page) < wanted:
            return
        limit, beyond = limit - wanted, found.filter(id__lt=page[-1].id)


def unindexed_count(place: Place) -> int:
    """Of those that may be served to similar questions, how many are not yet: their vectors are on their way."""
    with reading(place):
        return _of(place).filter(vector__isnull=True, matchable=True, quarantined=False).count()


def comparable_count(place: Place, *, now: datetime) -> int:
    with reading(place):
        return _comparable(place, now).count()


def find(place: Place, fingerprint: bytes) -> Described | None:
    with reading(place):
        rows = list(_of(place).filter(fingerprint=fingerprint).defer("body", "vector"))
    return next(iter(_described(place, rows)), None)


def some(place: Place, fingerprints: Iterable[bytes]) -> dict[bytes, Described]:
    """Those of them that are stored, as many as a page may hold."""
    with reading(place):
        rows = list(_of(place).filter(fingerprint__in=list(fingerprints)).defer("body", "vector"))
    return {bytes(one.entry.fingerprint): one for one in _described(place, rows)}


def known(place: Place, fingerprints: Iterable[bytes]) -> set[bytes]:
    """Those of them that are stored."""
    with reading(place):
        found = _of(place).filter(fingerprint__in=list(fingerprints)).values_list("fingerprint", flat=True)
        return {bytes(fingerprint) for fingerprint in found}


def change(
    place: Place,
    described: Described,
    *,
    text: Mapping[str, Any] | None,
    tags: Sequence[str] | None,
    actor: Actor | None = None,
    **columns: Any,
) -> bool:
    """Write what was changed of an entry; False if it is gone. Of a person's change the audit trail tells."""
    entry = described.entry
    if text is not None:
        body = vault.seal(place.tenant_id, orjson.dumps(text), column=COLUMN, row_id=entry.id)
        columns |= {"body": body, "size_bytes": len(body)}
    with reading(place):
        if columns and not _of(place).filter(id=entry.id).update(**columns):
            return False
        if tags is not None:
            mine = {"tenant_id": place.tenant_id, "entry_id": entry.id}
            EntryTag.objects.filter(**mine).delete()
            EntryTag.objects.bulk_create(EntryTag(**mine, tag=tag) for tag in dict.fromkeys(tags))
        if actor is not None:
            told = {"tags": list(tags or ()), "expires_at": str(columns.get("expires_at", "as before"))}
            tell(place, actor, "entry.change", target=bytes(entry.fingerprint).hex(), diff=told)
    return True


def delete(place: Place, fingerprint: bytes, *, actor: Actor | None = None) -> bool:
    """False if it is gone already. Of a person's deletion the audit trail tells."""
    with reading(place):
        deleted, _ = _of(place).filter(fingerprint=fingerprint).delete()
        if deleted and actor is not None:
            tell(place, actor, "entry.delete", target=fingerprint.hex())
    return deleted > 0


def tell(place: Place, actor: Actor, action: str, *, target: str, diff: Mapping[str, Any] = {}) -> None:
    """A row of the audit trail, in the transaction that is open."""
    told = {"project": str(place.project_id), **diff}
    audit.record(tenant_id=place.tenant_id, actor=actor, action=action, target=target, diff=told)


def matching(place: Place, filters: Filters, *, now: datetime) -> int:
    """How many fit, of those that `now` knows."""
    with reading(place):
        return _known(place, filters, now).count()


def purge(place: Place, filters: Filters, *, now: datetime) -> tuple[int, int]:
    """How many are gone, and the bytes they took. Entries stored later than `now` stay."""
    deleted = size = 0
    while True:
        with reading(place):
            gone, bytes_gone = purge_some(place, filters, now=now)
        deleted, size = deleted + gone, size + bytes_gone
        if gone < DELETED_AT_A_TIME:
            return deleted, size


def purge_some(place: Place, filters: Filters, *, now: datetime) -> tuple[int, int]:
    """Of as many as a transaction should take; it is open."""
    ids = list(_known(place, filters, now).values_list("id", flat=True)[:DELETED_AT_A_TIME])
    going = _of(place).filter(id__in=ids)
    size = going.aggregate(size=Coalesce(Sum(_STORED_BYTES), 0))["size"]
    return going.delete()[0], size


def counts(place: Place, *, now: datetime) -> Counts:
    with reading(place):
        live = Count("id", filter=_status("live", now))
        found = _of(place).aggregate(entries=Count("id"), live=live, hits=Coalesce(Sum("hits"), 0))
    return Counts(**found)


def feedback_counts(place: Place, since: datetime, until: datetime) -> dict[str, int]:
    mine = Feedback.objects.filter(tenant_id=place.tenant_id, project_id=place.project_id)
    with reading(place):
        rows = mine.filter(created_at__gte=since, created_at__lt=until).values_list("verdict")
        found = dict(rows.annotate(Count("id")))
    return {"right": found.get("right", 0), "wrong": found.get("wrong", 0)}


def guarded(read: Callable[[], T]) -> T:
    """What a selector reads. Raises DatabaseUnavailable."""
    with _guard():
        return read()


@contextmanager
def reading(place: Place) -> Iterator[None]:
    """A short transaction of the tenant's. Raises DatabaseUnavailable."""
    with _guard(), isolation.as_tenant(place.tenant_id):
        yield


@contextmanager
def _guard() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise DatabaseUnavailable("cache_unavailable") from error


def _of(place: Place) -> QuerySet[Entry]:
    return Entry.objects.filter(tenant_id=place.tenant_id, project_id=place.project_id)


def _ordered(
    place: Place, filters: Filters, order: Order, now: datetime, after: tuple[str, UUID] | None
) -> QuerySet[Entry]:
    column = _COLUMN_OF[order]
    found = _entries(place, filters, now)
    if after is not None:
        found = found.filter(_beyond(column, *after))
    return found.order_by(column, "-id" if column.startswith("-") else "id").defer("body", "vector")


def _comparable(place: Place, now: datetime) -> QuerySet[Entry]:
    found = _known(place, Filters(status="live"), now)
    return found.filter(matchable=True, vector__isnull=False)


def _vectored(found: QuerySet[Entry]) -> list[Vectored]:
    rows = found.values_list("id", "fingerprint", "scope", "embedder", _WIRE_VECTOR)
    return [
        Vectored(entry_id, bytes(fingerprint), bytes(scope), embedder, half_vector(vector))
        for entry_id, fingerprint, scope, embedder, vector in rows
    ]


def _known(place: Place, filters: Filters, now: datetime) -> QuerySet[Entry]:
    """Those that were there: what is stored meanwhile is not asked for."""
    return _entries(place, filters, now).filter(created_at__lte=now)


def _entries(place: Place, filters: Filters, now: datetime) -> QuerySet[Entry]:
    plain = {
        "provider": filters.provider,
        "model": filters.model,
        "namespace": filters.namespace,
        "source": filters.source,
        "writer_id": filters.writer,
        "created_at__gt": filters.created_after,
        "created_at__lt": filters.created_before,
    }
    found = _of(place).filter(**{name: value for name, value in plain.items() if value is not None})
    if filters.fingerprints is not None:
        found = found.filter(fingerprint__in=list(filters.fingerprints))
    if filters.tag is not None:
        tagged = EntryTag.objects.filter(tenant_id=place.tenant_id, tag=filters.tag)
        found = found.filter(id__in=tagged.values("entry_id"))
    if filters.depends_on is not None:
        # A b-tree of (tenant, name, version): what a purge takes grows with what it removes, not with what there is
        # (of 100,000 entries 20 are found in 84 pages, half a millisecond). A generation for each name would remove
        # them in one write, but every hit would have to read it.
        name, at, version = filters.depends_on.partition("@")
        resting = EntryDependency.objects.filter(tenant_id=place.tenant_id, name=name)
        if at:
            resting = resting.filter(version=version)
        found = found.filter(id__in=resting.values("entry_id"))
    return found.filter(_status(filters.status, now)) if filters.status else found


def _status(status: str, now: datetime) -> Q:
    expired = Q(expires_at__isnull=False, expires_at__lte=now)
    if status == "quarantined":
        return Q(quarantined=True)
    return Q(quarantined=False) & (expired if status == "expired" else ~expired)


def _beyond(column: str, value: str, entry_id: UUID) -> Q:
    name = column.removeprefix("-")
    way = "lt" if column.startswith("-") else "gt"
    beyond = Q(**{f"{name}__{way}": value}) | Q(**{name: value, f"id__{way}": entry_id})
    return Q(**{f"{name}__{way}e": value}) & beyond  # the first is a range of the index, which an "or" is not


def _described(place: Place, rows: Sequence[Entry]) -> list[Described]:
    """In the order of the rows, as many as a page may hold; never none of some."""
    described: list[Described] = []
    size = 0
    for start in range(0, len(rows), BODIES_AT_A_TIME):
        some = rows[start : start + BODIES_AT_A_TIME]
        ids = [row.id for row in some]
        with reading(place):
            rows_of_text = _of(place).filter(id__in=ids).values_list("id", "body")
            bodies = {entry_id: bytes(body) for entry_id, body in rows_of_text}
            tags, names = _links(place, entry_id__in=ids)
        for row in some:
            plain = _opened(place, row.id, bodies.get(row.id))
            size += len(plain or b"")
            if described and size > PAGE_MAX_BYTES:
                return described
            text = None if plain is None else orjson.loads(plain)
            described.append(Described(row, text, tags.get(row.id, []), names.get(row.id, [])))
    return described


def _row(columns: Sequence[Any]) -> Row:
    *plain, created, expires, hit, usage, metadata = columns
    times = [told and datetime.fromisoformat(told) for told in (created, expires, hit)]
    return Row._make([*plain, *times, orjson.loads(usage), orjson.loads(metadata)])


def _groups(rows: Sequence[R]) -> Iterator[list[R]]:
    """Of as many as may be held at a time; never none of some."""
    group: list[R] = []
    size = 0
    for row in rows:
        if group and size + row.size_bytes > EXPORTED_BYTES:
            yield group
            group, size = [], 0
        group.append(row)
        size += row.size_bytes
    if group:
        yield group


def _with_texts(place: Place, rows: Sequence[Outline]) -> Iterator[tuple[Outline, Mapping[str, Any] | None]]:
    """Each with what it says, opened when its turn comes; None: it is gone, or unreadable."""
    for group in _groups(rows):
        with reading(place):
            bodies = dict(_of(place).filter(id__in=[row.id for row in group]).values_list("id", "body"))
        for row in group:
            plain = _opened(place, row.id, bodies.get(row.id))
            yield row, None if plain is None else orjson.loads(plain)


def _with_vectors(place: Place, found: QuerySet[Entry], rows: Sequence[Row]) -> Iterator[Described]:
    """Of rows that lie side by side in `found`: a range of ids is one question, however many they are."""
    span = (rows[0].id, rows[-1].id)
    with reading(place):
        parts = found.filter(id__range=span).values_list("id", "body", _WIRE_VECTOR)
        sealed = {entry_id: (bytes(body), vector) for entry_id, body, vector in parts}
        tags, names = _links(place, entry_id__range=span)
    for row in rows:
        body, vector = sealed.get(row.id, (None, None))
        if (plain := _opened(place, row.id, body)) is not None:
            text = orjson.loads(plain)
            entry = cast(Entry, row)  # read alike
            yield Described(entry, text, tags.get(row.id, []), names.get(row.id, []), vector=vector)


def _links(place: Place, **which: Any) -> tuple[dict[UUID, list[str]], dict[UUID, list[str]]]:
    """Tags and dependencies, in the transaction that is open."""
    tags = EntryTag.objects.filter(tenant_id=place.tenant_id, **which)
    resting = EntryDependency.objects.filter(tenant_id=place.tenant_id, **which).order_by("name", "version")
    return _by_entry(tags, "tag"), _by_entry(resting, "name", "version")


def _by_entry(rows: QuerySet[Any], *names: str) -> dict[UUID, list[str]]:
    found: dict[UUID, list[str]] = {}
    for entry_id, *parts in rows.values_list("entry_id", *names):
        found.setdefault(entry_id, []).append("@".join(part for part in parts if part))
    return found


def _opened(place: Place, entry_id: UUID, body: bytes | memoryview | None) -> bytes | None:
    if body is None:
        return None
    try:
        return vault.unseal(place.tenant_id, bytes(body), column=COLUMN, row_id=entry_id)
    except vault.Corrupt:
        log.warning("entry_unreadable", extra={"entry_id": str(entry_id)})
        return None
