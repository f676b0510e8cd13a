"""What do dashboards, statistics and bills read?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from cache_api.figures import ALL, DAYS, HOURS, Figures, Only, Range, by_days, by_hours, grouped, rows_of, summed
from cache_api.models import LATENCY_BOUNDS_MS, LATENCY_BUCKETS, LedgerProof
from tenants.isolation import as_tenant

BUCKETS = range(LATENCY_BUCKETS)

Bucket = Literal["hour", "day"]
Group = Literal["provider", "model", "project", "key", "task", "decision", "end_user"]

# What each group is told by; a task's figures are told by model, too.
_COLUMNS_OF: Mapping[Group, tuple[str, ...]] = {
    "provider": ("provider",),
    "model": ("model",),
    "project": ("project_id::text",),
    "key": ("key_id::text",),
    "task": ("task", "model"),
}


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One bucket of one group; `group` is the empty text where nothing groups, `model` but where a task does.

    By decision, the group without a name is upkeep.
    """

    since: datetime
    group: str
    figures: Figures
    model: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """What there is to choose calls by."""

    providers: Sequence[str]
    models: Sequence[str]
    keys: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """A model of which some calls have no price."""

    provider: str
    model: str
    calls: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What a day came to when it was last counted again; `differences` are what did not fit."""

    day: date
    calls: int
    billable: int
    cost_usd: Decimal
    saved_usd: Decimal
    fee_usd: Decimal
    differences: tuple[str, ...]
    proved_at: datetime


@dataclass(frozen=True, slots=True)
class Latency:
    """How many calls took how long; the buckets' bounds are `models.LATENCY_BOUNDS_MS`."""

    counts: tuple[int, ...]
    total_ms: int

    @property
    def calls(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """So many milliseconds took the call that `share` of all were no slower than, told from its bucket."""
        wanted, below = share * self.calls, 0
        if not wanted:
            return None
        low = 0
        for count, high in zip(self.counts, (*LATENCY_BOUNDS_MS, LATENCY_BOUNDS_MS[-1]), strict=True):
            if count and below + count >= wanted:
                return low + (high - low) * (wanted - below) / count
            below, low = below + count, high
        return float(low)


def figures(tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime, *, only: Only = ALL) -> Figures:
    """Of one project, or of the whole tenant."""
    return summed(found for _, found in grouped(DAYS, Range(tenant_id, project_id, since, until, only), "'all'"))


def usage_by(
    tenant_id: UUID,
    project_id: UUID | None,
    *,
    bucket: Bucket | None,
    group_by: Group | None,
    since: datetime,
    until: datetime,
    only: Only = ALL,
    starts: Sequence[datetime] = (),
    end_user: str | None = None,
) -> list[UsageRow]:
    """Buckets in the order of time, with those groups in them that had calls. `end_user` keeps one, grouped by them.

    No bucket: the whole time is one. `starts` are where buckets begin that are not UTC's; an hour belongs to the one
    it begins in.
    """
    asked = Range(tenant_id, project_id, since, until, only, starts, end_user)
    moment, rolled_up = _buckets(bucket, starts)
    if group_by == "end_user":
        told_by = _END_USER_HOURS if rolled_up == HOURS else _END_USER_DAYS
        return _named(rows_of(f"{told_by}{_BY_END_USER.format(moment=moment)} ORDER BY 1, 2", asked), _OF_END_USER)
    if group_by == "decision":
        return _named(rows_of(rolled_up + _BY_DECISION.format(moment=moment), asked), _OF_DECISION)
    columns = _COLUMNS_OF[group_by] if group_by else ("''",)
    found = grouped(rolled_up, asked, moment, *columns)
    return [UsageRow(at, group, figures, "".join(model)) for (at, group, *model), figures in found]


def figures_by(
    group_by: Group, tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime, *, only: Only = ALL
) -> Mapping[str, Figures]:
    """Over the whole time, the most called first."""
    rows = usage_by(tenant_id, project_id, bucket=None, group_by=group_by, since=since, until=until, only=only)
    return {row.group: row.figures for row in sorted(rows, key=lambda row: -row.figures.calls)}


def busiest_end_users(
    tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime, *, limit: int
) -> tuple[list[UsageRow], int]:
    """Those with the most calls over the whole time, the most first, and how many there are in all."""
    moment, _ = _buckets(None, ())
    counted = f"SELECT *, count(*) OVER () FROM ({_BY_END_USER.format(moment=moment)}) AS counted"  # noqa: S608 (ours)
    asked = Range(tenant_id, project_id, since, until)
    rows = rows_of(f"{_END_USER_DAYS}{counted} ORDER BY 3 DESC, 2 LIMIT {limit:d}", asked)
    return _named((row[:-1] for row in rows), _OF_END_USER), rows[0][-1] if rows else 0


def hits_by(
    tenant_id: UUID,
    project_id: UUID | None,
    *,
    bucket: Bucket,
    since: datetime,
    until: datetime,
    only: Only = ALL,
    starts: Sequence[datetime] = (),
) -> list[UsageRow]:
    """Calls, hits and dollars saved alone, which a chart is drawn of: `usage_by` takes several times as long."""
    moment, rolled_up = _buckets(bucket, starts)
    rows = rows_of(rolled_up + _HITS.format(moment=moment), Range(tenant_id, project_id, since, until, only, starts))
    return _named(rows, _OF_HITS)


def names_in(tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime) -> Names:
    """What had calls in that time and is rolled up by now; calls without a key have none."""
    rows = rows_of(_NAMES, Range(tenant_id, project_id, since, until))
    return Names(
        providers=sorted({provider for provider, _, _ in rows if provider}),
        models=sorted({model for _, model, _ in rows if model}),
        keys=sorted({key_id for _, _, key_id in rows if key_id.int}),
    )


def unpriced_models(
    tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime, *, only: Only = ALL
) -> list[UnpricedModel]:
    """The most called first. Their money is in no sum."""
    found = rows_of(DAYS + _UNPRICED_MODELS, Range(tenant_id, project_id, since, until, only))
    return [UnpricedModel(*row) for row in found]


def proofs(tenant_id: UUID, *, days: int) -> list[Proof]:
    """The last days that were counted again, the newest first."""
    with as_tenant(tenant_id):
        found = LedgerProof.objects.filter(tenant_id=tenant_id).order_by("-day")[:days]
        return [
            Proof(
                day=one.day,
                calls=one.calls,
                billable=one.billable,
                cost_usd=one.cost_usd,
                saved_usd=one.saved_usd,
                fee_usd=one.fee_usd,
                differences=tuple(one.differences),
                proved_at=one.proved_at,
            )
            for one in found
        ]


def latencies(
    tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime, *, only: Only = ALL
) -> Mapping[str, Latency]:
    """How long hits took, and how long misses."""
    rows = rows_of(DAYS + latencies_in("figures"), Range(tenant_id, project_id, since, until, only))
    return {decision: Latency(tuple(counts), total_ms) for decision, counts, total_ms in rows}


def latencies_in(figures: str) -> str:
    return " UNION ALL ".join(
        f"""
SELECT '{decision}', ARRAY[{", ".join(f"coalesce(sum({decision}_latency[{n + 1}]), 0)::bigint" for n in BUCKETS)}],
  coalesce(sum({decision}_ms), 0)::bigint FROM {figures}
"""  # noqa: S608 (names of columns)
        for decision in ("hit", "miss")
    )


def _buckets(bucket: Bucket | None, starts: Sequence[datetime]) -> tuple[str, str]:
    """The bucket an hour is in, and the roll-up that can tell."""
    if starts:
        return _STARTED, HOURS
    if bucket is None:
        return "%(since)s::timestamptz", DAYS
    return f"date_trunc('{bucket}', hour, 'UTC')", HOURS if bucket == "hour" else DAYS


def _named(rows: Iterable[tuple[Any, ...]], names: Sequence[str]) -> list[UsageRow]:
    return [UsageRow(at, group, Figures(**dict(zip(names, figures, strict=True)))) for at, group, *figures in rows]


_STARTED = "(%(starts)s::timestamptz[])[width_bucket(hour, %(starts)s::timestamptz[])]"

_OF_HITS = ("calls", "hits", "exact_hits", "semantic_hits", "synthesized_hits", "saved_usd")
_HITS = """
SELECT {moment}, '', sum(calls)::bigint, sum(exact_hits + semantic_hits + synthesized_hits)::bigint,
  sum(exact_hits)::bigint, sum(semantic_hits)::bigint, sum(synthesized_hits)::bigint, sum(saved_usd)
FROM figures GROUP BY 1 ORDER BY 1
"""

_NAMES = """
SELECT DISTINCT provider, model, key_id FROM usage_day
WHERE tenant_id = %(tenant)s AND (%(project)s::uuid IS NULL OR project_id = %(project)s)
  AND day >= (%(since)s AT TIME ZONE 'UTC')::date AND day <= (%(until)s AT TIME ZONE 'UTC')::date
"""

# A block asks nobody. A miss saves where a part of its list was stored, and has what is not another's.
_OF_DECISION = (
    *("calls", "hits", "tokens", "unpriced", "cost_usd", "list_usd", "discount_usd", "saved_usd", "fee_usd"),
    *("synthesis_cost_usd", "upkeep", "upkeep_cost_usd"),
)
_BY_DECISION = """
SELECT {moment}, decision, sum(one.calls)::bigint, sum(hits)::bigint, sum(tokens)::bigint, sum(one.unpriced)::bigint,
  sum(cost), sum(listed), sum(discount), sum(saved), sum(fee), sum(synthesis), sum(one.upkeep)::bigint, sum(kept_up)
FROM figures, LATERAL (VALUES
  ('hit', exact_hits + semantic_hits + synthesized_hits, exact_hits + semantic_hits + synthesized_hits,
    hit_tokens, hit_unpriced, hit_cost_usd, list_usd - miss_list_usd, discount_usd - miss_discount_usd,
    saved_usd - miss_saved_usd, hit_fee_usd, hit_cost_usd, 0, 0),
  ('miss', misses, 0, in_total + out_total - hit_tokens - bypass_tokens - upkeep_tokens,
    unpriced - hit_unpriced - bypass_unpriced - upkeep_unpriced,
    cost_usd - hit_cost_usd - bypass_cost_usd - upkeep_cost_usd, miss_list_usd, miss_discount_usd, miss_saved_usd,
    fee_usd - hit_fee_usd - blocked_fee_usd, 0, 0, 0),
  ('bypass', bypasses, 0, bypass_tokens, bypass_unpriced, bypass_cost_usd, 0, 0, 0, 0, 0, 0, 0),
  ('blocked', blocked, 0, 0, 0, 0, 0, 0, 0, blocked_fee_usd, 0, 0, 0),
  ('', 0, 0, upkeep_tokens, upkeep_unpriced, upkeep_cost_usd, 0, 0, 0, 0, 0, figures.upkeep, upkeep_cost_usd)
) AS one (decision, calls, hits, tokens, unpriced, cost, listed, discount, saved, fee, synthesis, upkeep, kept_up)
WHERE one.calls > 0 OR one.upkeep > 0 GROUP BY 1, 2 ORDER BY 1, 2
"""

_OF_END_USER = (
    *("calls", "hits", "billable", "unpriced", "tokens", "tokens_saved", "cost_usd", "list_usd", "discount_usd"),
    *("saved_usd", "fee_usd", "synthesis_cost_usd", "upkeep_cost_usd"),
)
_END_USER_HOURS = by_hours("usage_end_user", "end_user_figures", columns=("end_user", *_OF_END_USER))
_END_USER_DAYS = by_days(
    "usage_end_user_day", "usage_end_user", "end_user_figures", columns=("end_user", *_OF_END_USER)
)
_BY_END_USER = """
SELECT {moment}, end_user, sum(calls)::bigint, sum(hits)::bigint, sum(billable)::bigint, sum(unpriced)::bigint,
  sum(tokens)::bigint, sum(tokens_saved)::bigint, sum(cost_usd), sum(list_usd), sum(discount_usd), sum(saved_usd),
  sum(fee_usd), sum(synthesis_cost_usd), sum(upkeep_cost_usd)
FROM figures WHERE %(end_user)s::text IS NULL OR end_user = %(end_user)s GROUP BY 1, 2
"""

_UNPRICED_MODELS = """
SELECT provider, model, sum(unpriced)::bigint FROM figures WHERE unpriced > 0 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""
