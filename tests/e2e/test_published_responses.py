"""Does OpenAI's own client speak Responses through the running stack as it does without us?"""

import asyncio
import json
import secrets
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from .conftest import Stack

MODEL = "demo-small"
TOOL: Any = {
    "type": "function",
    "name": "find_station",
    "description": "The main station of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="


class City(BaseModel):
    name: str
    inhabitants: int


def question() -> str:
    """One the demo provider knows and nobody has asked before."""
    return f"What is the capital of France? Reference {secrets.token_hex(8)}."


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    headers = {"X-CacheAI-Namespace": stack.namespace}
    with openai.OpenAI(
        base_url=stack.base_url, api_key=stack.api_key, default_headers=headers, max_retries=0
    ) as client:
        yield client


def decision_of(answer: Any) -> tuple[str, str]:
    return answer.cacheai["decision"], answer.cacheai["reason"]


def streamed(client: openai.OpenAI, **call: Any) -> tuple[list[Any], Any]:
    """Every event, and the answer they come to."""
    with client.responses.stream(model=MODEL, **call) as stream:
        return list(stream), stream.get_final_response()


def test_a_question_asked_twice_is_a_hit_that_can_be_continued(client: openai.OpenAI) -> None:
    asked = question()
    first: Any = client.responses.create(model=MODEL, input=asked, metadata={"of": "first"})
    again: Any = client.responses.create(model=MODEL, input=[{"role": "user", "content": asked}])

    assert decision_of(first)[0] == "miss"
    assert decision_of(again) == ("hit", "exact")
    assert "Paris" in again.output_text
    assert again.output == first.output
    assert again.usage == first.usage
    assert again.id == first.id
    assert again.created_at >= first.created_at
    assert again.metadata == {}
    assert (first.cacheback_hit, again.cacheback_hit) == (False, True)

    on: Any = client.responses.create(model=MODEL, input="And of Italy?", previous_response_id=again.id)
    assert decision_of(on) == ("bypass", "stateful")
    assert on.output_text


def test_an_answer_nobody_keeps_has_an_id_of_its_own_each_time(client: openai.OpenAI) -> None:
    asked = question()
    answers: list[Any] = [client.responses.create(model=MODEL, input=asked, store=False) for _ in range(3)]

    assert [decision_of(answer)[0] for answer in answers] == ["miss", "hit", "hit"]
    assert len({answer.id for answer in answers}) == 3


def test_streams_and_plain_calls_share_an_entry(client: openai.OpenAI) -> None:
    asked = question()
    missed, first = streamed(client, input=asked)
    plain: Any = client.responses.create(model=MODEL, input=asked)
    hit, again = streamed(client, input=asked)
    raw: list[Any] = list(client.responses.create(model=MODEL, input=asked, stream=True))

    assert decision_of(plain) == ("hit", "exact")
    assert first.output_text == plain.output_text == again.output_text
    assert first.output == again.output
    assert first.usage == again.usage
    for events in (missed, hit, raw):
        assert [event.sequence_number for event in events] == list(range(len(events)))
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == plain.output_text
    assert raw[-1].type == "response.completed"
    assert decision_of(raw[-1]) == ("hit", "exact")

    def kinds(events: list[Any]) -> list[str]:
        return list(dict.fromkeys(event.type for event in events))

    assert kinds(missed) == kinds(hit)


def test_the_same_question_in_other_words_is_a_hit(client: openai.OpenAI) -> None:
    first: Any = client.responses.create(model=MODEL, input="How do I reset my password?", instructions="Be brief.")
    similar: Any = client.responses.create(
        model=MODEL, input="How can I reset my password please?", instructions="Be brief."
    )
    other: Any = client.responses.create(
        model=MODEL, input="How can I reset my password please?", instructions="Be verbose."
    )

    assert decision_of(similar) == ("hit", "similar")
    assert similar.output_text == first.output_text
    assert decision_of(other)[0] == "miss"


def test_the_async_client_does_the_same(stack: Stack) -> None:
    asked = question()

    async def ask() -> tuple[list[Any], Any]:
        async with openai.AsyncOpenAI(base_url=stack.base_url, api_key=stack.api_key) as client:
            answers = [await client.responses.create(model=MODEL, input=asked) for _ in range(2)]
            async with client.responses.stream(model=MODEL, input=asked) as stream:
                async for _ in stream:
                    pass
                return answers, await stream.get_final_response()

    answers, final = asyncio.run(ask())
    assert [decision_of(answer)[0] for answer in answers] == ["miss", "hit"]
    assert final.output_text == answers[0].output_text
    assert final.id == answers[0].id


@pytest.mark.parametrize("stream", [False, True])
def test_structured_output_is_parsed_from_a_hit_too(client: openai.OpenAI, stream: bool) -> None:
    asked = f"How many people live in Paris? Reference {secrets.token_hex(8)}."
    for _ in range(2):
        if stream:
            _, answer = streamed(client, input=asked, text_format=City)
        else:
            answer = client.responses.parse(model=MODEL, input=asked, text_format=City)
        assert isinstance(answer.output_parsed, City)
    plain: Any = client.responses.create(model=MODEL, input=asked)
    assert decision_of(plain)[0] == "miss"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_answered_the_same_each_time(client: openai.OpenAI, stream: bool) -> None:
    conversation: list[Any] = [
        {"role": "user", "content": f"What is the main station of Paris? Reference {secrets.token_hex(8)}."}
    ]
    rounds = []
    for _ in range(2):
        call: dict[str, Any] = {"input": conversation, "tools": [TOOL]}
        if stream:
            _, asking = streamed(client, **call, tool_choice="required")
        else:
            asking = client.responses.create(model=MODEL, **call, tool_choice="required")
        (wanted,) = asking.output
        assert (wanted.type, wanted.name) == ("function_call", "find_station")
        assert isinstance(json.loads(wanted.arguments)["city"], str)

        given = {"type": "function_call_output", "call_id": wanted.call_id, "output": "Gare de Lyon"}
        told: Any = client.responses.create(model=MODEL, **{**call, "input": [*conversation, wanted.to_dict(), given]})
        assert told.output_text
        rounds.append((wanted.call_id, told.output_text, decision_of(told)))

    (first, text, miss), (again, same, hit) = rounds
    assert (first, text) == (again, same)
    assert (miss, hit) == (("miss", "exact_only"), ("hit", "exact"))


def test_an_agent_s_streamed_tools_are_the_same_from_the_cache(stack: Stack) -> None:
    headers = {"X-CacheAI-Namespace": stack.namespace}

    async def converse() -> tuple[str, list[str], int]:
        cities: list[str] = []

        def find_station(city: str) -> str:
            cities.append(city)
            return "Gare du Nord"

        async with openai.AsyncOpenAI(
            base_url=stack.base_url, api_key=stack.api_key, default_headers=headers, max_retries=0
        ) as client:
            model = OpenAIResponsesModel(MODEL, provider=OpenAIProvider(openai_client=client))
            agent = Agent(model, tools=[find_station], instructions="Be brief.")
            async with agent.run_stream("Please find station in Paris") as result:
                return await result.get_output(), cities, result.usage.output_tokens

    before = stack.calls_upstream()
    bought, again = (asyncio.run(converse()) for _ in range(2))

    assert again == bought
    assert again[1] == ["Paris"]
    assert stack.calls_upstream() == before + 2


def test_langchain_reads_hits_and_their_streams_as_it_reads_misses(stack: Stack) -> None:
    model = ChatOpenAI(
        model=MODEL,
        base_url=stack.base_url,
        api_key=SecretStr(stack.api_key),
        use_responses_api=True,
        max_retries=0,
        default_headers={"X-CacheAI-Namespace": stack.namespace},
    )
    asked, before = question(), stack.calls_upstream()
    answers = [model.invoke(asked) for _ in range(2)]
    texts = ["".join(chunk.text for chunk in model.stream(asked)) for _ in range(2)]

    assert [*texts, answers[1].text] == [answers[0].text] * 3
    assert answers[1].usage_metadata == answers[0].usage_metadata
    assert stack.calls_upstream() == before + 1


def test_an_image_is_exact_by_its_bytes(client: openai.OpenAI) -> None:
    def seen(url: str) -> tuple[str, str]:
        parts: Any = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": url}]
        return decision_of(client.responses.create(model=MODEL, input=[{"role": "user", "content": parts}]))

    assert seen(f"data:image/png;base64,{PIXEL}")[0] == "miss"
    assert seen(f"data:image/png;base64,{PIXEL}") == ("hit", "exact")
    assert seen(f"data:image/png;base64,{PIXEL[:-4]}ggo=")[0] == "miss"
    assert seen("https://example.com/dot.png") == ("bypass", "unsupported_content")


@pytest.mark.parametrize(
    "held",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [TOOL, {"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        {"conversation": "conv_1"},
        {"background": True},
    ],
)
def test_what_the_provider_holds_is_never_cached(client: openai.OpenAI, held: dict[str, Any]) -> None:
    asked = question()
    answers: list[Any] = [client.responses.create(model=MODEL, input=asked, **held) for _ in range(2)]

    assert [decision_of(answer) for answer in answers] == [("bypass", "stateful")] * 2


def test_the_path_without_a_version_is_the_same_endpoint(stack: Stack) -> None:
    with openai.OpenAI(base_url=stack.root, api_key=stack.api_key, max_retries=0) as client:
        assert "Paris" in client.responses.create(model=MODEL, input=question()).output_text


@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_typed(client: openai.OpenAI, stack: Stack, stream: bool) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="ca-wrong").responses.create(model=MODEL, input="x", stream=stream)
    assert refused.value.code == "invalid_api_key"

    with pytest.raises(openai.BadRequestError) as bad:
        client.responses.create(model=MODEL, input=7, stream=stream)  # type: ignore[call-overload]
    assert (bad.value.code, bad.value.param) == ("invalid_request", "input")

    stack.control(fail_status=429, retry_after=7)
    with pytest.raises(openai.RateLimitError) as limited:
        client.responses.create(model=MODEL, input=question(), stream=stream)
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.response.headers["x-cacheai-limited-by"] == "provider"


@pytest.mark.parametrize("failure", ["cut_after_chunks", "error_after_chunks"])
def test_a_stream_that_breaks_off_ends_in_an_error_and_is_not_stored(
    client: openai.OpenAI, stack: Stack, failure: str
) -> None:
    asked = question()
    stack.control(**{failure: 2})
    events = list(client.responses.create(model=MODEL, input=asked, stream=True))
    stack.control(**{failure: None})

    assert events[-1].type == "error"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    well: Any = client.responses.create(model=MODEL, input=asked)
    assert decision_of(well)[0] == "miss"


def test_an_entry_can_be_looked_up_and_put_in_by_hand(stack: Stack, client: openai.OpenAI) -> None:
    asked, headers = question(), {"X-CacheAI-Namespace": stack.namespace}
    entry = {"endpoint": "responses", "request": {"model": MODEL, "input": asked}}

    put = stack.call("POST", "/cache/entries", headers=headers, json={**entry, "answer": "Paris, as ever."})
    assert put.status_code == 201, put.text
    found = stack.call("POST", "/cache/lookup", headers=headers, json={**entry, "include_answer": True}).json()
    assert (found["decision"], found["answer"]) == ("hit", "Paris, as ever.")
    hit: Any = client.responses.create(model=MODEL, input=asked)
    assert decision_of(hit) == ("hit", "exact")
    assert hit.output_text == "Paris, as ever."
    assert hit.usage.total_tokens > 0
    assert hit.id.startswith("resp_")
    assert streamed(client, input=asked)[1].output_text == "Paris, as ever."
