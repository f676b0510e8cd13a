"""A private model: the client asks it, stores its answer, and shows CacheAI's key to nobody else."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

import cacheai
from cacheai._baseline import is_private

from .sdk_server import BASE_URL, KEY, MESSAGES, AsyncSide, Server, SyncSide, chunks, completion

K = "cd" * 32
MODEL_URL = "http://127.0.0.1:11434/v1"
PENDING = {"requires_baseline_model": True, "cache_key": K}
STORED = {"cache_key": K, "updated_fields": ["output"], "created": True}


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> Iterator[SyncSide]:
    return request.param(Server())


def client_of(side: SyncSide, **options: Any) -> Any:
    told = {
        "baseline_model_provider": "ollama",
        "baseline_model": "llama3",
        "baseline_model_api_key": "own-key",
        "baseline_model_base_url": MODEL_URL,
    }
    return side.client(**{**told, **options})


def ask(side: SyncSide, client: Any, **more: Any) -> Any:
    return side.get(client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, **more))


def test_a_miss_is_asked_of_the_caller_s_model_and_stored(side: SyncSide) -> None:
    side.server.answers = [PENDING, completion("From home."), STORED]
    answer = ask(side, client_of(side), max_tokens=50, temperature=0, extra_body={"cache": {"ttl": 60}})

    assert answer.choices[0].message.content == "From home."
    assert side.server.urls == [
        f"{BASE_URL}/chat/completions",
        f"{MODEL_URL}/chat/completions",
        f"{BASE_URL}/cache/{K}",
    ]
    assert side.server.body(1) == {
        "model": "llama3",
        "messages": MESSAGES,
        "max_completion_tokens": 50,
        "temperature": 0,
    }
    assert side.server.asked[2].method == "PUT"
    assert side.server.body(2) == {
        "output": "From home.",
        "model_id": "llama3",
        "prompt": "user: Why is the sky blue?",
    }


def test_the_caller_s_model_sees_its_own_key_and_nothing_of_ours(side: SyncSide) -> None:
    side.server.answers = [PENDING, completion(), STORED]
    ask(side, client_of(side, namespace="docs"), extra_headers={"X-Trace": "1"})

    headers = side.server.asked[1].headers
    assert headers["authorization"] == "Bearer own-key"
    assert KEY not in repr(headers.raw)
    assert not [name for name in headers if name.startswith("x-cacheai-") or name == "x-trace"]
    assert side.server.asked[2].headers["authorization"] == f"Bearer {KEY}"


def test_a_hit_never_reaches_the_caller_s_model(side: SyncSide) -> None:
    assert ask(side, client_of(side)).choices[0].message.content == "Rayleigh."
    assert side.server.paths == [("POST", "/v1/chat/completions")]


def test_without_a_model_of_its_own_the_call_s_is_asked(side: SyncSide) -> None:
    side.server.answers = [PENDING, completion(), STORED]
    ask(side, client_of(side, baseline_model=""))

    assert side.server.body(1)["model"] == "gpt-5-mini"


@pytest.mark.parametrize(
    ("refusal", "logged"),
    [
        (
            httpx2.Response(429, json={"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}),
            "Slow down.",
        ),
        (httpx2.Response(503, json={"error": {"message": "Not now.", "code": "unavailable"}}), "Not now."),
        (httpx2.Response(404, json={"error": {"message": "Gone.", "code": "not_found"}}), "Gone."),
        (httpx2.ConnectError("refused"), "Connection error"),
    ],
)
def test_a_failed_put_is_logged_once_and_the_answer_still_comes(
    side: SyncSide, caplog: pytest.LogCaptureFixture, refusal: Any, logged: str
) -> None:
    side.server.answers = [PENDING, completion("From home."), refusal]
    with caplog.at_level(logging.WARNING, "cacheai"):
        answer = ask(side, client_of(side))

    assert answer.choices[0].message.content == "From home."
    assert len(side.server.asked) == 3
    (record,) = [record for record in caplog.records if record.name == "cacheai"]
    assert logged in record.getMessage()
    assert "sky" not in record.getMessage()


@pytest.mark.parametrize(
    "answer",
    [
        completion(choices=[]),
        completion(
            choices=[{"index": 0, "message": {"role": "assistant", "content": "Cut"}, "finish_reason": "length"}]
        ),
        completion(choices=[{"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "stop"}]),
        completion(
            choices=[
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [{"id": "c", "type": "function"}],
                    },
                    "finish_reason": "stop",
                }
            ]
        ),
        completion(choices=[{"index": i, "message": {"content": "x"}, "finish_reason": "stop"} for i in (0, 1)]),
    ],
)
def test_what_is_not_one_finished_text_is_given_but_not_stored(side: SyncSide, answer: dict[str, Any]) -> None:
    side.server.answers = [PENDING, answer]
    got = ask(side, client_of(side))

    assert len(got.choices) == len(answer["choices"])
    assert len(side.server.asked) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, cacheai.AuthenticationError), (400, openai.BadRequestError), (500, cacheai.APIError)],
)
def test_an_error_of_the_caller_s_model_is_the_call_s_error(
    side: SyncSide, status: int, error: type[openai.APIStatusError]
) -> None:
    side.server.answers = [PENDING]
    side.server.refuse(status, "theirs")

    with pytest.raises(error) as refused:
        ask(side, client_of(side, max_retries=0))
    assert str(refused.value.request.url) == f"{MODEL_URL}/chat/completions"


def test_a_passing_trouble_of_the_caller_s_model_is_tried_again_from_the_start(side: SyncSide) -> None:
    side.server.answers = [PENDING]
    side.server.refuse(503, "theirs")
    side.server.answers += [PENDING, completion("From home."), STORED]

    assert ask(side, client_of(side)).choices[0].message.content == "From home."
    assert len(side.server.asked) == 5


def test_a_stream_goes_straight_to_a_private_address(side: SyncSide) -> None:
    side.server.answers = [chunks("From", " home.")]
    stream = client_of(side).chat.completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True)

    assert side.texts(stream) == ["From", " home."]
    assert side.server.urls == [f"{MODEL_URL}/chat/completions"]
    assert side.server.body()["stream"] is True


def test_a_stream_goes_there_too_when_only_cacheai_knows_the_address_is_private(side: SyncSide) -> None:
    side.server.refuse(400, "base_url_not_allowed")
    side.server.answers += [chunks("From", " home.")]
    client = client_of(side, baseline_model_base_url="https://llm.example.com/v1")
    stream = client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True)

    assert side.texts(stream) == ["From", " home."]
    assert side.server.urls == [f"{BASE_URL}/chat/completions", "https://llm.example.com/v1/chat/completions"]


def test_a_stream_to_a_public_model_is_cacheai_s(side: SyncSide) -> None:
    side.server.answers = [chunks("Ray", "leigh.")]
    client = client_of(side, baseline_model_base_url="https://llm.example.com/v1")
    stream = client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True)

    assert side.texts(stream) == ["Ray", "leigh."]
    assert side.server.urls == [f"{BASE_URL}/chat/completions"]


def test_the_older_spelling_never_leaves_cacheai(side: SyncSide) -> None:
    client = side.client(backend_provider="ollama", backend_api_key="own-key", backend_base_url=MODEL_URL)
    side.server.answers = [chunks("Ray")]
    assert side.texts(client.chat.completions.create(model="m", messages=MESSAGES, stream=True)) == ["Ray"]
    assert side.server.urls == [f"{BASE_URL}/chat/completions"]


def test_the_headers_of_one_call_can_name_the_model(side: SyncSide) -> None:
    side.server.answers = [PENDING, completion("From home."), STORED]
    own = {
        "X-CacheAI-Baseline-Model-Provider": "ollama",
        "X-CacheAI-Baseline-Model-API-Key": "own-key",
        "X-CacheAI-Baseline-Model-Base-URL": MODEL_URL,
    }

    assert ask(side, side.client(), extra_headers=own).choices[0].message.content == "From home."


def test_raw_lazy_and_parsed_answers_come_from_the_caller_s_model_too(side: SyncSide) -> None:
    class Colour(BaseModel):
        name: str

    side.server.answers = [PENDING, completion("From home."), STORED]
    completions = client_of(side).chat.completions
    raw = side.get(completions.with_raw_response.create(model="gpt-5-mini", messages=MESSAGES))
    assert raw.parse().choices[0].message.content == "From home."

    side.server.answers = [PENDING, completion("From home."), STORED]
    lazy = completions.with_streaming_response.create(model="gpt-5-mini", messages=MESSAGES)
    assert side.parsed(lazy).choices[0].message.content == "From home."
    assert side.server.asked[-1].method == "PUT"

    side.server.answers = [PENDING, completion(json.dumps({"name": "blue"})), STORED]
    parsed = side.get(completions.parse(model="gpt-5-mini", messages=MESSAGES, response_format=Colour))
    assert parsed.choices[0].message.parsed == Colour(name="blue")


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://api.openai.com/v1", False),
        ("https://llm.example.com:8443/v1", False),
        ("https://8.8.8.8/v1", False),
        ("http://llm.example.com/v1", True),
        ("https://llm.example.com:9443/v1", True),
        ("https://localhost/v1", True),
        ("https://LOCALHOST./v1", True),
        ("https://127.0.0.1/v1", True),
        ("https://10.1.2.3/v1", True),
        ("https://192.168.0.9:8443/v1", True),
        ("https://100.64.0.1/v1", True),
        ("https://[::1]/v1", True),
        ("https://[fd00::1]/v1", True),
        ("https://gpu-box/v1", True),
        ("https://gpu.internal/v1", True),
        ("https://llm.example.com:port/v1", False),
    ],
)
def test_private_is_what_cacheai_may_not_dial(url: str, private: bool) -> None:
    assert is_private(url) is private


RESPONSE = {"id": "resp_1", "object": "response", "model": "llama3", "output": []}


def test_what_is_no_chat_goes_straight_to_a_private_address(side: SyncSide) -> None:
    side.server.answers = [RESPONSE, {"id": "cmpl-1", "object": "text_completion", "choices": []}]
    client = client_of(side)
    assert side.get(client.responses.create(model="gpt-5-mini", input="Why?")).id == "resp_1"
    assert side.get(client.completions.create(model="gpt-5-mini", prompt="Why?", max_tokens=5)).id == "cmpl-1"
    assert side.server.urls == [f"{MODEL_URL}/responses", f"{MODEL_URL}/completions"]
    assert (side.server.body(0)["model"], side.server.body(1)["max_tokens"]) == ("llama3", 5)


def test_what_is_no_chat_goes_there_too_when_only_cacheai_knows_the_address_is_private(side: SyncSide) -> None:
    side.server.refuse(400, "base_url_not_allowed")
    side.server.answers += [RESPONSE]
    client = client_of(side, baseline_model_base_url="https://llm.example.com/v1")
    assert side.get(client.responses.create(model="gpt-5-mini", input="Why?")).id == "resp_1"
    assert side.server.urls == [f"{BASE_URL}/responses", "https://llm.example.com/v1/responses"]
