"""Do the clients people already have work unchanged against the running stack?"""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import openai
import pytest
import requests

import cacheai

from .private_model import ANSWER, API_KEY, private_model
from .published_clients import run_with

MODEL = "demo-small"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

# Put before each program. `told` is printed at its end; `decisions` is what the headers of each answer said.
PREAMBLE = """
import json, os
from cacheai import *
from cacheai import Client

told, decisions, keys = {}, [], []

def watch(response, *_, **__):
    decisions.append(response.headers.get("X-CacheAI-Decision"))
    keys.append(response.headers.get("X-CacheAI-Cache-Key"))

def client(**more):
    made = Client(api_key=os.environ["KEY"], base_url=os.environ["URL"], **more)
    made._session.hooks["response"].append(watch)
    return made

def ask(one, **more):
    messages = [{"role": "user", "content": os.environ["QUESTION"]}]
    return one.chat.completions.create(model=os.environ["MODEL"], messages=messages, **more)

def text_of(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
"""
END = """
print(json.dumps({**told, "decisions": decisions}))
"""


def question() -> str:
    """One the demo provider knows and nobody has asked before."""
    return f"What is the capital of France? Reference {secrets.token_hex(8)}."


def asked(content: str) -> Any:
    return [{"role": "user", "content": content}]


