"""Do the roll-ups say what the calls come to, and which calls may go?

Every night each tenant's days are counted again from the calls, and what was found is kept. A day's calls go once the
tenant's plan keeps them no longer, in the transaction that proves the day once more; its roll-ups are then the record.
A day that cannot be proven keeps its calls, and an operator hears of it.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.backends.utils import CursorWrapper

from cache_api.adapters import books
from tenants.isolation import as_owner
from tenants.mailing import mail_send

MONTHS_AHEAD = 2
MONTHS_KEPT = 25  # of roll-ups: two whole years, and the month under way
PROVED_DAYS = 35  # what comes later than that is billed to nobody; `recount` goes all the way back
RUN_SECONDS = 300  # then the queue's other tasks come in between; the next run goes on
MAILED_MAX = 50

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """A roll-up that is not what its calls come to."""

    tenant_id: UUID
    table: str
    since: str

    def __str__(self) -> str:
        return f"{self.table} of tenant {self.tenant_id} differs at {self.since}"


@dataclass(frozen=True, slots=True)
class Recount:
    """What a comparison of roll-ups and calls found; pending hours have calls that are not priced or rolled up yet."""

    differences: tuple[Difference, ...]
    pending_hours: int


def recount(tenant_id: UUID | None = None) -> Recount:
    """Compare all roll-ups with the calls themselves."""
    every = "SELECT tenant_id FROM usage_hour UNION SELECT tenant_id FROM usage_day UNION SELECT tenant_id FROM call"
    differences: list[Difference] = []
    pending = 0
    for one in [tenant_id] if tenant_id else books.tenants(every):
        with as_owner() as connection, connection.cursor() as cursor:
            books.lock(cursor, one)
            found = _compare(cursor, one, date.min, date.max)
            differences += found.differences
            pending += found.pending_hours
    return Recount(tuple(differences), pending)


def prove(now: datetime) -> int:
    """Count again every day of the last weeks that was not counted since midnight; how many days."""
    ends, done = time.monotonic() + RUN_SECONDS, 0
    differences: list[Difference] = []
    for tenant_id in books.tenants("SELECT id FROM tenant"):
        for day in _unproved(tenant_id, now):
            with as_owner() as connection, connection.cursor() as cursor:
                books.lock(cursor, tenant_id)
                differences += _prove_day(cursor, tenant_id, day, now)
            done += 1
            if time.monotonic() > ends:
                break
    raise_alert(differences)
    return done


def let_go(now: datetime) -> int:
    """Remove the calls that a tenant's plan keeps no longer, and roll-ups of long ago; how many days of calls."""
    ends, done = time.monotonic() + RUN_SECONDS, 0
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(_ROLL_UPS_GO, {"now": now, "months": MONTHS_KEPT})
        cursor.execute("SELECT id, detail_days FROM tenant")
        kept = cursor.fetchall()
    differences: list[Difference] = []
    for tenant_id, detail_days in kept:
        until = _midnight(now) - timedelta(days=detail_days)
        while time.monotonic() < ends and (day := _oldest_day(tenant_id, until)) is not None:
            found = _let_day_go(tenant_id, day, now)
            if found is None:
                break
            if found:
                differences += found
                break
            done += 1
    raise_alert(differences)
    return done


def keep_months() -> list[str]:
    """Make the partitions the next months' calls go to, and drop those of months that are over and empty."""
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT call_months(%s) UNION ALL SELECT call_months_over()", [MONTHS_AHEAD])
        return [name for (name,) in cursor.fetchall()]


def raise_alert(differences: Iterable[Difference]) -> None:
    """Tell the log each difference, and the operators of all together."""
    lines = [str(difference) for difference in differences]
    if not lines:
        return
    for line in lines:
        log.error("ledger_differs", extra={"reason": line})
    more = [f"and {len(lines) - MAILED_MAX} more"] if len(lines) > MAILED_MAX else []
    mail_send(
        to=settings.OPERATOR_MAIL,
        subject="CacheAI: roll-ups differ from the ledger",
        text="\n".join(
            [
                "What was counted again is not what the roll-ups say. Nothing of these days was removed.",
                "`manage.py ledger_recount` counts once more.",
                "",
                *lines[:MAILED_MAX],
                *more,
            ]
        ),
    )


