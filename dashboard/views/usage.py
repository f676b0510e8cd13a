"""What is used, of what, and by whom?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.defaultfilters import filesizeformat

from cache_api import limits as services
from cache_api import selectors
from cache_api.figures import Figures
from cache_api.http import tables
from cache_api.limits import Limit
from cache_api.selectors import Bucket, Group, UsageRow
from dashboard import ranges
from dashboard.people import Visit, page, show
from dashboard.templatetags.dashboard import count, usd
from tenants import selectors as tenants

GROUPS: Mapping[str, tuple[Group, str]] = {
    "model": ("model", "Model"),
    "project": ("project", "Project"),
    "key": ("key", "Key"),
    "task": ("task", "Task"),
    "provider": ("provider", "Provider"),
    "decision": ("decision", "Decision"),
    "end_user": ("end_user", "End user"),
}
USUAL_GROUP = "model"
NO_KEY = str(UUID(int=0))
SHOWN_ROWS = 200  # end users may be many thousands; all of them are in the spreadsheet

NEARLY = 0.8
SPENT, MADE = ("requests", "usd"), ("projects", "members", "keys")
LIMIT_WORDS: Mapping[str, str] = {
    "requests": "Requests this period",
    "spend_usd": "Beyond the plan",
    "entries": "Entries",
    "bytes": "Stored",
    "projects": "Projects",
    "members": "Members",
    "keys": "Keys in the fullest project",
    "rpm": "Requests a minute",
    "tpm": "Tokens a minute",
}


@dataclass(frozen=True, slots=True)
class Meter:
    """A limit as a bar; `share` is None where there is nothing to fill."""

    id: str
    name: str
    shown: str
    share: float | None
    tone: str

    @property
    def bar(self) -> int:
        return min(100, round(100 * (self.share or 0)))


@page(may="figures")
def usage(http: HttpRequest, visit: Visit) -> HttpResponse:
    group_by, words = GROUPS[_group(http)]
    rows, groups = _busiest(http, visit)
    limits = services.limits_of(tenant_id=visit.tenant.id, now=datetime.now(UTC))
    return show(
        http,
        visit,
        "usage.html",
        limits=limits,
        meters=[_meter(limit) for limit in limits.limits],
        range=ranges.of(http),
        ranges=ranges.RANGES,
        groups={name: shown for name, (_, shown) in GROUPS.items()},
        group=group_by,
        group_words=words,
        rows=_named(visit, rows),
        unshown=groups - len(rows),
    )


@page(may="figures")
def export(http: HttpRequest, visit: Visit) -> StreamingHttpResponse:
    """By day, as a spreadsheet reads it."""
    group_by, _ = GROUPS[_group(http)]
    lines = tables.usage_csv(_rows(http, visit, bucket="day"), group_by)
    return StreamingHttpResponse(lines, content_type=tables.CSV, headers=tables.attachment(f"usage-by-{group_by}.csv"))


def _group(http: HttpRequest) -> str:
    wanted = http.GET.get("by", "")
    return wanted if wanted in GROUPS else USUAL_GROUP


def _rows(http: HttpRequest, visit: Visit, *, bucket: Bucket | None) -> Sequence[UsageRow]:
    asked = ranges.of(http)
    project_id = visit.project.id if visit.project else None
    group_by, _ = GROUPS[_group(http)]
    return selectors.usage_by(
        visit.tenant.id, project_id, bucket=bucket, group_by=group_by, since=asked.since, until=asked.until
    )


def _busiest(http: HttpRequest, visit: Visit) -> tuple[Sequence[UsageRow], int]:
    """The most called first, and how many there are in all."""
    if _group(http) == "end_user":
        asked, project_id = ranges.of(http), visit.project.id if visit.project else None
        return selectors.busiest_end_users(visit.tenant.id, project_id, asked.since, asked.until, limit=SHOWN_ROWS)
    rows = sorted(_rows(http, visit, bucket=None), key=lambda row: -row.figures.calls)
    return rows[:SHOWN_ROWS], len(rows)


def _named(visit: Visit, rows: Sequence[UsageRow]) -> Sequence[tuple[str, str, Figures]]:
    names = {str(one.id): one.name for one in visit.projects}
    names |= {str(key.id): key.name or key.hint for key in tenants.keys_of(tenant_id=visit.tenant.id)}
    names |= {NO_KEY: "Without a key", "": "Not named"}
    return [(names.get(row.group, row.group), row.model, row.figures) for row in rows]


def _meter(limit: Limit) -> Meter:
    return Meter(f"limit-{limit.name}", LIMIT_WORDS[limit.name], _shown(limit), limit.share, _tone(limit))


def _tone(limit: Limit) -> str:
    """Bad is over the limit, and where calls are no longer served at it; what people make may well be all there is."""
    share = limit.share or 0
    if share > 1 or (share == 1 and limit.unit in SPENT):
        return "bad"
    return "warn" if share >= NEARLY and limit.unit not in MADE else ""


def _shown(limit: Limit) -> str:
    def one(amount: int | Decimal | None) -> str:
        if amount is None:
            return "no limit"
        if limit.unit == "usd":
            return usd(Decimal(amount))
        return filesizeformat(int(amount)) if limit.unit == "bytes" else count(int(amount))

    if limit.used is None or limit.most is None:
        return one(limit.most if limit.used is None else limit.used)
    return f"{one(limit.used)} of {one(limit.most)}"
