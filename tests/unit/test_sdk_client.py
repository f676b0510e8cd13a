"""Does a call through the SDK behave as one through openai's package, errors included?"""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

import cacheai

from .sdk_server import KEY, MESSAGES, AsyncSide, Server, SyncSide, chunks, completion


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> Iterator[SyncSide]:
    return request.param(Server())


def ask(side: SyncSide, client: Any, **more: Any) -> Any:
    return side.get(client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, **more))


def test_an_answer_comes_typed_with_what_the_cache_decided(side: SyncSide) -> None:
    side.server.answers = [completion(cacheai={"decision": "hit", "layer": "exact"}, cacheback_hit=True)]
    answer = ask(side, side.client())

    assert isinstance(answer, openai.types.chat.ChatCompletion)
    assert answer.choices[0].message.content == "Rayleigh."
    assert answer.cacheai["decision"] == "hit"
    assert answer.cacheback_hit is True
    assert side.server.body() == {"model": "gpt-5-mini", "messages": MESSAGES}


def test_a_stream_comes_piece_by_piece(side: SyncSide) -> None:
    side.server.answers = [chunks("Ray", "leigh", ".")]
    stream = side.client().chat.completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True)

    assert side.texts(stream) == ["Ray", "leigh", "."]


def test_headers_can_be_read_beside_the_answer(side: SyncSide) -> None:
    side.server.answers = [httpx2.Response(200, json=completion(), headers={"X-CacheAI-Decision": "hit"})]
    raw = side.get(side.client().chat.completions.with_raw_response.create(model="gpt-5-mini", messages=MESSAGES))

    assert raw.headers["x-cacheai-decision"] == "hit"
    assert raw.parse().choices[0].message.content == "Rayleigh."


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid_control", openai.BadRequestError),
        (401, "invalid_api_key", cacheai.AuthenticationError),
        (403, "insufficient_scope", cacheai.PermissionDeniedError),
        (404, "not_found", cacheai.NotFoundError),
        (429, "rate_limit_exceeded", cacheai.RateLimitError),
        (500, "internal_error", cacheai.APIError),
        (503, "unavailable", cacheai.APIError),
        (504, "not_cached", cacheai.APIError),
    ],
)
def test_a_refusal_is_a_typed_error_with_its_code(
    side: SyncSide, status: int, code: str, error: type[openai.APIStatusError]
) -> None:
    side.server.refuse(status, code, message="Say why.")

    with pytest.raises(error) as refused:
        ask(side, side.client(max_retries=0))
    assert isinstance(refused.value, cacheai.CacheAIError)
    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert "Say why." in str(refused.value)


def test_the_flat_errors_of_query_are_as_readable(side: SyncSide) -> None:
    text = "similarity_threshold must be between 0 and 1"
    side.server.answers = [httpx2.Response(400, json={"detail": text, "message": text, "error": "invalid_request"})]

    with pytest.raises(openai.BadRequestError, match="between 0 and 1") as refused:
        side.get(side.client().cache.query("Why?", model="gpt-5-mini", similarity_threshold=2))
    assert refused.value.code == "invalid_request"


@pytest.mark.parametrize(("raised", "error"), [
    (httpx2.ReadTimeout("slow"), cacheai.TimeoutError),
    (httpx2.ConnectError("refused"), cacheai.ConnectionError),
])  # fmt: skip
def test_a_lost_line_is_a_typed_error(side: SyncSide, raised: Exception, error: type[Exception]) -> None:
    side.server.answers = [raised]

    with pytest.raises(error):
        ask(side, side.client(max_retries=0))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_trouble_is_tried_again_as_often_as_told(side: SyncSide, status: int) -> None:
    side.server.refuse(status, "passing", times=2)
    assert ask(side, side.client(max_retries=2)).choices[0].message.content == "Rayleigh."

    side.server.refuse(status, "passing", times=2)
    with pytest.raises(cacheai.CacheAIError):
        ask(side, side.client(max_retries=1))
    assert len(side.server.asked) == 5


