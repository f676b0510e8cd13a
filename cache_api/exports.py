"""How does a tenant take along all that is its own?

As a zip of NDJSON, a file for each table that has tenants, as the catalogue names them, so that a new table cannot be
forgotten. Texts are opened; digests, vectors and secrets stay here. The file is readable by this user alone, and lies
for a day in a folder of the tenant's, which is removed with it.

Rows are read page by page, each in a transaction of its own, and written as they come: what is held does not grow with
what there is. After some seconds a part ends: the zip is whole then, and the row of the export says where the next part
begins and how the zip ended. So a worker that dies costs one part, and whoever comes next goes on behind the last. A
table that takes several parts is several files: `entry.ndjson`, `entry.2.ndjson`, ...
"""

import base64
import fcntl
import logging
import os
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4

import orjson
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import F, Q
from django.utils import timezone
from psycopg import sql

from cache_api.sealed import SEALED
from tenants import audit, vault
from tenants.audit import Actor
from tenants.hints import hint_aside
from tenants.isolation import DatabaseUnavailable, as_owner, as_tenant, primary_key_of, tenant_tables
from tenants.models import Tenant, TenantExport, User

KEPT = timedelta(days=1)
LEASE = timedelta(minutes=2)  # above what a part takes
ATTEMPTS_MAX = 3  # at one part
PART_SECONDS = 15.0  # what is lost with a worker
RUN_SECONDS = 60.0  # then upkeep, and others' exports, come in between
ROWS_AT_A_TIME = 100  # an entry may be a megabyte
JSONB = 3802  # PostgreSQL's number of the type

# Not the tenant's but the machine's: keys, and what is on its way from one place to another.
LEFT_OUT = frozenset({"data_key", "waiting_vector", "job_part", "pending_miss", "usage_dirty"})
# What a column's name says of it, whatever its type. Bytes are left out but for those that are shown.
WITHHELD = ("digest", "secret", "token", "password", "wrapped", "vector", "cursor")
SHOWN = frozenset({"entry.fingerprint", "feedback.asked", "feedback.cached", "audit_event.hash", "audit_head.hash"})
_OPENED = {(one.table, one.column): one for one in SEALED if not one.is_secret}

log = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next part begins: in which table, behind which row, and where in the zip.

    `directory` is how the zip ended, in base64: what a cut-off part has written over is laid back with it.
    """

    table: str
    after: tuple[str, ...] = ()  # the primary key of the last row; empty: the table's beginning
    part: int = 1
    start: int = 0
    directory: str = ""


def export_ask(*, tenant_id: UUID, actor: Actor, now: datetime) -> TenantExport:
    """A new one, or the one that is under way."""
    with as_tenant(tenant_id):
        Tenant.objects.select_for_update().get(id=tenant_id)
        waiting = TenantExport.objects.filter(tenant_id=tenant_id, finished_at=None).first()
        if waiting is not None:
            return waiting
        export = TenantExport.objects.create(
            tenant_id=tenant_id, id=uuid4(), asked_by=actor.id, created_at=now, touched_at=now
        )
        audit.record(tenant_id=tenant_id, actor=actor, action="export.asked", target=str(export.id))
    hint_aside("cache_api.default.run_export", str(tenant_id), str(export.id))
    return export


def exports_of(*, tenant_id: UUID) -> list[TenantExport]:
    """The newest first; a page asks again to see one go on."""
    with as_tenant(tenant_id):
        return list(TenantExport.objects.filter(tenant_id=tenant_id).order_by("-created_at"))


def export_opened(*, tenant_id: UUID, export_id: UUID, actor: Actor, now: datetime) -> Path | None:
    """The file, for whoever may have it; None if there is none, or its day is over."""
    with as_tenant(tenant_id):
        found = TenantExport.objects.filter(tenant_id=tenant_id, id=export_id, status="done", expires_at__gt=now)
        if not found.exists() or not (path := path_of(tenant_id, export_id)).exists():
            return None
        audit.record(tenant_id=tenant_id, actor=actor, action="export.opened", target=str(export_id))
    return path


def unfinished(now: datetime) -> list[tuple[UUID, UUID]]:
    """Tenant and id of those that nobody is at; those whose day is over go."""
    with as_owner():
        for tenant_id, export_id in TenantExport.objects.filter(expires_at__lte=now).values_list("tenant_id", "id"):
            path_of(tenant_id, export_id).unlink(missing_ok=True)
            TenantExport.objects.filter(tenant_id=tenant_id, id=export_id).delete()
        waiting = TenantExport.objects.filter(_free(now), finished_at=None)
        return list(waiting.order_by("created_at").values_list("tenant_id", "id"))


def run(tenant_id: UUID, export_id: UUID) -> bool:
    """Write at it for a while, unless another does; True if there is more to write."""
    export = _begin(tenant_id, export_id, timezone.now())
    if export is None:
        return False
    path = path_of(tenant_id, export_id)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(_draft_of(path), "r+b", opener=_for_this_user_alone) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # One who was slow, not dead, may still be at it.
            if _parts(file, export, ends=time.monotonic() + RUN_SECONDS):
                _note(tenant_id, export_id, status="queued")
                return True
        _draft_of(path).replace(path)
    except (DatabaseError, DatabaseUnavailable, OSError) as error:  # The next turn goes on behind the last part.
        log.warning("export_stopped", extra={"error": type(error).__name__})
        return False
    now = timezone.now()
    _note(tenant_id, export_id, status="done", finished_at=now, expires_at=now + KEPT, bytes=path.stat().st_size)
    return False


def path_of(tenant_id: UUID, export_id: UUID) -> Path:
    folder: Path = settings.HOME / "exports" / str(tenant_id)
    return folder / f"{export_id}.zip"


def _draft_of(path: Path) -> Path:
    return path.with_suffix(".part")


def _begin(tenant_id: UUID, export_id: UUID, now: datetime) -> TenantExport | None:
    """For whoever asks first; None if there is nothing to do, or another is at it."""
    with as_tenant(tenant_id):
        mine = TenantExport.objects.filter(_free(now), tenant_id=tenant_id, id=export_id, finished_at=None)
        if mine.filter(attempts__gte=ATTEMPTS_MAX).update(status="failed", finished_at=now, expires_at=now + KEPT):
            _draft_of(path_of(tenant_id, export_id)).unlink(missing_ok=True)
            return None
        if not mine.update(status="running", touched_at=now, attempts=F("attempts") + 1):
            return None
        return TenantExport.objects.get(tenant_id=tenant_id, id=export_id)


def _free(now: datetime) -> Q:
    return Q(status="queued") | Q(touched_at__lt=now - LEASE)


def _parts(file: IO[bytes], export: TenantExport, *, ends: float) -> bool:
    """One after another; True if there are more."""
    tenant_id, export_id = export.tenant_id, export.id
    tables = ["tenant", *(name for name in tenant_tables() if name not in LEFT_OUT)]
    cursor = _resumed(file, export.cursor, tables)
    if cursor is None:
        cursor = Cursor(tables[0])
        _note(tenant_id, export_id, tables_total=len(tables), tables_done=0, rows_done=0)
    while True:
        rows, after = _part(file, tenant_id, cursor)
        start, directory = _ending(file)
        table, number = cursor.table, cursor.part + 1
        done = tables.index(table) + (not after)
        if not after:
            table, number = tables[done] if done < len(tables) else "", 1
        cursor = Cursor(table, after, number, start, directory)
        _note(
            tenant_id,
            export_id,
            cursor=asdict(cursor),
            attempts=0,
            tables_done=done,
            rows_done=F("rows_done") + rows,
        )
        if not table or time.monotonic() >= ends:
            return bool(table)


def _resumed(file: IO[bytes], kept: Row | None, tables: Sequence[str]) -> Cursor | None:
    """The zip as the last whole part left it; None, and an empty one, if there is none to go on with."""
    cursor = Cursor(**{**kept, "after": tuple(kept["after"])}) if kept else None
    if cursor is None or cursor.table not in tables or file.seek(0, os.SEEK_END) < cursor.start:
        file.truncate(0)
        return None
    file.truncate(cursor.start)
    file.seek(cursor.start)
    file.write(base64.b64decode(cursor.directory))
    return cursor


def _part(file: IO[bytes], tenant_id: UUID, cursor: Cursor) -> tuple[int, tuple[str, ...]]:
    """How many rows it took, and the primary key of the last one if there may be more."""
    ends, rows, after = time.monotonic() + PART_SECONDS, 0, cursor.after
    name = f"{cursor.table}.ndjson" if cursor.part == 1 else f"{cursor.table}.{cursor.part}.ndjson"
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w", force_zip64=True) as to:
        for page, after in _pages(tenant_id, cursor.table, cursor.after):
            to.writelines(
                orjson.dumps(_told(tenant_id, cursor.table, row), default=_plain, option=orjson.OPT_APPEND_NEWLINE)
                for row in page
            )
            rows += len(page)
            if after and time.monotonic() >= ends:
                return rows, after
    return rows, ()


def _ending(file: IO[bytes]) -> tuple[int, str]:
    """Where the next part is written, and what lies there now."""
    file.flush()
    os.fsync(file.fileno())
    with zipfile.ZipFile(file) as archive:
        start: int = archive.start_dir
    file.seek(start)
    return start, base64.b64encode(file.read()).decode()


def _pages(tenant_id: UUID, table: str, after: Sequence[str]) -> Iterator[tuple[list[Row], tuple[str, ...]]]:
    """In the order of the primary key; with each page the key of its last row, but not with the last page."""
    tenant = "id" if table == "tenant" else "tenant_id"
    key = primary_key_of(table)
    while True:
        last = sql.SQL(", ").join(map(sql.Literal, after))
        beyond = sql.SQL("AND ({key}) > ({last})").format(key=_names(key), last=last) if after else sql.SQL("")
        statement = sql.SQL("SELECT * FROM {table} WHERE {tenant} = {id} {beyond} ORDER BY {key} LIMIT {limit}").format(
            table=sql.Identifier(table),
            tenant=sql.Identifier(tenant),
            id=sql.Literal(tenant_id),
            beyond=beyond,
            key=_names(key),
            limit=sql.Literal(ROWS_AT_A_TIME),
        )
        with as_tenant(tenant_id), connection.cursor() as cursor:
            cursor.execute(statement.as_string())
            columns = cursor.description or ()
            page = [
                {column.name: _value(column.type_code, value) for column, value in zip(columns, row, strict=True)}
                for row in cursor.fetchall()
            ]
            if table == "member":
                _name_people(page)
        more = len(page) == ROWS_AT_A_TIME
        after = tuple(_spelled(page[-1][name]) for name in key) if more else ()
        if page:
            yield page, after
        if not more:
            return


def _spelled(value: Any) -> str:
    """As PostgreSQL reads it, whatever the column's type."""
    return f"\\x{bytes(value).hex()}" if isinstance(value, bytes | memoryview) else str(value)


