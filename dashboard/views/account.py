"""By which way does a person come into a tenant?"""

from collections.abc import Callable
from uuid import UUID

import structlog
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect import views as openid
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from requests import RequestException

from dashboard.entrance import SsoAddress, actor_of
from tenants import members, sso
from tenants.refusals import NotFound, Refusal

log = structlog.stdlib.get_logger(__name__)


def invitation(http: HttpRequest, token: str) -> HttpResponseBase:
    """Who holds the token may know what it is for; of one that is no good a stranger learns nothing."""
    return _joining(http, token) if http.user.is_authenticated else _invited(http, token)


def _invited(http: HttpRequest, token: str) -> HttpResponseBase:
    """What they are to sign up or in for."""
    try:
        return render(http, "account/invited.html", {"invitation": members.invitation_of(token=token)})
    except Refusal:
        return redirect_to_login(http.path)


def _joining(http: HttpRequest, token: str) -> HttpResponse:
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


def sso_login(http: HttpRequest, provider_id: UUID) -> HttpResponse:
    return _asked(openid.login, http, provider_id)


def sso_callback(http: HttpRequest, provider_id: UUID) -> HttpResponse:
    return _asked(openid.callback, http, provider_id)


def _asked(view: Callable[[HttpRequest, str], HttpResponse], http: HttpRequest, provider_id: UUID) -> HttpResponse:
    """The issuer is another's server: it may be away, or talk nonsense."""
    try:
        return view(http, str(provider_id))
    except (RequestException, OAuth2Error, AttributeError, KeyError, TypeError, ValueError) as error:
        log.warning("sso_failed", error=type(error).__name__)
        context = {"title": "Your team's sign-in did not answer", "text": "Try again in a while, or tell its admin."}
        return render(http, "dashboard/message.html", context, status=502)


def single_sign_on(http: HttpRequest) -> HttpResponse:
    """An address leads to the sign-in of the tenant that proved its domain."""
    form = SsoAddress(http.POST if http.method == "POST" else None)
    if form.is_bound and form.is_valid():
        tenant_id = sso.sso_tenant_for(email=form.cleaned_data["email"])
        if tenant_id is not None and sso.sso_client(tenant_id=tenant_id) is not None:
            # Not a redirect: a browser would take the issuer for what our form leads to, and refuse.
            return render(
                http, "account/sso_leaving.html", {"login": reverse("openid_connect_login", args=[tenant_id])}
            )
        form.add_error("email", "No team has set up single sign-on for this domain.")
    return render(http, "account/sso.html", {"form": form})
