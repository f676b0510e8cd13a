"""Who may write in a tenant's books, and how far back do they hold every call?"""

from datetime import UTC, datetime
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from tenants.isolation import as_owner

EVER = datetime(1, 1, 1, tzinfo=UTC)


def lock(cursor: CursorWrapper, tenant_id: UUID) -> None:
    """One accountant per tenant: a call priced while its hour is being rolled up would be in neither."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"books {tenant_id}"])


def tenants(sql: str) -> list[UUID]:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def kept_since(cursor: CursorWrapper, tenant_id: UUID) -> datetime:
    """Before this the calls are gone, and the roll-ups are the record."""
    cursor.execute("SELECT since FROM ledger_kept WHERE tenant_id = %s", [tenant_id])
    found = cursor.fetchone()
    return EVER if found is None else found[0]
