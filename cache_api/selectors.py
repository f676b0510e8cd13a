"""What do dashboards, statistics and bills read?

Figures come from the roll-ups, but for hours with calls that are not rolled up yet, and hours cut by the range: those
are computed from the calls. So they are exact at any moment. Of an hour whose calls are gone no part can be told: it
counts nothing where a range cuts it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from django.db import connection

from cache_api.domain.cost import ZERO
from cache_api.models import LATENCY_BOUNDS_MS, LATENCY_BUCKETS, LedgerProof, UsageHour
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
class Figures:
    """What some calls come to. `tokens` were bought, `tokens_saved` were not.

    net = saved (that is list - discount) - fee of every billable call - synthesis - upkeep
    Upkeep is what nobody asked for: checks in the shadow, warming, backtests. It is in `cost_usd`, not among the calls.
    """

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
    wrong: int = 0
    tokens: int = 0
    tokens_saved: int = 0
    cost_usd: Decimal = ZERO
    list_usd: Decimal = ZERO
    discount_usd: Decimal = ZERO
    saved_usd: Decimal = ZERO
    fee_usd: Decimal = ZERO
    synthesis_cost_usd: Decimal = ZERO
    upkeep: int = 0
    upkeep_cost_usd: Decimal = ZERO

    @property
    def lookups(self) -> int:
        """Calls the cache was asked about."""
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float:
        """0 to 1; 0 where nothing was asked."""
        return self.hits / self.lookups if self.lookups else 0.0

    @property
    def net_usd(self) -> Decimal:
        """What the cache was worth once everything is paid; an estimate until the invoice is known."""
        return self.saved_usd - self.fee_usd - self.synthesis_cost_usd - self.upkeep_cost_usd


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
class Only:
    """Which calls alone; what is given must all be true of one. The model is the one that served."""

    provider: str | None = None
    model: str | None = None
    key_id: UUID | None = None


ALL = Only()


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


@dataclass(frozen=True, slots=True)
class Metered:
    """What a project is watched by; calls by provider, model and reason, totals by provider and model."""

    calls: Mapping[tuple[str, str, str], int]
    totals: Mapping[tuple[str, str], Figures]
    entries: Mapping[str, int]
    feedback: Mapping[str, int]
    latencies: Mapping[str, Latency]


def figures(tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime, *, only: Only = ALL) -> Figures:
    """Of one project, or of the whole tenant."""
    return _sum(found for _, found in _grouped(_DAYS, _Range(tenant_id, project_id, since, until, only), "'all'"))


def hit_rate(tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime) -> float:
    return figures(tenant_id, project_id, since, until).hit_rate


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
    asked = _Range(tenant_id, project_id, since, until, only, starts, end_user)
    moment, rolled_up = _buckets(bucket, starts)
    if group_by == "end_user":
        return _named(_rows(_END_USERS.format(moment=moment), asked), _OF_END_USER)
    if group_by == "decision":
        return _named(_rows(rolled_up + _BY_DECISION.format(moment=moment), asked), _OF_DECISION)
    columns = _COLUMNS_OF[group_by] if group_by else ("''",)
    found = _grouped(rolled_up, asked, moment, *columns)
    return [UsageRow(at, group, figures, "".join(model)) for (at, group, *model), figures in found]


def figures_by(
    group_by: Group, tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime, *, only: Only = ALL
) -> Mapping[str, Figures]:
    """Over the whole time, the most called first."""
    rows = usage_by(tenant_id, project_id, bucket=None, group_by=group_by, since=since, until=until, only=only)
    return {row.group: row.figures for row in sorted(rows, key=lambda row: -row.figures.calls)}


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
    rows = _rows(rolled_up + _HITS.format(moment=moment), _Range(tenant_id, project_id, since, until, only, starts))
    return _named(rows, _OF_HITS)


def names_in(tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime) -> Names:
    """What had calls in that time and is rolled up by now; calls without a key have none."""
    rows = _rows(_NAMES, _Range(tenant_id, project_id, since, until))
    return Names(
        providers=sorted({provider for provider, _, _ in rows if provider}),
        models=sorted({model for _, model, _ in rows if model}),
        keys=sorted({key_id for _, _, key_id in rows if key_id.int}),
    )


def unpriced_models(
    tenant_id: UUID, project_id: UUID | None, since: datetime, until: datetime, *, only: Only = ALL
) -> list[UnpricedModel]:
    """The most called first. Their money is in no sum."""
    found = _rows(_DAYS + _UNPRICED_MODELS, _Range(tenant_id, project_id, since, until, only))
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
    rows = _rows(_DAYS + _latencies_in("figures"), _Range(tenant_id, project_id, since, until, only))
    return {decision: Latency(tuple(counts), total_ms) for decision, counts, total_ms in rows}


def stats(tenant_id: UUID, project_id: UUID, since: datetime, until: datetime) -> Stats:
    asked = _Range(tenant_id, project_id, since, until)
    by_both = _grouped(_DAYS, asked, "provider", "model")
    ((total, expired, size, oldest, newest, stored),) = _rows(_ENTRIES, asked)
    ((similarity,),) = _rows(_SIMILARITY, asked)
    return Stats(
        figures=_sum(found for _, found in by_both),
        entries=Entries(total, total - expired, expired, size, oldest, newest),
        stored=stored,
        average_similarity=similarity,
        by_provider=_sums((provider, found) for (provider, _), found in by_both),
        by_model=_sums((model, found) for (_, model), found in by_both),
        reasons=dict(_rows(_DAYS + _REASONS, asked)),
    )


def metered(tenant_id: UUID, project_id: UUID, now: datetime) -> Metered:
    """Everything since the first call: days that are over from their roll-ups, today from its hours."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    asked = _Range(tenant_id, project_id, today, today + timedelta(days=1))
    calls = _rows(_EVER + _CALLS, asked)
    latencies = _rows(_EVER + _latencies_in("ever"), asked)
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
    only: Only = ALL
    starts: Sequence[datetime] = ()
    end_user: str | None = None