def test_a_wrong_key_is_not_tried_again(side: SyncSide) -> None:
    side.server.refuse(401, "invalid_api_key")

    with pytest.raises(cacheai.AuthenticationError):
        ask(side, side.client())
    assert len(side.server.asked) == 1


def test_the_timeout_reaches_the_wire(side: SyncSide) -> None:
    ask(side, side.client())
    ask(side, side.client(timeout=2.5))
    ask(side, side.client().with_options(timeout=1.5))
    ask(side, side.client(), timeout=0.5)

    assert [request.extensions["timeout"]["read"] for request in side.server.asked] == [60.0, 2.5, 1.5, 0.5]


def test_a_copy_keeps_everything(monkeypatch: pytest.MonkeyPatch, side: SyncSide) -> None:
    options = {
        "enable_cache": False,
        "backend_provider": "groq",
        "backend_api_key": "gsk-1",
        "backend_base_url": "https://a.example/v1",
        "baseline_model": "llama",
        "namespace": "docs",
        "ttl": "2h",
        "similarity_threshold": 0.9,
        "tags": ["faq"],
        "end_user": "u-7",
        "task": "summaries",
        "timeout": 7.0,
        "max_retries": 5,
        "default_headers": {"X-Team": "blue"},
    }
    client = side.client(**options)
    # The environment of today is not the copy's business.
    monkeypatch.setenv("CACHEAI_BASELINE_MODEL_PROVIDER", "xai")

    for one in (client, client.copy(), client.with_options(), client.copy().copy()):
        ask(side, one)
        assert type(one) is type(client)
        assert (one.timeout, one.max_retries, one.api_key) == (7.0, 5, KEY)
    first = side.server.headers(0)
    assert len(first) == 11
    assert all(side.server.headers(index) == first for index in range(4))
    assert {request.headers["x-team"] for request in side.server.asked} == {"blue"}


def test_a_copy_changes_what_it_was_told_and_not_its_original(side: SyncSide) -> None:
    client = side.client(ttl=60, namespace="docs")
    ask(side, client.with_options(ttl=5, namespace=None, tags=["x"], timeout=3.0))
    assert side.server.headers() == {"x-cacheai-ttl": "5", "x-cacheai-tags": "x"}

    ask(side, client)
    assert side.server.headers() == {"x-cacheai-ttl": "60", "x-cacheai-namespace": "docs"}


def test_new_default_headers_of_a_copy_leave_the_cache_s_in_place(side: SyncSide) -> None:
    client = side.client(ttl=60, default_headers={"X-Team": "blue"})
    ask(side, client.with_options(set_default_headers={"X-Team": "red"}))

    assert side.server.headers() == {"x-cacheai-ttl": "60"}
    assert side.server.asked[0].headers["x-team"] == "red"


def test_a_copy_with_spellings_that_differ_is_refused(side: SyncSide) -> None:
    with pytest.raises(cacheai.ValidationError, match="mean the same"):
        side.client(backend_provider="groq").copy(baseline_model_provider="xai")


def test_a_header_of_one_call_beats_the_client_s(side: SyncSide) -> None:
    ask(side, side.client(ttl=60), extra_headers={"x-cacheai-ttl": "5"})

    assert side.server.headers() == {"x-cacheai-ttl": "5"}


def test_a_key_may_be_a_function() -> None:
    side = SyncSide(Server())
    ask(side, side.client(api_key=lambda: "ca-fresh"))
    assert side.server.asked[0].headers["authorization"] == "Bearer ca-fresh"


def test_a_client_is_closed_at_the_end_of_its_block() -> None:
    with SyncSide(Server()).client() as client:
        assert not client.is_closed()
    assert client.is_closed()


def test_an_async_client_is_closed_at_the_end_of_its_block() -> None:
    async def block() -> Any:
        async with AsyncSide(Server()).client() as client:
            assert not client.is_closed()
        return client

    assert asyncio.run(block()).is_closed()
