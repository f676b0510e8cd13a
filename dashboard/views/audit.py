"""Who did what in this tenant?"""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from dashboard.people import Visit, page, show
from tenants import audit as trail
from tenants import audit_export, features, selectors
from tenants.isolation import as_tenant
from tenants.models import AuditEvent

PAGE_ROWS = 50


@page(may="audit")
def audit(http: HttpRequest, visit: Visit) -> HttpResponse:
    if features.AUDIT_LOG not in visit.tenant.features:
        return show(http, visit, "not_in_plan.html", title="Audit log", image="list")
    before = http.GET.get("before", "")
    events = selectors.audit_events_of(
        tenant_id=visit.tenant.id, limit=PAGE_ROWS + 1, before=int(before) if before.isdigit() else None
    )
    shown = events[:PAGE_ROWS]
    return show(
        http,
        visit,
        "audit.html",
        events=_named(visit, shown),
        older=shown[-1].seq if len(events) > PAGE_ROWS else None,
        faults=_faults(visit) if "verify" in http.GET else None,
    )


@page(may="audit")
def export(http: HttpRequest, visit: Visit) -> StreamingHttpResponse | HttpResponse:
    if features.AUDIT_LOG not in visit.tenant.features:
        return show(http, visit, "not_in_plan.html", title="Audit log", image="list")
    kind: audit_export.Kind = "ndjson" if http.GET.get("kind") == "ndjson" else "csv"
    return StreamingHttpResponse(
        audit_export.audit_export(tenant_id=visit.tenant.id, kind=kind, actor=visit.actor),
        content_type=audit_export.CONTENT_TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="audit.{kind}"'},
    )


def _named(visit: Visit, events: list[AuditEvent]) -> list[tuple[AuditEvent, str, str]]:
    """Each with who did it, and to what: ids that still lead to a name as that name."""
    names = selectors.actor_names(tenant_id=visit.tenant.id, events=events)
    targets = {str(project.id): project.name for project in visit.projects}
    targets |= {str(key.id): key.name or key.hint for key in selectors.keys_of(tenant_id=visit.tenant.id)}
    return [
        (
            event,
            (event.actor_id and names.get(event.actor_id)) or event.actor_kind,
            targets.get(event.target, event.target),
        )
        for event in events
    ]


def _faults(visit: Visit) -> list[str]:
    with as_tenant(visit.tenant.id):
        return list(trail.faults(tenant_id=visit.tenant.id))
