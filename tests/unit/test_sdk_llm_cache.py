"""Does an answer kept under a key of one's own come back as it was, and does trouble of the cache stay its own?"""

import asyncio
import json
import logging
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import anthropic.types
import httpx2
import openai
import openai.types
import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

import cacheai
from cacheai import LLMCache
from cacheai._call_key import key_of

from .keyed_server import KeyedServer
from .sdk_server import AsyncSide, SyncSide, completion

NAMES = ("openai", "gpt-5-mini", "/v1/chat/completions")


class Colour(BaseModel):
    name: str


@dataclass
class Shade:
    name: str
    depth: int


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> SyncSide:
    return request.param(KeyedServer())


def asked(side: SyncSide, cache: LLMCache, fetch: Any, *, key: str = "k", stream: bool = False, **more: Any) -> Any:
    """Through the one or the other method; `fetch` is a plain function."""
    if isinstance(side, AsyncSide):

        async def fetch_later() -> Any:
            return fetch()

        fetch_later.__annotations__ = getattr(fetch, "__annotations__", {})
        return asyncio.run(cache.get_or_set_async(key, fetch_later, *NAMES, {"q": 1}, stream=stream, **more))
    return cache.get_or_set(key, fetch, *NAMES, {"q": 1}, stream=stream, **more)


def test_an_answer_is_fetched_once_and_stored_under_the_digest_of_its_key(side: SyncSide) -> None:
    cache = LLMCache(side.client())
    fetched = []

    def fetch() -> dict[str, Any]:
        fetched.append(1)
        return {"text": "Rayleigh.", "n": [1, 2.5, None, True]}

    key = "any text, with 日本 and / in it"
    assert asked(side, cache, fetch, key=key, ttl_days=2) == asked(side, cache, fetch, key=key)
    assert fetched == [1]

    (put,) = side.server.puts
    assert put.url.path == f"/v1/cache/{key_of(key)}"
    body = json.loads(put.content)
    assert (body["model"], body["provider"], body["endpoint"]) == ("gpt-5-mini", "openai", "/v1/chat/completions")
    assert body["ttl"] == 2 * 24 * 3600
    assert body["value"]["request"] == {"q": 1}


