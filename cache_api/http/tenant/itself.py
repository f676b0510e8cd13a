"""What is this tenant called, and what does its plan allow?"""

from django.http import HttpResponse

from cache_api.adapters.catalogue import guarded
from cache_api.http.visits import Visit, answer
from tenants import selectors


def shown(visit: Visit) -> HttpResponse:
    tenant = guarded(lambda: selectors.tenant_of(tenant_id=visit.access.tenant_id))
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
