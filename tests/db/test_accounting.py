"""What did the calls cost, and what do they come to?"""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from hypothesis import HealthCheck, given, settings

from cache_api import accounting, maintenance, proving, selectors, statistics
from cache_api.adapters import ledger
from cache_api.domain.call import Timings
from cache_api.domain.usage import Usage
from tests.conftest import Cast
from tests.db.calls import GPT5_USAGE, call_of, execute, hit_of, put_entry, query, write
from tests.db.random_ledger import STEPS, play, sums

NOW = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
GROUPS: tuple[selectors.Group | None, ...] = (None, "provider", "model", "key", "task", "decision")
EVER = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))


def plan(cast: Cast, name: str) -> None:
    values = [name, name == "free", cast.owner.tenant_id]
    execute("UPDATE tenant SET plan = %s, requests_hard = %s WHERE id = %s", values)


def money(call_id: UUID) -> tuple[Any, ...]:
    columns = "price_source, cost_usd, list_usd, discount_usd, fee_usd, saved_usd"
    return query(f"SELECT {columns} FROM call WHERE id = %s", [call_id])[0]


def close_the_books() -> None:
    accounting.price_calls(NOW)
    accounting.roll_up()


# -- A call is priced


@pytest.mark.parametrize(
    ("provider", "model", "usage", "cost"),
    [
        ("openai", "gpt-5", GPT5_USAGE, "0.003348"),
        (
            "anthropic",
            "claude-sonnet-4-5",
            Usage(in_total=2150, in_cached=2000, in_write_5m=20, in_write_1h=30, out_total=300),
            "0.005655",
        ),
        ("google", "gemini-2.5-pro", Usage(in_total=250_000, in_cached=1000, out_total=500), "0.63025"),
    ],
)
def test_a_miss_costs_what_its_provider_takes(cast: Cast, provider: str, model: str, usage: Usage, cost: str) -> None:
    call = call_of(
        cast.owner.tenant_id,
        cast.owner.project_id,
        provider=provider,
        model_asked=model,
        model_served=model,
        usage=usage,
    )
    write([call])

    assert accounting.price_calls(NOW) == 1

    assert money(call.id) == ("table", Decimal(cost), None, None, Decimal(0), None)


def test_a_hit_on_pro_saves_what_the_anchor_says(cast: Cast) -> None:
    plan(cast, "pro")
    call = hit_of(cast.owner.tenant_id, cast.owner.project_id)
    write([call])

    accounting.price_calls(NOW)

    source, cost, listed, discount, fee, saved = money(call.id)
    assert (source, cost) == ("table", 0)
    assert (listed, discount, fee) == (Decimal("0.0045"), Decimal("0.001152"), Decimal("0.00029"))
    assert saved == Decimal("0.003348")
    assert saved - fee - cost == Decimal("0.003058")
    ((version, prices),) = query("SELECT price_version, unit_prices FROM call")
    assert version == "genai-prices 0.2.3"
    assert "1.25" in prices


def test_in_a_trial_no_fee_is_taken(cast: Cast) -> None:
    """Stripe bills nothing of it, and there is no overage."""
    plan(cast, "pro")
    execute("UPDATE tenant SET requests_hard = true WHERE id = %s", [cast.owner.tenant_id])
    call = hit_of(cast.owner.tenant_id, cast.owner.project_id)
    write([call])

    accounting.price_calls(NOW)

    assert money(call.id)[4] == 0


def test_an_unknown_model_is_unpriced_and_null(cast: Cast) -> None:
    miss = call_of(cast.owner.tenant_id, cast.owner.project_id, model_asked="new-9", model_served="new-9")
    hit = hit_of(cast.owner.tenant_id, cast.owner.project_id, model_asked="new-9", model_served="new-9")
    write([miss, hit])

    close_the_books()

    assert money(miss.id) == ("unpriced", None, None, None, Decimal(0), None)
    assert money(hit.id) == ("unpriced", Decimal(0), None, None, Decimal(0), None)
    assert selectors.figures(cast.owner.tenant_id, None, *EVER).unpriced == 2
    assert accounting.price_calls(NOW) == 0


