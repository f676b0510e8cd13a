"""What did the calls cost, and what do they come to?

A call is priced once, by one accountant per tenant at a time; in the same transaction its entry is credited and its
hour marked dirty. Dirty hours are then rolled up: computed whole from the calls, never added to. Any task may be lost
or run twice.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from cache_api.adapters import own_prices, prices
from cache_api.domain.cost import ZERO, Rates, fee_of_call, saving_of
from cache_api.domain.own_price import OwnPrice, own_price
from cache_api.domain.usage import Usage
from tenants.isolation import as_owner

CALLS_PER_TRANSACTION = 500
HOURS_PER_TRANSACTION = 48
SHARE_DAYS = 7  # how far back the usual share of a provider's prompt cache is looked for
MONTHS_AHEAD = 2


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


@dataclass(frozen=True, slots=True)
class Difference:
    """A roll-up that is not what its calls come to."""

    tenant_id: UUID
    table: str
    since: str


@dataclass(frozen=True, slots=True)
class Recount:
    """What a comparison of roll-ups and calls found; pending hours have calls that are not priced or rolled up yet."""

    differences: tuple[Difference, ...]
    pending_hours: int


def money_of(call: UnpricedCall, priced: prices.Priced | None, *, usual_share: Decimal, fee: Decimal | None) -> Money:
    if call.asks_no_model:
        return Money("", cost_usd=ZERO, fee_usd=fee)
    if priced is None:
        # What is not known is NULL; but a hit is known to cost nothing.
        return Money("unpriced", cost_usd=ZERO if call.is_served else None, fee_usd=fee)

    bought = Money(priced.source, priced.version, priced.rates.as_dict(), cost_usd=priced.cost, fee_usd=fee)
    if not call.is_served:
        return bought
    saving = saving_of(call.usage, priced.rates, usual_share=usual_share, fee=fee or ZERO)
    return replace(
        bought,
        cost_usd=ZERO,
        list_usd=saving.list,
        discount_usd=saving.discount,
        saved_usd=saving.gross if call.saves else ZERO,
    )


def price_calls(now: datetime) -> int:
    """Price every call that has no price yet; how many."""
    done = 0
    for tenant_id in _tenants("SELECT DISTINCT tenant_id FROM call WHERE priced_at IS NULL"):
        while count := _price_some(tenant_id, now):
            done += count
            if count < CALLS_PER_TRANSACTION:
                break
    return done


def roll_up() -> int:
    """Compute every dirty hour, and its day, anew; how many hours."""
    done = 0
    for tenant_id in _tenants("SELECT DISTINCT tenant_id FROM usage_dirty"):
        while count := _roll_up_some(tenant_id):
            done += count
            if count < HOURS_PER_TRANSACTION:
                break
    return done


def recount(tenant_id: UUID | None = None) -> Recount:
    """Compare the roll-ups with the calls themselves."""
    every = "SELECT tenant_id FROM usage_hour UNION SELECT tenant_id FROM usage_day UNION SELECT tenant_id FROM call"
    differences: list[Difference] = []
    pending = 0
    for one in [tenant_id] if tenant_id else _tenants(every):
        with as_owner() as connection, connection.cursor() as cursor:
            _lock_books(cursor, one)
            cursor.execute(_PENDING, [one, one])
            hours = [hour for (hour,) in cursor.fetchall()]
            pending += len(hours)
            cursor.execute(_HOURS_APART, {"tenant": one, "pending": hours})
            differences += [Difference(one, "usage_hour", str(since)) for (since,) in cursor.fetchall()]
            cursor.execute(_DAYS_APART, {"tenant": one})
            differences += [Difference(one, "usage_day", str(since)) for (since,) in cursor.fetchall()]
    return Recount(tuple(differences), pending)


def keep_months_ahead() -> list[str]:
    """Make the partitions the next months' calls go to."""
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT call_months(%s)", [MONTHS_AHEAD])
        return [name for (name,) in cursor.fetchall()]


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
        _lock_books(cursor, tenant_id)
        cursor.execute(_UNPRICED, [tenant_id, CALLS_PER_TRANSACTION])
        calls = [_unpriced_call(row) for row in cursor.fetchall()]
        if not calls:
            return 0

        shares = _usual_shares(cursor, tenant_id, now)
        fees = _Fees(cursor, tenant_id, now)
        own = own_prices.since(cursor, tenant_id, calls[0].at)
        rows = []
        for call in calls:
            money = money_of(
                call,
                _price(call, own.get(call.project_id, [])),
                usual_share=shares.get((call.project_id, call.provider, call.model), ZERO),
                fee=fees.next() if call.billable else ZERO,
            )
            rows.append(_row(tenant_id, call, money, now))
        cursor.execute(
            _WRITE_MONEY,
            {"tenant": tenant_id, "rows": json.dumps(rows), "first": calls[0].at, "last": calls[-1].at},
        )
        met = sorted({(call.provider, name) for call in calls for name in call.names})
        cursor.execute(_ADD_RATES, [json.dumps([_rate_row(*rate, now) for rate in _rates_met(met, now)])])
    return len(calls)