def _compare(cursor: CursorWrapper, tenant_id: UUID, first: date, last: date) -> Recount:
    """Hours, end users and days, of which an hour that is still under way is none."""
    values: dict[str, Any] = {
        "tenant": tenant_id,
        "first": first,
        "last": last,
        "since": max(_begin(first), books.kept_since(cursor, tenant_id)),
        "until": _begin(last + timedelta(days=1)) if last < date.max else "infinity",
    }
    cursor.execute(_PENDING, values)
    values["pending"] = [hour for (hour,) in cursor.fetchall()]
    differences = []
    for table, sql in _APART.items():
        cursor.execute(sql, values)
        differences += [Difference(tenant_id, table, str(since)) for (since,) in cursor.fetchall()]
    return Recount(tuple(differences), len(values["pending"]))


def _prove_day(cursor: CursorWrapper, tenant_id: UUID, day: date, now: datetime) -> tuple[Difference, ...]:
    differences = _compare(cursor, tenant_id, day, day).differences
    gone = _begin(day) < books.kept_since(cursor, tenant_id)
    values: dict[str, Any] = {"tenant": tenant_id, "day": day, "now": now}
    if gone:
        # What the roll-ups said when the calls went is all there is to compare them with.
        cursor.execute(_PROOF_APART, values)
        differences += tuple(Difference(tenant_id, "ledger_proof", str(day)) for _ in cursor.fetchall())
    said = [f"{difference.table} {difference.since}" for difference in differences]
    cursor.execute(_KEEP_PROOF if not (gone and said) else _KEEP_OLD_PROOF, {**values, "differences": said})
    return differences


def _let_day_go(tenant_id: UUID, day: date, now: datetime) -> tuple[Difference, ...] | None:
    """None: some of its calls are not priced or rolled up yet."""
    with as_owner() as connection, connection.cursor() as cursor:
        books.lock(cursor, tenant_id)
        if _compare(cursor, tenant_id, day, day).pending_hours:
            return None
        differences = _prove_day(cursor, tenant_id, day, now)
        if not differences:
            values: dict[str, Any] = {
                "tenant": tenant_id,
                "since": _begin(day),
                "until": _begin(day + timedelta(days=1)),
            }
            cursor.execute(_DAY_GOES, values)
    return differences


def _oldest_day(tenant_id: UUID, until: datetime) -> date | None:
    """What came late to a day that is gone is accounting's to add."""
    with as_owner() as connection, connection.cursor() as cursor:
        since = books.kept_since(cursor, tenant_id)
        cursor.execute(
            "SELECT min(at) FROM call WHERE tenant_id = %s AND at >= %s AND at < %s", [tenant_id, since, until]
        )
        (oldest,) = cursor.fetchone()
    return None if oldest is None else oldest.astimezone(UTC).date()


def _unproved(tenant_id: UUID, now: datetime) -> list[date]:
    today = now.astimezone(UTC).date()
    values: dict[str, Any] = {
        "tenant": tenant_id,
        "first": today - timedelta(days=PROVED_DAYS),
        "last": today - timedelta(days=1),
        "midnight": _midnight(now),
    }
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(_UNPROVED, values)
        return [day for (day,) in cursor.fetchall()]


def _midnight(now: datetime) -> datetime:
    return _begin(now.astimezone(UTC).date())


def _begin(day: date) -> datetime:
    return datetime.combine(day, time_of_day(), UTC)


_PENDING = """
SELECT hour FROM usage_dirty WHERE tenant_id = %(tenant)s AND hour >= %(since)s AND hour < %(until)s
UNION SELECT date_trunc('hour', at, 'UTC') FROM call
WHERE tenant_id = %(tenant)s AND priced_at IS NULL AND at >= %(since)s AND at < %(until)s
"""


def _hours_apart(table: str, figures: str) -> str:
    return f"""
    WITH kept AS (
      SELECT * FROM {table} WHERE tenant_id = %(tenant)s AND hour >= %(since)s AND hour < %(until)s
    ), counted AS (SELECT * FROM {figures}(%(tenant)s, %(since)s, %(until)s))
    SELECT DISTINCT hour FROM
      ((TABLE kept EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE kept)) AS apart
    WHERE hour <> ALL(%(pending)s::timestamptz[]) ORDER BY hour
    """  # noqa: S608 (names of tables)


