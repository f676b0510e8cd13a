"""What can be changed about tenants and their people?"""

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from allauth.account.models import EmailAddress

from tenants import vault
from tenants.isolation import as_tenant
from tenants.models import DataKey, Member, Tenant, User
from tenants.roles import ROLES


class BadRole(ValueError):
    """A member is owner, admin, developer, billing or viewer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan allows; billing writes them, everything else reads them."""

    plan: str = "free"
    rpm: int = 100
    requests_included: int = 10_000
    requests_hard: bool = True
    entries_max: int = 5_000
    ttl_max_seconds: int = 7 * 86_400
    detail_days: int = 7
    projects_max: int | None = 1
    members_max: int | None = 2
    keys_max: int | None = 5  # in each project
    features: tuple[str, ...] = ()
    tpm: int | None = None
    bytes_max: int | None = None
    overage_cap_usd: Decimal | None = None

    def columns(self) -> dict[str, Any]:
        """Named as the columns of Tenant are."""
        return {**asdict(self), "features": list(self.features)}


def user_create(*, email: str, password: str | None = None) -> User:
    """By an operator, who knows that the address is the person's."""
    user = User.objects.create_user(email, password)
    EmailAddress.objects.create(user=user, email=email.lower(), primary=True, verified=True)
    return user


def password_set(*, user: User, password: str) -> None:
    user.set_password(password)
    user.save(update_fields=["password"])


def tenant_create(*, name: str, limits: Limits = Limits()) -> UUID:
    tenant_id = uuid4()
    with as_tenant(tenant_id):
        tenant_insert(tenant_id, name, limits)
    return tenant_id


def tenant_insert(tenant_id: UUID, name: str, limits: Limits) -> None:
    """Inside its `as_tenant`."""
    Tenant.objects.create(id=tenant_id, name=name, **limits.columns())
    DataKey.objects.bulk_create(
        DataKey(tenant_id=tenant_id, purpose=purpose, version=version, wrapped=wrapped)
        for purpose, version, wrapped in vault.new_keys(tenant_id)
    )


def member_add(*, tenant_id: UUID, user_id: UUID, role: str) -> None:
    if role not in ROLES:
        raise BadRole(BadRole.__doc__)
    with as_tenant(tenant_id):
        Member.objects.update_or_create(tenant_id=tenant_id, user_id=user_id, defaults={"role": role})
