"""Which calls were made? The ledger's own rows, the newest first; no text is in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

import orjson
from django.db import connection

from cache_api.domain.call import end_user_digest, time_of
from cache_api.domain.cost import ZERO
from cache_api.domain.signals import request_id_of
from cache_api.models import Call
from tenants import vault
from tenants.isolation import as_tenant

ROWS_AT_A_TIME = 1_000  # of an export; some 600 KB
NEWEST_CALLS = 10_000  # are looked through first, in some milliseconds
CORRECTION, CLIENTS = "adjust", ("client", "playground")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CallFilters:
    """What is given must all be true of a call."""

    decision: str | None = None
    layer: str | None = None
    provider: str | None = None
    model: str | None = None  # as it was asked for, or as it was served
    key_id: UUID | None = None
    task: str | None = None
    end_user: str | None = None  # the digest
    origin: str | None = None
    unpriced: bool = False


@dataclass(frozen=True, slots=True)
class CallPlace:
    """Where in the list a call stands."""

    at: datetime
    id: UUID

    @property
    def text(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(milliseconds=1):x}-{self.id.hex}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError."""
        milliseconds, _, call_id = text.partition("-")
        try:
            return cls(_EPOCH + timedelta(milliseconds=int(milliseconds, 16)), UUID(call_id))
        except OverflowError as error:
            raise ValueError(text) from error


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One call, or what belongs to one: a correction, a check. The names are the ledger's columns."""

    at: datetime
    id: UUID
    project_id: UUID
    key_id: UUID | None
    task: str
    end_user: str | None
    origin: str
    parent_id: UUID | None
    dialect: str
    provider: str
    model_asked: str
    model_served: str
    stream: bool
    service_tier: str
    status: int
    decision: str
    layer: str
    reason: str
    similarity: float | None
    entry_id: UUID | None
    in_total: int
    in_cached: int
    in_write_5m: int
    in_write_1h: int
    in_audio: int
    in_served: int | None
    out_total: int
    out_reasoning: int
    out_audio: int
    tokens_estimated: bool
    price_source: str
    price_version: str
    unit_prices: Mapping[str, str] | None
    cost_usd: Decimal | None
    list_usd: Decimal | None
    discount_usd: Decimal | None
    fee_usd: Decimal | None
    saved_usd: Decimal | None
    billable: bool
    retry: bool
    ms_total: int
    ms_embed: int
    ms_lookup: int
    ms_upstream: int
    ms_first_byte: int

    @property
    def place(self) -> CallPlace:
        return CallPlace(self.at, self.id)

    @property
    def request_id(self) -> str:
        """What the caller saw as X-CacheAI-Request-Id; a correction has that of its hit."""
        return request_id_of(self.parent_id if self.origin == CORRECTION and self.parent_id else self.id)

    @property
    def net_usd(self) -> Decimal | None:
        """What the cache was worth in this call; None while a part of it is not known."""
        if self.price_source == "unpriced" or self.cost_usd is None:
            return None
        # What a caller's miss cost, it would have cost without a cache too.
        cost = ZERO if self.origin in CLIENTS and self.decision != "hit" else self.cost_usd
        return (self.saved_usd or ZERO) - (self.fee_usd or ZERO) - cost


@dataclass(frozen=True, slots=True)
class CallsPage:
    calls: list[LedgerRow]
    next: CallPlace | None  # where the next page goes on


def calls_page(
    tenant_id: UUID,
    project_id: UUID | None,
    filters: CallFilters,
    *,
    since: datetime,
    until: datetime,
    limit: int,
    after: CallPlace | None = None,
) -> CallsPage:
    """Of one project, or of the whole tenant."""
    values = {
        "tenant": tenant_id,
        "project": project_id,
        "since": since,
        "until": until,
        "limit": limit + 1,
        "newest": NEWEST_CALLS,
        **{field.name: getattr(filters, field.name) for field in fields(filters)},
        "after_at": after.at if after else None,
        "after_id": after.id if after else None,
    }
    rows = _page(tenant_id, [name for name in _CONDITIONS if values[name] not in (None, False)], values)
    return CallsPage(rows[:limit], rows[limit - 1].place if len(rows) > limit else None)