def _value(kind: int, value: Any) -> Any:
    """The driver hands JSON on as text."""
    return orjson.Fragment(value) if kind == JSONB and value is not None else value


def _name_people(page: list[Row]) -> None:
    """Members are told by their addresses, which are no tenant's table."""
    emails = dict(User.objects.filter(id__in=[row["user_id"] for row in page]).values_list("id", "email"))
    for row in page:
        row["email"] = emails.get(row["user_id"])


def _told(tenant_id: UUID, table: str, row: Row) -> Row:
    told: Row = {}
    for name, value in row.items():
        if sealed := _OPENED.get((table, name)):
            told[name] = None if value is None else _opened(tenant_id, sealed, row)
        elif f"{table}.{name}" in SHOWN:
            told[name] = None if value is None else bytes(value).hex()
        elif not isinstance(value, bytes | memoryview) and not any(word in name for word in WITHHELD):
            told[name] = value
    return told


def _opened(tenant_id: UUID, sealed: Any, row: Mapping[str, Any]) -> Any:
    try:
        return orjson.loads(sealed.open(tenant_id, row))
    except vault.Corrupt:
        return None  # Nobody can read it any more.


def _plain(value: Any) -> Any:
    """Money is told exactly."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError


def _names(columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _note(tenant_id: UUID, export_id: UUID, **columns: Any) -> None:
    with as_tenant(tenant_id):
        TenantExport.objects.filter(tenant_id=tenant_id, id=export_id).update(touched_at=timezone.now(), **columns)


def _for_this_user_alone(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)