def test_a_name_of_the_providers_own_is_priced_by_the_one_that_was_asked_for(cast: Cast) -> None:
    call = call_of(cast.owner.tenant_id, cast.owner.project_id, model_served="our-deployment")
    write([call])

    accounting.price_calls(NOW)

    assert money(call.id)[1] == Decimal("0.003348")


@pytest.mark.parametrize("how", [{"reason": "stale_on_error"}, {"retry": True}])
def test_a_stale_answer_and_a_retry_save_nothing(cast: Cast, how: dict[str, Any]) -> None:
    call = hit_of(cast.owner.tenant_id, cast.owner.project_id, **how)
    write([call])

    close_the_books()

    cost, listed, discount, _, saved = money(call.id)[1:]
    assert (cost, saved) == (0, 0)
    figures = selectors.figures(cast.owner.tenant_id, None, *EVER)
    assert (listed, discount) == (figures.list_usd, figures.discount_usd) == (0, 0)


def test_what_asks_no_model_costs_nothing(cast: Cast) -> None:
    models = call_of(
        cast.owner.tenant_id,
        cast.owner.project_id,
        decision="bypass",
        reason="endpoint",
        model_asked="",
        model_served="",
        usage=Usage(),
    )
    write([models])

    close_the_books()

    assert money(models.id)[:2] == ("", Decimal(0))
    assert selectors.figures(cast.owner.tenant_id, None, *EVER).unpriced == 0


def test_what_a_known_model_did_without_a_count_is_unpriced_and_not_free(cast: Cast) -> None:
    passed = {"decision": "bypass", "reason": "endpoint"}
    picture = call_of(cast.owner.tenant_id, cast.owner.project_id, usage=Usage(estimated=True), **passed)
    counting = call_of(cast.owner.tenant_id, cast.owner.project_id, usage=Usage(), **passed)
    write([picture, counting])

    close_the_books()

    assert money(picture.id)[:2] == ("unpriced", None)
    assert money(counting.id)[1] == Decimal(0)


def test_the_usual_share_of_the_prompt_cache_is_taken_off(cast: Cast) -> None:
    """Bought lately: 1,024 of 1,200 cached. The entry was bought when nothing was cached yet."""
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW - timedelta(days=1))])
    close_the_books()
    call = hit_of(cast.owner.tenant_id, cast.owner.project_id, usage=Usage(in_total=1200, out_total=300))
    write([call])

    accounting.price_calls(NOW)

    assert money(call.id)[3] == Decimal("0.001152")


def test_fees_follow_the_plan_past_what_it_includes(cast: Cast) -> None:
    plan(cast, "pro")
    first = call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW - timedelta(hours=2))
    write([first])
    close_the_books()
    execute("UPDATE fee_period SET billable = 99999")
    last, over = (call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW + timedelta(seconds=n)) for n in (1, 2))
    bypass = call_of(cast.owner.tenant_id, cast.owner.project_id, decision="bypass", reason="policy")
    write([last, over, bypass])

    accounting.price_calls(NOW)

    assert [money(call.id)[4] for call in (last, over, bypass)] == [Decimal("0.00029"), Decimal("0.00008"), 0]


# -- Entries are credited


def test_a_priced_miss_tells_its_entry_what_it_cost_and_hits_are_counted(cast: Cast) -> None:
    entry = uuid4()
    put_entry(cast, entry)
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, entry_id=entry)])
    last = NOW + timedelta(minutes=5)
    write([hit_of(cast.owner.tenant_id, cast.owner.project_id, entry_id=entry, at=at) for at in (last, NOW)])

    accounting.price_calls(NOW)
    accounting.price_calls(NOW)

    assert query("SELECT cost_usd, hits, last_hit_at, saved_usd FROM entry") == [
        (Decimal("0.003348"), 2, last, Decimal("0.006696"))
    ]


def test_what_web_estimated_gives_way_to_what_was_paid(cast: Cast) -> None:
    """Web knows no tiers; a price above 200,000 tokens is twice what it takes for it."""
    entry = uuid4()
    put_entry(cast, entry, cost="0.316375")
    usage = Usage(in_total=250_000, in_cached=1000, out_total=500)
    model = {"provider": "google", "model_asked": "gemini-2.5-pro", "model_served": "gemini-2.5-pro"}
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, entry_id=entry, usage=usage, **model)])

    accounting.price_calls(NOW)

    assert query("SELECT cost_usd, hits FROM entry") == [(Decimal("0.63025"), 0)]


