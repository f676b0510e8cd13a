"""Which columns are sealed with a tenant's key, and how do they come under a new one?

A new text key seals from now on; what lies there is opened by the key it was sealed with, and sealed anew a little at a
time. A key that opens nothing any more goes.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from tenants import vault
from tenants.isolation import as_owner, as_tenant, primary_key_of
from tenants.models import DataKey

ROWS_AT_A_TIME = 100  # a body may be a megabyte
# Longer than a process goes on sealing with a key it read before there was a newer one, and than a miss waits.
KEY_KEPT = timedelta(days=1)
RESEAL_SECONDS = 60.0
KEY_YEAR = timedelta(days=365)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column; `id_column` is what its row's id is made of, as `tenants.vault` was told."""

    table: str
    column: str
    id_column: str = "id"
    is_secret: bool = False  # written once and never shown, not in an export either
    is_brief: bool = False  # gone in minutes by itself

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"

    def open(self, tenant_id: UUID, row: Mapping[str, Any]) -> bytes:
        """Raises Corrupt or VaultUnavailable."""
        return vault.unseal(tenant_id, bytes(row[self.column]), column=self.name, row_id=row_id_of(row[self.id_column]))


SEALED = (
    Sealed("entry", "body"),
    Sealed("blocklist_entry", "body", "digest"),
    Sealed("provider_key", "sealed", is_secret=True),
    Sealed("sso_connection", "sealed", "tenant_id", is_secret=True),
    Sealed("webhook_endpoint", "sealed", is_secret=True),
    Sealed("pending_miss", "body", "fingerprint", is_brief=True),
    Sealed("job_part", "body", "job_id", is_brief=True),
    Sealed("job", "result", is_brief=True),
    Sealed("check_wanted", "body", is_brief=True),
)


def rotate_old_keys(now: datetime) -> int:
    """Each tenant whose text key is a year old gets a new one; how many."""
    with as_owner():
        keys = DataKey.objects.filter(purpose=vault.TEXT).order_by("tenant_id", "-version")
        newest = {key.tenant_id: key.created_at for key in reversed(keys)}
    due = [tenant_id for tenant_id, made in newest.items() if made <= now - KEY_YEAR]
    for tenant_id in due:
        vault.text_key_rotate(tenant_id=tenant_id)
    return len(due)


def reseal(now: datetime) -> int:
    """Bring what older keys sealed under the newest, for a while; how many rows."""
    ends = time.monotonic() + RESEAL_SECONDS
    done = 0
    for tenant_id, versions in _rotated().items():
        newest = max(versions)
        for column in SEALED:
            while not column.is_brief and time.monotonic() < ends:
                moved = _reseal_some(tenant_id, column, newest)
                done += moved
                if not moved:
                    break
        if time.monotonic() < ends:
            _drop_unused(tenant_id, newest, now)
    return done


def _rotated() -> dict[UUID, list[int]]:
    """Tenants with more than one text key, and the versions."""
    versions: dict[UUID, list[int]] = {}
    with as_owner():
        for tenant_id, version in DataKey.objects.filter(purpose=vault.TEXT).values_list("tenant_id", "version"):
            versions.setdefault(tenant_id, []).append(version)
    return {tenant_id: found for tenant_id, found in versions.items() if len(found) > 1}


def _reseal_some(tenant_id: UUID, column: Sealed, newest: int) -> int:
    key = primary_key_of(column.table)
    read = ", ".join(dict.fromkeys([*key, column.id_column, column.column]))
    statement = (
        f"SELECT {read} FROM {column.table} WHERE tenant_id = %s "  # noqa: S608 (names of ours, and of the catalogue)
        f"AND {column.column} <> '' AND substring({column.column} FOR 5) <> %s LIMIT {ROWS_AT_A_TIME}"
    )
    with as_tenant(tenant_id), connection.cursor() as cursor:
        cursor.execute(statement, [tenant_id, vault.header(newest)])
        rows = [dict(zip(read.split(", "), row, strict=True)) for row in cursor.fetchall()]
    moved = []
    for row in rows:
        try:
            plain = column.open(tenant_id, row)
        except vault.Corrupt:
            log.warning("not_resealed", extra={"file": column.name})
            continue
        sealed = vault.seal(tenant_id, plain, column=column.name, row_id=row_id_of(row[column.id_column]))
        moved.append([sealed, *(row[name] for name in key), row[column.column]])

    same = " AND ".join(f"{name} = %s" for name in (*key, column.column))  # unless it was written anew meanwhile
    with as_tenant(tenant_id), connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {column.table} SET {column.column} = %s WHERE {same}", moved)  # noqa: S608
    return len(moved)


def _drop_unused(tenant_id: UUID, newest: int, now: datetime) -> None:
    with as_tenant(tenant_id), connection.cursor() as cursor:
        keys = DataKey.objects.filter(tenant_id=tenant_id, purpose=vault.TEXT)
        if keys.get(version=newest).created_at > now - KEY_KEPT:
            return
        used: set[bytes] = set()
        for column in SEALED:
            cursor.execute(
                f"SELECT DISTINCT substring({column.column} FOR 5) FROM {column.table} WHERE tenant_id = %s",  # noqa: S608
                [tenant_id],
            )
            used |= {bytes(head) for (head,) in cursor.fetchall() if head is not None}
        older = keys.filter(version__lt=newest).values_list("version", flat=True)
        keys.filter(version__in=[version for version in older if vault.header(version) not in used]).delete()


def row_id_of(value: UUID | bytes | memoryview) -> UUID:
    """Of a digest the first half."""
    return value if isinstance(value, UUID) else UUID(bytes=bytes(value)[:16])
