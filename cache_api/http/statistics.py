"""What did the cache do for this project, and what does it hold?"""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse

from cache_api import statistics, wiring
from cache_api.adapters import catalogue
from cache_api.figures import Figures
from cache_api.http.serializers import TimesSerializer, validated
from cache_api.http.tables import money
from cache_api.http.visits import Visit, answer
from cache_api.promises import Promise, promise_of, unserved

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)  # before the first call of any project


def stats(visit: Visit) -> HttpResponse:
    values = validated(TimesSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    since = values.get("since", BEGINNING)
    until = values.get("until", datetime.now(UTC))
    place = visit.place
    found = catalogue.guarded(lambda: statistics.stats(place.tenant_id, place.project_id, since, until))
    promise = catalogue.guarded(
        lambda: promise_of(tenant_id=place.tenant_id, project_id=place.project_id, now=max(until, BEGINNING))
    )
    figures, entries = found.figures, found.entries
    return answer(
        {
            "hits": figures.hits,
            "misses": figures.misses,
            "total_lookups": figures.lookups,
            "hit_rate": round(figures.hit_rate, 6),
            "entries": entries.active,
            "populations": found.stored,
            "embedder": wiring.parts().embedder.version or None,
            "modality": "text",
            "total_entries": entries.total,
            "total_hits": figures.hits,
            "total_misses": figures.misses,
            "total_cost_saved_usd": money(figures.saved_usd),
            "total_tokens_saved": figures.tokens_saved,
            "oldest_entry": entries.oldest,
            "newest_entry": entries.newest,
            "provider_stats": {name: _spent(one) for name, one in found.by_provider.items()},
            "model_stats": {name: _spent(one) for name, one in found.by_model.items()},
            "decisions": dict(found.decisions),
            "feedback": catalogue.feedback_counts(place, since, until),
            "unpriced": figures.unpriced,
            "wrong_hits": wrong_hits(promise),
            "shadow": catalogue.guarded(
                lambda: unserved(tenant_id=place.tenant_id, project_id=place.project_id, since=since)
            ),
        }
    )


def wrong_hits(promise: Promise) -> dict[str, Any]:
    """`rate` is null until enough of them were checked; then `predicted` is all there is to say."""
    found = promise.measured
    return {
        "promised": promise.promised,
        "checked": found.checked,
        "wrong": found.wrong,
        "rate": found.rate,
        "low": round(found.low, 6) if found.checked else None,
        "high": round(found.high, 6) if found.checked else None,
        "predicted": None if promise.predicted is None else round(promise.predicted, 6),
        "state": promise.state,
        "cut": round(promise.cut, 6),
    }


def _spent(figures: Figures) -> dict[str, Any]:
    return {"count": figures.calls, "total_cost": money(figures.cost_usd), "total_tokens": figures.tokens}
