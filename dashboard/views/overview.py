"""What does the cache do for this tenant?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from billing import selectors as billing
from cache_api import selectors
from cache_api.calls import CallFilters, LedgerRow, calls_page
from cache_api.domain.risk import MEASURED_FROM
from cache_api.figures import ALL, Figures, Only
from cache_api.http import tables
from cache_api.selectors import Latency
from cache_api.wrong_hits import LOOKED_BACK, WrongHits, wrong_hits
from dashboard import charts, ranges
from dashboard.forms import FigureFilter
from dashboard.people import Visit, done, page, show
from dashboard.ranges import Range
from tenants import api_keys
from tenants import selectors as tenants
from tenants.models import Project

EVER = datetime(1970, 1, 1, tzinfo=UTC)
RANKED_FROM = 20  # calls: of fewer, nobody is the slowest twentieth, and a bucket's width shows
FIRST_CALLS = 5  # that a newcomer sees arrive


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which calls, over which time: what an address says."""

    visit: Visit
    range: Range
    only: Only

    @property
    def project_id(self) -> UUID | None:
        return self.visit.project.id if self.visit.project else None

    @property
    def project_ids(self) -> Sequence[UUID]:
        return [self.project_id] if self.project_id else [one.id for one in self.visit.projects]

    @property
    def span(self) -> tuple[UUID, UUID | None, datetime, datetime]:
        return (self.visit.tenant.id, self.project_id, self.range.since, self.range.until)

    @property
    def before(self) -> "Asked":
        return Asked(self.visit, self.range.before, self.only)


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds of the call in the middle, and of the one that 95 % were no slower than; of few calls the mean."""

    calls: int
    mean: float | None
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Speeds:
    """`saved_ms`: had each hit taken as long as a miss does on average. None: there was no miss."""

    hit: Speed
    miss: Speed
    saved_ms: float | None


@page(may="figures")
def overview(http: HttpRequest, visit: Visit) -> HttpResponse:
    asked = _asked(http, visit)
    if "first" in http.GET:
        return show(http, visit, "parts/arrived.html", arrived=_newest(asked))
    by_model = selectors.figures_by("model", *asked.span, only=asked.only)
    figures = charts.summed(by_model.values())
    before = selectors.figures(*asked.before.span, only=asked.only)
    if asked.only == ALL and not figures.calls and not before.calls and _is_new(asked):
        return _first_steps(http, asked)
    context: dict[str, Any] = {
        "asked": asked,
        "range": asked.range,
        "figures": figures,
        "before": before,
        **_drawn(asked),
    }
    if "live" in http.GET:
        return show(http, visit, "parts/live.html", **context)
    around = _around(http, asked, context["wrong"]["now"], unpriced=figures.unpriced)
    return show(http, visit, "overview.html", by_model=by_model, **context, **around)


@page(may="keys", methods=("POST",), fresh=True, back="overview")
def start(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    """A newcomer's first key, in the lines they copy."""
    project = visit.project or next(iter(visit.projects), None)
    if project is None:
        return done(http, visit, "A key belongs to a project: make one first.", "projects")
    made = api_keys.key_create(
        tenant_id=visit.tenant.id,
        project_id=project.id,
        name="First steps",
        created_by=visit.user_id,
        reach=api_keys.reach_of_role(visit.role),
        actor=visit.actor,
    )
    return _first_steps(http, _asked(http, visit), made.secret)


@page(may="figures")
def export(http: HttpRequest, visit: Visit) -> StreamingHttpResponse:
    """What the charts are drawn of, and the rest that is known of each bucket."""
    asked = _asked(http, visit)
    rows = selectors.usage_by(*asked.span[:2], group_by=None, **_buckets(asked))
    lines = tables.figures_csv(charts.filled(rows, asked.range.starts))
    return StreamingHttpResponse(lines, content_type=tables.CSV, headers=tables.attachment("overview.csv"))


def _asked(http: HttpRequest, visit: Visit) -> Asked:
    chosen = FigureFilter(http.GET).chosen()
    only = Only(chosen.get("provider"), chosen.get("model"), chosen.get("key"))
    return Asked(visit, ranges.of(http), only)


def _is_new(asked: Asked) -> bool:
    """Nothing was ever asked."""
    tenant_id, project_id, _, until = asked.span
    return not selectors.names_in(tenant_id, project_id, EVER, until).models


