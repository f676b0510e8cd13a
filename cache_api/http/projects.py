"""What does a client of Vectorcache see of its project, and what may it clear there?"""

from datetime import UTC, datetime
from time import perf_counter

from django.http import HttpResponse

from cache_api import statistics, wiring
from cache_api.adapters import catalogue
from cache_api.adapters.catalogue import Filters
from cache_api.dialects import vectorcache
from cache_api.http.entries import SEARCH_SECONDS
from cache_api.http.serializers import ClearSerializer, SimilarSerializer, age_of, validated
from cache_api.http.statistics import BEGINNING
from cache_api.http.visits import Visit, answer
from cache_api.looking import milliseconds_since

BYTES_PER_MB = 2**20


def cleared(visit: Visit) -> HttpResponse:
    """All of the project's entries, or those the selectors name."""
    began = perf_counter()
    given = vectorcache.fields_of(visit.fields())
    visit.same_project(given.get("project_id"))
    values = validated(ClearSerializer, {name: value for name, value in given.items() if value is not None})
    now = datetime.now(UTC)
    age = age_of(values)
    filters = Filters(
        status="expired" if values["expired_only"] else None,
        created_before=None if age is None else now - age,
    )
    entries, freed_bytes = catalogue.purge(visit.place, filters, now=now)
    return answer(
        {
            "entries_cleared": entries,
            "space_freed_mb": _megabytes(freed_bytes),
            "operation_time_ms": milliseconds_since(began),
        }
    )


def project_stats(visit: Visit, project_id: str) -> HttpResponse:
    visit.same_project(project_id)
    place = visit.place
    found = catalogue.guarded(lambda: statistics.stats(place.tenant_id, place.project_id, BEGINNING, datetime.now(UTC)))
    figures, entries = found.figures, found.entries
    told = {
        "project_id": str(place.project_id),
        "total_entries": entries.total,
        "active_entries": entries.active,
        "expired_entries": entries.expired,
        "total_hits": figures.hits,
        "total_tokens_saved": figures.tokens_saved,
        "total_cost_saved": float(figures.saved_usd),
        "avg_similarity_score": round(found.average_similarity, 4),
        "cache_size_mb": _megabytes(entries.bytes),
    }
    if figures.unpriced:
        told["unpriced"] = True
    return answer(told)


def similar(visit: Visit, project_id: str) -> HttpResponse:
    """By meaning, whatever the Scope."""
    visit.same_project(project_id)
    values = validated(SimilarSerializer, visit.http.GET.dict())
    vector = wiring.parts().embedder.embed(values["query"], SEARCH_SECONDS)
    page = catalogue.nearest(
        visit.place,
        Filters(status="live"),
        vector,
        limit=values["limit"],
        now=datetime.now(UTC),
    )
    entries = [
        vectorcache.similar_entry(
            one.entry.caller_key or bytes(one.entry.fingerprint).hex(),
            (one.text or {}).get("question"),
            one.similarity or 0.0,
            one.entry.created_at,
        )
        for one in page.entries
    ]
    return answer({"query": values["query"], "similar_entries": entries, "total_found": len(entries)})


def _megabytes(count: int) -> float:
    return round(count / BYTES_PER_MB, 6)