def told_by(version: str, stack: Any, program: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    told = {"KEY": stack.api_key, "URL": stack.base_url, "MODEL": MODEL, "QUESTION": question()}
    ran = run_with(version, PREAMBLE + program + END, {**told, **(env or {})})
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_published_client_gets_an_answer_and_then_a_hit(stack: Any, version: str) -> None:
    told = told_by(
        version,
        stack,
        """
with client() as one:
    first, again = ask(one), ask(one)
told["texts"] = [answer.choices[0].message.content for answer in (first, again)]
told["usage"] = [answer.usage.total_tokens for answer in (first, again)]
told["ids"] = [answer.id for answer in (first, again)]
""",
    )

    assert told["decisions"] == ["miss", "hit"]
    assert "Paris" in told["texts"][0]
    assert told["texts"][0] == told["texts"][1]
    assert told["usage"][0] == told["usage"][1] > 0
    assert all(told["ids"])


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_published_client_streams_a_miss_and_its_hit_and_shares_both_with_plain_calls(
    stack: Any, version: str
) -> None:
    told = told_by(
        version,
        stack,
        """
with client() as one:
    told["streams"] = [text_of(ask(one, stream=True)) for _ in range(2)]
    told["plain"] = ask(one).choices[0].message.content
""",
    )

    assert told["decisions"] == ["miss", "hit", "hit"]
    assert "Paris" in told["plain"]
    assert told["streams"] == [told["plain"]] * 2


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_published_client_reads_every_field_it_knows(stack: Any, version: str) -> None:
    told = told_by(
        version,
        stack,
        """
with client() as one:
    answers = [ask(one), ask(one)]
    chunks = [list(ask(one, stream=True, temperature=temperature)) for temperature in (0.0, 0.0)]
told["whole"] = [answer.model_dump(exclude={"choices"}) for answer in answers]
told["roles"] = [answer.choices[0].message.role for answer in answers]
told["reasons"] = [answer.choices[0].finish_reason for answer in answers]
told["chunks"] = [[chunk.model_dump() for chunk in stream] for stream in chunks]
""",
    )

    for whole in told["whole"]:
        assert whole["id"].startswith("chatcmpl-")
        assert abs(whole["created"] - time.time()) < 600
        usage = whole["usage"]
        assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"] > 0
    assert told["whole"][0]["id"] != told["whole"][1]["id"]
    assert (told["roles"], told["reasons"]) == (["assistant"] * 2, ["stop"] * 2)
    for chunks in told["chunks"]:
        assert all(chunk["choices"] for chunk in chunks)
        assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_published_client_gets_its_typed_error_for_whatever_else_goes_wrong(stack: Any, version: str) -> None:
    program = """
try:
    with client(max_retries=0) as one:
        ask(one)
except CacheAIError as error:
    told["type"], told["status"], told["message"] = type(error).__name__, error.status_code, error.message
"""
    narrow = stack.new_key(scopes="cache:read")
    forbidden = told_by(version, stack, program, {"KEY": narrow})
    assert (forbidden["type"], forbidden["status"]) == ("PermissionDeniedError", 403)
    assert "proxy" in forbidden["message"]
    for status, kind in ((400, "CacheAIError"), (404, "NotFoundError")):
        stack.control(fail_status=status)
        told = told_by(version, stack, program)
        assert (told["type"], told["status"]) == (kind, status)
        assert told["message"]


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
@pytest.mark.parametrize("status", [429, 500])
def test_a_published_client_repeats_what_failed_and_is_charged_once(stack: Any, version: str, status: int) -> None:
    key = stack.new_key()
    stack.control(reset=True, fail_status=status, fail_times=2)
    told = told_by(
        version,
        stack,
        """
with client() as one:
    told["text"] = ask(one).choices[0].message.content
""",
        {"KEY": key},
    )

    assert "Paris" in told["text"]
    assert stack.calls_upstream() == 3
    stats = stack.call("GET", "/cache/stats", headers={"Authorization": f"Bearer {key}"}).json()
    # One call; on a busy machine its question may get no vector in time, and pass as a bypass.
    assert (sum(stats["decisions"].values()), stats["decisions"]["hit"]) == (1, 0)


def test_0_1_0_is_refused_an_address_that_may_not_be_dialled(stack: Any) -> None:
    with private_model() as model:
        told = told_by(
            "0.1.0",
            stack,
            """
try:
    with client(
        backend_provider="custom", backend_api_key="k", backend_base_url=os.environ["MODEL_URL"]
    ) as one:
        ask(one)
except CacheAIError as error:
    told["status"], told["message"] = error.status_code, error.message
""",
            {"MODEL_URL": model.base_url},
        )

    # Not asked to call the model itself, which it does not know how to.
    assert told["status"] == 400
    assert told["message"]
    assert model.asked == []


def test_0_2_0_gets_its_typed_error_when_it_changes_too_much_at_once(stack: Any) -> None:
    told = told_by(
        "0.2.0",
        stack,
        """
try:
    with client() as one:
        for _ in range(4):
            try:
                one.cache.update("no-such-key", output="x")
            except NotFoundError:
                pass
except RateLimitError as error:
    told["status"], told["message"] = error.status_code, error.message
""",
        {"KEY": stack.new_key(rpm=1)},
    )

    assert (told["status"], told["message"]) == (429, "Rate limit exceeded. Please try again later.")


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_every_name_that_was_published_is_there_in_the_new_package(version: str) -> None:
    told = run_with(version, "import cacheai, json; print(json.dumps(cacheai.__all__))", {})
    assert set(json.loads(told.stdout)) <= set(cacheai.__all__)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_published_client_can_switch_the_cache_off(stack: Any, version: str) -> None:
    told = told_by(
        version,
        stack,
        """
with client(enable_cache=False) as one:
    told["texts"] = [ask(one).choices[0].message.content for _ in range(2)]
""",
    )

    assert told["decisions"] == ["bypass", "bypass"]


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_published_client_gets_its_typed_error_for_a_wrong_key(stack: Any, version: str, stream: bool) -> None:
    told = told_by(
        version,
        stack,
        f"""
try:
    with client() as one:
        list(ask(one, stream={stream}))
except AuthenticationError as error:
    told["status"], told["message"] = error.status_code, error.message
""",
        {"KEY": "ca-wrong"},
    )

    assert told["status"] == 401
    assert told["message"]


def test_0_1_0_reaches_a_provider_it_names_with_its_own_key(stack: Any) -> None:
    told = told_by(
        "0.1.0",
        stack,
        """
with client(backend_provider="demo", backend_api_key="own-key") as one:
    told["texts"] = [ask(one).choices[0].message.content for _ in range(2)]
""",
    )

    assert told["decisions"] == ["miss", "hit"]
    assert "Paris" in told["texts"][1]


def test_0_2_0_reads_and_changes_an_entry(stack: Any) -> None:
    told = told_by(
        "0.2.0",
        stack,
        """
from cacheai.exceptions import NotFoundError

with client() as one:
    before = ask(one).choices[0].message.content
    key = keys[-1]
    told["same"] = one.cache.get(key)["output"] == before
    told["updated"] = one.cache.update(key, output="Paris, as ever.")
    told["output"] = one.cache.get(key)["output"]
    del decisions[:]
    told["text"] = ask(one).choices[0].message.content
    told["key"] = key
    try:
        one.cache.get("no-such-key")
    except NotFoundError as error:
        told["missing"] = error.status_code
""",
    )

    assert told["same"] is True
    assert told["updated"]["cache_key"] == told["key"]
    assert told["updated"]["updated_fields"] == ["output"]
    assert told["output"] == told["text"] == "Paris, as ever."
    assert told["decisions"][0] == "hit"
    assert told["missing"] == 404


def test_0_2_0_asks_a_private_model_itself_and_then_gets_a_hit(stack: Any) -> None:
    with private_model() as model:
        told = told_by(
            "0.2.0",
            stack,
            """
with client(
    baseline_model_provider="custom",
    baseline_model="llama3",
    baseline_model_api_key=os.environ["MODEL_KEY"],
    baseline_model_base_url=os.environ["MODEL_URL"],
) as one:
    told["texts"] = [ask(one, max_tokens=50).choices[0].message.content for _ in range(2)]
""",
            {"MODEL_URL": model.base_url, "MODEL_KEY": API_KEY},
        )

    assert told["texts"] == [ANSWER, ANSWER]
    assert told["decisions"][-1] == "hit"
    (body,) = model.asked
    assert (body["model"], body["max_completion_tokens"]) == ("llama3", 50)
    assert model.keys == {API_KEY}


def test_openai_s_client_sees_what_was_decided(stack: Any) -> None:
    content = question()
    with openai.OpenAI(base_url=stack.base_url, api_key=stack.api_key) as client:
        first, again = (client.chat.completions.create(model=MODEL, messages=asked(content)) for _ in range(2))

    assert first.model_extra is not None
    assert again.model_extra is not None
    assert first.model_extra["cacheai"]["decision"] == "miss"
    assert again.model_extra["cacheai"]["decision"] == "hit"
    assert again.cacheai["layer"] == "exact"  # type: ignore[attr-defined]
    assert (first.cacheback_hit, again.cacheback_hit) == (False, True)  # type: ignore[attr-defined]
    assert first.choices == again.choices
    assert first.usage == again.usage
    assert first.id != again.id


def test_openai_s_client_reads_the_decision_in_headers_too(stack: Any) -> None:
    with openai.OpenAI(base_url=stack.base_url, api_key=stack.api_key) as client:
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=asked(question()))

    assert raw.headers["x-cacheai-decision"] == "miss"
    assert raw.headers["x-cacheai-request-id"]
    assert raw.headers["x-cacheback-hit"] == "false"
    assert raw.headers["cache-control"] == "no-store"