def _drawn(asked: Asked) -> dict[str, Any]:
    """What changes while calls come in."""
    buckets = charts.filled(selectors.hits_by(*asked.span[:2], **_buckets(asked)), asked.range.starts)
    return {
        "calls": charts.of_calls(buckets),
        "savings": charts.of_savings(buckets),
        "speeds": _speeds(asked),
        "speeds_before": _speeds(asked.before),
        "wrong": _wrong(asked),
        "enough": MEASURED_FROM,
    }


def _around(http: HttpRequest, asked: Asked, wrong: WrongHits, *, unpriced: int) -> dict[str, Any]:
    return {
        "ranges": ranges.RANGES,
        "form": FigureFilter(http.GET, offered=_offered(asked)),
        "narrowed": asked.only != ALL,
        "by_project": _by_project(asked, wrong),
        "unpriced": selectors.unpriced_models(*asked.span, only=asked.only) if unpriced else (),
        "banners": _banners(asked),
    }


def _buckets(asked: Asked) -> dict[str, Any]:
    return {
        "bucket": asked.range.bucket,
        "since": asked.range.since,
        "until": asked.range.until,
        "only": asked.only,
        "starts": asked.range.own_starts,
    }


def _speeds(asked: Asked) -> Speeds:
    found = selectors.latencies(*asked.span, only=asked.only)
    hit, miss = found["hit"], found["miss"]
    saved_ms = miss.total_ms / miss.calls * hit.calls - hit.total_ms if miss.calls else None
    return Speeds(_speed(hit), _speed(miss), saved_ms)


def _speed(latency: Latency) -> Speed:
    if latency.calls < RANKED_FROM:
        return Speed(latency.calls, latency.total_ms / latency.calls if latency.calls else None, None, None)
    return Speed(latency.calls, None, latency.quantile(0.5), latency.quantile(0.95))


def _wrong(asked: Asked) -> Mapping[str, WrongHits]:
    tenant_id, until = asked.visit.tenant.id, asked.range.until
    return {
        "now": wrong_hits(tenant_id, asked.project_ids, until, only=asked.only),
        "before": wrong_hits(tenant_id, asked.project_ids, until - LOOKED_BACK, only=asked.only),
    }


def _by_project(asked: Asked, wrong: WrongHits) -> Sequence[tuple[Project, Figures, WrongHits]]:
    """Where there are several to compare."""
    if asked.project_id or len(asked.visit.projects) < 2:
        return ()
    figures = selectors.figures_by("project", *asked.span, only=asked.only)
    found = [(one, figures.get(str(one.id), Figures()), wrong.by_project[one.id]) for one in asked.visit.projects]
    return sorted(found, key=lambda one: -one[1].calls)


def _offered(asked: Asked) -> Mapping[str, Mapping[str, str]]:
    """What had calls in that time."""
    names = selectors.names_in(*asked.span)
    keys = {key.id: key.name or key.hint for key in tenants.keys_of(tenant_id=asked.visit.tenant.id)}
    used = {*names.keys, asked.only.key_id} & keys.keys()
    return {
        "provider": {name: name for name in names.providers},
        "model": {name: name for name in names.models},
        "key": {str(key_id): words for key_id, words in keys.items() if key_id in used},
    }


def _first_steps(http: HttpRequest, asked: Asked, secret: str = "") -> HttpResponse:
    """With what a newcomer has done already. `secret` is seen this once."""
    visit = asked.visit
    keys = tenants.keys_of(tenant_id=visit.tenant.id)
    return show(
        http,
        visit,
        "overview.html",
        steps={"key": next((key for key in keys if key.revoked_at is None), None)},
        secret=secret,
        root=f"{http.scheme}://{http.get_host()}",
        arrived=_newest(asked),
        banners=_banners(asked),
    )


def _newest(asked: Asked) -> Sequence[LedgerRow]:
    """The first of them last."""
    tenant_id, project_id, since, until = asked.span
    found = calls_page(tenant_id, project_id, CallFilters(), since=since, until=until, limit=FIRST_CALLS)
    return found.calls[::-1]


def _banners(asked: Asked) -> Sequence[Any]:
    return billing.banners_of(tenant_id=asked.visit.tenant.id, now=asked.range.until)
