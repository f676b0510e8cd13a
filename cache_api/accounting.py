"""What did the calls cost, and what do they come to?

A call is priced once, by one accountant per tenant at a time; in the same transaction its entry is credited and its
hour marked dirty. Dirty hours are then rolled up: computed whole from the calls, never added to. An hour whose calls
are gone is the exception: what comes late is added to it, and goes in the same transaction. Any task may be lost or
run twice.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.backends.utils import CursorWrapper
from django.db.models import JSONField, Model

from cache_api.adapters import books, own_prices, prices
from cache_api.domain.cost import ZERO, Rates, fee_of_call, saving_of
from cache_api.domain.own_price import OwnPrice, own_price
from cache_api.domain.usage import Usage
from cache_api.models import UsageEndUser, UsageHour
from tenants.isolation import as_owner

CALLS_PER_TRANSACTION = 500
HOURS_PER_TRANSACTION = 48
LATE_DAYS = 35  # a day that a call comes to even later is told by its hours for good
SHARE_DAYS = 7  # how far back the usual share of a provider's prompt cache is looked for


@dataclass(frozen=True, slots=True)
class UnpricedCall:
    """The columns of a call that its money depends on."""

    at: datetime
    id: UUID
    project_id: UUID
    provider: str
    model_asked: str
    model_served: str
    service_tier: str
    decision: str
    layer: str
    reason: str
    retry: bool
    billable: bool
    in_served: int
    usage: Usage

    @property
    def model(self) -> str:
        return self.model_served or self.model_asked

    @property
    def names(self) -> list[str]:
        """Under which the model may be in a price list: a provider's own deployments answer to other names."""
        return [name for name in (self.model_served, self.model_asked) if name]

    @property
    def is_served(self) -> bool:
        """Nobody was asked: the provider bills nothing."""
        return self.decision == "hit" and self.layer != "synthesized"

    @property
    def saves(self) -> bool:
        """A stale answer stands in for one that could not be bought, and a retry asks for what was answered."""
        return not self.retry and self.reason != "stale_on_error"

    @property
    def is_uncounted(self) -> bool:
        """A model was asked for something that is not counted in tokens, or nobody said: its price is not known."""
        return self.usage.estimated and not self.usage.total

    @property
    def asks_no_model(self) -> bool:
        return self.decision == "blocked" or (not self.model and not self.usage.total)


@dataclass(frozen=True, slots=True)
class Money:
    """The columns of a call that accounting writes."""

    price_source: str
    price_version: str = ""
    unit_prices: Mapping[str, str] | None = None
    cost_usd: Decimal | None = None
    list_usd: Decimal | None = None
    discount_usd: Decimal | None = None
    fee_usd: Decimal | None = None
    saved_usd: Decimal | None = None


def money_of(call: UnpricedCall, priced: prices.Priced | None, *, usual_share: Decimal, fee: Decimal | None) -> Money:
    if call.asks_no_model:
        return Money("", cost_usd=ZERO, fee_usd=fee)
    if priced is None:
        # What is not known is NULL; but a hit is known to cost nothing.
        return Money("unpriced", cost_usd=ZERO if call.is_served else None, fee_usd=fee)

    bought = Money(priced.source, priced.version, priced.rates.as_dict(), cost_usd=priced.cost, fee_usd=fee)
    if not call.is_served and not call.in_served:
        return bought
    bought = replace(bought, cost_usd=ZERO if call.is_served else priced.cost)
    if not call.saves:
        return replace(bought, list_usd=ZERO, discount_usd=ZERO, saved_usd=ZERO)
    served = call.usage if call.is_served else Usage(in_total=call.in_served)
    saving = saving_of(served, priced.rates, usual_share=usual_share, fee=fee or ZERO)
    return replace(bought, list_usd=saving.list, discount_usd=saving.discount, saved_usd=saving.gross)


