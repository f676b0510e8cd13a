"""Does a project see its calls one by one, and in whatever form it wants them?"""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.api.conftest import Api
from tests.conftest import Cast
from tests.db.calls import call_of, hit_of, write

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
SPAN = "from=2026-11-10T00:00:00Z&to=2026-11-11T00:00:00Z"


def close_the_books() -> None:
    from cache_api import accounting

    accounting.price_calls(datetime.now(UTC))
    accounting.roll_up()


def ids_of(cast: Cast) -> tuple[UUID, UUID]:
    return cast.owner.tenant_id, cast.owner.project_id


@pytest.fixture
def calls(cast: Cast) -> None:
    """A miss and a hit of one task, an unpriced one, an outsider's and one of another day."""
    ids = ids_of(cast)
    write(
        [
            call_of(*ids, at=NOON, task="triage"),
            hit_of(
                *ids, at=NOON + timedelta(minutes=1), task="triage", similarity=0.93, layer="semantic", reason="similar"
            ),
            call_of(*ids, at=NOON + timedelta(minutes=2), model_asked="new-9", model_served="new-9", key_id=None),
            call_of(*ids, at=NOON + timedelta(days=2)),
            call_of(cast.outsider.tenant_id, cast.outsider.project_id, at=NOON),
        ]
    )
    close_the_books()