def _roll_up_some(tenant_id: UUID) -> int:
    with as_owner() as connection, connection.cursor() as cursor:
        _lock_books(cursor, tenant_id)
        cursor.execute(_TAKE_DIRTY, [tenant_id, HOURS_PER_TRANSACTION])
        hours = [hour for (hour,) in cursor.fetchall()]
        for hour in hours:
            cursor.execute(_ROLL_UP_HOUR, {"tenant": tenant_id, "hour": hour})
        for day in {hour.astimezone(UTC).date() for hour in hours}:
            cursor.execute(_ROLL_UP_DAY, {"tenant": tenant_id, "day": day})
    return len(hours)


class _Fees:
    """What the plan takes for each further billable call of the month; an estimate until the invoice is known."""

    def __init__(self, cursor: CursorWrapper, tenant_id: UUID, now: datetime) -> None:
        cursor.execute("SELECT plan FROM tenant WHERE id = %s", [tenant_id])
        found = cursor.fetchone()
        self._plan: str = found[0] if found else ""
        month = now.astimezone(UTC).date().replace(day=1)
        cursor.execute(
            "SELECT coalesce(sum(billable), 0) FROM usage_day WHERE tenant_id = %s AND day >= %s",
            [tenant_id, month],
        )
        self._calls_before = int(cursor.fetchone()[0])

    def next(self) -> Decimal | None:
        fee = fee_of_call(self._plan, self._calls_before)
        self._calls_before += 1
        return fee


def _tenants(sql: str) -> list[UUID]:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def _lock_books(cursor: CursorWrapper, tenant_id: UUID) -> None:
    """One accountant per tenant: a call priced while its hour is being rolled up would be in neither."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"books {tenant_id}"])


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
  in_total, in_cached, in_write_5m, in_write_1h, in_audio, out_total, out_reasoning, out_audio, tokens_estimated
FROM call WHERE tenant_id = %s AND priced_at IS NULL ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED
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
  RETURNING call.at, call.entry_id, call.decision, call.layer, call.cost_usd, call.saved_usd
), marked AS (
  INSERT INTO usage_dirty SELECT DISTINCT %(tenant)s::uuid, date_trunc('hour', at, 'UTC') FROM priced
  ON CONFLICT DO NOTHING
), credits AS (
  SELECT entry_id,
    count(*) FILTER (WHERE decision = 'hit') AS hits,
    max(at) FILTER (WHERE decision = 'hit') AS last_hit_at,
    coalesce(sum(saved_usd) FILTER (WHERE decision = 'hit'), 0) AS saved_usd,
    max(cost_usd) FILTER (WHERE decision = 'miss') AS bought_usd
  FROM priced WHERE entry_id IS NOT NULL GROUP BY entry_id
)
UPDATE entry SET hits = entry.hits + credits.hits, last_hit_at = greatest(entry.last_hit_at, credits.last_hit_at),
  saved_usd = entry.saved_usd + credits.saved_usd, cost_usd = coalesce(entry.cost_usd, credits.bought_usd)
FROM credits WHERE entry.tenant_id = %(tenant)s AND entry.id = credits.entry_id
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

_ROLL_UP_HOUR = """
DELETE FROM usage_hour WHERE tenant_id = %(tenant)s AND hour = %(hour)s;
INSERT INTO usage_hour SELECT * FROM usage_figures(%(tenant)s, %(hour)s, %(hour)s + interval '1 hour')
"""

_ROLL_UP_DAY = """
DELETE FROM usage_day WHERE tenant_id = %(tenant)s AND day = %(day)s;
INSERT INTO usage_day SELECT * FROM usage_of_day(%(tenant)s, %(day)s)
"""

_PENDING = """
SELECT hour FROM usage_dirty WHERE tenant_id = %s
UNION SELECT date_trunc('hour', at, 'UTC') FROM call WHERE tenant_id = %s AND priced_at IS NULL
"""

_HOURS_APART = """
WITH kept AS (SELECT * FROM usage_hour WHERE tenant_id = %(tenant)s),
counted AS (SELECT * FROM usage_figures(%(tenant)s, '-infinity', 'infinity'))
SELECT DISTINCT hour FROM
  ((TABLE kept EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE kept)) AS apart
WHERE hour <> ALL(%(pending)s::timestamptz[]) ORDER BY hour
"""

_DAYS_APART = """
WITH kept AS (SELECT * FROM usage_day WHERE tenant_id = %(tenant)s),
counted AS (
  SELECT figures.* FROM (
    SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date AS day FROM usage_hour WHERE tenant_id = %(tenant)s
  ) AS days, usage_of_day(%(tenant)s, days.day) AS figures
)
SELECT DISTINCT day FROM
  ((TABLE kept EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE kept)) AS apart
ORDER BY day
"""

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
