"""Is a function asked once for each set of arguments, and is a wrapped client given back as it was?"""

import asyncio
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient
from pydantic import BaseModel, SecretStr

import cacheai
from cacheai import LLMCache, cached_call, wrap_openai
from cacheai._call_key import Unserialisable, text_of

from .keyed_server import KeyedServer
from .sdk_server import BASE_URL, KEY, MESSAGES, AsyncSide, Server, SyncSide, chunks

MODEL_URL = "https://api.openai.com/v1"


class Colour(BaseModel):
    name: str


class Shade(Enum):
    LIGHT = 1
    DARK = 2


@dataclass
class Size:
    width: int


class Locked(BaseModel):
    secret: SecretStr


@pytest.fixture
def cache() -> LLMCache:
    return LLMCache(SyncSide(KeyedServer()).client())


SAME = [
    (("a",), {}, (), {"question": "a"}),
    (("a", 2), {}, ("a",), {"depth": 2}),
    (("a",), {"x": 1, "y": 2}, ("a",), {"y": 2, "x": 1}),
    (("a",), {"api_key": "one", "timeout": 1}, ("a",), {"api_key": "two", "max_retries": 3, "organization": "o"}),
    (("a",), {"x": openai.omit}, ("a",), {}),
    (("a",), {"x": {"b": 1, "a": 2}}, ("a",), {"x": {"a": 2, "b": 1}}),
    (("a",), {"x": {3, 1, 2}}, ("a",), {"x": {2, 3, 1}}),
    (("a",), {"x": Colour(name="blue")}, ("a",), {"x": Colour(name="blue")}),
]
OTHER = [
    (("a",), {}, ("b",), {}),
    (("a", 2), {}, ("a", 3), {}),
    (("a",), {"x": 1}, ("a",), {"y": 1}),
    (("a",), {"x": 1}, ("a",), {"x": "1"}),
    (("a",), {"x": 1}, ("a",), {"x": True}),
    (("a",), {"x": {1: "a"}}, ("a",), {"x": {"1": "a"}}),
    (("a",), {"x": date(2026, 3, 1)}, ("a",), {"x": "2026-03-01"}),
    (("a",), {"x": Colour(name="blue")}, ("a",), {"x": Colour(name="red")}),
    (("a",), {"x": Colour(name="blue")}, ("a",), {"x": {"name": "blue"}}),
    (("a",), {"x": Size(1)}, ("a",), {"x": Size(2)}),
    (("a",), {"x": Shade.LIGHT}, ("a",), {"x": Shade.DARK}),
    (("a",), {"x": b"1"}, ("a",), {"x": b"2"}),
    (("a",), {"x": Colour}, ("a",), {"x": Size(1)}),
    (("a",), {"history": ["b"]}, ("a",), {"history": ["c"]}),
    (("a",), {"temperature": 0}, ("a",), {"temperature": 1}),
    (("a",), {"stream": False}, ("a",), {"stream": True}),
]


@pytest.mark.parametrize(("once", "times"), [*((pair, 1) for pair in SAME), *((pair, 2) for pair in OTHER)])
@pytest.mark.parametrize("later", [False, True])
def test_a_function_is_asked_once_for_each_set_of_arguments(
    cache: LLMCache, once: tuple[Any, Any, Any, Any], times: int, later: bool
) -> None:
    asked = []

    @cached_call(cache=cache)
    def ask(question: str, depth: int = 2, **more: Any) -> str:
        asked.append(question)
        return f"answer {len(asked)}"

    @cached_call(cache=cache)
    async def ask_later(question: str, depth: int = 2, **more: Any) -> str:
        asked.append(question)
        return f"answer {len(asked)}"

    def answer(args: Any, kwargs: Any) -> str:
        return asyncio.run(ask_later(*args, **kwargs)) if later else ask(*args, **kwargs)

    args, kwargs, others, other_kwargs = once
    first, second = answer(args, kwargs), answer(others, other_kwargs)
    assert len(asked) == times
    assert (first == second) is (times == 1)


def test_function_provider_model_and_params_part_answers_too(cache: LLMCache) -> None:
    def first(model: str = "") -> str:
        return f"first {len(server_puts(cache))}"

    def second(model: str = "") -> str:
        return "second"

    ways = [
        cached_call(cache=cache)(first),
        cached_call(cache=cache)(second),
        cached_call("anthropic", cache=cache)(first),
        cached_call(model="m", cache=cache)(first),
        cached_call(params={"v": 2}, cache=cache)(first),
    ]
    answers = [way() for way in ways]
    assert len(server_puts(cache)) == len(ways)
    assert [way() for way in ways] == answers

    cached_call(cache=cache)(first)(model="n")
    assert [json.loads(put.content).get("model") for put in server_puts(cache)] == [None, None, None, "m", None, "n"]


