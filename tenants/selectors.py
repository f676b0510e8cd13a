"""What is there to see of tenants, their people and their keys?"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet

from tenants.isolation import as_owner, as_person, as_tenant
from tenants.models import ApiKey, AuditEvent, Invitation, Member, Project, ProviderKey, Tenant, User
from tenants.refusals import NotFound
from tenants.roles import ROLES


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
    taken_at: datetime | None  # when its provider last took it
    trouble: str  # why that is not known; empty if it is


@dataclass(frozen=True, slots=True)
class MemberFacts:
    user_id: UUID
    email: str
    name: str  # may be empty
    role: str
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    id: UUID
    email: str
    role: str
    expires_at: datetime  # may have passed: it can be sent again


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Which events; what is given must all be true of one."""

    actor_id: UUID | None = None
    actor_kind: str = ""
    action: str = ""  # or a beginning that ends in a point: all acts on one kind of thing
    targets: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERY_EVENT = AuditFilters()


class Act(NamedTuple):
    """What the audit trail knows somebody by, and a kind of thing they did."""

    actor_kind: str
    actor_id: UUID | None
    action: str


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


def project_of(*, tenant_id: UUID, project_id: UUID) -> Project:
    """Raises NotFound."""
    with as_tenant(tenant_id):
        project = Project.objects.filter(tenant_id=tenant_id, id=project_id).first()
    if project is None:
        raise NotFound
    return project


def members_of(*, tenant_id: UUID) -> list[MemberFacts]:
    """Owners first, then by address."""
    with as_tenant(tenant_id):
        found = list(Member.objects.filter(tenant_id=tenant_id).select_related("user"))
    members = [
        MemberFacts(one.user_id, one.user.email, one.user.get_full_name(), one.role, one.created_at) for one in found
    ]
    return sorted(members, key=lambda member: (ROLES.index(member.role), member.email))


def invitations_of(*, tenant_id: UUID) -> list[OpenInvitation]:
    with as_tenant(tenant_id):
        found = Invitation.objects.filter(tenant_id=tenant_id).order_by("-created_at")
        return [OpenInvitation(one.id, one.email, one.role, one.expires_at) for one in found]


def keys_of(
    *,
    tenant_id: UUID,
    project_id: UUID | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int | None = None,
) -> list[ApiKey]:
    """The newest first; `after` is when the last one of the page before was created, and its id."""
    with as_tenant(tenant_id):
        found = ApiKey.objects.filter(tenant_id=tenant_id).order_by("-created_at", "-id")
        if project_id is not None:
            found = found.filter(project_id=project_id)
        if after is not None:
            created_at, key_id = after
            found = found.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, id__lt=key_id))
        return list(found[:limit])


def key_of(*, tenant_id: UUID, key_id: UUID, project_id: UUID | None = None) -> ApiKey:
    """With `project_id` it must be that project's. Raises NotFound."""
    with as_tenant(tenant_id):
        found = ApiKey.objects.filter(tenant_id=tenant_id, id=key_id)
        key = (found if project_id is None else found.filter(project_id=project_id)).first()
    if key is None:
        raise NotFound
    return key


def provider_keys_of(*, tenant_id: UUID) -> list[ProviderKeyFacts]:
    with as_tenant(tenant_id):
        found = ProviderKey.objects.filter(tenant_id=tenant_id).order_by("provider")
        return [ProviderKeyFacts(*row) for row in found.values_list(*ProviderKeyFacts.__slots__)]


def audit_events_of(
    *, tenant_id: UUID, limit: int, before: int | None = None, filters: AuditFilters = EVERY_EVENT
) -> list[AuditEvent]:
    """The newest first; `before` is the number of the last one of the page before."""
    with as_tenant(tenant_id):
        found = audit_rows(tenant_id, filters).order_by("-seq")
        return list((found if before is None else found.filter(seq__lt=before))[:limit])


def audit_acts_of(*, tenant_id: UUID, newest: int) -> set[Act]:
    """Of so many of the newest events."""
    with as_tenant(tenant_id):
        rows = audit_rows(tenant_id, EVERY_EVENT).order_by("-seq").values_list(*Act._fields)[:newest]
        return set(map(Act._make, rows))


def audit_rows(tenant_id: UUID, filters: AuditFilters) -> QuerySet[AuditEvent]:
    """Inside `as_tenant`."""
    found = AuditEvent.objects.filter(tenant_id=tenant_id)
    plain = {
        "actor_id": filters.actor_id,
        "actor_kind": filters.actor_kind or None,
        "target__in": None if filters.targets is None else list(filters.targets),
        "at__gte": filters.since,
        "at__lt": filters.until,
        ("action__startswith" if filters.action.endswith(".") else "action"): filters.action or None,
    }
    return found.filter(**{name: value for name, value in plain.items() if value is not None})


def actor_names(*, tenant_id: UUID, events: Iterable[AuditEvent | Act]) -> dict[UUID, str]:
    """What people call who acted: an e-mail address, a key's name or its first characters. Who is gone is left out."""
    by_kind: dict[str, set[UUID]] = {"person": set(), "key": set()}
    for event in events:
        if event.actor_id is not None and event.actor_kind in by_kind:
            by_kind[event.actor_kind].add(event.actor_id)
    with as_tenant(tenant_id):
        people = User.objects.filter(id__in=by_kind["person"]).values_list("id", "email")
        used = ApiKey.objects.filter(tenant_id=tenant_id, id__in=by_kind["key"])
        return dict(people) | {key.id: key.name or key.hint for key in used}


def emails_of(*, tenant_id: UUID, roles: Collection[str], maker: UUID | None = None) -> list[str]:
    """Of the members in these roles, and of who made the thing in question, if still a member; inside `as_tenant`."""
    told = Q(role__in=roles) if maker is None else Q(role__in=roles) | Q(user_id=maker)
    return sorted(Member.objects.filter(told, tenant_id=tenant_id).values_list("user__email", flat=True))


def tenant_ids() -> list[UUID]:
    """For jobs that go through all tenants, one after the other."""
    with as_owner():
        return list(Tenant.objects.order_by("created_at").values_list("id", flat=True))
