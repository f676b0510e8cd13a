"""Does a project hear what its calls came to, however they are grouped?"""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from cache_api.domain.usage import Usage
from tests.api.conftest import Api
from tests.conftest import Cast
from tests.db.calls import call_of, execute, hit_of, write

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
SPAN = "from=2026-11-09T00:00:00Z&to=2026-11-12T00:00:00Z"
BOUGHT = "0.003348"  # a gpt-5 call of the cast's usual size, and what a hit of it saves
TOKENS = 1500


def close_the_books() -> None:
    from cache_api import accounting

    accounting.price_calls(datetime.now(UTC))
    accounting.roll_up()


@pytest.fixture
def calls(cast: Cast) -> None:
    """Two days: misses, hits, bypasses, a synthesized answer, a block and an unpriced call."""
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    write(
        [
            call_of(*ids, at=NOON, task="triage"),
            call_of(*ids, at=NOON + timedelta(hours=1), task="triage", model_served="gpt-5-mini", key_id=None),
            call_of(*ids, at=NOON, decision="bypass", reason="policy"),
            call_of(*ids, at=NOON, decision="blocked", reason="blocklist", usage=Usage()),
            hit_of(*ids, at=NOON, task="triage"),
            hit_of(*ids, at=NOON, layer="synthesized", reason="synthesized"),
            call_of(*ids, at=NOON + timedelta(days=1), model_asked="new-9", model_served="new-9"),
            call_of(cast.outsider.tenant_id, cast.outsider.project_id, at=NOON),
        ]
    )


def rows(api: Api, query: str) -> list[dict[str, Any]]:
    answer = api.get("/v1/usage", f"{SPAN}&{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["data"]
    return found


@pytest.mark.parametrize("rolled_up", [True, False])
def test_figures_are_told_by_decision(api: Api, calls: None, rolled_up: bool) -> None:
    from cache_api import accounting

    accounting.price_calls(datetime.now(UTC))
    if rolled_up:
        accounting.roll_up()

    day, next_day = "2026-11-10T00:00:00+00:00", "2026-11-11T00:00:00+00:00"
    names = ("start", "decision", "calls", "hits", "tokens", "cost_usd", "saved_usd", "unpriced")
    mini = Decimal("0.0006696")  # gpt-5-mini is a fifth of gpt-5
    assert [tuple(row[name] for name in names) for row in rows(api, "group_by=decision")] == [
        (day, "blocked", 1, 0, 0, "0", "0", 0),
        (day, "bypass", 1, 0, TOKENS, BOUGHT, "0", 0),
        (day, "hit", 2, 2, TOKENS, BOUGHT, BOUGHT, 0),
        (day, "miss", 2, 0, 2 * TOKENS, str(Decimal(BOUGHT) + mini), "0", 0),
        (next_day, "miss", 1, 0, TOKENS, "0", "0", 1),
    ]


@pytest.mark.parametrize("group_by", ["", "model", "key", "task", "decision"])
def test_each_grouping_comes_to_the_same_sum(api: Api, calls: None, group_by: str) -> None:
    close_the_books()
    grouped = rows(api, f"group_by={group_by}" if group_by else "")
    sums = {name: sum(Decimal(row[name]) for row in grouped) for name in grouped[0] if name in SUMS}
    assert sums == SUMS


def test_net_is_gross_less_all_fees_synthesis_and_upkeep(api: Api, cast: Cast, calls: None) -> None:
    execute("UPDATE tenant SET plan = 'pro', requests_hard = false WHERE id = %s", [cast.owner.tenant_id])
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOON, origin="shadow")])
    close_the_books()

    days = rows(api, "")
    (fee,) = {row["fee_usd"] for row in rows(api, "group_by=decision") if row["decision"] == "blocked"}
    assert fee == "0.00029"
    assert days[0] == {
        "start": "2026-11-10T00:00:00+00:00",
        "calls": 6,
        "hits": 2,
        "tokens": 5 * TOKENS,
        "cost_usd": str(4 * Decimal(BOUGHT) + Decimal("0.0006696")),
        "list_usd": "0.0045",
        "discount_usd": "0.001152",
        "saved_usd": BOUGHT,
        "fee_usd": str(5 * Decimal(fee)),
        "synthesis_cost_usd": BOUGHT,
        "upkeep_cost_usd": BOUGHT,
        "net_usd": str(Decimal(BOUGHT) - 5 * Decimal(fee) - 2 * Decimal(BOUGHT)),
        "unpriced": 0,
        "estimated": 0,
    }
    by_decision = {row["decision"]: row for row in rows(api, "group_by=decision&to=2026-11-11T00:00:00Z")}
    assert by_decision[None]["net_usd"] == str(-Decimal(BOUGHT))
    assert sum(Decimal(row["net_usd"]) for row in by_decision.values()) == Decimal(days[0]["net_usd"])


