"""What can be changed about a project's keys?"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from secrets import token_bytes
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from tenants import audit, authentication, features, keys, names, revocation
from tenants.audit import SYSTEM, Actor
from tenants.authentication import Access, Network
from tenants.isolation import as_owner, as_tenant
from tenants.models import ApiKey, Project, Tenant
from tenants.refusals import BadValue, KeyEnded, LimitReached, NotFound, NotInPlan, TooWide
from tenants.roles import may

# For how long an old key works beside its successor.
GRACES = (timedelta(0), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=24), timedelta(days=7))
LIST_MAX = 64  # networks and models of one key: each is compared with each call
LIFE_MAX = timedelta(days=3650)  # of a key that is to end at all


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is shown this once: nobody can read it again."""

    id: UUID
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reach:
    """The most that its maker may give a key; no networks or models means any, no number or end means none is set."""

    scopes: frozenset[str] = keys.SCOPES
    networks: tuple[Network, ...] = ()
    models_allowed: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    ttl_max_seconds: int | None = None
    expires_at: datetime | None = None


EVERYTHING = Reach()


def reach_of_role(role: str) -> Reach:
    """What belongs to the whole tenant is for those who may manage its provider keys."""
    if not may(role, "keys"):
        return Reach(scopes=frozenset())
    return EVERYTHING if may(role, "provider_keys") else Reach(scopes=keys.SCOPES - {keys.TENANT_MANAGE})


def reach_of_key(access: Access) -> Reach:
    return Reach(
        scopes=access.scopes,
        networks=access.networks,
        models_allowed=access.models_allowed,
        rpm=access.key_rpm,
        tpm=access.key_tpm,
        ttl_max_seconds=access.ttl_max_seconds,
        expires_at=access.expires_at,
    )


def key_create(
    *,
    tenant_id: UUID,
    project_id: UUID,
    name: str = "",
    scopes: Iterable[str] = keys.DEFAULT_SCOPES,
    networks: Sequence[str] = (),
    models_allowed: Sequence[str] = (),
    rpm: int | None = None,
    tpm: int | None = None,
    ttl_max_seconds: int | None = None,
    provider: str = "",
    expires_at: datetime | None = None,
    created_by: UUID | None = None,
    reach: Reach = EVERYTHING,
    actor: Actor = SYSTEM,
) -> NewKey:
    """Raises BadValue, NotFound, TooWide, LimitReached or NotInPlan."""
    now = datetime.now(UTC)
    _refuse_past(expires_at, now)
    secret = keys.make(token_bytes(keys.RANDOM_BYTES))
    key = ApiKey(
        tenant_id=tenant_id,
        project_id=project_id,
        name=names.checked(name, may_be_empty=True),
        scopes=_scopes(scopes),
        networks=_networks(networks),
        models_allowed=_models(models_allowed),
        rpm=_positive(rpm, "rpm"),
        tpm=_positive(tpm, "tpm"),
        ttl_max_seconds=_positive(ttl_max_seconds, "ttl_max_seconds"),
        provider=provider,
        created_at=now,
        created_by=created_by,
        expires_at=expires_at,
        **_secret_columns(secret),
    )
    with as_tenant(tenant_id):
        tenant = Tenant.objects.get(id=tenant_id)
        _refuse_wider(key, reach, tenant)
        # Locked: of two keys made at once the second counts the first.
        if Project.objects.select_for_update().filter(tenant_id=tenant_id, id=project_id).first() is None:
            raise NotFound
        if key.networks:
            _refuse_networks(tenant)
        if tenant.keys_max is not None and _in_use(tenant_id, project_id, now).count() >= tenant.keys_max:
            raise LimitReached.of(tenant.plan, tenant.keys_max, "key", " in a project")
        key.save(force_insert=True)
        audit.record(tenant_id=tenant_id, actor=actor, action="key.create", target=str(key.id), diff=_described(key))
    return NewKey(key.id, secret)


