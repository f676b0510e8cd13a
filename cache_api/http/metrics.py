"""What does this project show to Prometheus? Counted in the database, so that every process says the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from django.http import HttpResponse
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from cache_api import statistics
from cache_api.adapters import catalogue
from cache_api.domain.reasons import decision_of, layer_of
from cache_api.http.visits import Visit
from cache_api.models import LATENCY_BOUNDS_MS
from cache_api.promises import Promise, promise_of
from cache_api.statistics import Metered

MODEL = ("provider", "model")
BOUNDS_SECONDS = (*(str(bound / 1000) for bound in LATENCY_BOUNDS_MS), "+Inf")


def metrics(visit: Visit) -> HttpResponse:
    place, now = visit.place, datetime.now(UTC)
    metered = catalogue.guarded(lambda: statistics.metered(place.tenant_id, place.project_id, now))
    promise = catalogue.guarded(lambda: promise_of(tenant_id=place.tenant_id, project_id=place.project_id, now=now))
    encode, content_type = choose_encoder(visit.http.META.get("HTTP_ACCEPT", ""))
    return HttpResponse(encode(_Project(metered, promise)), content_type=content_type)


@dataclass(frozen=True, slots=True)
class _Project(Collector):
    metered: Metered
    promise: Promise

    def collect(self) -> Iterable[Metric]:
        yield from self._under_our_name()
        yield from self._under_llm_cache()

    def _under_our_name(self) -> Iterable[Metric]:
        metered = self.metered
        calls = CounterMetricFamily(
            "cacheai_calls", "Answered calls.", labels=("decision", "layer", "reason", "provider", "model")
        )
        for (provider, model, reason), count in metered.calls.items():
            calls.add_metric((decision_of(reason), layer_of(reason), reason, provider, model), count)
        yield calls

        tokens = CounterMetricFamily("cacheai_tokens", "Tokens bought of providers.", labels=MODEL)
        cost = CounterMetricFamily("cacheai_cost_usd", "Dollars paid to providers.", labels=MODEL)
        saved = CounterMetricFamily("cacheai_saved_usd", "Dollars that hits saved, estimated.", labels=MODEL)
        unpriced = CounterMetricFamily("cacheai_unpriced_calls", "Calls of unknown price.", labels=MODEL)
        for names, figures in metered.totals.items():
            tokens.add_metric(names, figures.tokens)
            cost.add_metric(names, float(figures.cost_usd))
            saved.add_metric(names, float(figures.saved_usd))
            unpriced.add_metric(names, figures.unpriced)
        yield from (tokens, cost, saved, unpriced)

        feedback = CounterMetricFamily("cacheai_feedback", "Judgements of served answers.", labels=("verdict",))
        for verdict, count in metered.feedback.items():
            feedback.add_metric((verdict,), count)
        yield feedback
        promise = self.promise
        checked = GaugeMetricFamily(
            "cacheai_checked_hits", "Hits of 30 days that a judge looked at.", labels=("verdict",)
        )
        checked.add_metric(("right",), promise.measured.checked - promise.measured.wrong)
        checked.add_metric(("wrong",), promise.measured.wrong)
        yield checked
        yield GaugeMetricFamily("cacheai_wrong_hit_rate_promised", "What the policy allows.", value=promise.promised)
        if promise.measured.rate is not None:
            yield GaugeMetricFamily("cacheai_wrong_hit_rate", "Of the hits checked.", value=promise.measured.rate)
        yield GaugeMetricFamily("cacheai_entries", "Entries stored now.", value=sum(metered.entries.values()))

        latency = HistogramMetricFamily("cacheai_latency_seconds", "From call to answer.", labels=("decision",))
        for decision, found in metered.latencies.items():
            buckets = list(zip(BOUNDS_SECONDS, accumulate(found.counts), strict=True))
            latency.add_metric((decision,), buckets, found.total_ms / 1000)
        yield latency

    def _under_llm_cache(self) -> Iterable[Metric]:
        """As llm-cache's own endpoint named them, some without the usual ending."""
        metered = self.metered
        count = {
            decision: sum(calls for (_, _, reason), calls in metered.calls.items() if decision_of(reason) == decision)
            for decision in ("hit", "miss")
        }
        entries = sum(metered.entries.values())
        saved = sum(float(figures.saved_usd) for figures in metered.totals.values())
        yield GaugeMetricFamily("llm_cache_entries_total", "Entries stored now.", value=entries)
        yield CounterMetricFamily("llm_cache_hits", "Calls answered from the cache.", value=count["hit"])
        yield CounterMetricFamily("llm_cache_misses", "Calls the cache had no answer for.", value=count["miss"])
        yield GaugeMetricFamily("llm_cache_cost_saved_usd", "Dollars that hits saved, estimated.", value=saved)

        stored = GaugeMetricFamily(
            "llm_cache_provider_entries_total", "Entries stored now, by provider.", labels=("provider",)
        )
        for provider, number in metered.entries.items():
            stored.add_metric((provider,), number)
        yield stored

        paid = CounterMetricFamily("llm_cache_provider_cost", "Dollars paid, by provider.", labels=("provider",))
        costs: dict[str, float] = {}
        for (provider, _), figures in metered.totals.items():
            costs[provider] = costs.get(provider, 0.0) + float(figures.cost_usd)
        for provider, dollars in costs.items():
            paid.add_metric((provider,), dollars)
        yield paid