def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = api.get("/v1/calls", f"{SPAN}&{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["data"]
    return found


def table(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def test_calls_are_listed_with_their_money_the_newest_first(api: Api, calls: None) -> None:
    unpriced, hit, miss = listed(api)

    assert [call["decision"] for call in (unpriced, hit, miss)] == ["miss", "hit", "miss"]
    assert (miss["task"], miss["cost_usd"], miss["saved_usd"], miss["net_usd"]) == ("triage", "0.003348", None, "0")
    assert (hit["cost_usd"], hit["list_usd"], hit["discount_usd"]) == ("0", "0.0045", "0.001152")
    assert (hit["saved_usd"], hit["net_usd"], hit["similarity"]) == ("0.003348", "0.003348", 0.93)
    assert (unpriced["price_source"], unpriced["cost_usd"], unpriced["net_usd"]) == ("unpriced", None, None)
    assert miss["unit_prices"]["input"] == "1.25"
    assert miss["request_id"] == f"req_{UUID(miss['id']).hex}"


def test_a_call_just_made_is_there_under_the_id_its_caller_saw(api: Api) -> None:
    answer = api.chat("Who made it?")

    (call,) = api.get("/v1/calls").json["data"]
    assert call["request_id"] == answer.headers["x-cacheai-request-id"]
    assert (call["decision"], call["price_source"], call["net_usd"]) == ("miss", "", None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("decision=hit", 1),
        ("task=triage", 2),
        ("model=new-9", 1),
        ("model=gpt-5", 2),
        ("provider=anthropic", 0),
        ("unpriced=true", 1),
        (f"key={UUID(int=7)}", 2),
        ("decision=miss&task=triage", 1),
        ("origin=adjust", 0),
        ("end_user=alice", 0),
    ],
)
def test_what_is_asked_for_must_all_be_true(api: Api, calls: None, query: str, found: int) -> None:
    assert len(listed(api, query)) == found


def test_pages_hold_every_call_once(api: Api, cast: Cast) -> None:
    """Also those of one millisecond, and those made while somebody turns the pages."""
    ids = ids_of(cast)
    write([call_of(*ids, at=NOON + timedelta(milliseconds=n // 3)) for n in range(10)])
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.get("/v1/calls", f"{SPAN}&limit=3{cursor}").json
        seen += [call["id"] for call in page["data"]]
        write([call_of(*ids, at=NOON + timedelta(hours=1))])
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert (len(seen), len(set(seen)), page["next_cursor"]) == (10, 10, None)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_all_calls_come_as_lines_or_as_a_table(
    api: Api, cast: Cast, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache_api.calls.ROWS_AT_A_TIME", 4)
    write([call_of(*ids_of(cast), at=NOON + timedelta(seconds=n)) for n in range(10)])
    close_the_books()

    answer = api.get("/v1/calls", f"{SPAN}&format={form}")

    rows = table(answer.body) if form == "csv" else [json.loads(line) for line in answer.body.splitlines()]
    assert [row["id"] for row in rows] == [call["id"] for call in listed(api)]
    assert {row["cost_usd"] for row in rows} == {"0.003348"}
    assert answer.headers["content-type"].startswith("text/csv" if form == "csv" else "application/x-ndjson")
    assert answer.headers["content-disposition"] == f'attachment; filename="calls.{form}"'


def test_a_table_has_its_head_where_there_is_nothing_to_tell(api: Api) -> None:
    answer = api.get("/v1/calls", f"{SPAN}&format=csv")
    assert answer.body.decode().startswith("request_id,at,id,project_id,")
    assert table(answer.body) == []


def test_no_name_becomes_a_formula_in_a_table(api: Api, cast: Cast) -> None:
    """Whoever calls names tasks and models; whoever opens the file did not write them."""
    evil = '=HYPERLINK("http://evil","x")'
    write([call_of(*ids_of(cast), at=NOON, task="@SUM(A1)", model_asked=evil, model_served='-2+3, "y"\n')])
    close_the_books()

    (row,) = table(api.get("/v1/calls", f"{SPAN}&format=csv").body)
    assert (row["task"], row["model_asked"], row["model_served"]) == ("'@SUM(A1)", f"'{evil}", '\'-2+3, "y"\n')
    (by_task,) = table(api.get("/v1/usage", f"{SPAN}&group_by=task&format=csv").body)
    assert (by_task["task"], by_task["model"]) == ("'@SUM(A1)", '\'-2+3, "y"\n')
    assert listed(api)[0]["task"] == "@SUM(A1)"


def test_what_the_query_says_goes_before_what_is_accepted(api: Api, calls: None) -> None:
    accepted = api.get("/v1/calls", SPAN, accept="text/csv")
    assert accepted.headers["content-type"].startswith("text/csv")
    assert api.get("/v1/calls", f"{SPAN}&format=json", accept="text/csv").headers["content-type"] == "application/json"
    assert api.get("/v1/calls", SPAN, accept="*/*").headers["content-type"] == "application/json"


def test_an_end_user_is_found_by_name_and_known_by_a_digest(api: Api, outsider: Api, cast: Cast) -> None:
    api.chat("Who made it?", headers={"X_CacheAI_End_User": "alice@example.test"})
    api.chat("Who made it?", headers={"X_CacheAI_End_User": "bob"})
    api.chat("Who made it?", cache={"end_user": "bob"})
    outsider.chat("Who made it?", headers={"X_CacheAI_End_User": "bob"})
    close_the_books()

    (alice,) = api.get("/v1/calls", "end_user=alice@example.test").json["data"]
    bobs = api.get("/v1/calls", "end_user=bob").json["data"]
    assert [call["decision"] for call in bobs] == ["hit", "miss"]
    assert len({call["end_user"] for call in (alice, *bobs)}) == 2
    assert len(alice["end_user"]) == 32
    (theirs,) = outsider.get("/v1/calls", "end_user=bob").json["data"]
    assert theirs["end_user"] != bobs[0]["end_user"]
    assert b"alice" not in api.get("/v1/calls", "format=jsonl").body
    rows = api.get("/v1/usage", "group_by=end_user").json["data"]
    assert {(row["end_user"], row["calls"], row["hits"]) for row in rows} == {
        (alice["end_user"], 1, 0),
        (bobs[0]["end_user"], 2, 1),
    }
    (one,) = api.get("/v1/usage", "end_user=bob").json["data"]
    assert (one["calls"], one["end_user"]) == (2, bobs[0]["end_user"])


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("format=xml", "format"),
        ("cursor=x", "cursor"),
        ("cursor=-1-2", "cursor"),
        (f"cursor={'f' * 20}-{UUID(int=1).hex}", "cursor"),
        ("limit=1001", "limit"),
        ("decision=perhaps", "decision"),
        ("from=2020-01-01", "from"),
        ("key=1", "key"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(api: Api, query: str, param: str) -> None:
    refused = api.get("/v1/calls", query)
    assert (refused.status, refused.json["error"]["param"]) == (400, param)


def test_calls_are_the_key_s_project_s(api: Api, sibling: Api, outsider: Api, cast: Cast, calls: None) -> None:
    assert listed(sibling) == []
    assert len(listed(outsider)) == 1
    assert api.get("/v1/calls", f"project_id={cast.outsider.project_id}").status == 403
    (call,) = listed(api, "decision=hit")
    assert listed(outsider, f"key={call['key_id']}&decision=hit") == []


def test_calls_need_stats_read(key_with: Any) -> None:
    assert key_with("proxy").get("/v1/calls").status == 403
    assert key_with("analytics:read").get("/v1/calls").status == 200