# -- The accountant dies

ACCOUNTANT = """
import os
import django
django.setup()
from django.utils import timezone
from cache_api import accounting
accounting.CALLS_PER_TRANSACTION = 5
price_some = accounting._price_some
def said(*args):
    count = price_some(*args)
    os.write(1, b"priced\\n")
    return count
accounting._price_some = said
accounting.price_calls(timezone.now())
accounting.roll_up()
"""


def test_an_accountant_killed_in_the_midst_of_it_has_counted_nothing_twice(
    cast: Cast, database: str, tmp_path: Path
) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    entry = uuid4()
    put_entry(cast, entry)
    write([hit_of(*ids, entry_id=entry, at=NOW) for _ in range(60)])
    environment = {
        **os.environ,
        "CACHEAI_HOME": str(tmp_path),
        "DATABASE_URL": database,
        "DATABASE_APP_URL": ledger.app_conninfo(),
    }
    for transactions in (1, 2, 3):
        command = [sys.executable, "-c", ACCOUNTANT]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as accountant:
            assert accountant.stdout is not None
            for _ in range(transactions):
                accountant.stdout.readline()
            accountant.kill()

    close_the_books()

    assert query("SELECT hits, saved_usd FROM entry") == [(60, 60 * Decimal("0.003348"))]
    assert query("SELECT calls, saved_usd FROM usage_hour") == [(60, 60 * Decimal("0.003348"))]
    assert proving.recount() == proving.Recount((), 0)


def test_two_accountants_at_once_count_every_call_once(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    entry = uuid4()
    put_entry(cast, entry)
    write([hit_of(*ids, entry_id=entry, at=NOW) for _ in range(300)])

    def account() -> None:
        close_the_books()
        connections.close_all()

    accountants = [threading.Thread(target=account) for _ in range(4)]
    for accountant in accountants:
        accountant.start()
    for accountant in accountants:
        accountant.join()

    assert query("SELECT hits FROM entry") == [(300,)]
    assert query("SELECT calls FROM usage_hour") == [(300,)]
    assert proving.recount() == proving.Recount((), 0)


# -- Rates


def test_web_is_told_the_rates_at_the_start_and_of_models_met(cast: Cast) -> None:
    assert accounting.keep_known_rates(NOW) > 1000
    assert accounting.keep_known_rates(NOW) > 1000
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, model_served="gpt-5-2025-08-07")])
    accounting.price_calls(NOW)

    found = query(
        "SELECT model, input_usd, cached_usd, output_usd FROM price_rate WHERE model LIKE %s ORDER BY model",
        ["gpt-5-2025%"],
    )
    assert found == [("gpt-5-2025-08-07", Decimal("1.25"), Decimal("0.125"), Decimal(10))]


# -- Roll-ups


def test_calls_on_both_sides_of_an_hour_are_in_their_own(cast: Cast) -> None:
    edge = datetime(2026, 11, 30, 23, tzinfo=UTC) + timedelta(hours=1)
    for at in (edge - timedelta(milliseconds=1), edge, edge + timedelta(minutes=59, seconds=59, milliseconds=999)):
        write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=at)])

    close_the_books()

    assert query("SELECT hour, calls FROM usage_hour ORDER BY hour") == [(edge - timedelta(hours=1), 1), (edge, 2)]
    assert query("SELECT day::text, calls FROM usage_day ORDER BY day") == [("2026-11-30", 1), ("2026-12-01", 2)]


