"""What is there to see of tenants, their people and their keys?"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenants.isolation import as_owner, as_person, as_tenant
from tenants.models import ApiKey, Member, Project, ProviderKey, Tenant


@dataclass(frozen=True, slots=True)
class Membership:
    tenant_id: UUID
    tenant_name: str
    role: str


@dataclass(frozen=True, slots=True)
class ProviderKeyFacts:
    """All that is ever shown of a stored credential."""

    provider: str
    base_url: str
    hint: str
    created_at: datetime


def memberships_of(*, user_id: UUID) -> list[Membership]:
    with as_person(user_id):
        found = list(Member.objects.filter(user_id=user_id).values_list("tenant_id", "role"))
    return sorted(
        (Membership(tenant_id, tenant_of(tenant_id=tenant_id).name, role) for tenant_id, role in found),
        key=lambda membership: membership.tenant_name,
    )


def tenant_of(*, tenant_id: UUID) -> Tenant:
    with as_tenant(tenant_id):
        return Tenant.objects.get(id=tenant_id)


def projects_of(*, tenant_id: UUID) -> list[Project]:
    with as_tenant(tenant_id):
        return list(Project.objects.filter(tenant_id=tenant_id).order_by("created_at"))


def keys_of(*, tenant_id: UUID) -> list[ApiKey]:
    with as_tenant(tenant_id):
        return list(ApiKey.objects.filter(tenant_id=tenant_id).order_by("-created_at"))


def provider_keys_of(*, tenant_id: UUID) -> list[ProviderKeyFacts]:
    with as_tenant(tenant_id):
        found = ProviderKey.objects.filter(tenant_id=tenant_id).order_by("provider")
        return [ProviderKeyFacts(key.provider, key.base_url, key.hint, key.created_at) for key in found]


def tenant_ids() -> list[UUID]:
    """For jobs that go through all tenants, one after the other."""
    with as_owner():
        return list(Tenant.objects.order_by("created_at").values_list("id", flat=True))