def price_calls(now: datetime) -> int:
    """Price every call that has no price yet; how many."""
    done = 0
    for tenant_id in books.tenants("SELECT DISTINCT tenant_id FROM call WHERE priced_at IS NULL"):
        while count := _price_some(tenant_id, now):
            done += count
            if count < CALLS_PER_TRANSACTION:
                break
    return done


def roll_up() -> int:
    """Compute every dirty hour, and its day, anew; how many hours."""
    done = 0
    for tenant_id in books.tenants("SELECT DISTINCT tenant_id FROM usage_dirty"):
        while count := _roll_up_some(tenant_id):
            done += count
            if count < HOURS_PER_TRANSACTION:
                break
    return done


def roll_up_end_users(now: datetime) -> int:
    """Sum the hours of end users in days that are over and have no such sum; how many days."""
    today = now.astimezone(UTC).date()
    return sum(_roll_up_end_users(tenant_id, today) for tenant_id in books.tenants("SELECT id FROM tenant"))


def keep_known_rates(now: datetime) -> int:
    """Let web know the rate of every model that has one, before anybody asks."""
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT provider, model FROM price_rate")
        rates = {rate[:2]: rate for rate in _rates_met(cursor.fetchall(), now)}
        rates |= {rate[:2]: rate for rate in prices.known_rates(now)}
        rows = [_rate_row(*rate, now) for _, rate in sorted(rates.items())]
        cursor.execute(_REPLACE_RATES, [json.dumps(rows)])
    return len(rows)


def _price_some(tenant_id: UUID, now: datetime) -> int:
    with as_owner() as connection, connection.cursor() as cursor:
        books.lock(cursor, tenant_id)
        cursor.execute(_UNPRICED, [tenant_id, CALLS_PER_TRANSACTION])
        calls = [_unpriced_call(row) for row in cursor.fetchall()]
        if calls:
            _price_calls(cursor, tenant_id, calls, now)
        cursor.execute(_CORRECT, {"tenant": tenant_id, "now": now})
        return len(calls) + int(cursor.fetchone()[0])


def _price_calls(cursor: CursorWrapper, tenant_id: UUID, calls: Sequence[UnpricedCall], now: datetime) -> None:
    shares = _usual_shares(cursor, tenant_id, now)
    fees = _Fees(cursor, tenant_id)
    own = own_prices.since(cursor, tenant_id, calls[0].at)
    rows = []
    for call in calls:
        money = money_of(
            call,
            _price(call, own.get(call.project_id, [])),
            usual_share=shares.get((call.project_id, call.provider, call.model), ZERO),
            fee=fees.of_next(call.at) if call.billable else ZERO,
        )
        rows.append(_row(tenant_id, call, money, now))
    cursor.execute(
        _WRITE_MONEY,
        {"tenant": tenant_id, "rows": json.dumps(rows), "first": calls[0].at, "last": calls[-1].at},
    )
    met = sorted({(call.provider, name) for call in calls for name in call.names})
    cursor.execute(_ADD_RATES, [json.dumps([_rate_row(*rate, now) for rate in _rates_met(met, now)])])
    fees.keep()


def _roll_up_some(tenant_id: UUID) -> int:
    with as_owner() as connection, connection.cursor() as cursor:
        books.lock(cursor, tenant_id)
        kept_since = books.kept_since(cursor, tenant_id)
        cursor.execute(_TAKE_DIRTY, [tenant_id, HOURS_PER_TRANSACTION])
        hours = [hour for (hour,) in cursor.fetchall()]
        for hour in hours:
            cursor.execute(_ROLL_UP_HOUR if hour >= kept_since else _ADD_TO_HOUR, {"tenant": tenant_id, "hour": hour})
        for day in {hour.astimezone(UTC).date() for hour in hours}:
            cursor.execute(_ROLL_UP_DAY, {"tenant": tenant_id, "day": day})
    return len(hours)