def test_openai_s_async_client_works_as_well(stack: Any) -> None:
    content = question()

    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=stack.base_url, api_key=stack.api_key) as client:
            return [
                (await client.chat.completions.create(model=MODEL, messages=asked(content))).model_extra
                for _ in range(2)
            ]

    assert [extra["cacheai"]["decision"] for extra in asyncio.run(ask())] == ["miss", "hit"]


@pytest.mark.parametrize("include_usage", [False, True])
def test_openai_s_streams_are_alike_missed_and_hit(stack: Any, include_usage: bool) -> None:
    content = question()
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if include_usage else {}
    streams = []
    with openai.OpenAI(base_url=stack.base_url, api_key=stack.api_key) as client:
        for _ in range(2):
            stream = client.chat.completions.create(model=MODEL, messages=asked(content), stream=True, **options)
            streams.append(list(stream))

    for chunks, decision in zip(streams, ("miss", "hit"), strict=True):
        spoken = [chunk for chunk in chunks if chunk.choices]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in spoken)
        assert "Paris" in text
        assert spoken[-1].choices[0].finish_reason == "stop"
        assert spoken[-1].model_extra["cacheai"]["decision"] == decision  # type: ignore[index]
        # Asked for, the last chunk is the usage; else every chunk has a choice, as older clients expect.
        assert [chunk.usage is not None for chunk in chunks if not chunk.choices] == [True] * include_usage


