"""How does a tenant take along all that is its own?

As a zip of NDJSON, a file for each table that has tenants, as the catalogue names them, so that a new table cannot be
forgotten. Texts are opened; digests, vectors and secrets stay here. The file is readable by this user alone, and lies
for a day in a folder of the tenant's, which is removed with it.

Rows are read page by page, each in a transaction of its own, and written as they come: what is held does not grow with
what there is.
"""

import logging
import os
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
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
LEASE = timedelta(minutes=2)  # a page takes a second
ATTEMPTS_MAX = 3
ROWS_AT_A_TIME = 100  # an entry may be a megabyte
JSONB = 3802  # PostgreSQL's number of the type

# Not the tenant's but the machine's: keys, and what is on its way from one place to another.
LEFT_OUT = frozenset({"data_key", "waiting_vector", "job_part", "pending_miss", "usage_dirty"})
# What a column's name says of it, whatever its type. Bytes are left out but for those that are shown.
WITHHELD = ("digest", "secret", "token", "password", "wrapped", "vector")
SHOWN = frozenset({"entry.fingerprint", "feedback.asked", "feedback.cached", "audit_event.hash", "audit_head.hash"})
_OPENED = {(one.table, one.column): one for one in SEALED if not one.is_secret}

log = logging.getLogger(__name__)

Row = dict[str, Any]


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


def run(tenant_id: UUID, export_id: UUID) -> None:
    """Write the file, unless another is at it. What was cut off begins anew, a few times."""
    if not _begin(tenant_id, export_id, timezone.now()):
        return
    path = path_of(tenant_id, export_id)
    unfinished_path = path.with_suffix(".part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(unfinished_path, "wb", opener=_for_this_user_alone) as file:
            _write(file, tenant_id, export_id)
            file.flush()
            os.fsync(file.fileno())
        unfinished_path.replace(path)
    except (DatabaseError, DatabaseUnavailable, OSError) as error:  # The next turn begins anew.
        unfinished_path.unlink(missing_ok=True)
        log.warning("export_stopped", extra={"error": type(error).__name__})
        return
    now = timezone.now()
    _note(tenant_id, export_id, status="done", finished_at=now, expires_at=now + KEPT, bytes=path.stat().st_size)


def path_of(tenant_id: UUID, export_id: UUID) -> Path:
    folder: Path = settings.HOME / "exports" / str(tenant_id)
    return folder / f"{export_id}.zip"


def _begin(tenant_id: UUID, export_id: UUID, now: datetime) -> bool:
    with as_tenant(tenant_id):
        mine = TenantExport.objects.filter(_free(now), tenant_id=tenant_id, id=export_id, finished_at=None)
        if mine.filter(attempts__gte=ATTEMPTS_MAX).update(status="failed", finished_at=now, expires_at=now + KEPT):
            return False
        begun = mine.update(status="running", touched_at=now, attempts=F("attempts") + 1, rows_done=0, tables_done=0)
    return begun > 0


def _free(now: datetime) -> Q:
    return Q(status="queued") | Q(touched_at__lt=now - LEASE)


def _write(file: Any, tenant_id: UUID, export_id: UUID) -> None:
    tables = ["tenant", *(name for name in tenant_tables() if name not in LEFT_OUT)]
    rows_done = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, table in enumerate(tables):
            with archive.open(f"{table}.ndjson", "w", force_zip64=True) as member:
                for page in _pages(tenant_id, table):
                    for row in page:
                        member.write(orjson.dumps(_told(tenant_id, table, row), default=_plain) + b"\n")
                    rows_done += len(page)
                    _note(tenant_id, export_id, tables_total=len(tables), tables_done=number, rows_done=rows_done)
        _note(tenant_id, export_id, tables_total=len(tables), tables_done=len(tables), rows_done=rows_done)


def _pages(tenant_id: UUID, table: str) -> Iterator[list[Row]]:
    """In the order of the primary key, after the last row of the page before."""
    tenant = "id" if table == "tenant" else "tenant_id"
    key = primary_key_of(table)
    beyond: sql.Composable = sql.SQL("")
    while True:
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
        if page:
            yield page
        if len(page) < ROWS_AT_A_TIME:
            return
        last = sql.SQL(", ").join(sql.Literal(page[-1][name]) for name in key)
        beyond = sql.SQL("AND ({key}) > ({last})").format(key=_names(key), last=last)


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
    return os.open(path, flags, 0o600)
