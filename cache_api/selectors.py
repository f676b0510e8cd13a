"""What do dashboards, statistics and bills read?

Figures come from the roll-ups, but for hours with calls that are not rolled up yet, and hours cut by the range: those
are computed from the calls. So they are exact at any moment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from django.db import connection

from cache_api.models import LATENCY_BUCKETS
from tenants.isolation import as_tenant

BUCKETS = range(LATENCY_BUCKETS)

Bucket = Literal["hour", "day"]
Group = Literal["provider", "model", "project", "key", "task", "decision"]

# What each group is told by; a task's figures are told by model, too.
_COLUMNS_OF: Mapping[Group, tuple[str, ...]] = {
    "provider": ("provider",),
    "model": ("model",),
    "project": ("project_id::text",),
    "key": ("key_id::text",),
    "task": ("task", "model"),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What some calls come to. `tokens` were bought, `tokens_saved` were not."""

    calls: int = 0
    hits: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    synthesized_hits: int = 0
    misses: int = 0
    bypasses: int = 0
    blocked: int = 0
    billable: int = 0
    unpriced: int = 0
    estimated: int = 0
    tokens: int = 0
    tokens_saved: int = 0
    cost_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    fee_usd: Decimal = Decimal(0)

    @property
    def lookups(self) -> int:
        """Calls the cache was asked about."""
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float:
        """0 to 1; 0 where nothing was asked."""
        return self.hits / self.lookups if self.lookups else 0.0


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One bucket of one group; `group` is the empty text where nothing groups, `model` but where a task does."""

    since: datetime
    group: str
    figures: Figures
    model: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """What a project has stored now."""

    total: int
    active: int
    expired: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Stats:
    """A project's figures over a time, and its entries now."""

    figures: Figures
    entries: Entries
    stored: int  # entries of that time
    average_similarity: float
    by_provider: Mapping[str, Figures] = field(default_factory=dict)
    by_model: Mapping[str, Figures] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def decisions(self) -> Mapping[str, int]:
        figures = self.figures
        return {
            "hit": figures.hits,
            "miss": figures.misses,
            "bypass": figures.bypasses,
            "blocked": figures.blocked,
        }


@dataclass(frozen=True, slots=True)
class Latency:
    """How many calls took how long; the buckets' bounds are `models.LATENCY_BOUNDS_MS`."""

    counts: tuple[int, ...]
    total_ms: int


@dataclass(frozen=True, slots=True)
class Metered:
    """What a project is watched by; calls by provider, model and reason, totals by provider and model."""

    calls: Mapping[tuple[str, str, str], int]
    totals: Mapping[tuple[str, str], Figures]
    entries: Mapping[str, int]
    feedback: Mapping[str, int]
    latencies: Mapping[str, Latency]


def figures(tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime) -> Figures:
    """Of one project, or of the whole tenant."""
    return _sum(found for _, found in _grouped(_Range(tenant_id, project_id, since, until), "'all'"))


def hit_rate(tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime) -> float:
    return figures(tenant_id, project_id, since, until).hit_rate


def usage_by(
    tenant_id: UUID,
    project_id: UUID | None,
    *,
    bucket: Bucket,
    group_by: Group | None,
    since: datetime,
    until: datetime,
) -> list[UsageRow]:
    """Buckets in the order of time, with those groups in them that had calls."""
    asked, moment = _Range(tenant_id, project_id, since, until), f"date_trunc('{bucket}', hour, 'UTC')"
    if group_by == "decision":
        rows = _rows(_FIGURES + _BY_DECISION.format(moment=moment), asked)
        return [
            UsageRow(
                at,
                decision,
                Figures(calls=calls, hits=hits, tokens=tokens, cost_usd=cost, saved_usd=saved, unpriced=unpriced),
            )
            for at, decision, calls, hits, tokens, cost, saved, unpriced in rows
        ]
    columns = _COLUMNS_OF[group_by] if group_by else ("''",)
    found = _grouped(asked, moment, *columns)
    return [UsageRow(at, group, figures, "".join(model)) for (at, group, *model), figures in found]