def _buckets(bucket: Bucket | None, starts: Sequence[datetime]) -> tuple[str, str]:
    """The bucket an hour is in, and the roll-up that can tell."""
    if starts:
        return _STARTED, _FIGURES
    if bucket is None:
        return "%(since)s::timestamptz", _DAYS
    return f"date_trunc('{bucket}', hour, 'UTC')", _FIGURES if bucket == "hour" else _DAYS


def _named(rows: Iterable[tuple[Any, ...]], names: Sequence[str]) -> list[UsageRow]:
    return [UsageRow(at, group, Figures(**dict(zip(names, figures, strict=True)))) for at, group, *figures in rows]


def _grouped(rolled_up: str, asked: _Range, *expressions: str) -> list[tuple[tuple[Any, ...], Figures]]:
    """The figures by some expressions over a roll-up's columns, in their order. No caller's text is in them."""
    keys = ", ".join(expressions)
    numbers = ", ".join(str(number + 1) for number in range(len(expressions)))
    grouped = f"SELECT {keys}, {_SUMS} FROM figures GROUP BY {numbers} ORDER BY {numbers}"  # noqa: S608
    rows = _rows(rolled_up + grouped, asked)
    return [(row[: len(expressions)], Figures(*row[len(expressions) :])) for row in rows]