def test_an_hour_counts_every_kind_of_call(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    write(
        [
            call_of(*ids, at=NOW),
            call_of(*ids, at=NOW, decision="bypass", reason="policy"),
            call_of(*ids, at=NOW, decision="blocked", reason="blocklist", usage=Usage()),
            hit_of(*ids, at=NOW),
            hit_of(*ids, at=NOW, layer="semantic", reason="similar", timings=Timings(total=9)),
            hit_of(*ids, at=NOW, retry=True),
        ]
    )

    close_the_books()

    columns = (
        "calls, exact_hits, semantic_hits, misses, bypasses, blocked, billable, in_total, in_cached, out_total,"
        " tokens_saved, cost_usd, saved_usd, reasons"
    )
    ((*found, reasons),) = query(f"SELECT {columns}::text FROM usage_hour")
    assert found == [6, 2, 1, 1, 1, 1, 5, 2400, 2048, 600, 3000, Decimal("0.006696"), Decimal("0.006696")]
    assert '"exact": 2' in reasons
    ((hit_latency, miss_latency),) = query("SELECT hit_latency, miss_latency FROM usage_hour")
    assert (hit_latency[2], hit_latency[6], sum(hit_latency)) == (2, 1, 3)
    assert (miss_latency[19], sum(miss_latency), len(miss_latency)) == (1, 1, 24)


def test_a_row_that_comes_late_changes_its_own_hour(cast: Cast) -> None:
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW)])
    close_the_books()
    for late in (NOW, NOW - timedelta(days=3), NOW - timedelta(hours=1)):
        write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=late)])
        close_the_books()

    assert query("SELECT calls FROM usage_hour ORDER BY hour") == [(1,), (1,), (2,)]
    assert query("SELECT calls FROM usage_day ORDER BY day") == [(1,), (3,)]
    assert proving.recount().differences == ()


def test_a_second_round_finds_nothing_to_do(cast: Cast) -> None:
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW)])

    assert (accounting.price_calls(NOW), accounting.roll_up()) == (1, 1)
    assert (accounting.price_calls(NOW), accounting.roll_up()) == (0, 0)


def test_the_recount_finds_a_roll_up_that_was_tampered_with(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW)])
    close_the_books()
    call_command("ledger_recount")
    assert capsys.readouterr().out == "No difference. Hours that wait for their roll-up: 0.\n"
    execute("UPDATE usage_hour SET cost_usd = cost_usd + 0.0000000001")

    with pytest.raises(CommandError, match="2 roll-ups differ"):
        call_command("ledger_recount")

    assert "usage_hour" in capsys.readouterr().err


def test_the_recount_finds_a_call_that_was_lost(cast: Cast) -> None:
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW)])
    close_the_books()
    execute("DELETE FROM call")

    found = proving.recount(cast.owner.tenant_id).differences

    assert [one.table for one in found] == ["usage_hour"]


# -- What is read


