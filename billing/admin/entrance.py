"""Who may see the operator's pages? Staff, from an address on the list, who proved a second factor in this session."""

import ipaddress

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

SECOND_FACTOR = "mfa"  # django-allauth's word for a code or a passkey


def may_enter(http: HttpRequest) -> bool:
    return _is_staff(http) and _proved(http)


def way_in(http: HttpRequest, home: str) -> HttpResponseRedirect:
    """Where to go for what is missing, and back from there."""
    wanted = http.GET.get("next", home)
    wanted = wanted if url_has_allowed_host_and_scheme(wanted, {http.get_host()}) else home
    if not http.user.is_authenticated:
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': wanted})}")
    if not _is_staff(http):
        raise PermissionDenied("These pages are for the operators of this installation.")
    if not is_mfa_enabled(http.user):
        messages.info(http, "Operators need a second factor: add an authenticator app or a passkey.")
        return HttpResponseRedirect(reverse("mfa_index"))
    if not _proved(http):
        return HttpResponseRedirect(f"{_proof_page(http)}?{urlencode({'next': wanted})}")
    return HttpResponseRedirect(wanted)


def _is_staff(http: HttpRequest) -> bool:
    return bool(http.user.is_active and getattr(http.user, "is_staff", False)) and _is_near(http)


def _is_near(http: HttpRequest) -> bool:
    if not settings.OPERATOR_NETWORKS:
        return True
    address = ipaddress.ip_address(http.META["REMOTE_ADDR"])
    return any(address in network for network in settings.OPERATOR_NETWORKS)


def _proved(http: HttpRequest) -> bool:
    return any(record["method"] == SECOND_FACTOR for record in get_authentication_records(http, http.user))


def _proof_page(http: HttpRequest) -> str:
    kinds = set(Authenticator.objects.filter(user_id=http.user.pk).values_list("type", flat=True))
    has_code = Authenticator.Type.TOTP in kinds
    return reverse("mfa_reauthenticate" if has_code else "mfa_reauthenticate_webauthn")