def every_call(
    tenant_id: UUID,
    project_id: UUID | None,
    filters: CallFilters,
    *,
    since: datetime,
    until: datetime,
    after: CallPlace | None = None,
) -> Iterator[LedgerRow]:
    """All of them. Each page is a transaction of its own: who reads slowly holds nothing but a place in the order."""
    while True:
        page = calls_page(tenant_id, project_id, filters, since=since, until=until, limit=ROWS_AT_A_TIME, after=after)
        yield from page.calls
        if page.next is None:
            return
        after = page.next


def call_of(tenant_id: UUID, call_id: UUID) -> LedgerRow | None:
    values = {"tenant": tenant_id, "at": time_of(call_id), "id": call_id}
    found = _rows(tenant_id, f"{_SELECT} AND at = %(at)s AND id = %(id)s", values)
    return found[0] if found else None


def call_in(tenant_id: UUID, project_id: UUID, call_id: UUID) -> Call | None:
    """The row itself, Fingerprint and all. None: this project made no such call, or its detail is gone."""
    with as_tenant(tenant_id):
        mine = Call.objects.filter(tenant_id=tenant_id, project_id=project_id)
        return mine.filter(at=time_of(call_id), id=call_id).first()


def corrections_of(tenant_id: UUID, call_id: UUID) -> list[LedgerRow]:
    """What was taken back of a hit: at most one row."""
    values = {"tenant": tenant_id, "at": time_of(call_id), "id": call_id}
    return _rows(tenant_id, f"{_SELECT} AND at = %(at)s AND parent_id = %(id)s", values)


def detail_since(tenant_id: UUID) -> datetime | None:
    """Before this calls are in the figures alone."""
    with as_tenant(tenant_id), connection.cursor() as cursor:
        cursor.execute("SELECT since FROM ledger_kept WHERE tenant_id = %s", [tenant_id])
        found = cursor.fetchone()
    return None if found is None else found[0]


def end_user_named(tenant_id: UUID, name: str) -> str:
    """The digest under which the ledger knows this name. Raises VaultUnavailable."""
    return end_user_digest(vault.digest_key(tenant_id), name)


def _page(tenant_id: UUID, given: Sequence[str], values: Mapping[str, Any]) -> list[LedgerRow]:
    """What is common is among the newest calls; of what is rare the roll-ups know the hours."""
    where = " AND ".join(_CONDITIONS[name] for name in given)
    told = [_TOLD_BY_HOURS[name] for name in given if name in _TOLD_BY_HOURS]
    if not told:
        return _rows(tenant_id, f"{_SELECT} AND {where} {_ORDER}", values)
    place = " AND ".join(_CONDITIONS[name] for name in given if name in _OF_PLACE)
    rows = _rows(tenant_id, _AMONG_NEWEST.format(place=place, where=where), values)
    if len(rows) == values["limit"]:
        return rows
    return _rows(tenant_id, _IN_HOURS.format(told=" AND ".join(told), where=where), values)


def _rows(tenant_id: UUID, sql: str, values: Mapping[str, Any]) -> list[LedgerRow]:
    with as_tenant(tenant_id), connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [_ledger_row(row) for row in cursor.fetchall()]


def _ledger_row(row: tuple[Any, ...]) -> LedgerRow:
    values = dict(zip(_NAMES, row, strict=True))
    prices = values.pop("unit_prices")  # as text: so Django's cursors leave jsonb
    return LedgerRow(**values, unit_prices=None if prices is None else orjson.loads(prices))


