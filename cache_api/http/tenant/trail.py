"""Who did what in this tenant?"""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers

from cache_api.adapters.catalogue import guarded
from cache_api.http.serializers import LIST_DEFAULT, LIST_MAX, validated
from cache_api.http.visits import Visit, answer
from tenants import features, selectors
from tenants.models import AuditEvent
from tenants.refusals import NotInPlan

SEQ_MAX = 2**63 - 1


class AuditSerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=LIST_MAX, default=LIST_DEFAULT)
    cursor = serializers.IntegerField(min_value=1, max_value=SEQ_MAX, required=False)


def listed(visit: Visit) -> HttpResponse:
    """The newest first."""
    values = validated(AuditSerializer, visit.http.GET.dict())
    if features.AUDIT_LOG not in visit.access.features:
        raise NotInPlan("The plan does not include the audit log.")
    limit = values["limit"]
    found = guarded(
        lambda: selectors.audit_events_of(
            tenant_id=visit.access.tenant_id, limit=limit + 1, before=values.get("cursor")
        )
    )
    page, has_more = found[:limit], len(found) > limit
    return answer(
        {
            "object": "list",
            "data": [_described(event) for event in page],
            "has_more": has_more,
            "next_cursor": page[-1].seq if has_more else None,
        }
    )


def _described(event: AuditEvent) -> dict[str, Any]:
    actor_id = None if event.actor_id is None else str(event.actor_id)
    return {
        "seq": event.seq,
        "at": event.at,
        "actor": {"kind": event.actor_kind, "id": actor_id, "address": event.address},
        "action": event.action,
        "target": event.target,
        "diff": event.diff,
        "hash": bytes(event.hash).hex(),
    }
