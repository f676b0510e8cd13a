"""What do some calls come to?

Figures come from the roll-ups, but for hours with calls that are not rolled up yet, and hours cut by the range: those
are computed from the calls. So they are exact at any moment. Of an hour whose calls are gone no part can be told: it
counts nothing where a range cuts it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from cache_api.domain.cost import ZERO
from cache_api.models import UsageHour
from tenants.isolation import as_tenant


@dataclass(frozen=True, slots=True)
class Figures:
    """What some calls come to. `tokens` were bought, `tokens_saved` were not.

    net = saved (that is list - discount) - fee of every billable call - synthesis - upkeep
    The fee is an estimate; what a whole period comes to with its invoice is billing's to tell (`period_net`).
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
        """What the cache was worth once everything is paid; an estimate, as the fee is."""
        return self.saved_usd - self.fee_usd - self.synthesis_cost_usd - self.upkeep_cost_usd


@dataclass(frozen=True, slots=True)
class Only:
    """Which calls alone; what is given must all be true of one. The model is the one that served."""

    provider: str | None = None
    model: str | None = None
    key_id: UUID | None = None


ALL = Only()


@dataclass(frozen=True, slots=True)
class Range:
    """Whose figures, and of when; `starts` are where buckets of the caller's own begin."""

    tenant_id: UUID
    project_id: UUID | None
    since: datetime
    until: datetime
    only: Only = ALL
    starts: Sequence[datetime] = ()
    end_user: str | None = None


def grouped(rolled_up: str, asked: Range, *expressions: str) -> list[tuple[tuple[Any, ...], Figures]]:
    """The figures by some expressions over a roll-up's columns, in their order. No caller's text is in them."""
    keys = ", ".join(expressions)
    numbers = ", ".join(str(number + 1) for number in range(len(expressions)))
    sums = f"SELECT {keys}, {_SUMS} FROM figures GROUP BY {numbers} ORDER BY {numbers}"  # noqa: S608
    rows = rows_of(rolled_up + sums, asked)
    return [(row[: len(expressions)], Figures(*row[len(expressions) :])) for row in rows]


def rows_of(sql: str, asked: Range) -> list[tuple[Any, ...]]:
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


def summed(parts: Iterable[Figures]) -> Figures:
    total = Figures()
    for part in parts:
        total = Figures(*(getattr(total, name) + getattr(part, name) for name in Figures.__slots__))
    return total


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

_ONLY = """
  AND (%(provider)s::text IS NULL OR provider = %(provider)s) AND (%(model)s::text IS NULL OR model = %(model)s)
  AND (%(key)s::uuid IS NULL OR key_id = %(key)s)"""


_WHOLE_RANGE = "(SELECT %(since)s::timestamptz AS since, %(until)s::timestamptz AS until)"
_OTHER_DAYS = "(SELECT since, until FROM days WHERE NOT whole)"


def _hours_of(table: str, figures: str, *, columns: str, also: str = "", spans: str = _WHOLE_RANGE) -> str:
    """A roll-up over the spans, which lie in the range, live hours from the calls themselves."""
    mine = f"(%(project)s::uuid IS NULL OR project_id = %(project)s) {also}"
    # OFFSET 0: left to itself the planner reads all hours of the range, to throw away those outside of the spans.
    return f"""
  SELECT {columns} FROM kept, {spans} AS span, LATERAL (
    SELECT * FROM {table} WHERE tenant_id = %(tenant)s AND hour >= span.since AND hour < span.until AND {mine} OFFSET 0
  ) AS kept_hours
  WHERE NOT EXISTS (SELECT FROM live WHERE live.hour = kept_hours.hour AND (live.cut OR live.hour >= kept.since))
  UNION ALL
  SELECT {columns} FROM (SELECT counted.* FROM live, {figures}(
    %(tenant)s, greatest(live.hour, %(since)s), least(live.hour + interval '1 hour', %(until)s)) AS counted) AS counted
  WHERE {mine}
"""  # noqa: S608 (names of tables)


def by_hours(hours: str, figures: str, *, columns: Sequence[str], also: str = "") -> str:
    """The table `figures` of a range, from a roll-up by the hour."""
    return f"{_LIVE}, figures AS ({_hours_of(hours, figures, columns=', '.join(('hour', *columns)), also=also)})"


def by_days(days: str, hours: str, figures: str, *, columns: Sequence[str], also: str = "") -> str:
    """The same where no hours are asked for, which is quicker.

    Days that are summed, lie wholly in the range and have no live hour are read as such, the others by their hours.
    """
    return f"""
{_LIVE}, days AS (
  SELECT greatest(begins, %(since)s) AS since, least(begins + interval '1 day', %(until)s) AS until, name AS day,
    begins >= %(since)s AND begins + interval '1 day' <= %(until)s
      AND NOT EXISTS (SELECT FROM live WHERE live.hour >= begins AND live.hour < begins + interval '1 day')
      AND EXISTS (SELECT FROM {days} AS summed WHERE summed.tenant_id = %(tenant)s AND summed.day = name) AS whole
  FROM generate_series(
    date_trunc('day', %(since)s, 'UTC'), %(until)s - interval '1 microsecond', interval '1 day') AS begins,
    LATERAL (SELECT (begins AT TIME ZONE 'UTC')::date) AS named (name)
), figures AS (
  SELECT {", ".join(("days.since AS hour", *columns))} FROM days JOIN {days} ON whole AND {days}.day = days.day
  WHERE tenant_id = %(tenant)s AND (%(project)s::uuid IS NULL OR project_id = %(project)s) {also}
  UNION ALL
{_hours_of(hours, figures, columns=", ".join(("hour", *columns)), also=also, spans=_OTHER_DAYS)}
)
"""  # noqa: S608 (names of tables and columns)


_SUMMED = [field.attname for field in UsageHour._meta.concrete_fields if field.attname not in ("tenant_id", "hour")]
HOURS = by_hours("usage_hour", "usage_figures", columns=_SUMMED, also=_ONLY)
DAYS = by_days("usage_day", "usage_hour", "usage_figures", columns=_SUMMED, also=_ONLY)

_SUMS = """
sum(calls)::bigint, sum(exact_hits + semantic_hits + synthesized_hits)::bigint, sum(exact_hits)::bigint,
sum(semantic_hits)::bigint, sum(synthesized_hits)::bigint, sum(misses)::bigint, sum(bypasses)::bigint,
sum(blocked)::bigint, sum(billable)::bigint, sum(unpriced)::bigint, sum(estimated)::bigint, sum(wrong)::bigint,
sum(in_total + out_total)::bigint, sum(tokens_saved)::bigint, sum(cost_usd), sum(list_usd), sum(discount_usd),
sum(saved_usd), sum(fee_usd), sum(hit_cost_usd), sum(upkeep)::bigint, sum(upkeep_cost_usd)
"""
