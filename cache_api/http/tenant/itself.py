"""What is this tenant called, what does its plan allow, and what is used of it?"""

from datetime import UTC, datetime

from django.http import HttpResponse

from cache_api.adapters.catalogue import guarded
from cache_api.http.visits import Visit, answer
from cache_api.limits import limits_of
from tenants import selectors


def shown(visit: Visit) -> HttpResponse:
    tenant = guarded(lambda: selectors.tenant_of(tenant_id=visit.access.tenant_id))
    held = guarded(lambda: limits_of(tenant_id=visit.access.tenant_id, now=datetime.now(UTC)))
    used = {limit.name: limit.used for limit in held.limits if isinstance(limit.used, int)}
    cap = tenant.overage_cap_usd
    return answer(
        {
            "id": str(tenant.id),
            "name": tenant.name,
            "created_at": tenant.created_at,
            "plan": tenant.plan,
            "features": sorted(tenant.features),
            "read_only": tenant.read_only,
            "period_start": tenant.period_start,
            "over_quota": held.over_quota,
            "used": {**used, "spend_usd": None if held.overage_usd is None else f"{held.overage_usd.normalize():f}"},
            "limits": {
                "rpm": tenant.rpm,
                "tpm": tenant.tpm,
                "requests_included": tenant.requests_included,
                "requests_hard": tenant.requests_hard,
                "overage_cap_usd": None if cap is None else f"{cap.normalize():f}",
                "entries_max": tenant.entries_max,
                "bytes_max": tenant.bytes_max,
                "ttl_max_seconds": tenant.ttl_max_seconds,
                "detail_days": tenant.detail_days,
                "projects_max": tenant.projects_max,
                "members_max": tenant.members_max,
                "keys_max": tenant.keys_max,
            },
        }
    )