def server_puts(cache: LLMCache) -> list[httpx2.Request]:
    transport: Any = cache.client._client._transport  # type: ignore[attr-defined]
    puts: list[httpx2.Request] = transport.handler.__self__.puts
    return puts


def test_what_a_function_says_of_itself_stays(cache: LLMCache) -> None:
    @cached_call(cache=cache, ttl_days=0.5)
    def ask(question: str) -> str:
        """Ask."""
        return question

    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    ask("a")
    assert json.loads(server_puts(cache)[0].content)["ttl"] == 12 * 3600


@pytest.mark.parametrize("argument", [object(), Locked(secret=SecretStr("x")), lambda: 1, openai.OpenAI(api_key="x")])
def test_an_argument_that_cannot_be_told_apart_leaves_the_call_uncached_and_is_said_once(
    cache: LLMCache, argument: Any
) -> None:
    @cached_call(cache=cache)
    def ask(thing: Any) -> str:
        return "fresh"

    with pytest.warns(UserWarning, match="called with a value of type"):
        assert ask(argument) == "fresh"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(argument) == "fresh"
    assert server_puts(cache) == []


def test_a_callable_without_a_name_is_called_uncached(cache: LLMCache) -> None:
    ask = cached_call(cache=cache)(partial(str.upper, "a"))
    with pytest.warns(UserWarning, match="in place of a function"):
        assert ask() == "A"
    assert server_puts(cache) == []


def test_a_method_of_an_unknown_object_is_not_cached_but_one_of_a_provider_s_client_is(cache: LLMCache) -> None:
    class Asker:
        def ask(self, question: str) -> str:
            return question

    with pytest.warns(UserWarning, match="a method of"):
        cached_call(cache=cache)(Asker().ask)("a")
    assert server_puts(cache) == []

    asked = Server()
    clients = [
        openai.OpenAI(
            api_key="x", base_url=url, http_client=DefaultHttpxClient(transport=httpx2.MockTransport(asked.handle))
        )
        for url in (MODEL_URL, "https://other.example/v1")
    ]
    for client in clients:
        create = cached_call(cache=cache)(client.chat.completions.create)
        first, again = (create(model="m", messages=MESSAGES) for _ in range(2))
        assert (type(again), again) == (type(first), first)
    assert len(asked.asked) == 2  # one for each address


def test_an_async_method_of_a_provider_s_client_is_cached(cache: LLMCache) -> None:
    asked = Server()
    transport = httpx2.MockTransport(asked.handle)

    async def twice() -> list[Any]:
        async with openai.AsyncOpenAI(api_key="x", http_client=DefaultAsyncHttpxClient(transport=transport)) as client:
            create = cached_call(cache=cache)(client.chat.completions.create)
            return [await create(model="m", messages=MESSAGES) for _ in range(2)]

    first, again = asyncio.run(twice())
    assert first == again
    assert len(asked.asked) == 1


def test_streams_are_replayed(cache: LLMCache) -> None:
    asked: list[str] = []

    @cached_call(cache=cache)
    def texts(question: str) -> Iterator[str]:
        asked.append(question)
        yield from ("a", "b")

    @cached_call(cache=cache)
    async def texts_later(question: str) -> AsyncIterator[Colour]:
        asked.append(question)
        yield Colour(name="blue")

    async def read() -> list[Colour]:
        return [item async for item in texts_later("q")]

    assert [list(texts("q")) for _ in range(2)] == [["a", "b"]] * 2
    assert [asyncio.run(read()) for _ in range(2)] == [[Colour(name="blue")]] * 2
    assert asked == ["q", "q"]


def test_without_brackets_the_decorator_says_what_is_missing() -> None:
    misused: Any = cached_call
    with pytest.raises(cacheai.ValidationError, match="brackets"):
        misused(lambda: 1)


def test_a_decorated_function_needs_no_key_before_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHEAI_API_KEY", raising=False)

    @cached_call()
    def ask() -> str:
        return "a"

    with pytest.raises(cacheai.ConfigurationError, match="API key"):
        ask()