def test_models_without_a_price_are_named(api: Api, calls: None) -> None:
    assert api.get("/v1/usage", SPAN).json["unpriced_models"] == []
    close_the_books()
    assert api.get("/v1/usage", SPAN).json["unpriced_models"] == [{"provider": "openai", "model": "new-9", "calls": 1}]


@pytest.mark.parametrize("group_by", ["", "model", "key", "task", "decision", "end_user"])
def test_a_table_says_what_json_says(api: Api, calls: None, group_by: str) -> None:
    close_the_books()
    query = f"group_by={group_by}" if group_by else ""
    answer = api.get("/v1/usage", f"{SPAN}&{query}&format=csv")
    told = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows(api, query)]
    assert list(csv.DictReader(io.StringIO(answer.body.decode()))) == told
    assert answer.headers["content-disposition"] == 'attachment; filename="usage.csv"'


SUMS = {
    "calls": 7,
    "hits": 2,
    "tokens": 5 * TOKENS,
    "cost_usd": 3 * Decimal(BOUGHT) + Decimal("0.0006696"),
    "saved_usd": Decimal(BOUGHT),
    "unpriced": 1,
}


def test_a_task_is_told_by_model(api: Api, calls: None) -> None:
    close_the_books()
    triage = [row for row in rows(api, "group_by=task") if row["task"] == "triage"]
    assert [(row["model"], row["calls"], row["hits"]) for row in triage] == [("gpt-5", 2, 1), ("gpt-5-mini", 1, 0)]


def test_a_call_without_a_key_has_none(api: Api, calls: None) -> None:
    close_the_books()
    keys = {row["key"]: row["calls"] for row in rows(api, "group_by=key&to=2026-11-11T00:00:00Z")}
    assert keys == {None: 1, str(UUID(int=7)): 5}


def test_hours_are_told_apart(api: Api, calls: None) -> None:
    close_the_books()
    starts = [(row["start"], row["calls"]) for row in rows(api, "bucket=hour")]
    assert starts == [
        ("2026-11-10T12:00:00+00:00", 5),
        ("2026-11-10T13:00:00+00:00", 1),
        ("2026-11-11T12:00:00+00:00", 1),
    ]


def test_without_times_the_last_days_are_told(api: Api) -> None:
    api.chat("Who made it?")
    told = api.get("/v1/usage").json
    assert [row["calls"] for row in told["data"]] == [1]
    assert (told["bucket"], told["group_by"]) == ("day", None)
    assert datetime.fromisoformat(told["to"]) - datetime.fromisoformat(told["from"]) == timedelta(days=30)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("bucket=week", "bucket"),
        ("group_by=tenant_id", "group_by"),
        ("group_by=task&end_user=alice", "end_user"),
        ("from=then", "from"),
        ("from=2026-11-11&to=2026-11-11", "from"),
        ("to=0001-01-01T00:00:00Z", "from"),
        ("from=2020-01-01&to=2026-11-11", "from"),
        ("from=2026-01-01&to=2026-11-11&bucket=hour", "from"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(api: Api, query: str, param: str) -> None:
    refused = api.get("/v1/usage", query)
    assert (refused.status, refused.json["error"]["param"]) == (400, param)


def test_usage_is_the_key_s_project_s(api: Api, sibling: Api, outsider: Api, cast: Cast, calls: None) -> None:
    assert rows(sibling, "") == []
    assert [row["calls"] for row in rows(outsider, "")] == [1]
    assert api.get("/v1/usage", f"project_id={cast.outsider.project_id}").status == 403


def test_usage_needs_stats_read(key_with: Any) -> None:
    assert key_with("proxy").get("/v1/usage").status == 403
    assert key_with("analytics:read").get("/v1/usage").status == 200
