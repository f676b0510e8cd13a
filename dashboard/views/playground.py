"""What would the cache answer, what would the provider, and how long does each take?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse

from cache_api import selectors
from cache_api.dialects.errors import Refused
from cache_api.domain.signals import call_id_of
from cache_api.http import playground as service
from cache_api.http.playground import Told
from dashboard.explanations import candidate, reason_words
from dashboard.forms import Asking
from dashboard.people import Visit, page, show
from tenants.models import Project

DEMO_MODELS = ("demo-small", "demo-large")
OFFERED_SINCE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two answers, or why there is none."""

    title: str
    told: Told | None
    refusal: str = ""
    lacks_key: bool = False  # of the provider: there is a page to store it

    @property
    def why(self) -> str:
        if self.told is None:
            return ""
        signals = self.told.signals
        return reason_words(signals.reason, similarity=signals.similarity, floor=signals.threshold)

    @property
    def call_id(self) -> Any:
        return call_id_of(self.told.signals.request_id) if self.told else None


@page(may="texts", methods=("GET", "POST"))
def playground(http: HttpRequest, visit: Visit) -> HttpResponse:
    here = visit.project or next(iter(visit.projects), None)
    if here is None:
        return show(http, visit, "playground.html")
    form = Asking(
        http.POST if http.method == "POST" else None,
        projects=[(str(one.id), one.name) for one in visit.projects],
        models=_models(visit),
        initial={"project_id": str(here.id), "model": here.default_model or DEMO_MODELS[0]},
    )
    if not form.is_bound or not form.is_valid():
        return show(http, visit, "playground.html", form=form)
    chosen = next(one for one in visit.projects if str(one.id) == form.cleaned_data["project_id"])
    return show(http, visit, "playground.html", form=form, **_asked(visit, chosen, form))


def _models(visit: Visit) -> list[str]:
    """To choose from, though any may be typed."""
    now = datetime.now(UTC)
    called = selectors.names_in(visit.tenant.id, None, now - OFFERED_SINCE, now).models
    usual = {one.default_model for one in visit.projects if one.default_model}
    return sorted({*called, *usual, *DEMO_MODELS})


def _asked(visit: Visit, project: Project, form: Asking) -> Mapping[str, Any]:
    """One after the other, so that neither slows the other down."""
    cached = _side("With the cache", visit, project, form, cached=True)
    bought = _side("Without it", visit, project, form, cached=False)
    told = cached.told
    return {
        "sides": (cached, bought),
        "candidates": [candidate(one, told.policy) for one in told.judged] if told else [],
    }


def _side(title: str, visit: Visit, project: Project, form: Asking, *, cached: bool) -> Side:
    asked = form.cleaned_data
    try:
        access = service.access_of(visit.tenant, project)
        return Side(title, service.ask(access, asked["question"], model=asked["model"], cached=cached))
    except Refused as refused:
        return Side(title, None, str(refused), lacks_key=refused.code == "provider_key_missing")