def _roll_up_end_users(tenant_id: UUID, today: date) -> int:
    with as_owner() as connection, connection.cursor() as cursor:
        books.lock(cursor, tenant_id)
        cursor.execute(
            _END_USER_DAYS, {"tenant": tenant_id, "first": today - timedelta(days=LATE_DAYS), "today": today}
        )
        days = [day for (day,) in cursor.fetchall()]
        for day in days:
            cursor.execute(_ROLL_UP_END_USERS, [tenant_id, day])
    return len(days)


class _Fees:
    """What the plan takes for each further billable call of its period: its price spread, so an estimate for good.

    The rows may be gone by the time the invoice is there: `billing.period_net` sets it against the roll-ups.
    """

    def __init__(self, cursor: CursorWrapper, tenant_id: UUID) -> None:
        self._cursor, self._tenant_id = cursor, tenant_id
        cursor.execute("SELECT period_start, plan, billable FROM fee_period WHERE tenant_id = %s", [tenant_id])
        self._periods: dict[datetime, tuple[str, int]] = {start: (*known,) for start, *known in cursor.fetchall()}
        # A paid plan with hard limits is a trial: nothing is taken for its calls.
        cursor.execute(
            "SELECT period_start, CASE WHEN requests_hard THEN 'free' ELSE plan END FROM tenant WHERE id = %s",
            [tenant_id],
        )
        for start, plan in cursor.fetchall():  # none: the tenant is gone, its last calls are free
            calls = self._periods[start][1] if start in self._periods else self._calls_since(start)
            self._periods[start] = (plan, calls)
        self._counted: set[datetime] = set()

    def of_next(self, at: datetime) -> Decimal | None:
        """Of the period the call was made in, however late it is priced."""
        if not self._periods:
            return ZERO
        start = max((start for start in self._periods if start <= at), default=min(self._periods))
        plan, calls_before = self._periods[start]
        self._periods[start] = (plan, calls_before + 1)
        self._counted.add(start)
        return fee_of_call(plan, calls_before)

    def keep(self) -> None:
        rows = [(self._tenant_id, start, *self._periods[start]) for start in self._counted]
        self._cursor.executemany(_KEEP_PERIOD, rows)

    def _calls_since(self, start: datetime) -> int:
        """Those of before the first period was written down; a later period begins at nothing."""
        if self._periods:
            return 0
        self._cursor.execute(
            "SELECT coalesce(sum(billable), 0)::bigint FROM usage_hour WHERE tenant_id = %s AND hour >= %s",
            [self._tenant_id, start],
        )
        return int(self._cursor.fetchone()[0])


def _unpriced_call(row: tuple[Any, ...]) -> UnpricedCall:
    return UnpricedCall(*(*row[:-9], Usage(*row[-9:])))  # Usage has nine fields, in the order of its columns.


def _price(call: UnpricedCall, own: Iterable[OwnPrice]) -> prices.Priced | None:
    if call.is_uncounted:
        return None
    if (set_by_project := own_price(own, call.provider, call.names, call.at)) is not None:
        return prices.own(set_by_project, call.usage)
    for name in call.names:
        found = prices.price(call.provider, name, call.usage, service_tier=call.service_tier, at=call.at)
        if found is not None:
            return found
    return None


def _usual_shares(cursor: CursorWrapper, tenant_id: UUID, now: datetime) -> Mapping[tuple[UUID, str, str], Decimal]:
    """By project, provider and model: how much of what was bought lately came from the provider's prompt cache."""
    cursor.execute(_SHARES, [tenant_id, now, SHARE_DAYS])
    return {(project, provider, model): share for project, provider, model, share in cursor.fetchall()}


