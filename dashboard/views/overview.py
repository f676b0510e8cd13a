"""What does the cache do for this tenant?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse

from billing import selectors as billing
from cache_api import selectors
from cache_api.selectors import Figures
from dashboard import charts, ranges
from dashboard.people import Visit, page, show
from dashboard.ranges import Range
from tenants import selectors as tenants


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds of the call in the middle, and of the one that 95 % were no slower than."""

    p50: float | None
    p95: float | None


@page(may="figures")
def overview(http: HttpRequest, visit: Visit) -> HttpResponse:
    asked = ranges.read(http.GET.get("days", ""))
    project_id = visit.project.id if visit.project else None
    figures = selectors.figures(visit.tenant.id, project_id, asked.since, asked.until)
    before = selectors.figures(visit.tenant.id, project_id, asked.before.since, asked.before.until)
    context: dict[str, Any] = {
        "range": asked,
        "ranges": ranges.RANGES,
        "figures": figures,
        "before": before,
        "root": f"{http.scheme}://{http.get_host()}",
        "banners": billing.banners_of(tenant_id=visit.tenant.id, now=asked.until),
    }
    if not figures.calls and not before.calls:
        return show(http, visit, "overview.html", steps=_steps(visit), **context)
    if "live" in http.GET:
        return show(http, visit, "parts/figures.html", speeds=_speeds(visit, asked), **context)
    if "HX-Request" in http.headers:  # The first call has come: the steps give way to the figures.
        return HttpResponse(headers={"HX-Redirect": visit.href("overview")})
    return show(http, visit, "overview.html", **context, **_drawn(visit, asked))


def _drawn(visit: Visit, asked: Range) -> dict[str, Any]:
    project_id = visit.project.id if visit.project else None
    rows = selectors.usage_by(
        visit.tenant.id, project_id, bucket=asked.bucket, group_by=None, since=asked.since, until=asked.until
    )
    buckets = charts.filled(rows, bucket=asked.bucket, since=asked.since, until=asked.until)
    return {
        "calls": charts.of_calls(buckets),
        "savings": charts.of_savings(buckets),
        "models": _by_model(visit, asked),
        "speeds": _speeds(visit, asked),
        "unpriced": selectors.unpriced_models(visit.tenant.id, project_id, asked.since, asked.until),
    }


def _speeds(visit: Visit, asked: Range) -> Mapping[str, Speed]:
    project_id = visit.project.id if visit.project else None
    found = selectors.latencies(visit.tenant.id, project_id, asked.since, asked.until)
    return {decision: Speed(one.quantile(0.5), one.quantile(0.95)) for decision, one in found.items()}


def _by_model(visit: Visit, asked: Range) -> Sequence[tuple[str, Figures]]:
    project_id = visit.project.id if visit.project else None
    parts: dict[str, list[Figures]] = defaultdict(list)
    for row in selectors.usage_by(
        visit.tenant.id, project_id, bucket="day", group_by="model", since=asked.since, until=asked.until
    ):
        parts[row.group].append(row.figures)
    sums = [(model, charts.summed(found)) for model, found in parts.items()]
    return sorted(sums, key=lambda pair: -pair[1].calls)


def _steps(visit: Visit) -> Mapping[str, Any]:
    """What a newcomer has done already."""
    keys = tenants.keys_of(tenant_id=visit.tenant.id)
    return {"key": next((key for key in keys if key.revoked_at is None), None)}
