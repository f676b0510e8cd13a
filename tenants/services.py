"""What can be changed about tenants, their people and their keys?"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from secrets import token_bytes
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import Q

from tenants import authentication, keys, revocation, vault
from tenants.isolation import as_owner, as_tenant
from tenants.models import ApiKey, DataKey, Member, Project, ProviderKey, Tenant, User
from tenants.roles import ROLES

HINT_LAST_CHARACTERS = 4


class NotFound(Exception):
    """There is no such thing in this tenant."""


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


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is shown this once: nobody can read it again."""

    id: UUID
    secret: str = field(repr=False)


def user_create(*, email: str, password: str | None = None) -> User:
    return User.objects.create_user(email, password)


def password_set(*, user: User, password: str) -> None:
    user.set_password(password)
    user.save(update_fields=["password"])


def tenant_create(*, name: str, limits: Limits = Limits()) -> UUID:
    tenant_id = uuid4()
    with as_tenant(tenant_id):
        Tenant.objects.create(id=tenant_id, name=name, **limits.columns())
        DataKey.objects.bulk_create(
            DataKey(tenant_id=tenant_id, purpose=purpose, version=version, wrapped=wrapped)
            for purpose, version, wrapped in vault.new_keys(tenant_id)
        )
    return tenant_id


def member_add(*, tenant_id: UUID, user_id: UUID, role: str) -> None:
    if role not in ROLES:
        raise BadRole(BadRole.__doc__)
    with as_tenant(tenant_id):
        Member.objects.update_or_create(tenant_id=tenant_id, user_id=user_id, defaults={"role": role})


def project_create(*, tenant_id: UUID, name: str, default_model: str = "") -> UUID:
    with as_tenant(tenant_id):
        project = Project.objects.create(tenant_id=tenant_id, name=name, default_model=default_model)
    return project.id


def key_create(
    *,
    tenant_id: UUID,
    project_id: UUID,
    name: str = "",
    scopes: Iterable[str] = keys.DEFAULT_SCOPES,
    networks: Sequence[str] = (),
    rpm: int | None = None,
    ttl_max_seconds: int | None = None,
    provider: str = "",
    expires_at: datetime | None = None,
    created_by: UUID | None = None,
) -> NewKey:
    """Raises UnknownScope, NotFound, or ValueError for a network that is none."""
    granted = sorted(keys.expand_scopes(list(scopes)))
    admitted = [str(ipaddress.ip_network(network)) for network in networks]
    secret = keys.make(token_bytes(keys.RANDOM_BYTES))
    pepper = keys.read_versions(settings.CACHEAI_KEY_PEPPERS)[0]
    with as_tenant(tenant_id):
        if not Project.objects.filter(tenant_id=tenant_id, id=project_id).exists():
            raise NotFound(NotFound.__doc__)
        key = ApiKey.objects.create(
            tenant_id=tenant_id,
            project_id=project_id,
            name=name,
            digest=keys.digest(secret, pepper.secret),
            pepper_id=pepper.version,
            hint=keys.hint(secret),
            scopes=granted,
            networks=admitted,
            rpm=rpm,
            ttl_max_seconds=ttl_max_seconds,
            provider=provider,
            expires_at=expires_at,
            created_by=created_by,
        )
    return NewKey(key.id, secret)


def key_revoke(*, tenant_id: UUID, key_id: UUID) -> None:
    """Committed first, told after: a process that asks again on the message must find it revoked."""
    with as_tenant(tenant_id):
        found = ApiKey.objects.filter(tenant_id=tenant_id, id=key_id)
        if not found.exists():
            raise NotFound(NotFound.__doc__)
        found.filter(revoked_at=None).update(revoked_at=datetime.now(UTC))
    authentication.forget(key_id)
    revocation.publish(key_id)


def keys_matching(name: str) -> list[ApiKey]:
    """An operator's search across tenants: by a key's id, its first characters, or the key itself."""
    with as_owner():
        return list(ApiKey.objects.filter(_named(name), revoked_at=None))


def _named(name: str) -> Q:
    if keys.is_well_formed(name):
        peppers = keys.read_versions(settings.CACHEAI_KEY_PEPPERS)
        return Q(digest__in=[keys.digest(name, pepper.secret) for pepper in peppers])
    try:
        return Q(id=UUID(name))
    except ValueError:
        return Q(hint=name)


def provider_key_put(*, tenant_id: UUID, provider: str, secret: str, base_url: str = "") -> None:
    with as_tenant(tenant_id):
        found = ProviderKey.objects.filter(tenant_id=tenant_id, provider=provider).first()
    row_id = found.id if found else uuid4()
    sealed = vault.seal(tenant_id, secret.encode(), column="provider_key.sealed", row_id=row_id)
    with as_tenant(tenant_id):
        ProviderKey.objects.update_or_create(
            tenant_id=tenant_id,
            provider=provider,
            defaults={"sealed": sealed, "base_url": base_url, "hint": secret[-HINT_LAST_CHARACTERS:]},
            create_defaults={
                "id": row_id,
                "sealed": sealed,
                "base_url": base_url,
                "hint": secret[-HINT_LAST_CHARACTERS:],
            },
        )
    vault.forget(tenant_id)


def provider_key_delete(*, tenant_id: UUID, provider: str) -> None:
    with as_tenant(tenant_id):
        ProviderKey.objects.filter(tenant_id=tenant_id, provider=provider).delete()
    vault.forget(tenant_id)
