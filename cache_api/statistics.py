"""How does a project do: what it asked, what it has stored, what it is watched by?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cache_api.figures import DAYS, HOURS, Figures, Range, grouped, rows_of, summed
from cache_api.selectors import Latency, latencies_in


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
class Metered:
    """What a project is watched by; calls by provider, model and reason, totals by provider and model."""

    calls: Mapping[tuple[str, str, str], int]
    totals: Mapping[tuple[str, str], Figures]
    entries: Mapping[str, int]
    feedback: Mapping[str, int]
    latencies: Mapping[str, Latency]


def stats(tenant_id: UUID, project_id: UUID, since: datetime, until: datetime) -> Stats:
    asked = Range(tenant_id, project_id, since, until)
    by_both = grouped(DAYS, asked, "provider", "model")
    ((total, expired, size, oldest, newest, stored),) = rows_of(_ENTRIES, asked)
    ((similarity,),) = rows_of(_SIMILARITY, asked)
    return Stats(
        figures=summed(found for _, found in by_both),
        entries=Entries(total, total - expired, expired, size, oldest, newest),
        stored=stored,
        average_similarity=similarity,
        by_provider=_summed_by((provider, found) for (provider, _), found in by_both),
        by_model=_summed_by((model, found) for (_, model), found in by_both),
        reasons=dict(rows_of(DAYS + _REASONS, asked)),
    )


def metered(tenant_id: UUID, project_id: UUID, now: datetime) -> Metered:
    """Everything since the first call: days that are over from their roll-ups, today from its hours."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    asked = Range(tenant_id, project_id, today, today + timedelta(days=1))
    calls = rows_of(_EVER + _CALLS, asked)
    latencies = rows_of(_EVER + latencies_in("ever"), asked)
    verdicts = rows_of(_VERDICTS, asked)
    return Metered(
        calls={(provider, model, reason): count for provider, model, reason, count in calls},
        totals={
            (provider, model): Figures(tokens=tokens, cost_usd=cost, saved_usd=saved, unpriced=unpriced)
            for provider, model, tokens, cost, saved, unpriced in rows_of(_EVER + _TOTALS, asked)
        },
        entries=dict(rows_of(_ENTRIES_BY_PROVIDER, asked)),
        feedback={"right": 0, "wrong": 0, **dict(verdicts)},
        latencies={decision: Latency(tuple(counts), total_ms) for decision, counts, total_ms in latencies},
    )


def _summed_by(parts: Iterable[tuple[str, Figures]]) -> Mapping[str, Figures]:
    sums: dict[str, Figures] = {}
    for name, part in parts:
        sums[name] = summed((sums.get(name, Figures()), part))
    return sums


_METERED_COLUMNS = """
provider, model, reasons, in_total + out_total AS tokens, cost_usd, saved_usd, unpriced, hit_latency, hit_ms,
  miss_latency, miss_ms
"""

_EVER = f"""
{HOURS}, ever AS (
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

_VERDICTS = """
SELECT verdict, count(*) FROM feedback WHERE tenant_id = %(tenant)s AND project_id = %(project)s GROUP BY 1
"""

_ENTRIES_BY_PROVIDER = """
SELECT provider, count(*) FROM entry
WHERE tenant_id = %(tenant)s AND project_id = %(project)s AND NOT quarantined GROUP BY 1 ORDER BY 1
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
  AND origin <> 'adjust'
"""
