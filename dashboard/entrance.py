"""How does a person come in?

What django-allauth is told about our people: where its mails lead, how its secrets are sealed, and whose word about an
address is believed.
"""

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from requests import Session

from cache_api import wiring
from cache_api.adapters.outside import guarded_session
from dashboard.forms import Form
from tenants import members, second_factors, selectors, sso
from tenants.audit import Actor
from tenants.models import User
from tenants.refusals import Refusal

SIGNED_IN_BY = "sso"  # in the session: the tenant whose own sign-in was used
OIDC = "openid_connect"
NAME_MAX_CHARACTERS = 100


class NewPerson(forms.Form):
    """What signing up asks beside address and password."""

    first_name = forms.CharField(
        label="Your name",
        max_length=NAME_MAX_CHARACTERS,
        widget=forms.TextInput({"autocomplete": "name", "autofocus": True}),
    )

    field_order = ("first_name", "email", "password1")

    def signup(self, http: HttpRequest, user: User) -> None:
        """The account's own form keeps the name. The password was typed now: nobody is asked for it again at once."""
        record_authentication(http, user, method="password", email=user.email)


class SsoAddress(Form):
    email = forms.EmailField(
        label="Work email", widget=forms.EmailInput({"autocomplete": "username", "autofocus": True})
    )


class Accounts(DefaultAccountAdapter):  # type: ignore[misc]  # Untyped, as all of django-allauth.
    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Links lead to our own address: the Host header is the caller's, and this is somebody else's mail."""
        asked = self.request.build_absolute_uri("/")
        ours = {
            name: f"{settings.PUBLIC_URL}/{value.removeprefix(asked)}"
            for name, value in context.items()
            if isinstance(value, str) and value.startswith(asked)
        }
        site = SimpleNamespace(name="CacheAI", domain=urlsplit(settings.PUBLIC_URL).netloc)
        super().send_mail(template_prefix, email, {**context, **ours, "current_site": site})

    def respond_email_verification_sent(self, request: HttpRequest, user: User | None) -> HttpResponse:
        if not settings.EMAIL_HOST:
            messages.info(request, "There is no mail server yet: mails are files in CACHEAI_HOME, folder mail.")
        response: HttpResponse = super().respond_email_verification_sent(request, user)
        return response

    def is_ajax(self, request: HttpRequest) -> bool:
        """Only the script that signs in with a passkey; every other page is a page, whoever asks."""
        return request.headers.get("Accept") == "application/json"

    def post_login(self, request: HttpRequest, user: User, **about: Any) -> HttpResponse:
        """Whoever comes in has a tenant: the one that vouched for them, the one they are invited to, or their own."""
        actor = actor_of(request)
        login = (about["signal_kwargs"] or {}).get("sociallogin")
        if login is not None:
            _join(request, UUID(login.account.provider), actor)
        elif not members.is_invitation(about["redirect_url"]) and not selectors.memberships_of(user_id=user.id):
            members.tenant_start(name=f"{_name(user)}'s team", owner_id=user.id, actor=actor)
        response: HttpResponse = super().post_login(request, user, **about)
        return response

    def is_reauthentication_required(self, *, app: str, **about: Any) -> bool:
        """A sign-in a moment ago proves as much; a tenant's issuer speaks for nobody who has a proof of their own."""
        records = get_authentication_records(self.request, self.request.user)
        if get_reauthentication_flows(self.request.user):
            records = [record for record in records if record["method"] != "socialaccount"]
        return not any(time.time() - record["at"] < app_settings.REAUTHENTICATION_TIMEOUT for record in records)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """By address alone: another Host header gives nobody more tries."""
        return str(credentials.get("email", "")).lower()


class SecondFactors(DefaultMFAAdapter):  # type: ignore[misc]
    def encrypt(self, text: str) -> str:
        return second_factors.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return second_factors.unseal(encrypted_text)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {**super().get_public_key_credential_rp_entity(), "name": "CacheAI"}


class SingleSignOn(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Each tenant is a provider of its own, named by its id."""

    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        try:
            client = sso.sso_client(tenant_id=UUID(provider or ""))
        except ValueError:
            return []
        return [] if client is None else [_app(client)]

    def get_requests_session(self) -> Session:
        return guarded_session(allowed=wiring.allowed_addresses(), denied=tuple(settings.DENY_NETS))

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[User, str] | None:
        """Who only claimed an address has no claim to whom its issuer names."""
        for address in sociallogin.email_addresses:
            if address.verified:
                members.claim_drop(email=address.email)
        found: tuple[User, str] | None = super().authenticate_by_email(sociallogin)
        return found

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        domain = sociallogin.provider.app.settings["verified_email"][0]
        domains = {address.email.rpartition("@")[2].lower() for address in sociallogin.email_addresses}
        if sociallogin.state.get("process") != AuthProcess.LOGIN or domains != {domain}:
            why = f"Your team's sign-in did not name an address at {domain}."
            context = {"title": "You cannot come in this way", "text": why}
            raise ImmediateHttpResponse(render(request, "dashboard/message.html", context, status=403))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True


def actor_of(http: HttpRequest) -> Actor:
    return Actor("person", UUID(str(http.user.pk)), http.META.get("REMOTE_ADDR", ""))


def _join(http: HttpRequest, tenant_id: UUID, actor: Actor) -> None:
    http.session[SIGNED_IN_BY] = str(tenant_id)
    try:
        members.member_join_by_sso(tenant_id=tenant_id, actor=actor)
    except Refusal as refusal:
        messages.error(http, str(refusal))


def _name(user: User) -> str:
    return user.first_name.strip() or user.email.partition("@")[0]


def _app(client: sso.SsoClient) -> SocialApp:
    """Made for this request and never saved: its secret stays sealed where it is."""
    trusted: Mapping[str, Any] = {"verified_email": [client.domain], "email_authentication": True}
    return SocialApp(
        provider=OIDC,
        provider_id=str(client.tenant_id),
        name=client.domain,
        client_id=client.client_id,
        secret=client.secret,
        settings={"server_url": client.issuer, "oauth_pkce_enabled": True, **trusted},
    )