def key_rotate(
    *,
    tenant_id: UUID,
    key_id: UUID,
    grace: timedelta,
    project_id: UUID | None = None,
    expires_at: datetime | None = None,
    created_by: UUID | None = None,
    reach: Reach = EVERYTHING,
    actor: Actor = SYSTEM,
) -> NewKey:
    """A successor of the same rules, now; the old key ends after the grace.

    Without `expires_at` the successor of a key that was to end lives as long as that one, and no longer than the reach.
    With `project_id` the key must be that project's. Raises BadValue, NotFound, KeyEnded or TooWide.
    """
    if grace not in GRACES:
        raise BadValue("grace must be 0, 15 minutes, 1 hour, 24 hours or 7 days", field="grace")
    now = datetime.now(UTC)
    _refuse_past(expires_at, now)
    secret = keys.make(token_bytes(keys.RANDOM_BYTES))
    with as_tenant(tenant_id):
        old = _find(tenant_id, key_id, project_id, locked=True)
        if status_of(old, now) != "live":
            raise KeyEnded
        tenant = Tenant.objects.get(id=tenant_id)
        _refuse_wider(old, reach, tenant)
        new = ApiKey(
            tenant_id=tenant_id,
            project_id=old.project_id,
            name=old.name,
            scopes=old.scopes,
            networks=old.networks,
            models_allowed=old.models_allowed,
            rpm=old.rpm,
            tpm=old.tpm,
            ttl_max_seconds=old.ttl_max_seconds,
            provider=old.provider,
            created_at=now,
            created_by=created_by,
            expires_at=expires_at or _end_of_successor(old, reach, now),
            **_secret_columns(secret),
        )
        _refuse_wider(new, reach, tenant)
        new.save(force_insert=True)
        ends = min(now + grace, old.expires_at or now + grace)
        changes = {"expires_at": ends, "replaced_by": new.id} | ({} if grace else {"revoked_at": now})
        ApiKey.objects.filter(tenant_id=tenant_id, id=key_id).update(**changes)
        audit.record(
            tenant_id=tenant_id,
            actor=actor,
            action="key.rotate",
            target=str(key_id),
            diff={"replaced_by": str(new.id), "ends_at": ends.isoformat()},
        )
    _tell_everywhere(key_id)
    return NewKey(new.id, secret)


def key_change(
    *,
    tenant_id: UUID,
    key_id: UUID,
    changes: Mapping[str, Any],
    project_id: UUID | None = None,
    reach: Reach = EVERYTHING,
    actor: Actor = SYSTEM,
) -> None:
    """Its name, or what it may; what is not among the changes stays.

    A name may be changed of any key; rules only of one that lives, and only to what its changer could give a new one.
    Raises BadValue, NotFound, KeyEnded, TooWide or NotInPlan.
    """
    now = datetime.now(UTC)
    wanted = {name: CHANGEABLE[name](value) for name, value in changes.items()}
    with as_tenant(tenant_id):
        key = _find(tenant_id, key_id, project_id, locked=True)
        before = {name: getattr(key, name) for name, value in wanted.items() if getattr(key, name) != value}
        if not before:
            return
        rules = before.keys() - {"name"}
        if rules and status_of(key, now) != "live":
            raise KeyEnded
        for name in before:
            setattr(key, name, wanted[name])
        tenant = Tenant.objects.get(id=tenant_id)
        if rules:
            _refuse_wider(key, reach, tenant)
        if "networks" in before and key.networks:
            _refuse_networks(tenant)
        if "expires_at" in before:
            _refuse_past(key.expires_at, now)
            key.expiry_told_days = None
        key.save(update_fields=[*before, "expiry_told_days"])
        diff = {name: [_told(was), _told(wanted[name])] for name, was in before.items()}
        audit.record(tenant_id=tenant_id, actor=actor, action="key.change", target=str(key_id), diff=diff)
    _tell_everywhere(key_id)


def key_revoke(
    *, tenant_id: UUID, key_id: UUID, project_id: UUID | None = None, actor: Actor = SYSTEM, reason: str = ""
) -> None:
    """Committed first, told after: a process that asks again on the message must find it revoked. Raises NotFound."""
    with as_tenant(tenant_id):
        key = _find(tenant_id, key_id, project_id, locked=True)
        if key.revoked_at is None:
            ApiKey.objects.filter(tenant_id=tenant_id, id=key_id).update(revoked_at=datetime.now(UTC))
            diff = {"name": key.name, **({"reason": reason} if reason else {})}
            audit.record(tenant_id=tenant_id, actor=actor, action="key.revoke", target=str(key_id), diff=diff)
    _tell_everywhere(key_id)