def test_a_key_is_the_same_in_every_process() -> None:
    script = "from cacheai._call_key import text_of; print(text_of(x={'b', 'a', 'c'}, y={1: 2, 'z': 3}))"
    root = Path(__file__).parents[2]
    said = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=root, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_a_set_of_what_has_no_text_has_no_key() -> None:
    with pytest.raises(Unserialisable):
        text_of(x=[{"a": {object()}}])


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> SyncSide:
    return request.param(Server())


def openai_client(side: SyncSide, **options: Any) -> Any:
    """A client that the program had before, on the same wire."""
    transport = httpx2.MockTransport(side.server.handle)
    if isinstance(side, AsyncSide):
        http_client: Any = DefaultAsyncHttpxClient(transport=transport)
        return openai.AsyncOpenAI(**{"api_key": "sk-own", "http_client": http_client, **options})
    return openai.OpenAI(**{"api_key": "sk-own", "http_client": DefaultHttpxClient(transport=transport), **options})


def test_inside_the_block_a_client_goes_through_cacheai_with_its_own_key(side: SyncSide) -> None:
    client = openai_client(side, organization="org-1", default_headers={"X-Trace": "1"})
    held = client.chat.completions  # taken before: the same client all the same
    with wrap_openai(client, side.client(namespace="docs"), ttl_days=1) as wrapped:
        assert wrapped is client
        answer = side.get(held.create(model="gpt-5-mini", messages=MESSAGES))

    assert answer.choices[0].message.content == "Rayleigh."
    (request,) = side.server.asked
    assert str(request.url) == f"{BASE_URL}/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (request.headers["openai-organization"], request.headers["x-trace"]) == ("org-1", "1")
    assert side.server.headers() == {
        "x-cacheai-backend-provider": "openai",
        "x-cacheai-backend-api-key": "sk-own",
        "x-cacheai-backend-base-url": f"{MODEL_URL}/",
        "x-cacheai-namespace": "docs",
        "x-cacheai-ttl": "86400",
    }


CALLS = [
    ("/chat/completions", lambda client: client.chat.completions.create(model="m", messages=MESSAGES)),
    ("/completions", lambda client: client.completions.create(model="m", prompt="a")),
    ("/responses", lambda client: client.responses.create(model="m", input="a")),
    ("/embeddings", lambda client: client.embeddings.create(model="m", input="a", encoding_format="float")),
    (
        "/chat/completions",
        lambda client: client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES),
    ),
]


@pytest.mark.parametrize(("path", "call"), CALLS)
def test_four_endpoints_go_through_and_all_else_goes_where_it_went(side: SyncSide, path: str, call: Any) -> None:
    client = openai_client(side)
    with wrap_openai(client, side.client()):
        side.get(call(client))
        side.get(client.models.retrieve("m"))
        side.get(client.moderations.create(input="a"))
    side.get(call(client))

    assert side.server.urls == [
        f"{BASE_URL}{path}",
        f"{MODEL_URL}/models/m",
        f"{MODEL_URL}/moderations",
        f"{MODEL_URL}{path}",
    ]
    assert all(KEY not in repr(request.headers.raw) for request in side.server.asked[1:])


def test_a_stream_goes_through_too(side: SyncSide) -> None:
    side.server.answers = [chunks("Ray", "leigh.")]
    client = openai_client(side)
    with wrap_openai(client, side.client()):
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        assert side.texts(stream) == ["Ray", "leigh."]
    assert side.server.urls == [f"{BASE_URL}/chat/completions"]


def test_another_client_is_not_touched(side: SyncSide) -> None:
    client, other = openai_client(side), openai_client(side)
    with wrap_openai(client, side.client()):
        side.get(other.chat.completions.create(model="m", messages=MESSAGES))
    assert side.server.urls == [f"{MODEL_URL}/chat/completions"]


def test_a_client_is_given_back_after_an_error_and_after_the_inner_of_two_blocks(side: SyncSide) -> None:
    client = openai_client(side)
    before = dict(vars(client))
    with pytest.raises(RuntimeError), wrap_openai(client, side.client()):
        raise RuntimeError
    assert vars(client).keys() == before.keys()

    with wrap_openai(client, side.client(namespace="outer")):
        with wrap_openai(client, side.client(namespace="inner")):
            side.get(client.chat.completions.create(model="m", messages=MESSAGES))
        side.get(client.chat.completions.create(model="m", messages=MESSAGES))
    namespaces = [request.headers["x-cacheai-namespace"] for request in side.server.asked]
    assert namespaces == ["inner", "outer"]
    assert "request" not in vars(client)


