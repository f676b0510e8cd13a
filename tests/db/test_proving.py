"""Do the roll-ups say what the calls come to, and which calls may go?"""

import logging
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError

from cache_api import accounting, budgets, calls, proving, selectors
from cache_api.adapters import ledger
from cache_api.adapters.spool import Spool
from cache_api.tasks import accounting as tasks
from tenants.isolation import as_owner, as_tenant
from tests.conftest import Cast
from tests.db.calls import call_of, execute, hit_of, query, write
from tests.db.outbox import empty_outbox, outbox

NOW = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
TODAY, DAY = NOW.date(), timedelta(days=1)
EVER = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
COST, SAVED = Decimal("0.003348"), Decimal("0.003348")


def close_the_books() -> None:
    accounting.price_calls(NOW)
    accounting.roll_up()


def ids_of(cast: Cast) -> tuple[Any, Any]:
    return cast.owner.tenant_id, cast.owner.project_id


def proofs() -> list[tuple[Any, ...]]:
    return query("SELECT day, calls, billable, cost_usd, saved_usd, differences FROM ledger_proof ORDER BY day")


# -- Proof


def test_each_day_that_is_over_is_proven_once_a_day(cast: Cast) -> None:
    ids = ids_of(cast)
    write([call_of(*ids, at=NOW - DAY), hit_of(*ids, at=NOW - DAY), call_of(*ids, at=NOW - 3 * DAY)])
    write([call_of(*ids, at=NOW), call_of(*ids, at=NOW - 40 * DAY)])
    close_the_books()

    assert (proving.prove(NOW), proving.prove(NOW + timedelta(hours=14))) == (2, 0)
    assert proving.prove(NOW + timedelta(hours=15)) == 3

    assert proofs() == [
        (TODAY - 3 * DAY, 1, 1, COST, 0, []),
        (TODAY - DAY, 2, 2, COST, SAVED, []),
        (TODAY, 1, 1, COST, 0, []),
    ]
    assert [(one.day, one.calls, one.differences) for one in selectors.proofs(cast.owner.tenant_id, days=2)] == [
        (TODAY, 1, ()),
        (TODAY - DAY, 2, ()),
    ]
    assert selectors.proofs(cast.outsider.tenant_id, days=9) == []


def test_calls_on_their_way_are_no_difference(cast: Cast) -> None:
    write([call_of(*ids_of(cast), at=NOW - DAY)])
    accounting.price_calls(NOW)

    assert proving.prove(NOW) == 1
    assert proofs()[0][-1] == []