def stats(tenant_id: UUID, project_id: UUID, since: datetime, until: datetime) -> Stats:
    asked = _Range(tenant_id, project_id, since, until)
    by_both = _grouped(asked, "provider", "model")
    ((total, expired, size, oldest, newest, stored),) = _rows(_ENTRIES, asked)
    ((similarity,),) = _rows(_SIMILARITY, asked)
    return Stats(
        figures=_sum(found for _, found in by_both),
        entries=Entries(total, total - expired, expired, size, oldest, newest),
        stored=stored,
        average_similarity=similarity,
        by_provider=_sums((provider, found) for (provider, _), found in by_both),
        by_model=_sums((model, found) for (_, model), found in by_both),
        reasons=dict(_rows(_FIGURES + _REASONS, asked)),
    )


def metered(tenant_id: UUID, project_id: UUID, now: datetime) -> Metered:
    """Everything since the first call: days that are over from their roll-ups, today from its hours."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    asked = _Range(tenant_id, project_id, today, today + timedelta(days=1))
    calls = _rows(_EVER + _CALLS, asked)
    latencies = _rows(_EVER + _LATENCIES, asked)
    verdicts = _rows(_VERDICTS, asked)
    return Metered(
        calls={(provider, model, reason): count for provider, model, reason, count in calls},
        totals={
            (provider, model): Figures(tokens=tokens, cost_usd=cost, saved_usd=saved, unpriced=unpriced)
            for provider, model, tokens, cost, saved, unpriced in _rows(_EVER + _TOTALS, asked)
        },
        entries=dict(_rows(_ENTRIES_BY_PROVIDER, asked)),
        feedback={"right": 0, "wrong": 0, **dict(verdicts)},
        latencies={decision: Latency(tuple(counts), total_ms) for decision, counts, total_ms in latencies},
    )


@dataclass(frozen=True, slots=True)
class _Range:
    tenant_id: UUID
    project_id: UUID | None
    since: datetime
    until: datetime


def _grouped(asked: _Range, *expressions: str) -> list[tuple[tuple[Any, ...], Figures]]:
    """The figures by some expressions over a roll-up's columns, in their order. No caller's text is in them."""
    keys = ", ".join(expressions)
    numbers = ", ".join(str(number + 1) for number in range(len(expressions)))
    grouped = f"SELECT {keys}, {_SUMS} FROM figures GROUP BY {numbers} ORDER BY {numbers}"  # noqa: S608
    rows = _rows(_FIGURES + grouped, asked)
    return [(row[: len(expressions)], Figures(*row[len(expressions) :])) for row in rows]


def _rows(sql: str, asked: _Range) -> list[tuple[Any, ...]]:
    values = {
        "tenant": asked.tenant_id,
        "project": asked.project_id,
        "since": asked.since,
        "until": asked.until,
    }
    with as_tenant(asked.tenant_id), connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _sum(parts: Iterable[Figures]) -> Figures:
    total = Figures()
    for part in parts:
        total = Figures(*(getattr(total, name) + getattr(part, name) for name in Figures.__slots__))
    return total


def _sums(parts: Iterable[tuple[str, Figures]]) -> Mapping[str, Figures]:
    sums: dict[str, Figures] = {}
    for name, part in parts:
        sums[name] = _sum((sums.get(name, Figures()), part))
    return sums


# `live` are the hours whose roll-up would not be exact.
_FIGURES = """
WITH live AS (
  SELECT hour FROM usage_dirty
  WHERE tenant_id = %(tenant)s AND hour >= date_trunc('hour', %(since)s, 'UTC') AND hour < %(until)s
  UNION SELECT date_trunc('hour', at, 'UTC') FROM call
  WHERE tenant_id = %(tenant)s AND priced_at IS NULL AND at >= %(since)s AND at < %(until)s
  UNION SELECT date_trunc('hour', cut, 'UTC') FROM unnest(ARRAY[%(since)s, %(until)s]::timestamptz[]) AS cut
  WHERE cut <> date_trunc('hour', cut, 'UTC')
), figures AS (
  SELECT usage_hour.* FROM usage_hour
  WHERE tenant_id = %(tenant)s AND hour >= %(since)s AND hour < %(until)s
    AND (%(project)s::uuid IS NULL OR project_id = %(project)s)
    AND NOT EXISTS (SELECT FROM live WHERE live.hour = usage_hour.hour)
  UNION ALL
  SELECT counted.* FROM live, usage_figures(
    %(tenant)s, greatest(live.hour, %(since)s), least(live.hour + interval '1 hour', %(until)s)) AS counted
  WHERE %(project)s::uuid IS NULL OR counted.project_id = %(project)s
)
"""

_METERED_COLUMNS = """
provider, model, reasons, in_total + out_total AS tokens, cost_usd, saved_usd, unpriced, hit_latency, hit_ms,
  miss_latency, miss_ms