def status_of(key: ApiKey, now: datetime) -> Literal["live", "ending", "expired", "revoked"]:
    """An ending key has a successor, and works on for its grace."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "live" if key.replaced_by is None else "ending"


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


def _find(tenant_id: UUID, key_id: UUID, project_id: UUID | None, *, locked: bool = False) -> ApiKey:
    found = ApiKey.objects.filter(tenant_id=tenant_id, id=key_id)
    if project_id is not None:
        found = found.filter(project_id=project_id)
    key = (found.select_for_update() if locked else found).first()
    if key is None:
        raise NotFound
    return key


def _in_use(tenant_id: UUID, project_id: UUID, now: datetime) -> QuerySet[ApiKey]:
    """Those that count: a key in its grace has a successor that counts for it."""
    alive = Q(expires_at=None) | Q(expires_at__gt=now)
    return ApiKey.objects.filter(alive, tenant_id=tenant_id, project_id=project_id, revoked_at=None, replaced_by=None)


def _secret_columns(secret: str) -> dict[str, bytes | int | str]:
    pepper = keys.read_versions(settings.CACHEAI_KEY_PEPPERS)[0]
    return {
        "digest": keys.digest(secret, pepper.secret),
        "pepper_id": pepper.version,
        "hint": keys.hint(secret),
    }


def _scopes(named: Iterable[str]) -> list[str]:
    try:
        granted = sorted(keys.expand_scopes(list(named)))
    except keys.UnknownScope as error:
        raise BadValue(str(error), field="scopes") from error
    if not granted:
        raise BadValue("A key needs a scope.", field="scopes")
    return granted


def _networks(named: Sequence[str]) -> list[str]:
    if len(named) > LIST_MAX:
        raise BadValue(f"A key has at most {LIST_MAX} networks.", field="networks")
    try:
        return [str(ipaddress.ip_network(network)) for network in named]
    except ValueError as error:
        raise BadValue(f"networks: {error}", field="networks") from error


def _models(named: Sequence[str]) -> list[str]:
    if len(named) > LIST_MAX:
        raise BadValue(f"A key has at most {LIST_MAX} models.", field="models_allowed")
    patterns = [names.checked(pattern, field="models_allowed") for pattern in named]
    if any("*" in pattern[:-1] for pattern in patterns):
        raise BadValue("models_allowed: * may only be the last character", field="models_allowed")
    return patterns


def _positive(number: int | None, field: str) -> int | None:
    if number is not None and not 0 < number < 2**31:
        raise BadValue(f"{field} must be between 1 and {2**31 - 1}", field=field)
    return number


def _refuse_past(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and not now < expires_at <= now + LIFE_MAX:
        message = f"expires_at must be in the future, and within {LIFE_MAX.days} days"
        raise BadValue(message, field="expires_at")


def _refuse_networks(tenant: Tenant) -> None:
    if features.NETWORKS not in tenant.features:
        raise NotInPlan("The plan does not include keys for some networks only.", field="networks")


def _end_of_successor(old: ApiKey, reach: Reach, now: datetime) -> datetime | None:
    if old.expires_at is None:
        return None
    ends = now + (old.expires_at - old.created_at)
    return ends if reach.expires_at is None else min(ends, reach.expires_at)


def _refuse_wider(key: ApiKey, reach: Reach, tenant: Tenant) -> None:
    if lacking := sorted(set(key.scopes) - reach.scopes):
        raise TooWide(f"Nobody gives a key a scope they lack: {', '.join(lacking)}.", field="scopes")
    if reach.networks and not (key.networks and all(_is_within(network, reach.networks) for network in key.networks)):
        raise TooWide("A key for some networks makes keys for those only.", field="networks")
    if reach.models_allowed and not (
        key.models_allowed
        and all(any(keys.covers(wide, narrow) for wide in reach.models_allowed) for narrow in key.models_allowed)
    ):
        raise TooWide("A key for some models makes keys for those only.", field="models_allowed")
    for name in ("rpm", "tpm", "expires_at"):
        most, asked = getattr(reach, name), getattr(key, name)
        if most is not None and (asked is None or asked > most):
            raise TooWide(f"A key whose {name} is set makes keys with no more than that.", field=name)
    # A key's reach has the tenant's own maximum where the key has none.
    ttl_seconds = min(tenant.ttl_max_seconds, key.ttl_max_seconds or tenant.ttl_max_seconds)
    if reach.ttl_max_seconds is not None and ttl_seconds > reach.ttl_max_seconds:
        raise TooWide("A key makes keys whose answers live no longer than its own.", field="ttl_max_seconds")


def _is_within(network: str, wide: Iterable[Network]) -> bool:
    narrow = ipaddress.ip_network(network)
    # As ranges: subnet_of wants both of one version, and says so with a TypeError.
    return any(
        one.version == narrow.version
        and one.network_address <= narrow.network_address  # type: ignore[operator]
        and narrow.broadcast_address <= one.broadcast_address  # type: ignore[operator]
        for one in wide
    )


def _tell_everywhere(key_id: UUID) -> None:
    authentication.forget(key_id)
    revocation.publish(key_id)


# What of a key may be changed, and what a value of it has to be.
CHANGEABLE: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "name": partial(names.checked, may_be_empty=True),
        "scopes": _scopes,
        "networks": _networks,
        "models_allowed": _models,
        "rpm": partial(_positive, field="rpm"),
        "tpm": partial(_positive, field="tpm"),
        "ttl_max_seconds": partial(_positive, field="ttl_max_seconds"),
        "provider": str,
        "expires_at": lambda moment: moment,
    }
)


def _told(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _described(key: ApiKey) -> dict[str, object]:
    """For the audit trail: what the key may, where that is not the usual."""
    said = {
        "networks": key.networks,
        "models_allowed": key.models_allowed,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "ttl_max_seconds": key.ttl_max_seconds,
        "provider": key.provider,
        "expires_at": key.expires_at and key.expires_at.isoformat(),
    }
    given = {name: value for name, value in said.items() if value}
    return {"name": key.name, "project_id": str(key.project_id), "scopes": key.scopes, **given}
