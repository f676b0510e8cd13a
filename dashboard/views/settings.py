"""What belongs to the tenant as a whole, and how does it end?"""

from datetime import UTC, datetime
from uuid import UUID

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cache_api import exports
from dashboard.forms import TenantEnd, TenantName
from dashboard.people import Visit, done, page, show
from tenants import erasure, leaks
from tenants import members as services
from tenants.erasure import ErasureError
from tenants.refusals import Refusal


@page(may="figures")
def settings(http: HttpRequest, visit: Visit) -> HttpResponse:
    return _shown(http, visit, TenantName(initial={"name": visit.tenant.name}), TenantEnd(name=visit.tenant.name))


@page(may="tenant", methods=("POST",))
def rename(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    form = TenantName(http.POST)
    if form.is_valid():
        try:
            services.tenant_rename(tenant_id=visit.tenant.id, name=form.cleaned_data["name"], actor=visit.actor)
            return done(http, visit, "Saved.", "settings")
        except Refusal as refusal:
            form.refuse(refusal)
    return _shown(http, visit, form, TenantEnd(name=visit.tenant.name))


@page(may="provider_keys", methods=("POST",))
def leaked(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    """Whether a key found in public ends at once."""
    on = "revoke_leaked" in http.POST
    leaks.revoke_leaked_set(tenant_id=visit.tenant.id, on=on, actor=visit.actor)
    return done(http, visit, "Saved.", "settings")


@page(may="export", methods=("POST",), fresh=True)
def export_ask(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    exports.export_ask(tenant_id=visit.tenant.id, actor=visit.actor, now=datetime.now(UTC))
    return done(http, visit, "The export is being written. It shows up here.", "settings")


@page(may="export")
def export_list(http: HttpRequest, visit: Visit) -> HttpResponse:
    """The part of the page that tells how far it is, asked again while one is under way."""
    return show(http, visit, "parts/exports.html", exports=exports.exports_of(tenant_id=visit.tenant.id))


@page(may="export", fresh=True)
def export_file(http: HttpRequest, visit: Visit, export_id: UUID) -> FileResponse:
    path = exports.export_opened(
        tenant_id=visit.tenant.id, export_id=export_id, actor=visit.actor, now=datetime.now(UTC)
    )
    if path is None:
        raise Http404
    return FileResponse(path.open("rb"), as_attachment=True, filename="cacheai-export.zip")


@page(may="tenant", methods=("POST",), fresh=True)
def delete(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    form = TenantEnd(http.POST, name=visit.tenant.name)
    if form.is_valid():
        try:
            erasure.erasure_ask(tenant_id=visit.tenant.id, actor=visit.actor, now=datetime.now(UTC))
            return done(http, visit, "The tenant will be erased in 7 days.", "settings")
        except ErasureError as error:
            form.add_error(None, str(error))
    return _shown(http, visit, TenantName(initial={"name": visit.tenant.name}), form)


@page(may="tenant", methods=("POST",), fresh=True, back="settings")
def undelete(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    try:
        erasure.erasure_withdraw(tenant_id=visit.tenant.id, actor=visit.actor, now=datetime.now(UTC))
    except ErasureError as error:
        raise Refusal(str(error)) from error
    return done(http, visit, "The tenant stays.", "settings")


def _shown(http: HttpRequest, visit: Visit, name: TenantName, end: TenantEnd) -> HttpResponse:
    return show(
        http,
        visit,
        "settings.html",
        name_form=name,
        end_form=end,
        erasure=erasure.erasure_of(tenant_id=visit.tenant.id),
        exports=exports.exports_of(tenant_id=visit.tenant.id) if visit.may("export") else [],
    )
