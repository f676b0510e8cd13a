"""Is an agent asked once, paid for once and told of once, for the very same question?"""

import asyncio
import inspect
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext, TextOutput
from pydantic_ai.exceptions import ModelHTTPError, ModelQuotaExceededError, ModelRateLimitError, UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

import cacheai
from cacheai.integrations.pydantic_ai import (
    ModelCosts,
    cached_agent_run,
    cached_agent_run_sync,
    default_message_converter,
)

from .keyed_server import KeyedServer
from .sdk_server import AsyncSide, SyncSide

USAGE = RequestUsage(input_tokens=1000, cache_write_tokens=100, cache_read_tokens=300, output_tokens=50)


class City(BaseModel):
    name: str


@dataclass
class Country:
    name: str


@dataclass
class Deps:
    user: str


class Asked:
    """A model that counts, and answers each time something else."""

    def __init__(self, *troubles: Exception, name: str = "model-1") -> None:
        self.messages: list[list[ModelMessage]] = []
        self.troubles = [*troubles]
        self.model = FunctionModel(self.answer, model_name=name)

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.messages.append(messages)
        if self.troubles:
            raise self.troubles.pop(0)
        if info.output_tools:
            part: Any = ToolCallPart(info.output_tools[0].name, {"name": f"answer {self.times}"})
        else:
            part = TextPart(f"answer {self.times}")
        return ModelResponse(parts=[part], usage=replace(USAGE), model_name=self.model.model_name)

    @property
    def times(self) -> int:
        return len(self.messages)


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> SyncSide:
    return request.param(KeyedServer())


def run(side: SyncSide, agent: Any, prompt: Any = "Where?", task: str = "task", **options: Any) -> Any:
    options = {"client": side.client(), **options}
    if isinstance(side, AsyncSide):
        return asyncio.run(cached_agent_run(agent, prompt, task, **options))
    return cached_agent_run_sync(agent, prompt, task, **options)


def test_the_same_question_is_asked_once(side: SyncSide) -> None:
    asked = Asked()
    agent = Agent(asked.model, system_prompt="Be brief.")

    assert [run(side, agent, ttl=60) for _ in range(2)] == ["answer 1"] * 2
    assert asked.times == 1
    (put,) = side.server.puts
    body = json.loads(put.content)
    assert (body["ttl"], body["model"], body["endpoint"]) == (60, "model-1", "task")


def upper(text: str) -> str:
    return text.upper()


OUTPUTS: list[tuple[Any, Any]] = [
    (str, str),
    (City, City),
    (Country, Country),
    ([City, Country], City),
    (TextOutput(upper), str),
]


@pytest.mark.parametrize(("output_type", "kind"), OUTPUTS)
@pytest.mark.parametrize("at_the_run", [False, True])
def test_a_hit_has_the_output_s_type(side: SyncSide, output_type: Any, kind: type, at_the_run: bool) -> None:
    asked = Asked()
    if at_the_run:
        first, hit = (run(side, Agent(asked.model), output_type=output_type) for _ in range(2))
    else:
        first, hit = (run(side, Agent(asked.model, output_type=output_type)) for _ in range(2))

    assert asked.times == 1
    assert (type(hit), hit) == (kind, first)


