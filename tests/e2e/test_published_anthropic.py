"""Does Anthropic's own client work unchanged against the running stack?"""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pydantic
import pytest
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

MODEL = "demo-small"
RESET = "How do I reset my password?"
RESET_TOO = "How can I reset my password?"
FIND_STATION: Any = {
    "name": "find_station",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
MARK: Any = {"type": "ephemeral"}
PICTURE: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def options(stack: Any, **more: Any) -> Any:
    headers = {"X-CacheAI-Namespace": stack.namespace}
    return {"base_url": stack.root, "api_key": stack.api_key, "max_retries": 0, "default_headers": headers, **more}


@pytest.fixture
def claude(stack: Any) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(**options(stack)) as client:
        yield client


def asked(content: Any = RESET, **more: Any) -> Any:
    messages = content if isinstance(content, list) and "role" in content[0] else [{"role": "user", "content": content}]
    return {"model": MODEL, "max_tokens": 300, "messages": messages, **more}


def streamed(claude: anthropic.Anthropic, **call: Any) -> Any:
    with claude.messages.stream(**call) as stream:
        texts = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert texts == "".join(block.text for block in message.content if block.type == "text")
    return message


def decision(claude: anthropic.Anthropic, **call: Any) -> tuple[str, str]:
    headers = claude.messages.with_raw_response.create(**call).headers
    return headers["x-cacheai-decision"], headers["x-cacheai-reason"]


def test_a_question_is_bought_once_in_whatever_way_it_is_asked(stack: Any, claude: anthropic.Anthropic) -> None:
    before = stack.calls_upstream()
    bought: Any = claude.messages.create(**asked())
    again: Any = claude.messages.create(**asked())
    similar: Any = claude.messages.create(**asked(RESET_TOO))
    final = streamed(claude, **asked())

    reasons = [answer.cacheai["reason"] for answer in (bought, again, similar)]
    assert reasons == ["no_candidate", "exact", "similar"]
    assert again._request_id == again.cacheai["request_id"] != bought._request_id
    for answer in again, similar, final:
        assert answer.to_dict()["content"] == bought.to_dict()["content"]
        assert answer.usage == bought.usage
        assert answer.stop_reason == "end_turn"
        assert answer.id != bought.id
    assert stack.calls_upstream() == before + 1


def test_an_asynchronous_client_shares_what_others_bought(stack: Any, claude: anthropic.Anthropic) -> None:
    bought = streamed(claude, **asked())

    async def ask() -> tuple[Any, Any]:
        async with anthropic.AsyncAnthropic(**options(stack)) as client:
            created: Any = await client.messages.create(**asked())
            async with client.messages.stream(**asked()) as stream:
                return created, await stream.get_final_message()

    created, final = asyncio.run(ask())
    assert created.cacheai["decision"] == "hit"
    assert created.to_dict()["content"] == final.to_dict()["content"] == bought.to_dict()["content"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_round_trip_with_a_tool_and_thinking_is_the_same_from_the_cache(
    claude: anthropic.Anthropic, stream: bool
) -> None:
    def converse() -> list[Any]:
        say: Any = streamed if stream else lambda claude, **call: claude.messages.create(**call)
        turns: list[Any] = [{"role": "user", "content": "Please find station in Paris"}]
        thinking = {"type": "enabled", "budget_tokens": 1024}
        more = {"tools": [FIND_STATION], "thinking": thinking, "system": [{"type": "text", "text": "Be brief."}]}
        called = say(claude, **asked(turns, **more))
        (call,) = [block for block in called.content if block.type == "tool_use"]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "Gare du Nord"}
        turns += [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
        return [called, say(claude, **asked(turns, **more))]

    bought, again = converse(), converse()

    assert [message.content for message in again] == [message.content for message in bought]
    called, answered = again
    assert called.stop_reason == "tool_use"
    assert called.content[0].signature
    assert called.content[-1].input == {"city": "Paris"}
    assert answered.stop_reason == "end_turn"


def test_marks_for_the_provider_s_prompt_cache_change_no_answer(claude: anthropic.Anthropic) -> None:
    marked = [{"type": "text", "text": "Be brief.", "cache_control": MARK}]

    assert decision(claude, **asked(system=marked)) == ("miss", "no_candidate")
    assert decision(claude, **asked(system="Be brief.", cache_control=MARK)) == ("hit", "exact")
    assert decision(claude, **asked(system="Be long.")) == ("miss", "no_candidate")


def test_a_picture_is_matched_by_its_bytes_alone(claude: anthropic.Anthropic) -> None:
    def seen(question: str) -> Any:
        return asked([PICTURE, {"type": "text", "text": question}])

    assert decision(claude, **seen(RESET)) == ("miss", "exact_only")
    assert decision(claude, **seen(RESET)) == ("hit", "exact")
    assert decision(claude, **seen(RESET_TOO)) == ("miss", "exact_only")


def test_a_form_that_was_asked_for_is_filled_from_the_cache_too(claude: anthropic.Anthropic) -> None:
    class City(pydantic.BaseModel):
        name: str

    bought, again = (claude.messages.parse(**asked("Is it Paris?"), output_format=City) for _ in range(2))

    assert again.parsed_output == bought.parsed_output == City(name="Paris")
    assert again.id != bought.id


@pytest.mark.parametrize(
    ("told", "error", "kind"),
    [
        ({"fail_status": 429, "retry_after": 3}, anthropic.RateLimitError, "rate_limit_error"),
        ({"fail_status": 529}, anthropic.OverloadedError, "overloaded_error"),
        ({"drop_before_headers": True}, anthropic.InternalServerError, "api_error"),
    ],
)
def test_what_the_provider_refuses_is_the_client_s_own_error(
    stack: Any, claude: anthropic.Anthropic, told: Any, error: Any, kind: str
) -> None:
    stack.control(**told)
    for stream in False, True:
        with pytest.raises(error) as refused:
            claude.messages.create(**asked(), stream=stream)
        assert refused.value.type == kind
        assert refused.value.request_id
        assert refused.value.response.headers.get("retry-after") == ("3" if "retry_after" in told else None)


def test_a_stream_that_breaks_off_raises_the_client_s_own_error(stack: Any, claude: anthropic.Anthropic) -> None:
    stack.control(cut_after_chunks=1)
    with pytest.raises(anthropic.APIStatusError) as broken:
        streamed(claude, **asked())
    assert broken.value.type == "api_error"
    stack.control(reset=True)

    assert decision(claude, **asked()) == ("miss", "no_candidate")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("changed", "call", "error", "kind"),
    [
        ({"api_key": "ca-wrong"}, {}, anthropic.AuthenticationError, "authentication_error"),
        ({}, {"model": "gpt-4o"}, anthropic.BadRequestError, "invalid_request_error"),
        ({}, {"extra_body": {"cache": {"ttl": "soon"}}}, anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_what_we_refuse_is_the_client_s_own_error(
    stack: Any, changed: Any, call: Any, error: Any, kind: str, stream: bool
) -> None:
    with (
        anthropic.Anthropic(**options(stack, **changed)) as client,
        pytest.raises(error) as refused,
    ):
        client.messages.create(**asked(**call), stream=stream)

    assert refused.value.type == kind
    assert refused.value.request_id == refused.value.body["request_id"]


def test_an_agent_s_streamed_tools_are_the_same_from_the_cache(stack: Any) -> None:
    async def converse() -> tuple[str, list[Any]]:
        cities: list[str] = []

        def find_station(city: str) -> str:
            cities.append(city)
            return "Gare du Nord"

        async with anthropic.AsyncAnthropic(**options(stack)) as client:
            model = AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client))
            agent = Agent(model, tools=[find_station], instructions="Be brief.")
            async with agent.run_stream("Please find station in Paris") as result:
                return await result.get_output(), [cities, result.usage.output_tokens]

    before = stack.calls_upstream()
    bought, again = (asyncio.run(converse()) for _ in range(2))

    assert again == bought
    assert again[1][0] == ["Paris"]
    assert stack.calls_upstream() == before + 2