def _row(tenant_id: UUID, call: UnpricedCall, money: Money, now: datetime) -> dict[str, Any]:
    amounts = {
        "cost_usd": money.cost_usd,
        "list_usd": money.list_usd,
        "discount_usd": money.discount_usd,
        "fee_usd": money.fee_usd,
        "saved_usd": money.saved_usd,
    }
    return {
        "tenant_id": str(tenant_id),
        "at": call.at.isoformat(),
        "id": str(call.id),
        "price_source": money.price_source,
        "price_version": money.price_version,
        "unit_prices": money.unit_prices,
        "priced_at": now.isoformat(),
        **{name: None if amount is None else str(amount) for name, amount in amounts.items()},
    }


def _rates_met(met: Iterable[tuple[str, str]], now: datetime) -> Iterator[tuple[str, str, Rates, str]]:
    for provider, model in met:
        found = prices.price(provider, model, Usage(), service_tier="", at=now)
        if found is not None:
            yield provider, model, found.rates, found.version


def _rate_row(provider: str, model: str, rates: Rates, version: str, now: datetime) -> dict[str, str]:
    written = rates.input if rates.write_5m is None else rates.write_5m
    return {
        "provider": provider,
        "model": model,
        "input_usd": str(rates.input),
        "cached_usd": str(rates.cached_input),
        "write_usd": str(written),
        "output_usd": str(rates.output),
        "version": version,
        "updated_at": now.isoformat(),
    }


_UNPRICED = """
SELECT at, id, project_id, provider, model_asked, model_served, service_tier, decision, layer, reason, retry, billable,
  coalesce(in_served, 0), in_total, in_cached, in_write_5m, in_write_1h, in_audio, out_total, out_reasoning, out_audio,
  tokens_estimated
FROM call WHERE tenant_id = %s AND priced_at IS NULL AND origin <> 'adjust'
ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED
"""

# One statement: what a call is worth, its hour marked, its entry credited. An entry is credited once for each call
# because a call is priced once.
_WRITE_MONEY = """
WITH priced AS (
  UPDATE call SET price_source = money.price_source, price_version = money.price_version,
    unit_prices = money.unit_prices, cost_usd = money.cost_usd, list_usd = money.list_usd,
    discount_usd = money.discount_usd, fee_usd = money.fee_usd, saved_usd = money.saved_usd,
    priced_at = money.priced_at
  FROM jsonb_populate_recordset(null::call, %(rows)s) AS money
  WHERE call.tenant_id = %(tenant)s AND call.at BETWEEN %(first)s AND %(last)s
    AND call.at = money.at AND call.id = money.id
  RETURNING call.at, call.entry_id, call.decision, call.cost_usd, call.saved_usd,
    call.decision = 'hit' AND call.origin IN ('client', 'playground') AS hit
), marked AS (
  INSERT INTO usage_dirty SELECT DISTINCT %(tenant)s::uuid, date_trunc('hour', at, 'UTC') FROM priced
  ON CONFLICT DO NOTHING
), credits AS (
  SELECT entry_id,
    count(*) FILTER (WHERE hit) AS hits,
    max(at) FILTER (WHERE hit) AS last_hit_at,
    coalesce(sum(saved_usd) FILTER (WHERE hit), 0) AS saved_usd,
    max(cost_usd) FILTER (WHERE decision = 'miss') AS bought_usd
  FROM priced WHERE entry_id IS NOT NULL GROUP BY entry_id
)
UPDATE entry SET hits = entry.hits + credits.hits, last_hit_at = greatest(entry.last_hit_at, credits.last_hit_at),
  saved_usd = entry.saved_usd + credits.saved_usd, cost_usd = coalesce(credits.bought_usd, entry.cost_usd)
FROM credits WHERE entry.tenant_id = %(tenant)s AND entry.id = credits.entry_id
"""

