"""Can entries be put, found, changed, judged and removed over HTTP?"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from tests.api.conftest import Api
from tests.conftest import Cast
from tests.db import calls
from tests.fakes import FixedEmbedder

ENTRIES = "/v1/cache/entries"


def put(api: Api, question: str, answer: Any = "It is so.", **fields: Any) -> str:
    stored = api.post(ENTRIES, {"question": question, "answer": answer, "model": "demo-small", **fields})
    assert stored.status == 201, stored.body
    key: str = stored.json["cache_key"]
    return key


def listed(api: Api, **query: Any) -> Any:
    found = api.get(ENTRIES, urlencode(query))
    assert found.status == 200, found.body
    return found.json


def questions(page: Any) -> list[str]:
    return [entry["question"] for entry in page["data"]]


# -- put


def test_an_entry_put_is_served_to_the_chat_endpoint(api: Api) -> None:
    stored = api.post(ENTRIES, {"question": "Who made it?", "answer": "We did.", "model": "demo-small"})
    assert (stored.status, stored.json["status"]) == (201, "created")

    served = api.chat("Who made it?")
    assert served.headers["x-cacheai-reason"] == "exact"
    assert served.headers["x-cacheai-cache-key"] == stored.json["cache_key"]
    assert served.json["choices"][0]["message"]["content"] == "We did."
    assert served.json["usage"]["total_tokens"] > 0


def test_an_equal_one_is_replaced(api: Api) -> None:
    put(api, "Who made it?", "We did.")
    again = api.post(ENTRIES, {"question": "Who made it?", "answer": "They did.", "model": "demo-small"})
    assert again.json["status"] == "updated"
    assert api.chat("Who made it?").json["choices"][0]["message"]["content"] == "They did."
    assert len(listed(api)["data"]) == 1


def test_a_whole_body_is_served_as_it_was(api: Api) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    response = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    request = {"model": "demo-small", "messages": [{"role": "user", "content": "Look!"}], "temperature": 0}
    stored = api.post(ENTRIES, {"request": request, "response": response})
    assert stored.status == 201
    served = api.chat("Look!", temperature=0)
    assert served.json["choices"][0]["message"]["tool_calls"] == [call]


def test_of_a_batch_the_good_ones_are_stored_and_the_others_say_why(api: Api) -> None:
    good = {"question": "One?", "answer": "Yes.", "model": "demo-small"}
    batch = [
        good,
        {**good, "answer": ""},
        "no object",
        {**good, "tags": ["x" * 65]},
        {**good, "question": "What is the weather today?"},
        {**good, "namespace": "a\0b"},
        {**good, "response": {"choices": []}, "answer": None},
        {**good, "project_id": str(uuid4())},
        good,
    ]
    answer = api.post(ENTRIES, {"entries": batch})
    results = answer.json["results"]
    assert answer.status == 200
    assert [one["status"] for one in results] == ["created", *["rejected"] * 7, "updated"]
    assert [one["index"] for one in results] == list(range(9))
    assert all(one["reason"] for one in results[1:8])
    assert len(listed(api)["data"]) == 1


def test_without_the_embedder_an_entry_waits_for_its_vector(api: Api, embedder: FixedEmbedder) -> None:
    from django.utils import timezone

    from cache_api import maintenance

    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    embedder.down = True
    put(api, "Who made it?", "We did.")
    embedder.down = False
    assert api.chat("Who built it?").headers["x-cacheai-reason"] == "no_candidate"

    assert maintenance.fill_vectors(embedder, timezone.now()) == 1
    assert maintenance.fill_vectors(embedder, timezone.now()) == 0
    api.delete(f"/v1/cache/{api.chat('Who built it?').headers['x-cacheai-cache-key']}")
    assert api.chat("Who built it?").headers["x-cacheai-reason"] == "similar"


def test_another_embedder_embeds_what_the_last_one_did(api: Api, embedder: FixedEmbedder) -> None:
    from django.utils import timezone

    from cache_api import maintenance

    present, embedder.version = embedder.version, "an-earlier-model"
    put(api, "Who made it?", "We did.")
    embedder.version = present
    assert maintenance.fill_vectors(embedder, timezone.now()) == 1
    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    assert api.chat("Who built it?").headers["x-cacheai-reason"] == "similar"


# -- list


def test_entries_are_listed_newest_first_without_their_answers(api: Api) -> None:
    for number in "One?", "Two?", "Three?":
        put(api, number, tags=["faq"])
    page = listed(api)
    assert questions(page) == ["Three?", "Two?", "One?"]
    assert (page["object"], page["has_more"], page["next_cursor"]) == ("list", False, None)
    assert "answer" not in page["data"][0]
    first = page["data"][0]
    assert (first["status"], first["source"], first["tags"]) == ("live", "put", ["faq"])
    assert (first["provider"], first["model"], first["endpoint"]) == ("demo", "demo-small", "chat/completions")
    assert questions(listed(api, order="created")) == ["One?", "Two?", "Three?"]
    assert listed(api, include="answer")["data"][0]["answer"] == "It is so."


@pytest.mark.parametrize("order", ["-created", "created", "-hits", "-saved"])
def test_a_cursor_leads_through_all_pages(api: Api, order: str) -> None:
    for number in range(5):
        put(api, f"Question {number}?")
    seen, cursor = [], {}
    for _ in range(3):
        page = listed(api, limit=2, order=order, **cursor)
        seen += questions(page)
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(seen) == [f"Question {number}?" for number in range(5)]
    assert page["has_more"] is False
    assert questions(listed(api, limit=2, order=order, offset=2)) == seen[2:4]


@dataclass(frozen=True)
class Shelf:
    """Six entries, of which no two are alike."""

    api: Api
    writer: str  # of the one that was bought
    middle: str  # a time after the first two were stored


@pytest.fixture
def shelf(api: Api, cast: Cast) -> Shelf:
    from cache_api.models import Entry
    from tenants import api_keys
    from tenants.isolation import as_tenant

    owner = cast.owner
    put(api, "One?", namespace="a", tags=["x", "y"], depends_on=["doc:42@7", "doc:1"])
    put(api, "Two?", namespace="b", tags=["x"], depends_on=["doc:42@8"])
    middle = datetime.now(UTC).isoformat()
    put(api, "Three?", model="demo-large")
    made = api_keys.key_create(tenant_id=owner.tenant_id, project_id=owner.project_id, name="another")
    Api(made.secret).chat("Four?")
    expired, broken = put(api, "Five?"), put(api, "Six?")
    with as_tenant(owner.tenant_id):
        mine = Entry.objects.filter(tenant_id=owner.tenant_id)
        mine.filter(fingerprint=bytes.fromhex(expired)).update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
        mine.filter(fingerprint=bytes.fromhex(broken)).update(quarantined=True)
    return Shelf(api, str(made.id), middle)


ALL = ["One?", "Two?", "Three?", "Four?", "Five?", "Six?"]
CHOSEN: list[tuple[dict[str, Any], list[str]]] = [
    ({"provider": "demo"}, ALL),
    ({"provider": "openai"}, []),
    ({"model": "demo-large"}, ["Three?"]),
    ({"namespace": "a"}, ["One?"]),
    ({"namespace": ""}, ["Three?", "Four?", "Five?", "Six?"]),
    ({"tag": "x"}, ["One?", "Two?"]),
    ({"tag": "y", "namespace": "b"}, []),
    ({"writer": "bought"}, ["Four?"]),
    ({"writer": str(uuid4())}, []),
    ({"depends_on": "doc:42"}, ["One?", "Two?"]),
    ({"depends_on": "doc:42@7"}, ["One?"]),
    ({"depends_on": "doc:1"}, ["One?"]),
    ({"depends_on": "doc:4"}, []),
    ({"tag": "x", "depends_on": "doc:42@8", "provider": "demo"}, ["Two?"]),
]
READ_ALONE: list[tuple[dict[str, Any], list[str]]] = [
    ({"source": "proxied"}, ["Four?"]),
    ({"source": "put", "namespace": ""}, ["Three?", "Five?", "Six?"]),
    ({"status": "live"}, ["One?", "Two?", "Three?", "Four?"]),
    ({"status": "expired"}, ["Five?"]),
    ({"status": "quarantined"}, ["Six?"]),
    ({"created_before": "middle"}, ["One?", "Two?"]),
    ({"created_after": "middle", "model": "demo-small"}, ["Four?", "Five?", "Six?"]),
]
PURGED_ALONE: list[tuple[dict[str, Any], list[str]]] = [
    ({"expired": True}, ["Five?"]),
    ({"older_than_hours": 1}, []),
    ({"older_than_hours": 0, "tag": "x"}, ["One?", "Two?"]),
    ({"older_than_days": 1, "older_than_hours": 0}, []),
    ({"all": True, "writer": "bought"}, ["Four?"]),
    ({"all": True}, ALL),
]


def filled_in(filters: dict[str, Any], shelf: Shelf) -> dict[str, Any]:
    known = {"bought": shelf.writer, "middle": shelf.middle}
    return {name: known.get(value, value) if isinstance(value, str) else value for name, value in filters.items()}


@pytest.mark.parametrize(("filters", "found"), [*CHOSEN, *READ_ALONE])
def test_filters_are_joined_by_and(shelf: Shelf, filters: dict[str, Any], found: list[str]) -> None:
    assert questions(listed(shelf.api, order="created", **filled_in(filters, shelf))) == found


@pytest.mark.parametrize(("filters", "found"), [*CHOSEN, *READ_ALONE])
def test_what_is_found_by_meaning_is_filtered_too(shelf: Shelf, filters: dict[str, Any], found: list[str]) -> None:
    page = listed(shelf.api, q="Three?", **filled_in(filters, shelf))
    assert sorted(questions(page)) == sorted(found)
    assert "Three?" not in found or questions(page)[0] == "Three?"


@pytest.mark.parametrize(("filters", "found"), [*CHOSEN, *PURGED_ALONE])
def test_a_purge_removes_what_its_dry_run_counts(shelf: Shelf, filters: dict[str, Any], found: list[str]) -> None:
    selector = filled_in(filters, shelf)
    counted = shelf.api.post("/v1/cache/purge", {**selector, "dry_run": True}).json
    assert counted == {"matched": len(found), "deleted": 0, "dry_run": True}
    assert questions(listed(shelf.api, order="created")) == ALL
    purged = shelf.api.post("/v1/cache/purge", selector).json
    assert purged == {"matched": len(found), "deleted": len(found), "dry_run": False}
    assert questions(listed(shelf.api, order="created")) == [one for one in ALL if one not in found]


def test_pages_by_meaning_are_told_by_their_offset(shelf: Shelf) -> None:
    first, second = (listed(shelf.api, q="One?", limit=4, offset=offset) for offset in (0, 4))
    assert (first["has_more"], second["has_more"], first["next_cursor"]) == (True, False, None)
    assert sorted(questions(first) + questions(second)) == sorted(ALL)
    cursor = listed(shelf.api, limit=1)["next_cursor"]
    assert shelf.api.get(ENTRIES, urlencode({"q": "One?", "cursor": cursor})).status == 400


def test_q_finds_by_meaning_across_scopes(api: Api, embedder: FixedEmbedder) -> None:
    put(api, "How do I get my money back?", system="Be brief.")
    put(api, "Where are you?")
    embedder.near["refund"] = ("How do I get my money back?", 0.8)
    found = listed(api, q="refund", limit=1)
    assert questions(found) == ["How do I get my money back?"]
    assert found["data"][0]["similarity"] == pytest.approx(0.8, abs=0.01)
    assert found["data"][0]["context"] == "Be brief."


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "order=up",
        "status=gone",
        "source=me",
        "writer=me",
        "created_after=yesterday",
        "cursor=nonsense",
        "cursor=bnVsbA",
        "offset=-1",
        "namespace=%00",
        "model=a%0Ab",
        "model=" + "m" * 129,
        "include=everything",
    ],
)
def test_a_bad_filter_is_refused_in_one_sentence(api: Api, query: str) -> None:
    answer = api.get(ENTRIES, query)
    assert answer.status == 400
    assert answer.json["error"]["param"] == query.partition("=")[0]
    assert isinstance(answer.json["error"]["message"], str)


# -- one entry


def test_one_entry_is_shown_whole_and_under_its_older_names(api: Api, cast: Cast) -> None:
    key = put(api, "Who made it?", "We did.", system="Be brief.")
    shown = api.get(f"/v1/cache/{key}").json
    assert (shown["cache_key"], shown["project_id"]) == (key, str(cast.owner.project_id))
    assert (shown["question"], shown["answer"], shown["context"]) == ("Who made it?", "We did.", "Be brief.")
    assert (shown["prompt"], shown["output"], shown["model_id"]) == ("Who made it?", "We did.", "demo-small")
    assert shown["response"]["choices"][0]["finish_reason"] == "stop"
    assert shown["writer"] == str(cast.owner.key_id)


def test_an_entry_is_changed_field_by_field(api: Api) -> None:
    key = put(api, "Who made it?", "We did.", tags=["old"])
    changed = api.put(f"/v1/cache/{key}", {"output": "They did.", "tags": ["new"], "ttl": 60, "team": "blue"})
    assert changed.json == {
        "cache_key": key,
        "updated_fields": ["output", "tags", "team", "ttl"],
        "created": False,
    }
    shown = api.get(f"/v1/cache/{key}").json
    assert (shown["output"], shown["tags"], shown["metadata"]) == ("They did.", ["new"], {"team": "blue"})
    served = api.chat("Who made it?")
    assert served.json["choices"][0]["message"]["content"] == "They did."
    assert int(served.headers["x-cacheai-ttl"]) <= 60


def test_a_key_of_one_s_own_holds_any_json(api: Api) -> None:
    path = "/v1/cache/my:key.1"
    assert api.get(path).status == 404
    created = api.put(path, {"value": {"a": [1, None]}, "model": "m", "ttl": "1h", "tags": ["t"], "kind": "x"})
    assert (created.status, created.json["created"]) == (200, True)
    shown = api.get(path).json
    assert (shown["cache_key"], shown["answer"], shown["source"]) == ("my:key.1", {"a": [1, None]}, "keyed")
    assert (shown["model"], shown["metadata"]) == ("m", {"kind": "x"})
    assert api.put(path, {"value": 2}).json["created"] is False
    assert api.get(path).json["answer"] == 2
    assert api.put(path, {"value": None}).status == 200
    assert api.get(path).json["answer"] is None
    assert api.delete(path).json == {"cache_key": "my:key.1", "deleted": True}
    assert api.delete(path).status == 404
    assert api.put(path, {"value": None}).json["created"] is True


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/cache/" + "0" * 64, {"output": "a"}, 404),
        ("/v1/cache/" + "0" * 64, {"value": "a"}, 404),
        ("/v1/cache/mine", {"output": "a"}, 404),
        ("/v1/cache/mine", {}, 400),
        ("/v1/cache/mine", {"prompt": "a"}, 400),
        ("/v1/cache/mine", {"output": 5}, 400),
        ("/v1/cache/mine", {"value": 1, "ttl": "soon"}, 400),
        ("/v1/cache/mine", {"value": 1, "tags": "x" * 65}, 400),
        ("/v1/cache/mine", {"value": 1, "model": "a\0"}, 400),
        ("/v1/cache/mine", {"value": 1, "note": "a\0"}, 400),
        ("/v1/cache/mine", {"value": 1, "note": "a" * 20_000}, 413),
        ("/v1/cache/mine", {"value": "a" * 1_100_000}, 413),
        ("/v1/cache/a%2Fb", {"value": 1}, 404),
        ("/v1/cache/" + "k" * 129, {"value": 1}, 404),
        ("/v1/cache/jobs", {"value": 1}, 404),
        ("/v1/cache/stats", {"value": 1}, 405),
    ],
)
def test_what_cannot_be_put_is_refused(api: Api, path: str, body: Any, status: int) -> None:
    answer = api.put(path, body)
    assert answer.status == status
    assert isinstance(answer.json["error"]["message"], str)


# -- removal


def test_a_removed_entry_is_asked_anew(api: Api) -> None:
    key = put(api, "Who made it?", "We did.")
    assert api.delete(f"/v1/cache/{key}").json == {"cache_key": key, "deleted": True}
    assert api.chat("Who made it?").headers["x-cacheai-decision"] == "miss"


def test_a_purge_takes_what_every_selector_names(api: Api) -> None:
    purge = "/v1/cache/purge"
    one = put(api, "One?", tags=["x"], depends_on=["doc:1@1"])
    put(api, "Two?", tags=["x"], model="demo-large")
    put(api, "Three?")
    assert api.post(purge, {"tag": "x", "dry_run": True}).json == {"matched": 2, "deleted": 0, "dry_run": True}
    assert api.post(purge, {"tag": "x", "model": "demo-large"}).json["deleted"] == 1
    assert api.post(purge, {"older_than_hours": 1}).json["deleted"] == 0
    assert api.post(purge, {"expired": True}).json["deleted"] == 0
    assert api.post(purge, {"keys": [one, "unknown"]}).json == {"matched": 1, "deleted": 1, "dry_run": False}
    assert api.post(purge, {"all": True}).json["deleted"] == 1
    assert listed(api)["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dry_run": True},
        {"all": False},
        {"keys": []},
        {"keys": "abc"},
        {"keys": ["a\0"]},
        {"keys": [{}]},
        {"older_than_days": "old"},
        {"older_than_hours": 1e300},
        {"older_than_hours": -1},
        {"writer": 5},
        {"model": ["a"]},
        {"namespace": "a\nb"},
        {"expired": "perhaps"},
        {"model": "demo-small", "tga": "x"},
    ],
)
def test_a_purge_without_a_good_selector_removes_nothing(api: Api, body: Any) -> None:
    put(api, "One?")
    answer = api.post("/v1/cache/purge", body)
    assert answer.status == 400
    assert isinstance(answer.json["error"]["message"], str)
    assert len(listed(api)["data"]) == 1


# -- feedback


def test_a_wrong_pair_never_matches_again(api: Api, embedder: FixedEmbedder) -> None:
    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    embedder.near["Who wrote it?"] = ("Who made it?", 0.965)  # too far from "Who built it?" to be a rewording of it
    embedder.near["Who was it that built it?"] = ("Who made it?", 0.985)
    key = put(api, "Who made it?", "We did.")
    judged = api.post("/v1/cache/feedback", {"cache_key": key, "verdict": "wrong", "question": "Who built it?"})
    assert judged.json == {"evicted": True, "pair_blocked": True}
    assert api.get(f"/v1/cache/{key}").status == 404

    put(api, "Who made it?", "We did.")  # It outlives eviction and storing anew.
    looked = api.post("/v1/cache/lookup", {"question": "Who built it?", "model": "demo-small"}).json
    assert (looked["decision"], looked["reason"]) == ("miss", "known_wrong")
    reworded = api.post("/v1/cache/lookup", {"question": "Who was it that built it?", "model": "demo-small"}).json
    assert (reworded["decision"], reworded["reason"]) == ("miss", "known_wrong")
    assert api.post("/v1/cache/lookup", {"question": "Who wrote it?", "model": "demo-small"}).json["decision"] == "hit"


def test_a_second_verdict_takes_back_its_own_hit_though_the_entry_is_gone(api: Api, cast: Cast) -> None:
    api.chat("Who made it?")
    hits = [api.chat("Who made it?") for _ in range(2)]
    told = [
        {
            "cache_key": hit.headers["x-cacheai-cache-key"],
            "request_id": hit.headers["x-cacheai-request-id"],
            "verdict": "wrong",
        }
        for hit in hits
    ]

    answers = [api.post("/v1/cache/feedback", body) for body in (*told, told[1])]

    assert [(one.status, one.json.get("evicted")) for one in answers] == [(200, True), (200, False), (200, False)]
    assert calls.query("SELECT count(*) FROM call WHERE origin = 'adjust'") == [(2,)]
    unknown = {**told[1], "request_id": f"req_{'0' * 32}"}
    assert api.post("/v1/cache/feedback", unknown).status == 404


def test_a_right_verdict_and_one_that_asks_to_keep_remove_nothing(api: Api) -> None:
    key = put(api, "Who made it?")
    right = api.post("/v1/cache/feedback", {"cache_key": key, "verdict": "right"})
    assert right.json == {"evicted": False, "pair_blocked": False}
    kept = api.post("/v1/cache/feedback", {"cache_key": key, "verdict": "wrong", "evict": False})
    assert kept.json == {"evicted": False, "pair_blocked": False}
    assert api.get(f"/v1/cache/{key}").status == 200
    assert api.get("/v1/cache/stats").json["feedback"] == {"right": 1, "wrong": 1}


def test_no_pair_is_blocked_where_the_very_question_s_own_answer_was_wrong(api: Api) -> None:
    """Kept, it is served again; and what takes its place may be right."""
    api.chat("Who made it?")
    hit = api.chat("Who made it?")
    told = {"cache_key": hit.headers["x-cacheai-cache-key"], "verdict": "wrong", "evict": False}
    for asked in ({"request_id": hit.headers["x-cacheai-request-id"]}, {"question": "Who made it?"}):
        judged = api.post("/v1/cache/feedback", {**told, **asked})
        assert judged.json == {"evicted": False, "pair_blocked": False}
    assert api.chat("Who made it?").headers["x-cacheai-reason"] == "exact"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"verdict": "wrong"}, 400),
        ({"cache_key": "k"}, 400),
        ({"cache_key": "k", "verdict": "maybe"}, 400),
        ({"cache_key": "k\0", "verdict": "wrong"}, 400),
        ({"cache_key": ["k"], "verdict": "wrong"}, 400),
        ({"cache_key": "k", "verdict": "wrong"}, 404),
    ],
)
def test_bad_feedback_is_refused(api: Api, body: Any, status: int) -> None:
    assert api.post("/v1/cache/feedback", body).status == status


# -- input of any kind

DEEP = '{"a":' * 600 + "1" + "}" * 600
PATHS = [
    ("POST", "/v1/cache/query"),
    ("POST", "/v1/cache/lookup"),
    ("POST", ENTRIES),
    ("POST", "/v1/cache/purge"),
    ("POST", "/v1/cache/feedback"),
    ("PUT", "/v1/cache/mine"),
]
BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"entries":{}}',
    b'{"entries":[]}',
    json.dumps({"entries": [{}] * 101}).encode(),
    b'{"model":"demo-small","messages":[{"role":"user","content":' + DEEP.encode() + b"}]}",
    DEEP.encode(),
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b'{"request":[],"model":"demo-small"}',
    b'{"question":{},"model":"demo-small"}',
    b'{"question":"a","model":"demo-small","cache":7}',
    b'{"question":"a","model":"demo-small","params":[]}',
    b'{"question":"a","model":"demo-small","provider":"nobody","answer":"b"}',
    b'{"question":"a","model":"demo-small","endpoint":"embeddings","answer":"b"}',
    b'{"question":"a","model":"demo-small","limit":1e9,"answer":"b","namespace":"a\\u0000"}',
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:24].decode("latin-1"))
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_body_breaks_anything(api: Api, method: str, path: str, body: bytes) -> None:
    answer = api(method, path, raw=body)
    if answer.status == 200:  # What one endpoint does not know, it passes on or leaves be.
        assert (path, b'"question":"a"' in body) == ("/v1/cache/query", True)
        return
    assert 400 <= answer.status < 500, (answer.status, answer.body)
    told = answer.json
    assert isinstance(told["message"] if "message" in told else told["error"]["message"], str)
    assert answer.headers["x-cacheai-request-id"].startswith("req_")
    assert answer.headers["cache-control"] == "no-store"


# -- who may

NEEDS = [
    ("GET", ENTRIES, "cache:read"),
    ("GET", "/v1/cache/mine", "cache:read"),
    ("POST", "/v1/cache/lookup", "cache:read"),
    ("POST", ENTRIES, "cache:write"),
    ("PUT", "/v1/cache/mine", "cache:write"),
    ("POST", "/v1/cache/feedback", "cache:write"),
    ("DELETE", "/v1/cache/mine", "cache:purge"),
    ("POST", "/v1/cache/purge", "cache:purge"),
    ("GET", "/v1/cache/stats", "stats:read"),
    ("POST", "/v1/cache/query", "proxy"),
]
SCOPES = ("proxy", "cache:read", "cache:write", "cache:purge", "stats:read")


@pytest.mark.parametrize(("method", "path", "scope"), NEEDS)
def test_each_door_has_its_own_scope(key_with: Any, method: str, path: str, scope: str) -> None:
    body = {"value": 1} if method == "PUT" else {}
    refused = key_with(*(one for one in SCOPES if one != scope))(method, path, body)
    code = refused.json["error"] if path.endswith("query") else refused.json["error"]["code"]
    assert (refused.status, code) == (403, "insufficient_scope")
    assert key_with(scope)(method, path, body).status != 403


def test_another_project_is_refused_real_or_not(api: Api, cast: Cast) -> None:
    for named in str(cast.outsider.project_id), str(uuid4()), "nonsense":
        for answer in (
            api.post("/v1/cache/lookup", {"question": "a", "model": "demo-small", "project_id": named}),
            api.post("/v1/cache/purge", {"all": True, "project_id": named}),
            api.get(ENTRIES, f"project_id={named}"),
            api.get("/v1/cache/stats", f"project_id={named}"),
        ):
            assert (answer.status, answer.json["error"]["code"]) == (403, "project_mismatch")
    assert api.get(ENTRIES, f"project_id={cast.owner.project_id}").status == 200


@pytest.mark.parametrize("stranger", ["outsider", "sibling"])
def test_a_stranger_finds_nothing_and_removes_nothing(
    api: Api, stranger: str, request: pytest.FixtureRequest, embedder: FixedEmbedder
) -> None:
    outside: Api = request.getfixturevalue(stranger)
    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    key = put(api, "Who made it?", tags=["faq"], depends_on=["doc:1"])
    api.put("/v1/cache/mine", {"value": 1})
    for query in {}, {"q": "Who built it?"}, {"tag": "faq"}, {"depends_on": "doc:1"}:
        assert listed(outside, **query)["data"] == []
    for path in f"/v1/cache/{key}", "/v1/cache/mine":
        assert (outside.get(path).status, outside.delete(path).status) == (404, 404)
    assert outside.put(f"/v1/cache/{key}", {"output": "Mine now."}).status == 404
    assert outside.post("/v1/cache/feedback", {"cache_key": key, "verdict": "wrong"}).status == 404
    for selector in {"all": True}, {"keys": [key]}, {"tag": "faq"}:
        assert outside.post("/v1/cache/purge", selector).json["matched"] == 0
    for question in "Who made it?", "Who built it?":
        looked = outside.post("/v1/cache/lookup", {"question": question, "model": "demo-small"}).json
        assert (looked["decision"], looked["candidates"]) == ("miss", [])
    assert outside.get("/v1/cache/stats").json["total_entries"] == 0
    assert outside.get("/health").json["cache"]["entries"] == 0
    assert len(listed(api)["data"]) == 2


def test_what_a_sibling_calls_wrong_is_wrong_for_it_alone(api: Api, sibling: Api, embedder: FixedEmbedder) -> None:
    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    key, theirs = put(api, "Who made it?"), put(sibling, "Who made it?")
    assert theirs != key
    sibling.post("/v1/cache/feedback", {"cache_key": theirs, "verdict": "wrong", "question": "Who built it?"})
    assert api.chat("Who built it?").headers["x-cacheai-reason"] == "similar"