def _days_apart(table: str, figures: str, days: str) -> str:
    return f"""
    WITH kept AS (SELECT * FROM {table} WHERE tenant_id = %(tenant)s AND day BETWEEN %(first)s AND %(last)s),
    counted AS (SELECT figures.* FROM ({days}) AS days, {figures}(%(tenant)s, days.day) AS figures)
    SELECT DISTINCT day FROM
      ((TABLE kept EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE kept)) AS apart
    ORDER BY day
    """  # noqa: S608 (names of tables)


_DAYS_WITH_HOURS = """
SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date AS day FROM usage_hour
WHERE tenant_id = %(tenant)s AND (hour AT TIME ZONE 'UTC')::date BETWEEN %(first)s AND %(last)s
"""

_APART = {
    "usage_hour": _hours_apart("usage_hour", "usage_figures"),
    "usage_end_user": _hours_apart("usage_end_user", "end_user_figures"),
    "usage_day": _days_apart("usage_day", "usage_of_day", _DAYS_WITH_HOURS),
    # A day without rows is told by its hours.
    "usage_end_user_day": _days_apart("usage_end_user_day", "end_users_of_day", "SELECT DISTINCT day FROM kept"),
}

_UNPROVED = """
SELECT begin::date FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS days (begin)
WHERE NOT EXISTS (
    SELECT FROM ledger_proof
    WHERE tenant_id = %(tenant)s AND day = begin::date AND proved_at >= %(midnight)s)
  AND (EXISTS (SELECT FROM usage_day WHERE tenant_id = %(tenant)s AND day = begin::date)
    OR EXISTS (SELECT FROM call WHERE tenant_id = %(tenant)s AND at >= begin::timestamp AT TIME ZONE 'UTC'
      AND at < (begin::timestamp + interval '1 day') AT TIME ZONE 'UTC'))
ORDER BY begin
"""

_COME_TO = """
SELECT coalesce(sum(calls), 0)::bigint AS calls, coalesce(sum(billable), 0)::bigint AS billable,
  coalesce(sum(cost_usd), 0) AS cost_usd, coalesce(sum(saved_usd), 0) AS saved_usd, coalesce(sum(fee_usd), 0) AS fee_usd
FROM usage_day WHERE tenant_id = %(tenant)s AND day = %(day)s
"""

_PROOF_APART = f"""
SELECT FROM ledger_proof AS proof, ({_COME_TO}) AS now
WHERE proof.tenant_id = %(tenant)s AND proof.day = %(day)s
  AND (proof.calls, proof.billable, proof.cost_usd, proof.saved_usd, proof.fee_usd)
    IS DISTINCT FROM (now.calls, now.billable, now.cost_usd, now.saved_usd, now.fee_usd)
"""  # noqa: S608 (a query of ours)

_KEEP_PROOF = f"""
INSERT INTO ledger_proof SELECT %(tenant)s, %(day)s, come_to.*, %(differences)s::text[], %(now)s
FROM ({_COME_TO}) AS come_to
ON CONFLICT (tenant_id, day) DO UPDATE SET calls = excluded.calls, billable = excluded.billable,
  cost_usd = excluded.cost_usd, saved_usd = excluded.saved_usd, fee_usd = excluded.fee_usd,
  differences = excluded.differences, proved_at = excluded.proved_at
"""  # noqa: S608 (a query of ours)

_KEEP_OLD_PROOF = """
UPDATE ledger_proof SET differences = %(differences)s::text[], proved_at = %(now)s
WHERE tenant_id = %(tenant)s AND day = %(day)s
"""

_DAY_GOES = """
DELETE FROM call WHERE tenant_id = %(tenant)s AND at >= %(since)s AND at < %(until)s AND priced_at IS NOT NULL;
DELETE FROM usage_model WHERE tenant_id = %(tenant)s AND hour >= %(since)s AND hour < %(until)s;
INSERT INTO ledger_kept VALUES (%(tenant)s, %(until)s)
ON CONFLICT (tenant_id) DO UPDATE SET since = greatest(ledger_kept.since, excluded.since)
"""

_ROLL_UPS_GO = "; ".join(
    f"DELETE FROM {table} WHERE {column} < %(now)s::timestamptz - make_interval(months => %(months)s)"  # noqa: S608
    for table, column in (
        ("usage_hour", "hour"),
        ("usage_end_user", "hour"),
        ("usage_day", "day"),
        ("usage_end_user_day", "day"),
        ("error_hour", "hour"),
        ("ledger_proof", "day"),
    )
)