# What a hit was worth is taken back as soon as the hit has its price; where the hit is gone there is nothing to take.
_CORRECT = """
WITH wrong AS (
  SELECT correction.at, correction.id, hit.price_source, hit.price_version, hit.unit_prices, hit.list_usd,
    hit.discount_usd, hit.saved_usd
  FROM call AS correction LEFT JOIN call AS hit
    ON hit.tenant_id = correction.tenant_id AND hit.at = correction.at AND hit.id = correction.parent_id
  WHERE correction.tenant_id = %(tenant)s AND correction.origin = 'adjust' AND correction.priced_at IS NULL
    AND (hit.id IS NULL OR hit.priced_at IS NOT NULL)
), corrected AS (
  UPDATE call SET price_source = coalesce(wrong.price_source, 'unpriced'),
    price_version = coalesce(wrong.price_version, ''), unit_prices = wrong.unit_prices, cost_usd = 0, fee_usd = 0,
    list_usd = -wrong.list_usd, discount_usd = -wrong.discount_usd, saved_usd = -wrong.saved_usd, priced_at = %(now)s
  FROM wrong WHERE call.tenant_id = %(tenant)s AND call.at = wrong.at AND call.id = wrong.id
  RETURNING call.at, call.entry_id, call.saved_usd
), marked AS (
  INSERT INTO usage_dirty SELECT DISTINCT %(tenant)s::uuid, date_trunc('hour', at, 'UTC') FROM corrected
  ON CONFLICT DO NOTHING
), credits AS (
  SELECT entry_id, sum(saved_usd) AS saved_usd FROM corrected WHERE saved_usd IS NOT NULL GROUP BY entry_id
), credited AS (
  UPDATE entry SET saved_usd = entry.saved_usd + credits.saved_usd
  FROM credits WHERE entry.tenant_id = %(tenant)s AND entry.id = credits.entry_id
)
SELECT count(*) FROM corrected
"""

_KEEP_PERIOD = """
INSERT INTO fee_period VALUES (%s, %s, %s, %s)
ON CONFLICT (tenant_id, period_start) DO UPDATE SET plan = excluded.plan, billable = excluded.billable
"""

_SHARES = """
SELECT project_id, provider, model, sum(in_cached) / sum(in_total) FROM usage_day
WHERE tenant_id = %s AND day > (%s AT TIME ZONE 'UTC')::date - %s::integer
GROUP BY project_id, provider, model HAVING sum(in_total) > 0
"""

_TAKE_DIRTY = """
DELETE FROM usage_dirty WHERE (tenant_id, hour) IN
  (SELECT tenant_id, hour FROM usage_dirty WHERE tenant_id = %s ORDER BY hour LIMIT %s)
RETURNING hour
"""


def models_asked(since: str, until: str) -> str:
    """SQL that writes down, for whole hours between two SQL expressions, which models were asked and which served."""
    return (
        "INSERT INTO usage_model SELECT DISTINCT tenant_id, date_trunc('hour', at, 'UTC'), model_asked, model_served "  # noqa: S608
        f"FROM call WHERE tenant_id = %(tenant)s AND at >= {since} AND at < {until}"
    )


_ROLL_UP_HOUR = f"""
DELETE FROM usage_hour WHERE tenant_id = %(tenant)s AND hour = %(hour)s;
INSERT INTO usage_hour SELECT * FROM usage_figures(%(tenant)s, %(hour)s, %(hour)s + interval '1 hour');
DELETE FROM usage_end_user WHERE tenant_id = %(tenant)s AND hour = %(hour)s;
INSERT INTO usage_end_user SELECT * FROM end_user_figures(%(tenant)s, %(hour)s, %(hour)s + interval '1 hour');
DELETE FROM usage_model WHERE tenant_id = %(tenant)s AND hour = %(hour)s;
{models_asked("%(hour)s", "%(hour)s + interval '1 hour'")}
"""  # noqa: S608 (a query of ours)