"""

_EVER = f"""
{_FIGURES}, ever AS (
  SELECT {_METERED_COLUMNS} FROM figures
  UNION ALL SELECT {_METERED_COLUMNS} FROM usage_day
  WHERE tenant_id = %(tenant)s AND project_id = %(project)s AND day < (%(since)s AT TIME ZONE 'UTC')::date
)
"""  # noqa: S608 (names of columns)

_CALLS = """
SELECT provider, model, reason.key, sum(reason.value::bigint)::bigint FROM ever, jsonb_each_text(reasons) AS reason
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_TOTALS = """
SELECT provider, model, sum(tokens)::bigint, sum(cost_usd), sum(saved_usd), sum(unpriced)::bigint FROM ever
GROUP BY 1, 2 ORDER BY 1, 2
"""

_LATENCIES = " UNION ALL ".join(
    f"""
SELECT '{decision}', ARRAY[{", ".join(f"coalesce(sum({decision}_latency[{n + 1}]), 0)::bigint" for n in BUCKETS)}],
  coalesce(sum({decision}_ms), 0)::bigint FROM ever
"""  # noqa: S608 (names of columns)
    for decision in ("hit", "miss")
)

_VERDICTS = """
SELECT verdict, count(*) FROM feedback WHERE tenant_id = %(tenant)s AND project_id = %(project)s GROUP BY 1
"""

_ENTRIES_BY_PROVIDER = """
SELECT provider, count(*) FROM entry
WHERE tenant_id = %(tenant)s AND project_id = %(project)s AND NOT quarantined GROUP BY 1 ORDER BY 1
"""

_SUMS = """
sum(calls)::bigint, sum(exact_hits + semantic_hits + synthesized_hits)::bigint, sum(exact_hits)::bigint,
sum(semantic_hits)::bigint, sum(synthesized_hits)::bigint, sum(misses)::bigint, sum(bypasses)::bigint,
sum(blocked)::bigint, sum(billable)::bigint, sum(unpriced)::bigint, sum(estimated)::bigint,
sum(in_total + out_total)::bigint, sum(tokens_saved)::bigint, sum(cost_usd), sum(saved_usd), sum(fee_usd)
"""

# Only hits save, and a block asks nobody.
_BY_DECISION = """
SELECT {moment}, decision, sum(one.calls)::bigint, sum(hits)::bigint, sum(tokens)::bigint, sum(one.cost),
  sum(saved), sum(one.unpriced)::bigint
FROM figures, LATERAL (VALUES
  ('hit', exact_hits + semantic_hits + synthesized_hits, exact_hits + semantic_hits + synthesized_hits,
    hit_tokens, hit_cost_usd, saved_usd, hit_unpriced),
  ('miss', misses, 0, in_total + out_total - hit_tokens - bypass_tokens, cost_usd - hit_cost_usd - bypass_cost_usd,
    0, unpriced - hit_unpriced - bypass_unpriced),
  ('bypass', bypasses, 0, bypass_tokens, bypass_cost_usd, 0, bypass_unpriced),
  ('blocked', blocked, 0, 0, 0, 0, 0)
) AS one (decision, calls, hits, tokens, cost, saved, unpriced)
WHERE one.calls > 0 GROUP BY 1, 2 ORDER BY 1, 2
"""

_REASONS = """
SELECT reason.key, sum(reason.value::bigint)::bigint FROM figures, jsonb_each_text(reasons) AS reason
GROUP BY 1 ORDER BY 1
"""

_ENTRIES = """
SELECT count(*), count(*) FILTER (WHERE expires_at < now()), coalesce(sum(size_bytes), 0)::bigint,
  min(created_at), max(created_at), count(*) FILTER (WHERE created_at >= %(since)s AND created_at < %(until)s)
FROM entry WHERE tenant_id = %(tenant)s AND project_id = %(project)s AND NOT quarantined
"""

_SIMILARITY = """
SELECT coalesce(avg(coalesce(similarity, 1)), 0) FROM call
WHERE tenant_id = %(tenant)s AND project_id = %(project)s AND at >= %(since)s AND at < %(until)s AND decision = 'hit'
"""
