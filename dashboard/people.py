"""Who looks at a page, at which tenant's, and may they?"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows import reauthentication
from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from cache_api.domain.cost import fee_of_call
from dashboard.entrance import SIGNED_IN_BY
from tenants import roles, selectors, sso
from tenants.audit import Actor
from tenants.models import Project, Tenant
from tenants.refusals import Refusal
from tenants.selectors import Membership

P = ParamSpec("P")

FRESH_SECONDS = 15 * 60
LAST_TENANT = "tenant"  # in the session: where a bare `/` leads


class Link(NamedTuple):
    name: str
    href: str
    icon: str
    here: bool


class Group(NamedTuple):
    name: str
    links: Sequence[Link]


# Name of the URL, its words, its icon, and the act that opens it.
_PAGES: Mapping[str, Sequence[tuple[str, str, str, str]]] = {
    "": (
        ("overview", "Overview", "overview", "figures"),
        ("calls", "Calls", "calls", "figures"),
        ("playground", "Playground", "play", "texts"),
        ("usage", "Usage and limits", "gauge", "figures"),
        ("budgets", "Budgets", "budget", "figures"),
    ),
    "Cache": (
        ("cache", "Entries", "layers", "texts"),
        ("policy", "Policy", "rules", "figures"),
    ),
    "Build": (
        ("keys", "API keys", "key", "keys"),
        ("providers", "Providers", "plug", "provider_keys"),
        ("projects", "Projects", "box", "figures"),
        ("prices", "Prices", "budget", "figures"),
        ("webhooks", "Webhooks", "hook", "webhooks"),
    ),
    "Tenant": (
        ("members", "Members", "people", "figures"),
        ("sso-connection", "Single sign-on", "lock", "sso"),
        ("billing", "Billing", "card", "plan"),
        ("audit", "Audit log", "list", "audit"),
        ("settings", "Settings", "settings", "figures"),
    ),
}


@dataclass(frozen=True, slots=True)
class Visit:
    """A member at a page of one of their tenants. `project` is what the address narrows the page to, if anything."""

    user_id: UUID
    tenant: Tenant
    role: str
    memberships: Sequence[Membership]
    projects: Sequence[Project]
    project: Project | None
    address: str
    page: str

    def may(self, act: str) -> bool:
        return roles.may(self.role, act)

    @property
    def acts(self) -> Mapping[str, bool]:
        """For templates: `visit.acts.keys`."""
        return {act: self.may(act) for act in roles.MAY}

    @property
    def actor(self) -> Actor:
        """For the audit trail."""
        return Actor("person", self.user_id, self.address)

    @property
    def fee_by_contract(self) -> bool:
        """The fee of a call is not known then, and in no net."""
        return not self.tenant.requests_hard and fee_of_call(self.tenant.plan, 0) is None

    @property
    def navigation(self) -> Sequence[Group]:
        return [
            Group(name, links)
            for name, pages in _PAGES.items()
            if (links := [self._link(*page) for page in pages if self.may(page[3])])
        ]

    def href(self, name: str, *args: Any) -> str:
        """A page of this tenant, still narrowed to the project."""
        query = f"?{urlencode({'project': self.project.id})}" if self.project else ""
        return reverse(name, args=[self.tenant.id, *args]) + query

    def _link(self, name: str, words: str, icon: str, act: str) -> Link:
        return Link(words, self.href(name), icon, self.page == name or self.page.startswith(f"{name}-"))


View = Callable[Concatenate[HttpRequest, Visit, P], HttpResponseBase]


def page(
    *, may: str, methods: Sequence[str] = ("GET",), fresh: bool = False, back: str = ""
) -> Callable[[View[P]], Callable[..., HttpResponseBase]]:
    """A view of one tenant, for its members whose role allows the act. To all others the tenant does not exist.

    `fresh`: whoever found the browser open is asked for the password, a passkey or a code again, and then led back.
    `back`: the page that says what is refused, where there is no field to say it beside.
    """

    def decorate(view: View[P]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(http: HttpRequest, tenant_id: UUID, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not http.user.is_authenticated:
                return _to_sign_in(http)
            visit = _visit(http, tenant_id)
            http.visit = visit  # type: ignore[attr-defined]  # What went wrong is said inside the frame, too.
            if not visit.may(may):
                raise PermissionDenied(f"This takes another role than {visit.role}.")
            if http.method not in (*methods, "HEAD" if "GET" in methods else ""):
                return _takes_forms_alone(http, visit, methods)
            if fresh and not _is_fresh(http):
                # What was sent waits in the session until it may be done; a credential is rather typed again.
                if "secret" in http.POST:
                    return HttpResponseRedirect(http.get_full_path())
                raise ReauthenticationRequired
            try:
                return view(http, visit, *args, **kwargs)
            except Refusal as refusal:
                if not back:
                    raise
                messages.error(http, str(refusal))
                return HttpResponseRedirect(visit.href(back))

        return never_cache(guarded)

    return decorate


def show(http: HttpRequest, visit: Visit, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
    return render(http, f"dashboard/{template}", {"visit": visit, **context}, status=status)


def done(http: HttpRequest, visit: Visit, said: str, name: str, *args: Any) -> HttpResponseRedirect:
    """Say that it is done, on the page where that can be seen."""
    messages.success(http, said)
    return HttpResponseRedirect(visit.href(name, *args))


def user_id_of(http: HttpRequest) -> UUID:
    return UUID(str(http.user.pk))


def _takes_forms_alone(http: HttpRequest, visit: Visit, methods: Sequence[str]) -> HttpResponse:
    """Somebody reloaded, or kept, the address a form was sent to: no browser shows an empty 405."""
    told = {
        "title": "There is nothing to see at this address",
        "text": "A form was sent to it. What it did, if anything, is on the pages of the tenant.",
        "href": visit.href("overview"),
        "messages": (),
    }
    page = render(http, "dashboard/message.html", told, status=405)
    page.headers["Allow"] = ", ".join(methods)
    return page


def _to_sign_in(http: HttpRequest) -> HttpResponseBase:
    """And from there to the page they were at: what was sent is gone, yet its address takes forms alone."""
    if "HX-Request" in http.headers:  # a part of a page: the whole of it asks
        return HttpResponse(headers={"HX-Refresh": "true"})
    where, came_from = http.get_full_path(), http.headers.get("Referer", "")
    if http.method == "POST" and url_has_allowed_host_and_scheme(came_from, {http.get_host()}):
        parts = urlsplit(came_from)
        where = parts.path + (f"?{parts.query}" if parts.query else "")
    return redirect_to_login(where)


def _is_fresh(http: HttpRequest) -> bool:
    """Whether they proved who they are a moment ago; those who come by single sign-on prove it elsewhere."""
    if not reauthentication.get_reauthentication_flows(http.user):
        return True
    proofs = get_authentication_records(http, http.user)
    return bool(proofs) and time.time() - proofs[-1]["at"] < FRESH_SECONDS


def _visit(http: HttpRequest, tenant_id: UUID) -> Visit:
    user_id = user_id_of(http)
    memberships = selectors.memberships_of(user_id=user_id)
    here = next((one for one in memberships if one.tenant_id == tenant_id), None)
    if here is None:
        raise Http404
    if sso.sso_closes(tenant_id=tenant_id, user_id=user_id, signed_in_by=http.session.get(SIGNED_IN_BY, "")):
        raise PermissionDenied("This tenant has a sign-in of its own: sign out, and come back by single sign-on.")
    if _came_by_anothers(http, tenant_id):
        raise PermissionDenied("You came in by another team's sign-in: sign out, and come back by your own.")
    if http.session.get(LAST_TENANT) != str(tenant_id):
        http.session[LAST_TENANT] = str(tenant_id)
    projects = selectors.projects_of(tenant_id=tenant_id)
    match = http.resolver_match
    return Visit(
        user_id=user_id,
        tenant=selectors.tenant_of(tenant_id=tenant_id),
        role=here.role,
        memberships=memberships,
        projects=projects,
        project=_chosen(projects, http.GET.get("project", "")),
        address=http.META.get("REMOTE_ADDR", ""),
        page=(match.url_name if match else None) or "",
    )


def _came_by_anothers(http: HttpRequest, tenant_id: UUID) -> bool:
    """The word of a tenant's issuer opens that tenant; the others' doors are opened by what the person has themselves.

    Who has nothing else is the issuer's person altogether.
    """
    signed_in_by = http.session.get(SIGNED_IN_BY, "")
    if signed_in_by in ("", str(tenant_id)):
        return False
    return bool(reauthentication.get_reauthentication_flows(http.user))


def _chosen(projects: Sequence[Project], wanted: str) -> Project | None:
    if not wanted:
        return None
    found = next((project for project in projects if str(project.id) == wanted), None)
    if found is None:
        raise Http404
    return found