def _added(model: type[Model], figures: str) -> str:
    """SQL that adds what a late hour's calls come to to the roll-up of those that are gone."""
    table = model._meta.db_table
    key = [field.attname for field in model._meta.pk_fields]
    sums = {
        field.attname: _ADDED_AS.get(type(field), "kept.{0} + excluded.{0}").format(field.attname)
        for field in model._meta.concrete_fields
        if field.attname not in key
    }
    return (
        f"INSERT INTO {table} AS kept SELECT * FROM {figures}(%(tenant)s, %(hour)s, %(hour)s + interval '1 hour')"  # noqa: S608
        f" WHERE (SELECT whole FROM late) ON CONFLICT ({', '.join(key)}) DO UPDATE SET"
        f" {', '.join(f'{name} = {sum_of}' for name, sum_of in sums.items())}"
    )


_ADDED_AS = {
    ArrayField: "ARRAY(SELECT one + other FROM unnest(kept.{0}, excluded.{0}) AS pair (one, other))",
    JSONField: """(SELECT coalesce(jsonb_object_agg(name, calls), '{{}}') FROM (
      SELECT name, sum(calls::bigint)::bigint AS calls FROM (
        SELECT * FROM jsonb_each_text(kept.{0}) UNION ALL SELECT * FROM jsonb_each_text(excluded.{0})
      ) AS both_of (name, calls) GROUP BY name) AS summed)""",
}

# One statement, so that all of it sees the same calls: a call that is added goes, and no other does. Where one has no
# price yet nothing is done; it will mark the hour once it has.
_ADD_TO_HOUR = f"""
WITH late AS (
  SELECT count(*) FILTER (WHERE priced_at IS NULL) = 0 AS whole FROM call
  WHERE tenant_id = %(tenant)s AND at >= %(hour)s AND at < %(hour)s + interval '1 hour'
), hours AS (
  {_added(UsageHour, "usage_figures")}
), end_users AS (
  {_added(UsageEndUser, "end_user_figures")}
), proofs AS (
  DELETE FROM ledger_proof WHERE tenant_id = %(tenant)s AND day = (%(hour)s AT TIME ZONE 'UTC')::date
)
DELETE FROM call WHERE tenant_id = %(tenant)s AND at >= %(hour)s AND at < %(hour)s + interval '1 hour'
  AND (SELECT whole FROM late)
"""  # noqa: S608 (names of columns)

_ROLL_UP_DAY = """
DELETE FROM usage_day WHERE tenant_id = %(tenant)s AND day = %(day)s;
INSERT INTO usage_day SELECT * FROM usage_of_day(%(tenant)s, %(day)s);
DELETE FROM usage_end_user_day WHERE tenant_id = %(tenant)s AND day = %(day)s
"""

_END_USER_DAYS = """
SELECT begin::date FROM generate_series(%(first)s::date, %(today)s::date - 1, interval '1 day') AS days (begin)
WHERE EXISTS (SELECT FROM usage_end_user WHERE tenant_id = %(tenant)s
    AND hour >= begin::timestamp AT TIME ZONE 'UTC' AND hour < (begin::timestamp + interval '1 day') AT TIME ZONE 'UTC')
  AND NOT EXISTS (SELECT FROM usage_end_user_day WHERE tenant_id = %(tenant)s AND day = begin::date)
"""

_ROLL_UP_END_USERS = "INSERT INTO usage_end_user_day SELECT * FROM end_users_of_day(%s, %s)"

_ADD_RATES = """
INSERT INTO price_rate SELECT * FROM jsonb_populate_recordset(null::price_rate, %s) ON CONFLICT DO NOTHING
"""

_REPLACE_RATES = """
INSERT INTO price_rate AS kept SELECT * FROM jsonb_populate_recordset(null::price_rate, %s)
ON CONFLICT (provider, model) DO UPDATE SET input_usd = excluded.input_usd, cached_usd = excluded.cached_usd,
  write_usd = excluded.write_usd, output_usd = excluded.output_usd, version = excluded.version,
  updated_at = excluded.updated_at
WHERE (kept.input_usd, kept.cached_usd, kept.write_usd, kept.output_usd, kept.version) IS DISTINCT FROM
  (excluded.input_usd, excluded.cached_usd, excluded.write_usd, excluded.output_usd, excluded.version)
"""
