"""Who is in this tenant, and as what?"""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from dashboard.forms import ROLE_WORDS, Invitation
from dashboard.people import Visit, done, page, show
from tenants import members as services
from tenants import selectors
from tenants.refusals import Refusal
from tenants.roles import ROLES


@page(may="figures")
def members(http: HttpRequest, visit: Visit) -> HttpResponse:
    found = selectors.members_of(tenant_id=visit.tenant.id)
    invitations = selectors.invitations_of(tenant_id=visit.tenant.id) if visit.may("members") else []
    offered = _roles_within(visit)
    return show(
        http,
        visit,
        "members.html",
        members=[(one, visit.may("members") and one.role in offered) for one in found],
        invitations=invitations,
        roles=offered,
        role_words=ROLE_WORDS,
        others=[one for one in found if one.role != "owner"],
    )


@page(may="members", methods=("GET", "POST"), fresh=True)
def invite(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    form = Invitation(http.POST if http.method == "POST" else None, roles=_roles_within(visit))
    if form.is_bound and form.is_valid():
        try:
            services.invitation_send(tenant_id=visit.tenant.id, actor=visit.actor, **form.cleaned_data)
            return done(http, visit, f"An invitation is on its way to {form.cleaned_data['email']}.", "members")
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "member_invite.html", form=form)


@page(may="members", methods=("POST",), fresh=True, back="members")
def withdraw(http: HttpRequest, visit: Visit, invitation_id: UUID) -> HttpResponseBase:
    services.invitation_withdraw(tenant_id=visit.tenant.id, invitation_id=invitation_id, actor=visit.actor)
    return done(http, visit, "The invitation is withdrawn.", "members")


@page(may="members", methods=("POST",), fresh=True, back="members")
def role(http: HttpRequest, visit: Visit, user_id: UUID) -> HttpResponseBase:
    services.role_change(tenant_id=visit.tenant.id, user_id=user_id, role=http.POST.get("role", ""), actor=visit.actor)
    return done(http, visit, "The role is changed.", "members")


@page(may="members", methods=("POST",), fresh=True, back="members")
def remove(http: HttpRequest, visit: Visit, user_id: UUID) -> HttpResponseBase:
    services.member_remove(tenant_id=visit.tenant.id, user_id=user_id, actor=visit.actor)
    return done(http, visit, "They are no member any more.", "members")


@page(may="figures", methods=("POST",), fresh=True, back="members")
def leave(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    services.member_remove(tenant_id=visit.tenant.id, user_id=visit.user_id, actor=visit.actor)
    messages.success(http, f"You left {visit.tenant.name}.")
    return redirect("home")


@page(may="tenant", methods=("POST",), fresh=True, back="members")
def transfer(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    """The owner's part goes to somebody else, and the owner stays as an admin."""
    services.ownership_transfer(
        tenant_id=visit.tenant.id, user_id=_user_id(http.POST.get("user_id", "")), actor=visit.actor
    )
    return done(http, visit, "The tenant is handed over. You are an admin now.", "members")


def _roles_within(visit: Visit) -> list[str]:
    """Owners are another owner's matter."""
    return [one for one in ROLES if one != "owner" or visit.role == "owner"]


def _user_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)  # nobody's
