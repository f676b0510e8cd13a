"""Do the people of a domain come in by the tenant's own sign-in?"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from dashboard.forms import SsoFacts
from dashboard.people import Visit, done, page, show
from tenants import features, sso
from tenants.refusals import Refusal


@page(may="sso", methods=("GET", "POST"), fresh=True)
def connection(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    if features.SSO not in visit.tenant.features:
        return show(http, visit, "not_in_plan.html", title="Single sign-on", image="key")
    facts = sso.sso_of(tenant_id=visit.tenant.id)
    now = {"domain": facts.domain, "issuer": facts.issuer, "client_id": facts.client_id} if facts else {}
    form = SsoFacts(http.POST if http.method == "POST" else None, initial=now, is_there=facts is not None)
    if form.is_bound and form.is_valid():
        try:
            sso.sso_put(tenant_id=visit.tenant.id, actor=visit.actor, **form.cleaned_data)
            return done(http, visit, "Saved.", "sso-connection")
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "single_sign_on.html", form=form, facts=facts, callback=_callback(http, visit))


@page(may="sso", methods=("POST",), fresh=True, back="sso-connection")
def prove(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    sso.sso_prove(tenant_id=visit.tenant.id, actor=visit.actor)
    return done(http, visit, "The domain is yours.", "sso-connection")


@page(may="sso", methods=("POST",), fresh=True, back="sso-connection")
def require(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    required = http.POST.get("required") == "yes"
    sso.sso_require(tenant_id=visit.tenant.id, required=required, actor=visit.actor)
    said = "Passwords are closed here, to all but you." if required else "Passwords are open again."
    return done(http, visit, said, "sso-connection")


@page(may="sso", methods=("POST",), fresh=True, back="sso-connection")
def remove(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    sso.sso_remove(tenant_id=visit.tenant.id, actor=visit.actor)
    return done(http, visit, "Single sign-on is off.", "sso-connection")


def _callback(http: HttpRequest, visit: Visit) -> str:
    return http.build_absolute_uri(reverse("openid_connect_callback", args=[visit.tenant.id]))
