"""Who did what in this tenant, and can anybody have changed the answer since?"""

from collections.abc import Mapping, Sequence

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from dashboard import ranges
from dashboard.audit_filter import AuditFilter
from dashboard.people import Visit, page, show
from tenants import audit_check, audit_export, features, selectors
from tenants.models import AuditEvent
from tenants.selectors import AuditFilters

PAGE_ROWS = 50
OFFERED_FROM = 2_000  # of the newest rows: who and what the filters offer
CHECKED_ROWS = 1_000  # with each look at the page: some milliseconds
SYSTEMS: Mapping[str, str] = {"system": "CacheAI itself", "operator": "An operator of CacheAI"}


@page(may="audit")
def audit(http: HttpRequest, visit: Visit) -> HttpResponse:
    if features.AUDIT_LOG not in visit.tenant.features:
        return show(http, visit, "not_in_plan.html", title="Audit log", image="list")
    targets = _targets(visit)
    form = _form(http, visit)
    filters = form.filters(targets) if form.is_valid() else AuditFilters(targets=())
    before = http.GET.get("before", "")
    events = selectors.audit_events_of(
        tenant_id=visit.tenant.id,
        limit=PAGE_ROWS + 1,
        before=int(before) if before.isdecimal() and len(before) < 19 else None,
        filters=filters,
    )
    shown = events[:PAGE_ROWS]
    is_whole = "verify" in http.GET
    return show(
        http,
        visit,
        "audit.html",
        form=form,
        is_filtered=any(http.GET.get(name) for name in form.fields),
        query=_query(http),
        events=_named(visit, shown, targets),
        older=shown[-1].seq if len(events) > PAGE_ROWS else None,
        trail=audit_check.trail_of(tenant_id=visit.tenant.id, newest=None if is_whole else CHECKED_ROWS),
        is_whole=is_whole,
        checked_rows=CHECKED_ROWS,
    )


@page(may="audit")
def export(http: HttpRequest, visit: Visit) -> StreamingHttpResponse | HttpResponse:
    """All that fit, not only what a page shows."""
    if features.AUDIT_LOG not in visit.tenant.features:
        return show(http, visit, "not_in_plan.html", title="Audit log", image="list")
    kind: audit_export.Kind = "ndjson" if http.GET.get("kind") == "ndjson" else "csv"
    form = _form(http, visit)
    filters = form.filters(_targets(visit)) if form.is_valid() else AuditFilters(targets=())
    return StreamingHttpResponse(
        audit_export.audit_export(tenant_id=visit.tenant.id, kind=kind, actor=visit.actor, filters=filters),
        content_type=audit_export.CONTENT_TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="audit.{kind}"'},
    )


def _form(http: HttpRequest, visit: Visit) -> AuditFilter:
    acts = selectors.audit_acts_of(tenant_id=visit.tenant.id, newest=OFFERED_FROM)
    names = selectors.actor_names(tenant_id=visit.tenant.id, events=acts)
    actors = {str(actor_id): name for actor_id, name in sorted(names.items(), key=lambda one: one[1])}
    actions = sorted({act.action for act in acts})
    return AuditFilter(http.GET, actors={**actors, **SYSTEMS}, actions=actions, zone=ranges.zone_of(http))


def _targets(visit: Visit) -> Mapping[str, str]:
    """What people call the things that are acted on, by id: those that are still there."""
    targets = {str(project.id): project.name for project in visit.projects}
    return targets | {str(key.id): key.name or key.hint for key in selectors.keys_of(tenant_id=visit.tenant.id)}


def _named(visit: Visit, events: Sequence[AuditEvent], targets: Mapping[str, str]) -> list[tuple[AuditEvent, str, str]]:
    """Each with who did it, and to what: ids that still lead to a name as that name."""
    names = selectors.actor_names(tenant_id=visit.tenant.id, events=events)
    for event in events:
        event.diff = {name: targets.get(str(value), value) for name, value in event.diff.items()}
    return [
        (
            event,
            (event.actor_id and names.get(event.actor_id)) or SYSTEMS.get(event.actor_kind, event.actor_kind),
            targets.get(event.target, event.target),
        )
        for event in events
    ]


def _query(http: HttpRequest) -> str:
    """The filters alone, for links to other pages of the list."""
    query = http.GET.copy()
    for name in ("before", "verify"):
        query.pop(name, None)
    return query.urlencode()