OUT_OF_REACH = [
    httpx2.ConnectError("refused"),
    httpx2.ConnectTimeout("slow"),
    httpx2.RemoteProtocolError("closed"),
    httpx2.Response(502, text="<html>from a proxy on the way"),
    httpx2.Response(
        503, headers={"x-cacheai-request-id": "r"}, json={"error": {"message": "Not now.", "code": "unavailable"}}
    ),
    httpx2.Response(400, json={"error": {"message": "No.", "code": "base_url_not_allowed"}}),
]


@pytest.mark.parametrize("trouble", OUT_OF_REACH)
def test_out_of_reach_a_wrapped_client_asks_its_provider_itself(
    side: SyncSide, caplog: pytest.LogCaptureFixture, trouble: Any
) -> None:
    side.server.answers = [trouble]
    client = openai_client(side, max_retries=0)
    with caplog.at_level(logging.WARNING, "cacheai"), wrap_openai(client, side.client()):
        answer = side.get(client.chat.completions.create(model="m", messages=MESSAGES))

    assert answer.choices[0].message.content == "Rayleigh."
    assert side.server.urls == [f"{BASE_URL}/chat/completions", f"{MODEL_URL}/chat/completions"]
    assert side.server.asked[1].headers["authorization"] == "Bearer sk-own"
    assert "without the cache" in caplog.text


PROVIDER_S = [
    (httpx2.Response(429, json={"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}), 429),
    (httpx2.Response(500, headers={"x-cacheai-request-id": "r"}, json={"error": {"message": "Theirs."}}), 500),
    (httpx2.Response(400, json={"error": {"message": "No.", "code": "context_length_exceeded"}}), 400),
]


@pytest.mark.parametrize(("refusal", "status"), PROVIDER_S)
def test_an_error_of_the_provider_is_not_asked_for_a_second_time(
    side: SyncSide, refusal: httpx2.Response, status: int
) -> None:
    side.server.answers = [refusal]
    client = openai_client(side, max_retries=0)
    with wrap_openai(client, side.client()), pytest.raises(openai.APIStatusError) as refused:
        side.get(client.chat.completions.create(model="m", messages=MESSAGES))
    assert refused.value.status_code == status
    assert len(side.server.asked) == 1


def test_a_call_that_took_too_long_may_have_been_paid_for_and_is_not_repeated(side: SyncSide) -> None:
    side.server.answers = [httpx2.ReadTimeout("slow")]
    client = openai_client(side, max_retries=0)
    with wrap_openai(client, side.client()), pytest.raises(cacheai.TimeoutError):
        side.get(client.chat.completions.create(model="m", messages=MESSAGES))
    assert len(side.server.asked) == 1


def test_the_cache_may_be_an_llm_cache_or_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    side = SyncSide(Server())
    client = openai_client(side)
    with wrap_openai(client, LLMCache(side.client())):
        client.chat.completions.create(model="m", messages=MESSAGES)
    monkeypatch.setenv("CACHEAI_API_KEY", KEY)
    monkeypatch.setenv("CACHEAI_BASE_URL", BASE_URL)
    with wrap_openai(client):
        client.chat.completions.create(model="m", messages=MESSAGES)
    assert side.server.urls == [f"{BASE_URL}/chat/completions"] * 2


def test_a_key_that_changes_is_asked_for_at_each_call() -> None:
    side = SyncSide(Server())
    keys = iter(["sk-1", "sk-2"])
    client = openai_client(side, api_key=lambda: next(keys))
    with wrap_openai(client, side.client()):
        for _ in range(2):
            client.chat.completions.create(model="m", messages=MESSAGES)
    sent = [request.headers["x-cacheai-backend-api-key"] for request in side.server.asked]
    assert sent == ["sk-1", "sk-2"]


def test_a_client_that_cannot_be_wrapped_says_why() -> None:
    side = SyncSide(Server())
    azure = openai.AzureOpenAI(api_key="x", azure_endpoint="https://a.openai.azure.com", api_version="1")
    with pytest.raises(cacheai.ValidationError, match="base_url"), wrap_openai(azure, side.client()):
        pass
    with pytest.raises(cacheai.ValidationError, match="already"), wrap_openai(side.client(), side.client()):
        pass
    keyless = openai.OpenAI(api_key="", admin_api_key="x")
    with pytest.raises(cacheai.ValidationError, match="no key"), wrap_openai(keyless, side.client()):
        pass
    for client in (azure, keyless):
        client.close()
    assert side.server.asked == []
