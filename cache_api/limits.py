"""What may a tenant use, and what has it used of it?"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from django.db import connection
from django.db.models import Count, Sum

from cache_api import budgets
from cache_api.domain.quota import overage_usd, requests_max, spend_cap_usd, with_overshoot
from cache_api.models import Entry, StorageLimit
from tenants.isolation import as_tenant
from tenants.models import Member, Project, Tenant

Unit = Literal["requests", "usd", "entries", "bytes", "projects", "members", "keys", "per_minute"]


_MOST_KEYS = """
SELECT coalesce(max(keys), 0) FROM (
  SELECT count(*) AS keys FROM api_key WHERE tenant_id = %s
    AND revoked_at IS NULL AND replaced_by IS NULL AND (expires_at IS NULL OR expires_at > %s)
  GROUP BY project_id) AS used
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """`most` is None where there is none; what is per minute has no `used`."""

    name: str
    unit: Unit
    used: int | Decimal | None
    most: int | Decimal | None

    @property
    def share(self) -> float | None:
        return float(self.used / self.most) if self.used is not None and self.most else None


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """All of them now."""

    plan: str
    since: datetime  # the period requests are counted in
    requests_hard: bool
    read_only: bool
    surplus_until: datetime | None  # what is stored beyond a lowered plan goes then
    over_quota: bool  # the cache steps aside: calls pass through uncached
    overage_usd: Decimal | None  # beyond the plan's price; None: what the plan takes is not known here
    limits: tuple[Limit, ...]


def room_of(*, tenant_id: UUID) -> int:
    """How many entries more may be stored before the least used are taken away."""
    with as_tenant(tenant_id):
        return _room(tenant_id)


def room_held(tenant_id: UUID) -> int:
    """`room_of`, in the tenant's transaction that is open: until it ends, whoever else asks so has to wait."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"room {tenant_id}"])
    return _room(tenant_id)


def _room(tenant_id: UUID) -> int:
    tenant = Tenant.objects.get(id=tenant_id)
    entries = Entry.objects.filter(tenant_id=tenant_id)
    if tenant.bytes_max is not None:
        stored = entries.aggregate(bytes=Sum("size_bytes"))["bytes"] or 0
        if stored >= with_overshoot(tenant.bytes_max):
            return 0
    return max(0, with_overshoot(tenant.entries_max) - entries.count())


def limits_of(*, tenant_id: UUID, now: datetime) -> TenantLimits:
    """Counted from the ledger and the tables: exact at any moment."""
    with as_tenant(tenant_id):
        tenant = Tenant.objects.get(id=tenant_id)
        requests, _ = budgets.used(tenant_id, since=tenant.period_start)
        stored = Entry.objects.filter(tenant_id=tenant_id).aggregate(entries=Count("*"), bytes=Sum("size_bytes"))
        projects = Project.objects.filter(tenant_id=tenant_id).count()
        members = Member.objects.filter(tenant_id=tenant_id).count()
        fullest = _keys_of_fullest_project(tenant_id, now)
        held = StorageLimit.objects.filter(tenant_id=tenant_id).first()
    beyond = overage_usd(tenant.plan, included=tenant.requests_included, calls=requests)
    ends = requests_max(
        tenant.plan,
        included=tenant.requests_included,
        hard=tenant.requests_hard,
        overage_cap_usd=tenant.overage_cap_usd,
    )
    cap = None if tenant.requests_hard else spend_cap_usd(tenant.plan, tenant.overage_cap_usd)
    return TenantLimits(
        plan=tenant.plan,
        since=tenant.period_start,
        requests_hard=tenant.requests_hard,
        read_only=tenant.read_only,
        surplus_until=held.surplus_until if held else None,
        over_quota=ends is not None and requests >= ends,
        overage_usd=beyond,
        limits=(
            Limit("requests", "requests", requests, tenant.requests_included),
            Limit("spend_usd", "usd", beyond, cap),
            Limit("entries", "entries", stored["entries"], tenant.entries_max),
            Limit("bytes", "bytes", stored["bytes"] or 0, tenant.bytes_max),
            Limit("projects", "projects", projects, tenant.projects_max),
            Limit("members", "members", members, tenant.members_max),
            Limit("keys", "keys", fullest, tenant.keys_max),
            Limit("rpm", "per_minute", None, tenant.rpm),
            Limit("tpm", "per_minute", None, tenant.tpm),
        ),
    )


def _keys_of_fullest_project(tenant_id: UUID, now: datetime) -> int:
    """Those in use: `keys_max` is what each project may have."""
    with connection.cursor() as cursor:
        cursor.execute(
            _MOST_KEYS,
            [tenant_id, now],
        )
        ((keys,),) = cursor.fetchall()
    return int(keys)
