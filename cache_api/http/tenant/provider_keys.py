"""Which credentials for providers has the tenant stored? Nobody reads one again; its last four characters are shown."""

from dataclasses import asdict
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers

from cache_api.adapters.catalogue import guarded
from cache_api.http.serializers import NameField, validated
from cache_api.http.visits import Visit, answer
from cache_api.provider_keys import Tested, provider_key_put, provider_key_test
from tenants import provider_keys, selectors


class ProviderKeySerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(max_length=provider_keys.SECRET_MAX_CHARACTERS)
    base_url = NameField(allow_blank=True)


def listed(visit: Visit) -> HttpResponse:
    found = guarded(lambda: selectors.provider_keys_of(tenant_id=visit.access.tenant_id))
    return answer({"object": "list", "data": [asdict(one) for one in found]})


def put(visit: Visit, provider: str) -> HttpResponse:
    values = validated(ProviderKeySerializer, visit.fields())
    tested = guarded(
        lambda: provider_key_put(
            tenant_id=visit.access.tenant_id,
            provider=provider,
            secret=values["secret"],
            base_url=values.get("base_url", ""),
            actor=visit.actor,
        )
    )
    return _told(provider, tested)


def tested(visit: Visit, provider: str) -> HttpResponse:
    return _told(provider, guarded(lambda: provider_key_test(tenant_id=visit.access.tenant_id, provider=provider)))


def removed(visit: Visit, provider: str) -> HttpResponse:
    guarded(
        lambda: provider_keys.provider_key_delete(
            tenant_id=visit.access.tenant_id, provider=provider, actor=visit.actor
        )
    )
    return answer({"provider": provider, "deleted": True})


def _told(provider: str, said: Tested) -> HttpResponse:
    return answer({"provider": provider, "taken": said.taken, "trouble": said.trouble})