@pytest.mark.parametrize("stream", [False, True])
def test_openai_s_tool_calls_come_whole_each_time(stack: Any, stream: bool) -> None:
    call: dict[str, Any] = {
        "model": MODEL,
        "messages": asked(f"What is the weather in Paris? Reference {secrets.token_hex(8)}."),
        "tools": [TOOL],
        "tool_choice": "required",
    }
    with openai.OpenAI(base_url=stack.base_url, api_key=stack.api_key) as client:
        for _ in range(2):
            if stream:
                with client.chat.completions.stream(**call) as events:
                    answer = events.get_final_completion()
            else:
                answer = client.chat.completions.create(**call)
            assert answer.choices[0].finish_reason == "tool_calls"
            (tool_call,) = answer.choices[0].message.tool_calls
            assert tool_call.id
            assert tool_call.function.name == "get_weather"
            assert isinstance(json.loads(tool_call.function.arguments)["city"], str)


def test_openai_s_client_lists_models(stack: Any) -> None:
    with openai.OpenAI(base_url=stack.base_url, api_key=stack.api_key) as client:
        assert MODEL in {model.id for model in client.models.list()}


@pytest.mark.parametrize("stream", [False, True])
def test_openai_s_client_gets_its_typed_error_for_a_wrong_key(stack: Any, stream: bool) -> None:
    with (
        openai.OpenAI(base_url=stack.base_url, api_key="ca-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.chat.completions.create(model=MODEL, messages=asked(question()), stream=stream)
    assert refused.value.code == "invalid_api_key"


@pytest.mark.parametrize("path", ["", "/v1"])
def test_a_proxy_s_clients_reach_every_protocol_on_the_root_path_too(stack: Any, path: str) -> None:
    content = question()
    with openai.OpenAI(base_url=stack.root + path, api_key=stack.api_key, max_retries=0) as client:
        chats: list[Any] = [client.chat.completions.create(model=MODEL, messages=asked(content)) for _ in range(2)]
        texts: list[Any] = [client.completions.create(model=MODEL, prompt=content) for _ in range(2)]
    message = {"model": MODEL, "max_tokens": 50, "messages": asked(content)}
    sent = {"headers": {"x-api-key": stack.api_key}, "timeout": 60}
    messages = [requests.post(f"{stack.root}{path}/messages", json=message, **sent) for _ in range(2)]
    metrics = requests.get(f"{stack.root}{path}/metrics", **sent)

    for answers in (chats, texts):
        assert [answer.cacheai["decision"] for answer in answers] == ["miss", "hit"]
    assert [answer.headers["X-CacheAI-Decision"] for answer in messages] == ["miss", "hit"]
    assert messages[0].json()["content"] == messages[1].json()["content"]
    assert metrics.status_code == 200
    assert "llm_cache_hits_total" in metrics.text
    assert "cacheai_calls_total" in metrics.text