_NAMES = [field.name for field in fields(LedgerRow)]
_SELECT = f"SELECT {', '.join(_NAMES)} FROM call WHERE tenant_id = %(tenant)s"  # noqa: S608
_ORDER = "ORDER BY at DESC, id DESC LIMIT %(limit)s"
_CONDITIONS = {
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
    "project": "project_id = %(project)s",
    "after_id": "(at, id) < (%(after_at)s, %(after_id)s)",
    "decision": "decision = %(decision)s",
    "layer": "layer = %(layer)s",
    "provider": "provider = %(provider)s",
    "model": "%(model)s IN (model_asked, model_served)",
    "key_id": "key_id = %(key_id)s",
    "task": "task = %(task)s",
    "end_user": "end_user = %(end_user)s",
    "origin": "origin = %(origin)s",
    "unpriced": "price_source = 'unpriced'",
}
_OF_PLACE = ("since", "until", "after_id")
_AMONG_NEWEST = f"""
SELECT {", ".join(_NAMES)} FROM (
  SELECT * FROM call WHERE tenant_id = %(tenant)s AND {{place}} ORDER BY at DESC, id DESC LIMIT %(newest)s
) AS call WHERE {{where}} {_ORDER}
"""  # noqa: S608 (names of columns)

# Whether an hour may have such calls; what belongs to a call and is none (a check, a correction) may be of any kind.
_TOLD_BY_HOURS = {
    "project": "project_id = %(project)s",
    "provider": "provider = %(provider)s",
    # Under the name that was asked for, too, which figures do not tell; an hour without rows may have any.
    "model": "((hour, model) IN (SELECT hour, coalesce(nullif(served, ''), asked) FROM usage_model"
    " WHERE tenant_id = %(tenant)s AND %(model)s IN (asked, served))"
    " OR hour NOT IN (SELECT hour FROM usage_model WHERE tenant_id = %(tenant)s))",
    "key_id": "key_id = %(key_id)s",
    "task": "task = %(task)s",
    "decision": "upkeep + wrong + CASE %(decision)s WHEN 'hit' THEN exact_hits + semantic_hits + synthesized_hits"
    " WHEN 'miss' THEN misses WHEN 'bypass' THEN bypasses ELSE blocked END > 0",
    "layer": "upkeep + wrong + CASE %(layer)s WHEN 'exact' THEN exact_hits WHEN 'semantic' THEN semantic_hits"
    " ELSE synthesized_hits END > 0",
    "origin": "CASE %(origin)s WHEN 'adjust' THEN wrong WHEN 'client' THEN calls WHEN 'playground' THEN calls"
    " ELSE upkeep END > 0",
    "unpriced": "unpriced + wrong > 0",
    "end_user": "EXISTS (SELECT FROM usage_end_user AS one WHERE one.tenant_id = usage_hour.tenant_id"
    " AND one.hour = usage_hour.hour AND one.project_id = usage_hour.project_id AND one.end_user = %(end_user)s)",
}
# The hours come in the order of the list, so that no more are looked into than a page needs.
_IN_HOURS = f"""
WITH hours AS (
  SELECT hour FROM (
    SELECT hour FROM usage_hour WHERE tenant_id = %(tenant)s AND {{told}}
      AND hour >= coalesce((SELECT since FROM ledger_kept WHERE tenant_id = %(tenant)s), '-infinity')
    UNION SELECT hour FROM usage_dirty WHERE tenant_id = %(tenant)s
    UNION SELECT date_trunc('hour', at, 'UTC') FROM call WHERE tenant_id = %(tenant)s AND priced_at IS NULL
  ) AS any_hours
  WHERE hour >= date_trunc('hour', %(since)s, 'UTC') AND hour < %(until)s
    AND (%(after_at)s::timestamptz IS NULL OR hour <= %(after_at)s)
  ORDER BY hour DESC
)
SELECT {", ".join(_NAMES)} FROM hours, LATERAL (
  SELECT * FROM call WHERE tenant_id = %(tenant)s AND at >= hour AND at < hour + interval '1 hour' AND {{where}}
  ORDER BY at DESC, id DESC LIMIT %(limit)s
) AS call
ORDER BY hour DESC, at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608 (names of columns)