@pytest.mark.parametrize(
    ("tampered", "told"),
    [
        ("UPDATE usage_hour SET billable = billable - 1", ["usage_hour", "usage_day"]),
        ("UPDATE usage_day SET cost_usd = cost_usd + 0.0000000001", ["usage_day"]),
        ("UPDATE usage_end_user SET saved_usd = 1", ["usage_end_user", "usage_end_user_day"]),
        ("DELETE FROM usage_day", ["usage_day"]),
        ("UPDATE usage_end_user_day SET calls = 2", ["usage_end_user_day"]),
        ("DELETE FROM usage_end_user", ["usage_end_user", "usage_end_user_day"]),
        ("DELETE FROM call", ["usage_hour", "usage_end_user"]),
    ],
)
def test_a_difference_is_kept_logged_and_mailed(
    cast: Cast, tampered: str, told: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    empty_outbox()
    monkeypatch.setattr(settings, "OPERATOR_MAIL", ["operator@example.test"])
    write([hit_of(*ids_of(cast), at=NOW - DAY, end_user="e" * 32)])
    close_the_books()
    accounting.roll_up_end_users(NOW)
    execute(tampered)

    proving.prove(NOW)

    ((*_, differences),) = proofs()
    assert [one.split()[0] for one in differences] == told
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == ["ledger_differs"] * len(
        told
    )
    ((to, subject, text),) = outbox()
    assert (to, subject) == ("operator@example.test", "CacheAI: roll-ups differ from the ledger")
    assert all(f"{table} of tenant {cast.owner.tenant_id} differs at" in text for table in told)


def test_nobody_is_mailed_while_all_is_well_or_no_operator_is_named(cast: Cast) -> None:
    empty_outbox()
    write([call_of(*ids_of(cast), at=NOW - DAY)])
    close_the_books()
    proving.prove(NOW)
    execute("DELETE FROM call")
    proving.prove(NOW + DAY)

    assert outbox() == []


# -- End users by the day


def days_of_end_users() -> list[tuple[Any, ...]]:
    return query("SELECT day, end_user, calls, hits, cost_usd, saved_usd FROM usage_end_user_day ORDER BY 1, 2")


def by_end_user(cast: Cast) -> list[tuple[str, int, Decimal, Decimal]]:
    rows = selectors.usage_by(*ids_of(cast), bucket=None, group_by="end_user", since=EVER[0], until=EVER[1])
    return [(row.group, row.figures.calls, row.figures.cost_usd, row.figures.saved_usd) for row in rows]


def test_a_day_of_end_users_is_summed_once_it_is_over(cast: Cast) -> None:
    ids, yesterday = ids_of(cast), TODAY - DAY
    for at in (NOW - DAY, NOW - DAY + timedelta(hours=3), NOW):
        write([call_of(*ids, at=at, end_user="a" * 32), hit_of(*ids, at=at, end_user="b" * 32), call_of(*ids, at=at)])
    close_the_books()
    before = by_end_user(cast)
    assert before == [("a" * 32, 3, 3 * COST, 0), ("b" * 32, 3, 0, 3 * SAVED)]

    assert (accounting.roll_up_end_users(NOW), accounting.roll_up_end_users(NOW)) == (1, 0)

    assert days_of_end_users() == [
        (yesterday, "a" * 32, 2, 0, 2 * COST, 0),
        (yesterday, "b" * 32, 2, 2, 0, 2 * SAVED),
    ]
    assert by_end_user(cast) == before
    assert proving.recount() == proving.Recount((), 0)


def test_a_call_that_comes_late_is_in_its_day_of_end_users_at_every_moment(cast: Cast) -> None:
    ids = ids_of(cast)
    write([hit_of(*ids, at=NOW - DAY, end_user="e" * 32)])
    close_the_books()
    accounting.roll_up_end_users(NOW)
    write([hit_of(*ids, at=NOW - DAY, end_user="e" * 32)])

    accounting.price_calls(NOW)
    assert by_end_user(cast) == [("e" * 32, 2, 0, 2 * SAVED)]
    accounting.roll_up()
    assert by_end_user(cast) == [("e" * 32, 2, 0, 2 * SAVED)]
    assert days_of_end_users() == []
    accounting.roll_up_end_users(NOW)

    assert by_end_user(cast) == [("e" * 32, 2, 0, 2 * SAVED)]
    assert days_of_end_users() == [(TODAY - DAY, "e" * 32, 2, 2, 0, 2 * SAVED)]


# -- What goes


def let_go(now: datetime = NOW) -> int:
    return proving.let_go(now)


def test_calls_go_when_the_plan_keeps_them_no_longer_and_their_figures_stay(cast: Cast) -> None:
    ids, tenant = ids_of(cast), cast.owner.tenant_id
    edge = datetime(2026, 11, 3, tzinfo=UTC)  # seven days before today
    for at in (edge - 20 * DAY, edge - timedelta(milliseconds=1), edge, NOW):
        write([call_of(*ids, at=at), hit_of(*ids, at=at, end_user="e" * 32)])
    write([call_of(cast.outsider.tenant_id, cast.outsider.project_id, at=edge - DAY)])
    execute("UPDATE tenant SET detail_days = 30 WHERE id = %s", [cast.outsider.tenant_id])
    close_the_books()
    before = selectors.figures(*ids, *EVER)

    assert (let_go(), let_go()) == (2, 0)

    assert query("SELECT at FROM call WHERE tenant_id = %s ORDER BY at", [tenant]) == [(edge,), (edge,), (NOW,), (NOW,)]
    assert query("SELECT count(*) FROM call WHERE tenant_id = %s", [cast.outsider.tenant_id]) == [(1,)]
    assert query("SELECT DISTINCT hour < %s FROM usage_model WHERE tenant_id = %s", [edge, tenant]) == [(False,)]
    assert (calls.detail_since(tenant), calls.detail_since(cast.outsider.tenant_id)) == (edge, None)
    assert selectors.figures(*ids, *EVER) == before
    assert proving.recount() == proving.Recount((), 0)
    assert [row[:2] for row in proofs()] == [(date(2026, 10, 14), 2), (date(2026, 11, 2), 2)]


def test_what_a_period_used_stays_when_its_calls_go(cast: Cast) -> None:
    """It began within an hour: of a newcomer's first one no call is left after a week."""
    ids, tenant = ids_of(cast), cast.owner.tenant_id
    begun = datetime(2026, 11, 1, 15, 20, tzinfo=UTC)
    execute("UPDATE tenant SET period_start = %s, detail_days = 7 WHERE id = %s", [begun, tenant])
    write([call_of(*ids, at=begun + timedelta(minutes=5)) for _ in range(3)])
    write([call_of(*ids, at=begun + timedelta(hours=5)), call_of(*ids, at=NOW)])
    close_the_books()

    def used() -> int:
        with as_tenant(tenant):
            return budgets.used(tenant, since=begun)[0]

    assert used() == 5
    assert let_go() == 1
    assert used() == 5

    write([call_of(*ids, at=begun + timedelta(minutes=6)), call_of(*ids, at=begun + timedelta(hours=5))])
    assert used() == 7  # what comes late, before it is rolled up
    close_the_books()
    assert used() == 7


def test_what_is_not_priced_or_not_rolled_up_keeps_its_day(cast: Cast) -> None:
    write([call_of(*ids_of(cast), at=NOW - 20 * DAY)])
    assert let_go() == 0
    accounting.price_calls(NOW)
    assert let_go() == 0
    accounting.roll_up()
    assert let_go() == 1


def test_a_day_that_cannot_be_proven_keeps_its_calls_and_so_do_later_ones(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    ids = ids_of(cast)
    write([call_of(*ids, at=NOW - n * DAY) for n in (22, 21, 20)])
    close_the_books()
    execute("UPDATE usage_day SET calls = 2 WHERE day = %s", [TODAY - 21 * DAY])

    assert let_go() == 1

    assert query("SELECT count(*) FROM call") == [(2,)]
    assert "ledger_differs" in [record.message for record in caplog.records]


@pytest.mark.parametrize("rolled_up", [True, False])
def test_a_row_that_comes_after_its_day_went_is_added_once(cast: Cast, tmp_path: Path, *, rolled_up: bool) -> None:
    """Spooled by a machine that was off for weeks, and told twice."""
    ids = ids_of(cast)
    old = NOW - 20 * DAY
    write([call_of(*ids, at=old, task="faq"), hit_of(*ids, at=old, end_user="e" * 32)])
    close_the_books()
    let_go()
    late = [
        call_of(*ids, at=old),
        hit_of(*ids, at=old, end_user="e" * 32),
        call_of(*ids, at=old, model_asked="new-9", model_served="new-9"),
    ]
    spool = Spool(tmp_path / "spool")
    spool.append([ledger.row_of(call) for call in late])
    spool.close()

    ledger.adopt(tmp_path / "spool", ledger.app_conninfo())
    write(late)
    accounting.price_calls(NOW)
    if rolled_up:
        accounting.roll_up()
        accounting.roll_up()
        assert query("SELECT count(*) FROM call") == [(0,)]

    figures = selectors.figures(*ids, *EVER)
    assert (figures.calls, figures.hits, figures.cost_usd, figures.saved_usd) == (5, 2, 2 * COST, 2 * SAVED)
    (row,) = selectors.usage_by(*ids, bucket="day", group_by="end_user", since=EVER[0], until=EVER[1])
    assert (row.group, row.figures.calls, row.figures.saved_usd) == ("e" * 32, 2, 2 * SAVED)
    close_the_books()
    assert query("SELECT sum(calls) FROM usage_day") == [(5,)]
    ((latency,),) = query("SELECT hit_latency FROM usage_hour WHERE exact_hits > 0")
    assert (len(latency), sum(latency)) == (24, 2)
    ((reasons,),) = query("SELECT reasons::text FROM usage_hour WHERE exact_hits > 0 AND model = 'gpt-5' AND task = ''")
    assert reasons == '{"exact": 2, "no_candidate": 1}'
    assert proving.recount() == proving.Recount((), 0)
    proving.prove(NOW)
    assert [row[-1] for row in proofs()] == [[]]


def test_a_late_row_without_a_price_waits_and_takes_no_other_with_it(cast: Cast) -> None:
    ids, old = ids_of(cast), NOW - 20 * DAY
    write([call_of(*ids, at=old)])
    close_the_books()
    let_go()
    write([call_of(*ids, at=old)])
    accounting.price_calls(NOW)
    write([call_of(*ids, at=old)])

    accounting.roll_up()
    assert query("SELECT count(*) FROM call") == [(2,)]
    assert selectors.figures(*ids, *EVER).calls == 3
    close_the_books()

    assert query("SELECT count(*) FROM call") == [(0,)]
    assert selectors.figures(*ids, *EVER).calls == 3


def test_a_roll_up_changed_after_its_calls_went_is_found(cast: Cast) -> None:
    write([call_of(*ids_of(cast), at=NOW - 20 * DAY)])
    close_the_books()
    let_go()
    assert proving.prove(NOW + DAY) == 1
    for table in ("usage_hour", "usage_day"):
        execute(f"UPDATE {table} SET billable = 5")

    for day in (2, 3):
        proving.prove(NOW + day * DAY)
        assert proofs()[0][-1] == [f"ledger_proof {TODAY - 20 * DAY}"]


def test_an_hour_cut_by_the_range_counts_nothing_once_its_calls_are_gone(cast: Cast) -> None:
    """Who is billed by the figures must not be billed for the other part of the hour."""
    ids, old = ids_of(cast), NOW - 20 * DAY
    write([call_of(*ids, at=old), call_of(*ids, at=old + timedelta(hours=1))])
    close_the_books()
    cut = old - timedelta(minutes=5)
    assert selectors.figures(*ids, cut, NOW).calls == 2
    assert selectors.figures(*ids, EVER[0], cut + timedelta(minutes=10)).calls == 1
    let_go()

    assert selectors.figures(*ids, cut, NOW).calls == 1
    assert selectors.figures(*ids, EVER[0], cut + timedelta(minutes=10)).calls == 0


def test_roll_ups_of_more_than_two_years_ago_go(cast: Cast) -> None:
    ids = ids_of(cast)
    write([call_of(*ids, at=at, end_user="e" * 32) for at in (NOW - 800 * DAY, NOW - 700 * DAY)])
    close_the_books()
    accounting.roll_up_end_users(NOW - 799 * DAY)
    accounting.roll_up_end_users(NOW - 699 * DAY)
    let_go()
    let_go(NOW)

    for table in ("usage_hour", "usage_day", "usage_end_user", "usage_end_user_day"):
        assert query(f"SELECT count(*) FROM {table}") == [(1,)], table


def test_a_month_that_is_over_and_empty_goes_and_no_other(cast: Cast) -> None:
    """The default partition takes what is made for no month."""
    execute("CREATE TABLE call_2020_01 PARTITION OF call FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')")
    execute("CREATE TABLE call_2020_02 PARTITION OF call FOR VALUES FROM ('2020-02-01Z') TO ('2020-03-01Z')")
    write([call_of(*ids_of(cast), at=datetime(2020, 2, 5, tzinfo=UTC))])

    assert proving.keep_months() == ["call_2020_01"]
    assert query("SELECT count(*) FROM call_2020_02") == [(1,)]
    execute("DELETE FROM call")
    assert proving.keep_months() == ["call_2020_02"]
    assert proving.keep_months() == []


def test_a_month_that_somebody_reads_is_dropped_another_time(cast: Cast, database: str) -> None:
    execute("CREATE TABLE call_2020_03 PARTITION OF call FOR VALUES FROM ('2020-03-01Z') TO ('2020-04-01Z')")
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM call")
        assert proving.keep_months() == []
    assert proving.keep_months() == ["call_2020_03"]


def test_the_nightly_task_proves_each_day_before_its_calls_go(cast: Cast) -> None:
    now = datetime.now(UTC)
    write([call_of(*ids_of(cast), at=at) for at in (now - 20 * DAY, now - 2 * DAY)])
    accounting.price_calls(now)
    accounting.roll_up()

    assert tasks.prove() == 3  # both days are proven, the older one goes

    assert query("SELECT count(*) FROM call") == [(1,)]
    assert [row[1:3] for row in proofs()] == [(1, 1), (1, 1)]
    assert tasks.prove() == 0


def test_five_hundred_spooled_rows_raise_the_hour_that_was_closed(cast: Cast, tmp_path: Path) -> None:
    """Scenario 11, the ledger's half: the hour says so at once, and for ever."""
    ids, hour = ids_of(cast), NOW.replace(minute=0)
    write([call_of(*ids, at=hour) for _ in range(3)])
    close_the_books()
    spool = Spool(tmp_path / "spool")
    spool.append([ledger.row_of(call_of(*ids, at=hour + timedelta(seconds=n))) for n in range(500)])
    spool.close()
    assert ledger.adopt(tmp_path / "spool", ledger.app_conninfo()) == 500

    for step in (lambda: 0, lambda: accounting.price_calls(NOW), accounting.roll_up):
        step()
        rows = selectors.usage_by(*ids, bucket="hour", group_by=None, since=EVER[0], until=EVER[1])
        assert [(row.since, row.figures.billable) for row in rows] == [(hour, 503)]
    assert proving.recount() == proving.Recount((), 0)


# -- Fees


def test_fees_of_a_period_come_to_its_price_and_what_is_beyond(cast: Cast) -> None:
    """Each call has the fee of its place in its own period, however late it is priced."""
    tenant = cast.owner.tenant_id
    turn = NOW + timedelta(hours=1)
    execute("UPDATE tenant SET requests_hard = false, plan = 'pro' WHERE id = %s", [tenant])
    execute("UPDATE tenant SET period_start = %s WHERE id = %s", [NOW - 5 * DAY, tenant])
    write([call_of(*ids_of(cast), at=NOW)])
    close_the_books()
    execute("UPDATE fee_period SET billable = 99999")
    late = [call_of(*ids_of(cast), at=NOW + timedelta(seconds=n)) for n in (1, 2)]
    execute("UPDATE tenant SET plan = 'team', period_start = %s WHERE id = %s", [turn, tenant])
    write([*late, call_of(*ids_of(cast), at=turn), call_of(*ids_of(cast), at=turn, decision="bypass")])
    close_the_books()

    fees = [fee for (fee,) in query("SELECT fee_usd FROM call ORDER BY at, decision")]
    assert fees == [Decimal("0.00029"), Decimal("0.00029"), Decimal("0.00008"), 0, Decimal("0.000199")]
    assert query("SELECT plan, billable FROM fee_period ORDER BY period_start") == [("pro", 100_001), ("team", 1)]


def test_a_rolled_back_accountant_leaves_no_fee_counted(cast: Cast) -> None:
    write([call_of(*ids_of(cast), at=NOW) for _ in range(3)])
    with suppress(ZeroDivisionError), as_owner():
        accounting.price_calls(NOW)
        _ = 1 / 0
    close_the_books()

    assert query("SELECT billable FROM fee_period") == [(3,)]


# -- What old processes wrote


def test_a_row_without_the_newer_columns_is_taken(cast: Cast) -> None:
    """Spooled by a process that knew neither end users nor partly stored lists."""
    row = orjson.loads(ledger.row_of(call_of(*ids_of(cast), at=NOW)))
    del row["end_user"], row["in_served"]
    with ledger.connect(ledger.app_conninfo()) as connection:
        assert ledger.put_rows(connection, [orjson.dumps(row)]) == 1
    close_the_books()

    assert query("SELECT end_user, in_served FROM call") == [(None, None)]
    assert proving.recount() == proving.Recount((), 0)


@pytest.mark.parametrize("origin", ["shadow", "warm", "backtest"])
def test_a_check_is_the_tenants_cost_and_no_call(cast: Cast, origin: str) -> None:
    ids = ids_of(cast)
    write([hit_of(*ids, at=NOW), call_of(*ids, at=NOW, origin=origin, parent_id=uuid4())])
    close_the_books()

    figures = selectors.figures(*ids, *EVER)
    assert (figures.calls, figures.misses, figures.billable, figures.upkeep) == (1, 0, 1, 1)
    assert (figures.cost_usd, figures.upkeep_cost_usd, figures.tokens) == (COST, COST, 1500)
    assert figures.net_usd == SAVED - COST


def test_what_is_never_billed_cannot_be_written_as_billable(cast: Cast) -> None:
    write([call_of(*ids_of(cast), origin="shadow")])
    with pytest.raises(IntegrityError, match="call_billable"):
        execute("UPDATE call SET billable = true")
