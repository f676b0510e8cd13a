"""Does each method of the cache ask what `wire.md` says, and give its answer a type?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest

import cacheai

from .sdk_server import AsyncSide, Server, SyncSide

K = "ab" * 32
ENTRY = {
    "cache_key": K,
    "question": "Why is the sky blue?",
    "answer": "Rayleigh.",
    "source": "proxied",
    "created_at": "2026-03-01T12:00:00Z",
    "cost_usd": "0.000123456",
    "saved_usd": None,
    "hits": 3,
    "a_field_of_tomorrow": {"x": 1},
}

# method, arguments, what goes out (method, path, query, body), what comes back, its type
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[str, str, dict[str, str], Any], Any, type]] = [
    (
        "query",
        ("Why?",),
        {"model": "gpt-5-mini", "context": "Be brief.", "similarity_threshold": 0.9, "include_debug": False},
        (
            "POST",
            "/v1/cache/query",
            {},
            {
                "prompt": "Why?",
                "model": "gpt-5-mini",
                "context": "Be brief.",
                "similarity_threshold": 0.9,
                "include_debug": False,
            },
        ),
        {"cache_hit": True, "response": "So.", "cost_saved": 0.01, "cacheai": {"decision": "hit"}},
        cacheai.QueryAnswer,
    ),
    (
        "query",
        (),
        {"messages": ({"role": "user", "content": "Why?"},)},
        ("POST", "/v1/cache/query", {}, {"messages": [{"role": "user", "content": "Why?"}]}),
        {"cache_hit": False, "response": "So."},
        cacheai.QueryAnswer,
    ),
    (
        "lookup",
        ("Why?",),
        {"model": "gpt-5-mini", "params": {"temperature": 0}, "limit": 3, "include_answer": True},
        (
            "POST",
            "/v1/cache/lookup",
            {},
            {
                "question": "Why?",
                "model": "gpt-5-mini",
                "params": {"temperature": 0},
                "limit": 3,
                "include_answer": True,
            },
        ),
        {
            "decision": "miss",
            "reason": "below_threshold",
            "candidates": [{"cache_key": K, "similarity": 0.8}],
        },
        cacheai.LookupAnswer,
    ),
    (
        "put",
        ("Why?",),
        {"answer": "So.", "model": "gpt-5-mini", "ttl": timedelta(hours=1), "tags": ("faq",)},
        (
            "POST",
            "/v1/cache/entries",
            {},
            {"question": "Why?", "answer": "So.", "model": "gpt-5-mini", "ttl": 3600, "tags": ["faq"]},
        ),
        {"cache_key": K, "status": "created"},
        cacheai.PutAnswer,
    ),
    (
        "put_many",
        ([{"question": "Why?", "answer": "So."}],),
        {},
        ("POST", "/v1/cache/entries", {}, {"entries": [{"question": "Why?", "answer": "So."}]}),
        {"results": [{"index": 0, "cache_key": K, "status": "created", "reason": None}]},
        cacheai.PutManyAnswer,
    ),
    ("get", (K,), {}, ("GET", f"/v1/cache/{K}", {}, None), ENTRY, cacheai.Entry),
    ("get", ("user:7.profile-x",), {}, ("GET", "/v1/cache/user:7.profile-x", {}, None), ENTRY, cacheai.Entry),
    (
        "update",
        (K,),
        {"output": "So.", "model_id": "m", "converter_type": "c", "ttl": 60, "mood": None},
        (
            "PUT",
            f"/v1/cache/{K}",
            {},
            {"output": "So.", "model_id": "m", "converter_type": "c", "ttl": 60, "mood": None},
        ),
        {"cache_key": K, "updated_fields": ["output"], "created": False},
        cacheai.UpdateAnswer,
    ),
    (
        "delete",
        (K,),
        {},
        ("DELETE", f"/v1/cache/{K}", {}, None),
        {"cache_key": K, "deleted": True},
        cacheai.DeleteAnswer,
    ),
    (
        "list",
        (),
        {
            "q": "sky",
            "created_after": datetime(2026, 3, 1, tzinfo=UTC),
            "include_answer": True,
            "order": "-hits",
            "limit": 10,
        },
        (
            "GET",
            "/v1/cache/entries",
            {
                "q": "sky",
                "created_after": "2026-03-01T00:00:00+00:00",
                "include": "answer",
                "order": "-hits",
                "limit": "10",
            },
            None,
        ),
        {"object": "list", "data": [ENTRY], "has_more": True, "next_cursor": "c1"},
        cacheai.EntryList,
    ),
    (
        "feedback",
        (K, "wrong"),
        {"request_id": "r1", "evict": False},
        (
            "POST",
            "/v1/cache/feedback",
            {},
            {"cache_key": K, "verdict": "wrong", "request_id": "r1", "evict": False},
        ),
        {"evicted": True, "pair_blocked": True},
        cacheai.FeedbackAnswer,
    ),
    (
        "purge",
        (),
        {"keys": (K,), "older_than_days": 7, "dry_run": True},
        ("POST", "/v1/cache/purge", {}, {"keys": [K], "older_than_days": 7, "dry_run": True}),
        {"matched": 3, "deleted": 0, "dry_run": True},
        cacheai.PurgeAnswer,
    ),
    (
        "stats",
        (),
        {"since": "2026-03-01"},
        ("GET", "/v1/cache/stats", {"since": "2026-03-01"}, None),
        {
            "hits": 2,
            "misses": 2,
            "total_lookups": 4,
            "hit_rate": 0.5,
            "provider_stats": {"openai": {"count": 4}},
        },
        cacheai.Stats,
    ),
]


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> Iterator[SyncSide]:
    return request.param(Server())


@pytest.mark.parametrize(("name", "args", "kwargs", "sent", "answer", "kind"), CALLS)
def test_each_method_asks_in_the_words_of_the_wire(
    side: SyncSide,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sent: tuple[str, str, dict[str, str], Any],
    answer: Any,
    kind: type,
) -> None:
    side.server.answers = [answer]
    got = side.get(getattr(side.client().cache, name)(*args, **kwargs))

    assert type(got) is kind
    (request,) = side.server.asked
    body = side.server.body() if request.content else None
    assert (request.method, request.url.path, dict(request.url.params), body) == sent


def test_an_entry_has_types_and_keeps_fields_of_tomorrow(side: SyncSide) -> None:
    side.server.answers = [{"object": "list", "data": [ENTRY], "has_more": False}]
    (entry,) = side.get(side.client().cache.list()).data

    assert entry.cost_usd == Decimal("0.000123456")
    assert entry.saved_usd is None
    assert entry.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert entry.a_field_of_tomorrow == {"x": 1}
    with pytest.raises(ValueError, match="frozen"):
        entry.hits = 9


def test_a_word_of_tomorrow_breaks_nothing(side: SyncSide) -> None:
    side.server.answers = [{"decision": "divined", "similarity": "high", "candidates": None}]

    assert side.get(side.client().cache.lookup("Why?", model="m")).decision == "divined"


@pytest.mark.parametrize(
    "cache_key", ["", ".", "..", "a/b", "a?b", "a b", "ü", "k" * 129, "a\n", "..%2Fstats", "stats"]
)
@pytest.mark.parametrize("name", ["get", "update", "delete"])
def test_what_is_no_cache_key_is_never_sent(side: SyncSide, name: str, cache_key: str) -> None:
    fields = {"output": "So."} if name == "update" else {}

    with pytest.raises(cacheai.ValidationError, match="cache key"):
        side.get(getattr(side.client().cache, name)(cache_key, **fields))
    assert side.server.asked == []


def test_an_update_of_nothing_is_refused(side: SyncSide) -> None:
    with pytest.raises(cacheai.ValidationError, match="field"):
        side.get(side.client().cache.update(K))


def test_a_time_without_its_zone_is_refused(side: SyncSide) -> None:
    with pytest.raises(cacheai.ValidationError, match="time zone"):
        side.get(side.client().cache.stats(since=datetime(2026, 3, 1)))


def test_one_text_in_place_of_a_list_is_refused(side: SyncSide) -> None:
    with pytest.raises(cacheai.ValidationError, match="list"):
        side.get(side.client().cache.purge(keys="abc"))


@pytest.mark.parametrize("answer", [{"html": "<html>"}, {"json": {}}, {"json": {"status": "ok"}}, {"json": []}])
def test_a_web_page_or_json_of_another_service_is_a_cache_error(side: SyncSide, answer: dict[str, Any]) -> None:
    side.server.answers = [httpx2.Response(200, **answer)]

    with pytest.raises(cacheai.CacheError, match="base_url"):
        side.get(side.client().cache.stats())


def test_a_missing_entry_is_not_found(side: SyncSide) -> None:
    side.server.refuse(404, "not_found")

    with pytest.raises(cacheai.NotFoundError):
        side.get(side.client().cache.get(K))


def test_the_cache_of_a_copy_asks_with_the_copy_s_settings(side: SyncSide) -> None:
    side.server.answers = [{"cache_key": K, "status": "created"}]
    client = side.client(namespace="docs")
    side.get(client.with_options(namespace="other").cache.put("Why?", answer="So.", model="m"))

    assert side.server.headers() == {"x-cacheai-namespace": "other"}
