"""Which providers are called with whose credentials?"""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from cache_api import provider_keys as tested_keys
from cache_api.adapters.targets import known_providers
from dashboard.forms import ProviderSecret
from dashboard.people import Visit, done, page, show
from tenants import provider_keys, selectors
from tenants.refusals import Refusal


@page(may="provider_keys")
def providers(http: HttpRequest, visit: Visit) -> HttpResponse:
    return show(http, visit, "providers.html", keys=selectors.provider_keys_of(tenant_id=visit.tenant.id))


@page(may="provider_keys", methods=("GET", "POST"), fresh=True)
def put(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    """A new one, or the next in the place of one before."""
    form = ProviderSecret(
        http.POST if http.method == "POST" else None,
        providers=sorted(known_providers()),
        initial={"provider": http.GET.get("provider", "openai")},
    )
    if form.is_bound and form.is_valid():
        try:
            tested = tested_keys.provider_key_put(tenant_id=visit.tenant.id, actor=visit.actor, **form.cleaned_data)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            return _told(http, visit, form.cleaned_data["provider"], tested)
    return show(http, visit, "provider_form.html", form=form)


@page(may="provider_keys", methods=("POST",), back="providers")
def test(http: HttpRequest, visit: Visit, provider: str) -> HttpResponseBase:
    tested = tested_keys.provider_key_test(tenant_id=visit.tenant.id, provider=provider)
    return _told(http, visit, provider, tested)


@page(may="provider_keys", methods=("POST",), fresh=True, back="providers")
def delete(http: HttpRequest, visit: Visit, provider: str) -> HttpResponseBase:
    provider_keys.provider_key_delete(tenant_id=visit.tenant.id, provider=provider, actor=visit.actor)
    return done(http, visit, f"The credential for {provider} is gone.", "providers")


def _told(http: HttpRequest, visit: Visit, provider: str, tested: tested_keys.Tested) -> HttpResponseBase:
    if tested.taken:
        return done(http, visit, f"{provider} takes this credential.", "providers")
    messages.warning(http, f"Stored, but not proven: {tested.trouble}")
    return redirect(visit.href("providers"))
