"""What does the cache do for this tenant?"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.http import HttpRequest, HttpResponse

from cache_api import selectors
from cache_api.selectors import Bucket, Figures
from dashboard import charts
from dashboard.people import Visit, page, show

RANGES = {"1": "24 hours", "7": "7 days", "30": "30 days"}
USUAL_RANGE = "7"


@dataclass(frozen=True, slots=True)
class Range:
    days: int
    since: datetime
    until: datetime

    @property
    def bucket(self) -> Bucket:
        return "hour" if self.days == 1 else "day"


@page(may="figures")
def overview(http: HttpRequest, visit: Visit) -> HttpResponse:
    asked = _range(http, datetime.now(UTC))
    project_id = visit.project.id if visit.project else None
    before = Range(asked.days, asked.since - timedelta(days=asked.days), asked.since)
    figures = selectors.figures(visit.tenant.id, project_id, asked.since, asked.until)
    buckets = charts.filled(
        selectors.usage_by(
            visit.tenant.id, project_id, bucket=asked.bucket, group_by=None, since=asked.since, until=asked.until
        ),
        bucket=asked.bucket,
        since=asked.since,
        until=asked.until,
    )
    return show(
        http,
        visit,
        "overview.html",
        range=asked,
        ranges=RANGES,
        figures=figures,
        before=selectors.figures(visit.tenant.id, project_id, before.since, before.until),
        calls=charts.of_calls(buckets),
        savings=charts.of_savings(buckets),
        models=_by_model(visit, asked),
        root=f"{http.scheme}://{http.get_host()}",
    )


def _by_model(visit: Visit, asked: Range) -> Sequence[tuple[str, Figures]]:
    project_id = visit.project.id if visit.project else None
    parts: dict[str, list[Figures]] = defaultdict(list)
    for row in selectors.usage_by(
        visit.tenant.id, project_id, bucket="day", group_by="model", since=asked.since, until=asked.until
    ):
        parts[row.group].append(row.figures)
    sums = [(model, charts.summed(found)) for model, found in parts.items()]
    return sorted(sums, key=lambda pair: -pair[1].calls)


def _range(http: HttpRequest, now: datetime) -> Range:
    wanted = http.GET.get("days", "")
    days = int(wanted if wanted in RANGES else USUAL_RANGE)
    return Range(days, now - timedelta(days=days), now)