ANSWERS = [
    None,
    "Rayleigh.",
    3,
    True,
    ["a", {"b": [1.5]}],
    ChatCompletion.construct(**completion()),
    ChatCompletion.construct(**completion(cacheai={"decision": "miss"}, a_field_of_tomorrow=[1])),
    CreateEmbeddingResponse.construct(
        object="list", model="m", data=[{"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}], usage={}
    ),
    anthropic.types.Message.construct(
        id="msg_1", type="message", role="assistant", model="claude", content=[{"type": "text", "text": "Hi."}]
    ),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_hit_has_the_first_answer_s_type(side: SyncSide, answer: Any) -> None:
    cache = LLMCache(side.client())
    asked(side, cache, lambda: answer)
    hit = asked(side, cache, lambda: pytest.fail("fetched twice"))

    assert type(hit) is type(answer)
    assert hit == answer


def test_the_annotation_brings_a_type_of_the_caller_s_back(side: SyncSide) -> None:
    cache = LLMCache(side.client())

    def colour() -> Colour:
        return Colour(name="blue")

    def shades() -> tuple[Shade, ...]:
        return (Shade("blue", 3),)

    for fetch in (colour, shades):
        first = asked(side, cache, fetch, key=fetch.__name__)
        hit = asked(side, cache, fetch, key=fetch.__name__)
        assert (type(hit), hit) == (type(first), first)
    assert len(side.server.puts) == 2


@pytest.mark.parametrize("answer", [Colour(name="blue"), (1, 2), {1: "a"}, object(), float("nan"), {"a": {1, 2}}])
def test_what_json_would_change_is_not_stored_and_that_is_said_once(side: SyncSide, answer: Any) -> None:
    cache = LLMCache(side.client())
    with pytest.warns(UserWarning, match="not cached: an answer of type"):
        assert asked(side, cache, lambda: answer) is answer
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asked(side, cache, lambda: answer) is answer
    assert side.server.puts == []


TAMPERED = [
    {"type": "os:system", "value": {}},
    {"type": "openai.types.chat.chat_completion:BaseModel.__init__", "value": {}},
    {"type": "openai.types.chat.chat_completion:List", "value": {}},
    {"type": "openai.types.no_such_module:Thing", "value": {}},
    {"type": "annotated", "value": {}},
    {"type": "stream", "of": "os.Stream", "types": [], "value": []},
    {"output": "x"},
    "text",
    None,
]


@pytest.mark.parametrize("value", TAMPERED)
def test_what_something_else_stored_is_fetched_anew(side: SyncSide, value: Any) -> None:
    side.server.values[key_of("k")] = value
    assert asked(side, LLMCache(side.client()), lambda: "fresh") == "fresh"
    assert side.server.values[key_of("k")]["value"] == "fresh"


def test_an_expired_entry_is_a_miss(side: SyncSide) -> None:
    cache = LLMCache(side.client())
    asked(side, cache, lambda: "old")
    side.server.status = "expired"

    assert asked(side, cache, lambda: "new") == "new"


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        httpx2.Response(503, json={"error": {"message": "Not now.", "code": "unavailable"}}),
        httpx2.Response(429, json={"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}),
        httpx2.Response(401, json={"error": {"message": "No.", "code": "invalid_api_key"}}),
        httpx2.Response(200, text="<html>", headers={"content-type": "text/html"}),
    ],
)
def test_out_of_reach_the_call_goes_straight_through_after_one_try(
    side: SyncSide, caplog: pytest.LogCaptureFixture, trouble: Any
) -> None:
    side.server.answers = [trouble]
    with caplog.at_level(logging.WARNING, "cacheai"):
        assert asked(side, LLMCache(side.client()), lambda: "fresh") == "fresh"

    assert len(side.server.asked) == 1
    assert "out of reach" in caplog.text


def test_an_answer_that_cannot_be_stored_is_given_all_the_same(
    side: SyncSide, caplog: pytest.LogCaptureFixture
) -> None:
    missing = httpx2.Response(404, json={"error": {"message": "No.", "code": "not_found"}})
    side.server.answers = [missing, httpx2.ConnectError("refused")]
    with caplog.at_level(logging.WARNING, "cacheai"):
        assert asked(side, LLMCache(side.client()), lambda: "fresh") == "fresh"
    assert "not stored" in caplog.text


def test_an_error_of_the_fetch_is_the_call_s_and_nothing_is_stored(side: SyncSide) -> None:
    def fetch() -> Any:
        raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        asked(side, LLMCache(side.client()), fetch)
    assert side.server.puts == []


def chunk(text: str, finish_reason: str | None = None) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return ChatCompletionChunk.construct(id="c", object="chat.completion.chunk", created=1, model="m", choices=[choice])


def sdk_stream(side: SyncSide, kind: Any, items: list[Any]) -> Any:
    """As the package gives it, but for the connection."""

    async def later() -> AsyncIterator[Any]:
        for item in items:
            yield item

    stream = kind.__new__(kind)
    stream._iterator = later() if isinstance(side, AsyncSide) else iter(items)
    stream.response = httpx2.Response(200)
    return stream


def items_of(side: SyncSide, cache: LLMCache, fetch: Any, **more: Any) -> tuple[type, list[Any]]:
    """What the stream is, and holds; read in the loop that began it."""
    if not isinstance(side, AsyncSide):
        stream = cache.get_or_set("k", fetch, *NAMES, stream=True, **more)
        return type(stream), list(stream)

    async def read() -> tuple[type, list[Any]]:
        async def fetch_later() -> Any:
            return fetch()

        stream = await cache.get_or_set_async("k", fetch_later, *NAMES, stream=True, **more)
        return type(stream), [item async for item in stream]

    return asyncio.run(read())


WHOLE = [
    (openai, [chunk("Ray"), chunk("leigh."), chunk("", "stop")]),
    (
        anthropic,
        [
            anthropic.types.RawContentBlockDeltaEvent.construct(
                type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Ray"}
            ),
            anthropic.types.RawMessageStopEvent.construct(type="message_stop"),
        ],
    ),
]


@pytest.mark.parametrize(("package", "items"), WHOLE)
def test_a_stream_read_to_its_end_is_replayed_as_the_same_stream(
    side: SyncSide, package: Any, items: list[Any]
) -> None:
    cache = LLMCache(side.client())
    kind = package.AsyncStream if isinstance(side, AsyncSide) else package.Stream

    first = items_of(side, cache, lambda: sdk_stream(side, kind, items))
    again = items_of(side, cache, lambda: pytest.fail("fetched twice"))

    assert first == again == (kind, items)
    assert [type(item) for item in again[1]] == [type(item) for item in items]


@pytest.mark.parametrize("chunks", [["Ray", "leigh."], iter(["Ray", "leigh."]), map(str.strip, ["Ray ", "leigh."])])
def test_what_is_called_a_stream_is_one_whatever_iterates(chunks: Any) -> None:
    cache = LLMCache(SyncSide(KeyedServer()).client())
    assert list(cache.get_or_set("k", lambda: chunks, *NAMES, stream=True)) == ["Ray", "leigh."]
    assert list(cache.get_or_set("k", lambda: pytest.fail("fetched twice"), *NAMES, stream=True)) == ["Ray", "leigh."]


class Later:
    """An iterator of events that is no generator."""

    def __init__(self) -> None:
        self.left = ["leigh.", "Ray"]

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


def test_what_is_called_a_stream_is_one_whatever_iterates_later() -> None:
    side = AsyncSide(KeyedServer())
    cache = LLMCache(side.client())
    _, first = items_of(side, cache, Later)
    assert first == ["Ray", "leigh."]
    assert items_of(side, cache, lambda: pytest.fail("fetched twice"))[1] == first


@pytest.mark.parametrize("called_a_stream", [True, False])
def test_a_stream_of_the_other_kind_is_handed_on_uncached(side: SyncSide, called_a_stream: bool) -> None:
    async def later() -> AsyncIterator[str]:
        yield "Ray"

    def fetch() -> Any:
        return (text for text in ["Ray"]) if isinstance(side, AsyncSide) else later()

    with pytest.warns(UserWarning, match="generator"):
        stream = asked(side, LLMCache(side.client()), fetch, stream=called_a_stream)
    assert hasattr(stream, "__next__") is isinstance(side, AsyncSide)
    assert side.server.puts == []


def test_the_warning_names_the_line_that_asked() -> None:
    cache = LLMCache(SyncSide(KeyedServer()).client())
    with pytest.warns(UserWarning, match="not cached") as told:
        cache.get_or_set("k", object, *NAMES)
    assert told[0].filename == __file__


def test_a_stream_that_broke_off_is_not_stored(side: SyncSide) -> None:
    kind = openai.AsyncStream if isinstance(side, AsyncSide) else openai.Stream
    with pytest.warns(UserWarning, match="broke off"):
        items_of(side, LLMCache(side.client()), lambda: sdk_stream(side, kind, [chunk("Ray")]))
    assert side.server.puts == []


def test_a_stream_left_in_the_middle_is_not_stored() -> None:
    side = SyncSide(KeyedServer())
    stream = LLMCache(side.client()).get_or_set("k", lambda: (text for text in "abc"), *NAMES, stream=True)
    assert next(stream) == "a"
    stream.close()
    assert side.server.puts == []


def test_a_stream_is_never_given_where_a_whole_answer_is_wanted_nor_the_other_way() -> None:
    side = SyncSide(KeyedServer())
    cache = LLMCache(side.client())
    assert list(cache.get_or_set("k", lambda: (text for text in "ab"), *NAMES, stream=True)) == ["a", "b"]
    assert cache.get_or_set("k", lambda: "ab", *NAMES) == "ab"
    assert list(cache.get_or_set("k", lambda: (text for text in "cd"), *NAMES, stream=True)) == ["c", "d"]


def test_entries_are_set_shown_listed_and_deleted() -> None:
    server = KeyedServer()
    cache = LLMCache(SyncSide(server).client(), default_ttl_days=1)
    cache.set("a", *NAMES, {"q": 1}, ChatCompletion.construct(**completion()))
    cache.set("s", *NAMES, None, ["Ray", "leigh."], stream=True)

    entry = cache.get("a")
    assert entry is not None
    shown: Any = entry
    assert isinstance(shown.response_data, ChatCompletion)
    assert shown.answer == shown.response_data
    assert shown.request_data == {"q": 1}
    assert json.loads(server.puts[0].content)["ttl"] == 24 * 3600
    assert list(cache.get_or_set("s", lambda: pytest.fail("fetched"), *NAMES, stream=True)) == ["Ray", "leigh."]

    assert cache.get("b") is None
    assert cache.delete("a") is True
    assert cache.delete("a") is False
    with pytest.raises(cacheai.ValidationError, match="cannot be stored"):
        cache.set("a", *NAMES, None, object())


def test_lists_go_on_to_the_next_page_and_purges_say_how_many() -> None:
    server = KeyedServer()
    cache = LLMCache(SyncSide(server).client())
    row = {"cache_key": "k_1"}
    server.answers = [
        {"data": [row] * 200, "has_more": True, "next_cursor": "c1"},
        {"data": [row] * 50, "has_more": True, "next_cursor": "c2"},
        {"data": [row], "has_more": False},
        {"matched": 4, "deleted": 4},
        {"matched": 2, "deleted": 2},
        {"hits": 1, "misses": 1, "total_lookups": 2, "hit_rate": 0.5},
    ]
    assert len(cache.list_entries(250, provider="openai", model="m")) == 250
    first, second = (dict(request.url.params) for request in server.asked[:2])
    assert first == {"source": "keyed", "limit": "200", "model": "m", "tag": "provider:openai"}
    assert second == {**first, "limit": "50", "cursor": "c1"}
    cache.list_entries(query="sky", provider="openai", offset=3)
    sought = dict(server.asked[-1].url.params)
    assert sought == {"q": "sky", "limit": "200", "offset": "3", "provider": "openai"}

    assert cache.purge_expired() == 4
    assert server.body() == {"expired": True}
    assert cache.purge_older_than(7) == 2
    assert server.body() == {"older_than_days": 7}
    assert cache.get_stats().hits == 1
    cache.close()


def test_arguments_of_older_caches_are_taken_with_a_warning() -> None:
    client = SyncSide(KeyedServer()).client()
    with pytest.warns(UserWarning, match="ignores backend, database_url, enable_encryption"):
        LLMCache(client, backend="sqlite", database_url="sqlite://", enable_encryption=False)


def test_a_cache_needs_a_key_and_a_client_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHEAI_API_KEY", raising=False)
    with pytest.raises(cacheai.ConfigurationError, match="API key"):
        LLMCache()
    not_ours: Any = openai.OpenAI(api_key="x")
    with pytest.raises(cacheai.ConfigurationError, match="client"):
        LLMCache(not_ours)
    not_ours.close()


def test_a_blocking_client_serves_async_calls_beside_the_loop_and_not_the_other_way() -> None:
    blocking = LLMCache(SyncSide(KeyedServer()).client())

    async def fetch() -> str:
        return "fresh"

    async def twice() -> list[str]:
        return [await blocking.get_or_set_async("k", fetch, *NAMES) for _ in range(2)]

    assert asyncio.run(twice()) == ["fresh", "fresh"]
    with pytest.raises(cacheai.ValidationError, match="not async"):
        LLMCache(AsyncSide(KeyedServer()).client()).get_or_set("k", lambda: "x", *NAMES)


def test_generators_of_both_kinds_are_replayed() -> None:
    def texts() -> Iterator[str]:
        yield from ("a", "b")

    async def later() -> AsyncIterator[str]:
        for text in ("a", "b"):
            yield text

    for side, fetch in ((SyncSide(KeyedServer()), texts), (AsyncSide(KeyedServer()), later)):
        cache = LLMCache(side.client())
        first = items_of(side, cache, fetch)
        assert items_of(side, cache, lambda: pytest.fail("fetched twice")) == first == (first[0], ["a", "b"])
