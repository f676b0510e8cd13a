"""Which keys has a project, and how are they made, changed, rotated and ended?

`keys:manage` opens the keys of the key's own project, `tenant:manage` those of all. Another project's key, or another
tenant's, is answered like one that does not exist.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework import serializers

from cache_api.adapters.catalogue import guarded
from cache_api.adapters.targets import known_providers
from cache_api.dialects.errors import Refused
from cache_api.http.serializers import LIST_DEFAULT, LIST_MAX, NameField, cursor_of, read_cursor, validated
from cache_api.http.visits import Visit, answer
from tenants import api_keys, keys, selectors
from tenants.api_keys import NewKey
from tenants.models import ApiKey
from tenants.refusals import NotFound

NUMBER_MAX = 2**31 - 1
ORDER = "-created"
GRACES = {
    "0": timedelta(0),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}


class KeysSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=LIST_MAX, default=LIST_DEFAULT)
    cursor = NameField()


class ChangedKeySerializer(serializers.Serializer[Any]):
    name = NameField(allow_blank=True)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(sorted(keys.SCOPES | keys.ALIASES.keys())),
        max_length=32,
        required=False,
        allow_empty=False,
    )
    networks = serializers.ListField(child=NameField(), max_length=api_keys.LIST_MAX, required=False)
    models_allowed = serializers.ListField(child=NameField(), max_length=api_keys.LIST_MAX, required=False)
    rpm = serializers.IntegerField(min_value=1, max_value=NUMBER_MAX, required=False, allow_null=True)
    tpm = serializers.IntegerField(min_value=1, max_value=NUMBER_MAX, required=False, allow_null=True)
    ttl_max_seconds = serializers.IntegerField(min_value=1, max_value=NUMBER_MAX, required=False, allow_null=True)
    provider = NameField(allow_blank=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class KeySerializer(ChangedKeySerializer):
    project_id = serializers.CharField(required=False)


class RotateSerializer(serializers.Serializer[Any]):
    grace = serializers.ChoiceField(sorted(GRACES), default="24h")
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


def listed(visit: Visit) -> HttpResponse:
    """The newest first, ended ones too."""
    values = validated(KeysSerializer, visit.http.GET.dict())
    project_id = _named_project(visit, values["project_id"]) if "project_id" in values else _own_project(visit)
    after = read_cursor(values["cursor"], ORDER) if "cursor" in values else None
    limit = values["limit"]
    found = guarded(
        lambda: selectors.keys_of(tenant_id=visit.access.tenant_id, project_id=project_id, after=after, limit=limit + 1)
    )
    page, has_more = found[:limit], len(found) > limit
    return answer(
        {
            "object": "list",
            "data": [_described(key) for key in page],
            "has_more": has_more,
            "next_cursor": cursor_of(ORDER, page[-1].created_at, page[-1].id) if has_more else None,
        }
    )


def made(visit: Visit) -> HttpResponse:
    values = validated(KeySerializer, visit.fields())
    project_id = _named_project(visit, values.pop("project_id", None))
    _refuse_unknown_provider(values)
    new = guarded(
        lambda: api_keys.key_create(
            tenant_id=visit.access.tenant_id,
            project_id=project_id,
            reach=api_keys.reach_of_key(visit.access),
            actor=visit.actor,
            **{name: value for name, value in values.items() if value is not None},
        )
    )
    return _new(visit, new)


def shown(visit: Visit, key_id: UUID) -> HttpResponse:
    return answer(_described(_key(visit, key_id)))


def changed(visit: Visit, key_id: UUID) -> HttpResponse:
    """What is not sent stays; null is no limit."""
    values = validated(ChangedKeySerializer, visit.fields())
    if not values:
        raise Refused(400, "invalid_request", f"Send something to change: {', '.join(api_keys.CHANGEABLE)}.")
    _refuse_unknown_provider(values)
    guarded(
        lambda: api_keys.key_change(
            tenant_id=visit.access.tenant_id,
            key_id=key_id,
            project_id=_own_project(visit),
            changes=values,
            reach=api_keys.reach_of_key(visit.access),
            actor=visit.actor,
        )
    )
    return shown(visit, key_id)


def revoked(visit: Visit, key_id: UUID) -> HttpResponse:
    guarded(
        lambda: api_keys.key_revoke(
            tenant_id=visit.access.tenant_id, key_id=key_id, project_id=_own_project(visit), actor=visit.actor
        )
    )
    return answer({"id": str(key_id), "revoked": True})


def rotated(visit: Visit, key_id: UUID) -> HttpResponse:
    values = validated(RotateSerializer, visit.fields())
    new = guarded(
        lambda: api_keys.key_rotate(
            tenant_id=visit.access.tenant_id,
            key_id=key_id,
            project_id=_own_project(visit),
            grace=GRACES[values["grace"]],
            expires_at=values.get("expires_at"),
            reach=api_keys.reach_of_key(visit.access),
            actor=visit.actor,
        )
    )
    return _new(visit, new)


def _own_project(visit: Visit) -> UUID | None:
    """The project whose keys it opens; None: all of the tenant's."""
    return None if keys.TENANT_MANAGE in visit.access.scopes else visit.access.project_id


def _named_project(visit: Visit, named: str | None) -> UUID:
    """Raises Refused or NotFound."""
    if named is None:
        return visit.access.project_id
    if keys.TENANT_MANAGE not in visit.access.scopes:
        visit.same_project(named)
        return visit.access.project_id
    try:
        return UUID(named)
    except ValueError:
        raise NotFound(field="project_id") from None


def _refuse_unknown_provider(values: Mapping[str, Any]) -> None:
    """Raises Refused."""
    if (provider := values.get("provider")) and provider not in known_providers():
        message = f"Unknown provider {provider!r}. Known are: {', '.join(sorted(known_providers()))}."
        raise Refused(400, "invalid_request", message, "provider")


def _key(visit: Visit, key_id: UUID) -> ApiKey:
    return guarded(
        lambda: selectors.key_of(tenant_id=visit.access.tenant_id, key_id=key_id, project_id=_own_project(visit))
    )


def _new(visit: Visit, new: NewKey) -> HttpResponse:
    """The one answer that shows the secret."""
    return answer({**_described(_key(visit, new.id)), "key": new.secret}, status=201)


def _described(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "project_id": str(key.project_id),
        "name": key.name,
        "hint": key.hint,
        "status": api_keys.status_of(key, datetime.now(UTC)),
        "scopes": key.scopes,
        "networks": key.networks,
        "models_allowed": key.models_allowed,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "ttl_max_seconds": key.ttl_max_seconds,
        "provider": key.provider,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "replaced_by": None if key.replaced_by is None else str(key.replaced_by),
        "last_used_at": key.last_used_at,
    }