def agents(asked: Asked) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each differs from the first in one thing that counts."""
    model = asked.model
    yield Agent(model, system_prompt="Be brief."), {}
    yield Agent(FunctionModel(asked.answer, model_name="model-2"), system_prompt="Be brief."), {}
    yield Agent(model, system_prompt="Be long."), {}
    yield Agent(model, system_prompt="Be brief.", instructions="In verse."), {}
    yield Agent(model, system_prompt="Be brief.", model_settings={"temperature": 0.0}), {}
    yield Agent(model, system_prompt="Be brief.", output_type=City), {}
    yield Agent(model, system_prompt="Be brief.", tools=[weather]), {}
    yield Agent(model, system_prompt="Be brief."), {"prompt": "Who?"}
    yield Agent(model, system_prompt="Be brief."), {"model_settings": {"temperature": 1.0}}
    yield Agent(model, system_prompt="Be brief."), {"transcript_history": ["Hello."]}
    yield Agent(model, system_prompt="Be brief."), {"transcript_history": ["Hi."]}
    yield Agent(model, system_prompt="Be brief."), {"deps": Deps("ann")}
    yield Agent(model, system_prompt="Be brief."), {"deps": Deps("bob")}
    yield Agent(model, system_prompt="Be brief."), {"output_type": Country}


def weather(city: str) -> str:
    """The weather in a city."""
    return "sunny"


def test_whatever_the_agent_is_told_parts_answers(side: SyncSide) -> None:
    asked = Asked()
    ways = list(agents(asked))
    for count, (agent, options) in enumerate(ways, 1):
        run(side, agent, **options)
        assert asked.times == count
    for agent, options in agents(asked):
        run(side, agent, **options)
    assert asked.times == len(ways)


def test_a_system_prompt_made_for_each_run_counts_as_it_reads(side: SyncSide) -> None:
    asked = Asked()
    agent = Agent(asked.model, deps_type=Deps)

    @agent.system_prompt
    def told(ctx: RunContext[Deps]) -> str:
        return f"Speak to {ctx.deps.user}."

    texts = [run(side, agent, deps=Deps(user)) for user in ("ann", "ann", "bob")]
    assert texts == ["answer 1", "answer 1", "answer 2"]


def test_the_history_of_a_real_run_counts_and_does_not_change_with_time(side: SyncSide) -> None:
    asked = Asked()
    agent = Agent(asked.model)

    def history() -> list[ModelMessage]:
        return [
            ModelRequest(parts=[UserPromptPart("Hello.")], run_id=str(id(object()))),
            ModelResponse(parts=[TextPart("Hi.")]),
        ]

    texts = [run(side, agent, message_history=history()) for _ in range(2)]
    assert texts == ["answer 1"] * 2
    run(side, agent)
    assert asked.times == 2


def test_tools_run_once_and_their_agent_s_last_word_is_kept(side: SyncSide) -> None:
    called = []
    agent = Agent(TestModel(custom_output_text="Sunny."))

    @agent.tool_plain
    def weather_of(city: str) -> str:
        called.append(city)
        return "sunny"

    assert [run(side, agent) for _ in range(2)] == ["Sunny."] * 2
    assert len(called) == 1


def test_a_full_result_is_the_run_s_and_on_a_hit_has_output_usage_and_cost(side: SyncSide) -> None:
    agent = Agent(Asked().model)
    costs = {"model-1": ModelCosts(1.0, 2.0, 4.0, 0.5)}
    first, hit = (run(side, agent, full_result=True, custom_costs=costs) for _ in range(2))

    assert first.output == hit.output == "answer 1"
    assert first.all_messages()
    assert hit.usage().input_tokens == hit.usage.input_tokens == first.usage.input_tokens == 1000
    # 600 at 1, 100 at 4, 300 at 0.5, 50 at 2, for a million.
    assert hit.cost == pytest.approx(0.00125)


@pytest.mark.parametrize("later", [False, True])
def test_the_recorder_hears_each_run_and_nothing_spent_on_a_hit(side: SyncSide, later: bool) -> None:
    heard: list[tuple[str, str, float | None]] = []

    def record(model: str, task: str, cost: float | None) -> None:
        heard.append((model, task, cost))

    async def record_later(model: str, task: str, cost: float | None) -> None:
        record(model, task, cost)

    recorder = record_later if later else record
    agent = Agent(Asked().model)
    for _ in range(2):
        run(side, agent, expense_recorder=recorder, custom_costs={"model-1": ModelCosts(1.0, 2.0)})
    run(side, agent, "Who?", "other task", expense_recorder=recorder)

    # Without prices of their own, cached tokens cost what others do.
    assert heard == [
        ("model-1", "task", pytest.approx(0.0011)),
        ("model-1", "task", 0),
        ("model-1", "other task", None),
    ]


def test_an_answer_whose_expense_nobody_could_note_is_kept_all_the_same(side: SyncSide) -> None:
    asked = Asked()

    def recorder(*told: Any) -> None:
        raise OSError("no room left for notes")

    with pytest.raises(OSError, match="no room"):
        run(side, Agent(asked.model), expense_recorder=recorder)
    assert run(side, Agent(asked.model)) == "answer 1"
    assert asked.times == 1


def test_a_price_that_is_none_is_refused_before_anything_is_paid(side: SyncSide) -> None:
    asked = Asked()
    with pytest.raises(cacheai.ValidationError, match="custom_costs"):
        run(side, Agent(asked.model), custom_costs={"model-1": 5})
    assert asked.times == 0


def test_skip_cache_asks_and_tells_but_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHEAI_API_KEY", raising=False)
    asked, heard = Asked(), []
    agent = Agent(asked.model)
    for _ in range(2):
        cached_agent_run_sync(
            agent, "Where?", "task", skip_cache=True, expense_recorder=lambda *told: heard.append(told)
        )
    assert asked.times == len(heard) == 2


def test_without_a_key_of_cacheai_s_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHEAI_API_KEY", raising=False)
    asked = Asked()
    with pytest.raises(cacheai.ConfigurationError, match="API key"):
        cached_agent_run_sync(Agent(asked.model), "Where?", "task")
    assert asked.times == 0


@pytest.mark.parametrize("prompt", ["", [], None])
def test_an_empty_prompt_is_refused(side: SyncSide, prompt: Any) -> None:
    with pytest.raises(ValueError, match="empty"):
        run(side, Agent(Asked().model), prompt)


def test_an_address_of_redis_is_ignored_with_a_warning(side: SyncSide, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="no effect"):
        run(side, Agent(Asked().model), redis_url="redis://localhost")
    monkeypatch.setenv("LLM_CACHE_REDIS_URL", "redis://localhost")
    with pytest.warns(UserWarning, match="no effect"):
        run(side, Agent(Asked().model))


LIMITS = [
    ModelRateLimitError(model_name="model-1", message="Slow down."),
    ModelHTTPError(429, "model-1", {"error": "Slow down."}),
    UsageLimitExceeded("Too much."),
]


@pytest.mark.parametrize("limit", LIMITS)
def test_limits_are_waited_out_each_wait_twice_the_last(
    side: SyncSide, limit: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = noted_waits(monkeypatch)
    asked = Asked(limit, limit)
    assert run(side, Agent(asked.model)) == "answer 3"
    assert waits == [1.0, 2.0]
    assert len(side.server.puts) == 1


@pytest.mark.parametrize("limit", LIMITS)
def test_waiting_ends_with_a_rate_limit_error_and_no_wait_after_the_last_try(
    side: SyncSide, limit: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = noted_waits(monkeypatch)
    asked = Asked(*[limit] * 9)
    with pytest.raises(cacheai.RateLimitError) as refused:
        run(side, Agent(asked.model))

    assert refused.value.__cause__ is limit
    assert refused.value.status_code == 429
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert asked.times == 5
    assert side.server.puts == []


def noted_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("cacheai.integrations.pydantic_ai.sleep", sleep)
    return waits


ERRORS = [
    ModelQuotaExceededError(model_name="model-1", message="No money."),
    ModelHTTPError(500, "model-1", {}),
    RuntimeError("no model"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_another_error_is_the_caller_s_at_once(side: SyncSide, error: Exception) -> None:
    asked = Asked(error)
    with pytest.raises(type(error)):
        run(side, Agent(asked.model))
    assert asked.times == 1
    assert side.server.puts == []


def test_out_of_reach_the_agent_answers_all_the_same(side: SyncSide, caplog: pytest.LogCaptureFixture) -> None:
    side.server.answers = [httpx2.ConnectError("refused")]
    with caplog.at_level(logging.WARNING, "cacheai"):
        assert run(side, Agent(Asked().model)) == "answer 1"
    assert "out of reach" in caplog.text


def test_what_cannot_be_told_apart_is_not_cached_and_that_is_said(side: SyncSide) -> None:
    asked = Asked()
    agent, client = Agent(asked.model), side.client()
    with pytest.warns(UserWarning, match="an agent called with a value of type"):
        run(side, agent, deps=object(), client=client)
    run(side, agent, deps=object(), client=client)
    assert asked.times == 2


def test_an_override_of_the_model_is_another_agent(side: SyncSide) -> None:
    asked, other = Asked(), Asked(name="model-2")
    agent = Agent(asked.model)
    run(side, agent)
    with agent.override(model=other.model):
        run(side, agent)
    assert (asked.times, other.times) == (1, 1)


def test_a_retry_of_the_agent_s_own_asks_the_cache_once(side: SyncSide) -> None:
    asked = Asked()
    agent = Agent(asked.model)

    @agent.output_validator
    def check(text: str) -> str:
        if text == "answer 1":
            raise ModelRetry("Again.")
        return text

    assert [run(side, agent) for _ in range(2)] == ["answer 2"] * 2
    assert asked.times == 2
    assert [request.method for request in side.server.asked] == ["GET", "PUT", "GET"]


def test_an_older_transcript_becomes_messages() -> None:
    kept = ModelRequest(parts=[UserPromptPart("Kept.")])
    told = ["Hello.", {"role": "assistant", "content": "Hi."}, {"role": "system", "content": "Be brief."}, kept]
    messages = default_message_converter(told)

    kinds = [(type(message).__name__, type(message.parts[0]).__name__) for message in messages[:3]]
    assert kinds == [
        ("ModelRequest", "UserPromptPart"),
        ("ModelResponse", "TextPart"),
        ("ModelRequest", "SystemPromptPart"),
    ]
    assert messages[3] is kept


@pytest.mark.parametrize(
    "message", [None, {}, {"role": "user"}, {"role": "user", "content": None}, {"role": "tool", "content": "x"}]
)
def test_a_transcript_that_is_none_is_refused(message: Any) -> None:
    with pytest.raises(ValueError, match="message 1"):
        default_message_converter(["Hello.", message])


def test_a_converter_of_the_caller_s_is_used_and_two_histories_are_one_too_many(side: SyncSide) -> None:
    asked = Asked()
    converted: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("Mine.")])]
    run(side, Agent(asked.model), transcript_history=["x"], message_converter=lambda _: [*converted])
    (request,) = asked.messages[0]
    assert [part.content for part in request.parts] == ["Mine.", "Where?"]

    with pytest.raises(ValueError, match="one of them"):
        run(side, Agent(asked.model), transcript_history=["x"], message_history=converted)


def test_both_functions_show_the_same_arguments() -> None:
    shown = inspect.signature(cached_agent_run)
    assert inspect.signature(cached_agent_run_sync) == shown
    assert {name: one.default for name, one in shown.parameters.items() if one.kind is one.KEYWORD_ONLY} == {
        "ttl": 1296000,
        "transcript_history": None,
        "max_wait": 10.0,
        "initial_wait": 1.0,
        "message_converter": default_message_converter,
        "expense_recorder": None,
        "redis_url": None,
        "custom_costs": None,
        "full_result": False,
        "skip_cache": False,
        "client": None,
    }