def _rows(sql: str, asked: _Range) -> list[tuple[Any, ...]]:
    values = {
        "tenant": asked.tenant_id,
        "project": asked.project_id,
        "since": asked.since,
        "until": asked.until,
        "provider": asked.only.provider,
        "model": asked.only.model,
        "key": asked.only.key_id,
        "starts": list(asked.starts),
        "end_user": asked.end_user,
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


def _latencies_in(figures: str) -> str:
    return " UNION ALL ".join(
        f"""
SELECT '{decision}', ARRAY[{", ".join(f"coalesce(sum({decision}_latency[{n + 1}]), 0)::bigint" for n in BUCKETS)}],
  coalesce(sum({decision}_ms), 0)::bigint FROM {figures}
"""  # noqa: S608 (names of columns)
        for decision in ("hit", "miss")
    )


# `live` are the hours whose roll-up would not be exact. Of an hour before `kept.since` only those calls are left that
# came late: they are added to its roll-up.
_LIVE = """
WITH live AS (
  SELECT hour, bool_or(cut) AS cut FROM (
    SELECT hour, false AS cut FROM usage_dirty
    WHERE tenant_id = %(tenant)s AND hour >= date_trunc('hour', %(since)s, 'UTC') AND hour < %(until)s
    UNION SELECT date_trunc('hour', at, 'UTC'), false FROM call
    WHERE tenant_id = %(tenant)s AND priced_at IS NULL AND at >= %(since)s AND at < %(until)s
    UNION SELECT date_trunc('hour', cut, 'UTC'), true FROM unnest(ARRAY[%(since)s, %(until)s]::timestamptz[]) AS cut
    WHERE cut <> date_trunc('hour', cut, 'UTC')
  ) AS hours GROUP BY hour
), kept AS (
  SELECT coalesce(max(since), '-infinity') AS since FROM ledger_kept WHERE tenant_id = %(tenant)s
)"""

# Days that lie wholly in the range and have no live hour are read as such, the others by their hours.
_WHOLE_DAYS = """
, days AS (
  SELECT greatest(day, %(since)s) AS since, least(day + interval '1 day', %(until)s) AS until,
    (day AT TIME ZONE 'UTC')::date AS day,
    day >= %(since)s AND day + interval '1 day' <= %(until)s
      AND NOT EXISTS (SELECT FROM live WHERE live.hour >= day AND live.hour < day + interval '1 day') AS whole
  FROM generate_series(
    date_trunc('day', %(since)s, 'UTC'), %(until)s - interval '1 microsecond', interval '1 day') AS day
)"""

_STARTED = "(%(starts)s::timestamptz[])[width_bucket(hour, %(starts)s::timestamptz[])]"

_ONLY = """
  AND (%(provider)s::text IS NULL OR provider = %(provider)s) AND (%(model)s::text IS NULL OR model = %(model)s)
  AND (%(key)s::uuid IS NULL OR key_id = %(key)s)"""


def _hours(table: str, figures: str, *, columns: str, also: str = "", within: str = "") -> str:
    """A roll-up over the range, live hours from the calls themselves. `within` joins what its hours have to lie in."""
    mine = f"(%(project)s::uuid IS NULL OR project_id = %(project)s) {also}"
    return f"""
  SELECT {columns} FROM kept, {table} {within}
  WHERE tenant_id = %(tenant)s AND hour >= %(since)s AND hour < %(until)s AND {mine}
    AND NOT EXISTS (SELECT FROM live WHERE live.hour = {table}.hour AND (live.cut OR live.hour >= kept.since))
  UNION ALL
  SELECT {columns} FROM (SELECT counted.* FROM live, {figures}(
    %(tenant)s, greatest(live.hour, %(since)s), least(live.hour + interval '1 hour', %(until)s)) AS counted) AS counted
  WHERE {mine}
"""  # noqa: S608 (names of tables)


_SUMMED = [field.attname for field in UsageHour._meta.concrete_fields if field.attname not in ("tenant_id", "hour")]
_COLUMNS = ", ".join(("hour", *_SUMMED))
_FIGURES = f"{_LIVE}, figures AS ({_hours('usage_hour', 'usage_figures', columns=_COLUMNS, also=_ONLY)})"
_IN_OTHER_DAYS = "JOIN days ON NOT whole AND hour >= days.since AND hour < days.until"
_DAYS = f"""
{_LIVE}{_WHOLE_DAYS}, figures AS (
  SELECT {", ".join(("days.since AS hour", *_SUMMED))} FROM days JOIN usage_day ON whole AND usage_day.day = days.day
  WHERE tenant_id = %(tenant)s AND (%(project)s::uuid IS NULL OR project_id = %(project)s) {_ONLY}
  UNION ALL
{_hours("usage_hour", "usage_figures", columns=_COLUMNS, also=_ONLY, within=_IN_OTHER_DAYS)}
)
"""  # noqa: S608 (names of columns)

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
sum(blocked)::bigint, sum(billable)::bigint, sum(unpriced)::bigint, sum(estimated)::bigint, sum(wrong)::bigint,
sum(in_total + out_total)::bigint, sum(tokens_saved)::bigint, sum(cost_usd), sum(list_usd), sum(discount_usd),
sum(saved_usd), sum(fee_usd), sum(hit_cost_usd), sum(upkeep)::bigint, sum(upkeep_cost_usd)
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
_OF_HOURS = _hours(
    "usage_end_user",
    "end_user_figures",
    columns="hour, end_user, calls, hits, billable, unpriced, tokens, tokens_saved, cost_usd, list_usd, discount_usd, "
    "saved_usd, fee_usd, synthesis_cost_usd, upkeep_cost_usd",
)
_END_USERS = f"""
{_LIVE}, figures AS ({_OF_HOURS})
SELECT {{moment}}, end_user, sum(calls)::bigint, sum(hits)::bigint, sum(billable)::bigint, sum(unpriced)::bigint,
  sum(tokens)::bigint, sum(tokens_saved)::bigint, sum(cost_usd), sum(list_usd), sum(discount_usd), sum(saved_usd),
  sum(fee_usd), sum(synthesis_cost_usd), sum(upkeep_cost_usd)
FROM figures WHERE %(end_user)s::text IS NULL OR end_user = %(end_user)s GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608 (names of columns)

_UNPRICED_MODELS = """
SELECT provider, model, sum(unpriced)::bigint FROM figures WHERE unpriced > 0 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
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
