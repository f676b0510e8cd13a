"""By which way does a person come into a tenant?"""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from dashboard.entrance import SsoAddress, actor_of
from tenants import members, sso
from tenants.refusals import NotFound, Refusal


@login_required
def invitation(http: HttpRequest, token: str) -> HttpResponse:
    try:
        asked = members.invitation_of(token=token)
        if http.method != "POST":
            return render(http, "account/invitation.html", {"invitation": asked})
        tenant_id = members.invitation_accept(token=token, actor=actor_of(http))
    except Refusal as refusal:
        status = 404 if isinstance(refusal, NotFound) else 403
        context = {"title": "You cannot join this way", "text": str(refusal)}
        return render(http, "dashboard/message.html", context, status=status)
    return redirect("overview", tenant_id)


def single_sign_on(http: HttpRequest) -> HttpResponse:
    """An address leads to the sign-in of the tenant that proved its domain."""
    form = SsoAddress(http.POST if http.method == "POST" else None)
    if form.is_bound and form.is_valid():
        tenant_id = sso.sso_tenant_for(email=form.cleaned_data["email"])
        if tenant_id is not None and sso.sso_client(tenant_id=tenant_id) is not None:
            return redirect(reverse("openid_connect_login", args=[tenant_id]))
        form.add_error("email", "No team has set up single sign-on for this domain.")
    return render(http, "account/sso.html", {"form": form})
