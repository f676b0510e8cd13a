"""What does a project say its models cost, where the built-in list does not know, or not what was agreed?"""

from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cache_api import services
from cache_api.adapters import own_prices
from cache_api.adapters.catalogue import Place
from cache_api.adapters.targets import known_providers
from cache_api.domain.cost import Rates
from dashboard.forms import OwnPriceFields
from dashboard.one_project import one_project
from dashboard.people import Visit, done, page, show
from tenants import features
from tenants.refusals import NotFound, Refusal

READ_SECONDS = 2.0  # a person waits


@page(may="figures")
@one_project
def prices(http: HttpRequest, visit: Visit, place: Place) -> HttpResponse:
    asked = {name: http.GET[name] for name in ("provider", "model") if name in http.GET}
    return _shown(http, visit, place, OwnPriceFields(providers=sorted(known_providers()), initial=asked))


@page(may="keys", methods=("POST",))
@one_project
def put(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    form = OwnPriceFields(http.POST, providers=sorted(known_providers()))
    if form.is_valid():
        values = form.cleaned_data
        try:
            services.price_put(
                tenant_id=place.tenant_id,
                project_id=place.project_id,
                provider=values["provider"],
                model_pattern=values["model"],
                rates=Rates(**{name: values[name] for name in ("input", "output", "write_5m", "cached")}),
                now=datetime.now(UTC),
                actor=visit.actor,
            )
            return done(http, visit, "The price is set. Calls have it from now on.", "prices")
        except Refusal as refusal:
            form.refuse(refusal)
    return _shown(http, visit, place, form)


@page(may="keys", methods=("POST",), back="prices")
@one_project
def delete(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    ended = services.price_delete(
        tenant_id=place.tenant_id,
        project_id=place.project_id,
        provider=http.POST.get("provider", ""),
        model_pattern=http.POST.get("model", ""),
        now=datetime.now(UTC),
        actor=visit.actor,
    )
    if not ended:
        raise NotFound("There is no such price.")
    return done(http, visit, "The built-in list holds again, from now on.", "prices")


def _shown(http: HttpRequest, visit: Visit, place: Place, form: OwnPriceFields) -> HttpResponse:
    current = own_prices.current(place.tenant_id, place.project_id, deadline_seconds=READ_SECONDS)
    is_in_plan = features.OWN_PRICES in visit.tenant.features
    return show(http, visit, "prices.html", form=form, prices=current, is_in_plan=is_in_plan)