def test_figures_are_exact_before_anything_is_priced_or_rolled_up(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    seen = []
    write([call_of(*ids, at=NOW), hit_of(*ids, at=NOW)])
    for step in (lambda: None, lambda: accounting.price_calls(NOW), accounting.roll_up):
        step()
        figures = selectors.figures(*ids, *EVER)
        seen.append((figures.hits, figures.misses, figures.hit_rate))

    assert seen == [(1, 1, 0.5)] * 3
    assert figures.saved_usd == Decimal("0.003348")


def test_a_range_that_cuts_an_hour_counts_its_part(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    write([call_of(*ids, at=NOW + timedelta(minutes=minute)) for minute in (0, 10, 20, 40)])
    close_the_books()

    found = selectors.figures(*ids, NOW + timedelta(minutes=5), NOW + timedelta(minutes=40))

    assert found.calls == 2


def test_usage_is_told_by_day_and_model(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    write(
        [
            call_of(*ids, at=NOW),
            call_of(*ids, at=NOW - timedelta(days=1)),
            call_of(*ids, at=NOW, model_served="gpt-5-mini"),
        ]
    )
    close_the_books()

    rows = selectors.usage_by(*ids, bucket="day", group_by="model", since=EVER[0], until=EVER[1])

    assert [(row.since.day, row.group, row.figures.calls) for row in rows] == [
        (9, "gpt-5", 1),
        (10, "gpt-5", 1),
        (10, "gpt-5-mini", 1),
    ]


def test_stats_hold_what_a_project_has_and_did(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    put_entry(cast, uuid4())
    put_entry(cast, uuid4(), expires_at=datetime(2021, 1, 1, tzinfo=UTC))
    write([call_of(*ids, at=NOW), hit_of(*ids, at=NOW, similarity=0.9, layer="semantic", reason="similar")])
    close_the_books()

    stats = statistics.stats(*ids, *EVER)

    assert (stats.entries.total, stats.entries.active, stats.entries.expired, stats.entries.bytes) == (2, 1, 1, 14)
    assert stats.decisions == {"hit": 1, "miss": 1, "bypass": 0, "blocked": 0}
    assert stats.by_provider["openai"].calls == stats.by_model["gpt-5"].calls == 2
    assert (stats.average_similarity, stats.stored) == (0.9, 2)
    assert stats.reasons == {"no_candidate": 1, "similar": 1}


def test_an_outsider_reads_nothing(cast: Cast) -> None:
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW)])
    close_the_books()
    stranger = cast.outsider

    assert selectors.figures(stranger.tenant_id, None, *EVER).calls == 0
    assert statistics.stats(stranger.tenant_id, cast.owner.project_id, *EVER).figures.calls == 0


# -- Upkeep


def test_months_ahead_have_their_partitions_and_early_rows_move_there(cast: Cast) -> None:
    assert proving.keep_months() == []
    execute("DROP TABLE IF EXISTS call_2031_05")
    month = datetime.now(UTC).replace(day=15) + timedelta(days=31)
    name = f"call_{month:%Y_%m}"
    execute(f"DROP TABLE {name}")
    call = call_of(cast.owner.tenant_id, cast.owner.project_id, at=month)
    write([call])
    assert query("SELECT count(*) FROM call_default") == [(1,)]

    assert proving.keep_months() == [name]

    assert query(f"SELECT id FROM {name}") == [(call.id,)]
    assert query("SELECT count(*) FROM call_default") == [(0,)]


def test_what_is_over_goes(cast: Cast) -> None:
    gone, stale, here = uuid4(), uuid4(), uuid4()
    for entry, expires_at in ((gone, NOW - timedelta(hours=2)), (stale, NOW - timedelta(minutes=1)), (here, None)):
        put_entry(cast, entry, expires_at=expires_at)
    execute(
        "INSERT INTO policy VALUES (%s, %s, %s)",
        [cast.owner.tenant_id, cast.owner.project_id, '{"stale_on_error_seconds": 3600}'],
    )

    assert maintenance.expire(NOW) == 1

    assert {entry for (entry,) in query("SELECT id FROM entry")} == {stale, here}


# -- Whatever happens, in whatever order


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_roll_ups_are_always_what_the_calls_come_to(cast: Cast, steps: list[Any]) -> None:
    """Scenario 14: a random ledger, accountants that die, replays, corrections, detail that goes."""
    for book in play(cast, steps):
        assert proving.recount().differences == ()
        for person in book.people:
            ours, figures = book.calls_of(person), selectors.figures(person.tenant_id, None, *EVER)
            assert (figures.calls, figures.billable) == (len(ours), sum(call.billable for call in ours))
            users = selectors.usage_by(
                person.tenant_id, None, bucket=None, group_by="end_user", since=EVER[0], until=EVER[1]
            )
            assert sum(row.figures.calls for row in users) == sum(bool(call.end_user) for call in ours)

    assert proving.recount() == proving.Recount((), 0)
    for person in book.people:
        ours, figures = book.calls_of(person), selectors.figures(person.tenant_id, None, *EVER)
        assert figures.cost_usd == book.cost_of(person)
        assert figures.wrong == sum(call.id in book.wrong for call in ours)
        assert figures.saved_usd == figures.list_usd - figures.discount_usd
        for group in GROUPS:
            rows = selectors.usage_by(
                person.tenant_id, None, bucket="day", group_by=group, since=EVER[0], until=EVER[1]
            )
            told = [getattr(row.figures, name) for row in rows for name in ("calls", "cost_usd", "net_usd")]
            assert [sum(told[n::3]) for n in range(3)] == [figures.calls, figures.cost_usd, figures.net_usd]
    assert sums("usage_hour") == sums("usage_day")
    if not book.let_go:
        assert sums("call") == sums("usage_hour")
        owner = cast.owner.tenant_id
        assert query("SELECT hits, saved_usd FROM entry") == query(
            "SELECT count(*) FILTER (WHERE decision = 'hit' AND origin = 'client'), coalesce(sum(saved_usd) FILTER"
            " (WHERE decision = 'hit'), 0) FROM call WHERE tenant_id = %s",
            [owner],
        )
