"""Does all that users of cacheback read find its way through OpenAI's own client, as they use it?"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(stack: Any) -> Iterator[openai.OpenAI]:
    headers = {"X-CacheAI-Namespace": stack.namespace}
    with openai.OpenAI(api_key=stack.api_key, base_url=stack.base_url, max_retries=0, default_headers=headers) as made:
        yield made


def asked(text: str) -> Any:
    return [{"role": "user", "content": text}]


def question() -> str:
    """One nobody has asked before; letters, as digits would be an id to the guards."""
    return f"How do I cancel my order at {''.join(secrets.choice('abcdefghijkl') for _ in range(9))}?"


def test_hits_and_misses_tell_in_body_and_headers(client: openai.OpenAI) -> None:
    create = client.chat.completions.with_raw_response.create
    text = question()
    for hit in (False, True):
        raw = create(model="demo-small", messages=asked(text))
        answer: Any = raw.parse()

        assert (answer.cacheback_hit, answer.cacheback_synthesized) == (hit, False)
        assert raw.headers["X-Cacheback-Hit"] == str(hit).lower()
        assert raw.headers["X-Cacheback-Synthesized"] == "false"
        assert answer.choices[0].message.content
        assert answer.usage.total_tokens > 0


def test_a_stream_tells_on_its_last_chunk_and_in_headers(client: openai.OpenAI) -> None:
    text = question()
    for hit in (False, True):
        raw = client.chat.completions.with_raw_response.create(model="demo-small", messages=asked(text), stream=True)
        chunks: list[Any] = list(raw.parse())

        assert raw.headers["X-Cacheback-Hit"] == str(hit).lower()
        assert [chunk.cacheback_hit for chunk in chunks if hasattr(chunk, "cacheback_hit")] == [hit]
        assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_tools_with_stream_are_called_and_hit(client: openai.OpenAI, stream: bool) -> None:
    def call() -> tuple[str, str]:
        text = "get_weather: what is the weather in Paris?"
        made: Any = client.chat.completions.create(
            model="demo-small", messages=asked(text), tools=[TOOL], stream=stream
        )
        if not stream:
            (called,) = made.choices[0].message.tool_calls
            return called.function.name, called.function.arguments
        pieces = [piece.function for chunk in made for piece in chunk.choices[0].delta.tool_calls or ()]
        return "".join(one.name or "" for one in pieces), "".join(one.arguments or "" for one in pieces)

    first, again = call(), call()

    assert first == again
    assert first[0] == "get_weather" and "city" in first[1]


def test_health_and_statistics_have_cachebacks_fields(client: openai.OpenAI, stack: Any) -> None:
    text = question()
    for _ in range(2):
        client.chat.completions.create(model="demo-small", messages=asked(text))

    health: Any = client.get(f"{stack.root}/health", cast_to=object)
    stats: Any = client.get("/cache/stats", cast_to=object)

    assert health["status"] == "ok"
    assert health["synthesis"] in {"off", "auto", "always"}
    assert health["cache"].keys() >= {"enabled", "embedder", "entries", "hits"}
    for name in ("hits", "misses", "total_lookups", "entries"):
        assert stats[name] >= 1, name
    assert 0 < stats["hit_rate"] < 1
    assert stats["embedder"] and stats["modality"] == "text"


def test_a_negative_cache_refuses_what_means_the_same(stack: Any) -> None:
    with own_client(stack) as client:
        listed: Any = client.post(
            "/cache/blocklist", cast_to=object, body={"query": "How do I cancel my order?", "reason": "not for us"}
        )
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(model="demo-small", messages=asked("How can I cancel my order?"))

    error = caught.value
    assert (error.code, error.body["blocklist_id"]) == ("blocked", listed["id"])  # type: ignore[index, call-overload]
    assert "not for us" in error.message
    assert error.response.headers["X-Cacheback-Hit"] == "false"


def test_near_a_stored_question_a_small_model_answers(stack: Any) -> None:
    rules = ("synthesis=auto", "synthesis_model=demo-small", "similarity_floor=0.9999")
    with own_client(stack, *rules) as client:
        create = client.chat.completions.with_raw_response.create
        create(model="demo-large", messages=asked("How do I cancel my order?"))
        raw, again = (create(model="demo-large", messages=asked("How can I cancel my order?")) for _ in range(2))
        health = client.get(f"{stack.root}/health", cast_to=object)

    answer: Any = raw.parse()
    assert (answer.cacheback_hit, answer.cacheback_synthesized, answer.model) == (False, True, "demo-small")
    assert (raw.headers["X-Cacheback-Hit"], raw.headers["X-Cacheback-Synthesized"]) == ("false", "true")
    assert (again.headers["X-Cacheback-Hit"], again.headers["X-Cacheback-Synthesized"]) == ("true", "false")
    assert health["synthesis"] == "auto"  # type: ignore[index]


@contextmanager
def own_client(stack: Any, *rules: str) -> Iterator[openai.OpenAI]:
    """Of a new team, whose rules are there before its first call."""
    words = stack.manage("create_tenant", "--name", "Movers", "--email", f"{secrets.token_hex(6)}@example.test").split()
    tenant, project = (words[words.index(name) + 1] for name in ("tenant", "project"))
    key = stack.manage("create_key", "--tenant", tenant).split()
    stack.manage("set_policy", "--tenant", tenant, "--project", project, *rules)
    with openai.OpenAI(api_key=key[key.index("key") + 1], base_url=stack.base_url, max_retries=0) as made:
        yield made
