"""Do the helpers of the SDK, and the frameworks people build with, get what they promise from the running stack?"""

import asyncio
import json
import secrets
from typing import Any

import anthropic
import openai
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from cacheai import AsyncClient, Client, LLMCache, cached_call, wrap_openai
from cacheai.integrations.langchain import CacheAICache
from cacheai.integrations.pydantic_ai import ModelCosts, cached_agent_run, cached_agent_run_sync

from .published_clients import run_with

MODEL = "demo-small"
LITELLM = "1.106.2"


def question() -> str:
    """One the demo provider knows and nobody has asked before."""
    return f"What is the capital of France? Reference {secrets.token_hex(8)}."


def asked(content: str) -> Any:
    return [{"role": "user", "content": content}]


@pytest.fixture
def client(stack: Any) -> Any:
    with Client(api_key=stack.api_key, base_url=stack.base_url, namespace=stack.namespace) as client:
        yield client


@pytest.fixture
def provider_s(stack: Any) -> Any:
    """A client that knows nothing of the cache."""
    with openai.OpenAI(api_key="any", base_url=stack.demo_url) as client:
        yield client


def test_an_answer_under_a_key_of_one_s_own_is_kept_listed_and_deleted(client: Any) -> None:
    cache, key = LLMCache(client), secrets.token_hex(8)
    fetched: list[int] = []

    def fetch() -> dict[str, Any]:
        fetched.append(1)
        return {"n": [1, 2.5, None]}

    answers = [cache.get_or_set(key, fetch, f"p-{key}", MODEL, "/any", {"q": 1}, ttl_days=1) for _ in range(2)]
    assert answers == [{"n": [1, 2.5, None]}] * 2
    assert fetched == [1]

    entry: Any = cache.get(key)
    assert (entry.response_data, entry.request_data, entry.provider) == (answers[0], {"q": 1}, f"p-{key}")
    assert (entry.expires_at - entry.created_at).total_seconds() == pytest.approx(24 * 3600, abs=5)
    assert [one.cache_key for one in cache.list_entries(provider=f"p-{key}")] == [entry.cache_key]
    assert cache.delete(key) is True
    assert cache.get(key) is None
    assert cache.get_stats().total_lookups >= 0


def test_a_cached_function_asks_its_provider_once_streamed_or_not(stack: Any, client: Any, provider_s: Any) -> None:
    cache = LLMCache(client)

    @cached_call(cache=cache)
    def ask(content: str, stream: bool = False) -> Any:
        return provider_s.chat.completions.create(model=MODEL, messages=asked(content), stream=stream)

    content = question()
    before = stack.calls_upstream()
    first, again = ask(content), ask(content)
    assert (type(again), again) == (type(first), first)
    first_chunks, chunks_again = list(ask(content, stream=True)), list(ask(content, stream=True))
    assert first_chunks == chunks_again
    assert stack.calls_upstream() - before == 2


def test_a_wrapped_client_gets_hits_and_is_itself_again_afterwards(stack: Any, client: Any, provider_s: Any) -> None:
    content = question()
    with wrap_openai(provider_s, client):
        answers: list[Any] = [
            provider_s.chat.completions.create(model=MODEL, messages=asked(content)) for _ in range(2)
        ]
        stream = provider_s.chat.completions.create(model=MODEL, messages=asked(content), stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    plain: Any = provider_s.chat.completions.create(model=MODEL, messages=asked(content))

    assert [answer.cacheai["decision"] for answer in answers] == ["miss", "hit"]
    assert text == answers[0].choices[0].message.content
    assert "cacheai" not in plain.model_extra


def test_an_async_wrapped_client_does_the_same(stack: Any) -> None:
    content = question()

    async def decisions() -> list[str]:
        async with (
            AsyncClient(api_key=stack.api_key, base_url=stack.base_url) as ours,
            openai.AsyncOpenAI(api_key="any", base_url=stack.demo_url) as theirs,
        ):
            with wrap_openai(theirs, ours):
                answers: list[Any] = [
                    await theirs.chat.completions.create(model=MODEL, messages=asked(content)) for _ in range(2)
                ]
        return [answer.cacheai["decision"] for answer in answers]

    assert asyncio.run(decisions()) == ["miss", "hit"]


class City(BaseModel):
    name: str


def test_an_agent_is_asked_once_and_its_expenses_are_told(client: Any) -> None:
    heard: list[tuple[str, str, float | None]] = []
    agent = Agent(TestModel(), output_type=City, system_prompt=question())
    costs = {"test": ModelCosts(1.0, 2.0)}

    first, hit = (
        cached_agent_run_sync(
            agent,
            "Where?",
            "cities",
            client=client,
            full_result=True,
            custom_costs=costs,
            expense_recorder=lambda *told: heard.append(told),
        )
        for _ in range(2)
    )

    assert first.output == hit.output == City(name="a")
    assert hit.usage().input_tokens == first.usage.input_tokens
    assert [(model, task) for model, task, _ in heard] == [("test", "cities")] * 2
    assert (heard[0][2], heard[1][2]) == (hit.cost, 0)


def test_an_agent_is_asked_once_from_async_code_too(stack: Any) -> None:
    content = question()

    async def texts() -> list[str]:
        async with (
            AsyncClient(api_key=stack.api_key, base_url=stack.base_url) as ours,
            openai.AsyncOpenAI(api_key="any", base_url=stack.demo_url) as theirs,
        ):
            agent = Agent(OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=theirs)))
            return [
                await cached_agent_run(agent, content, "t", client=ours, transcript_history=["Hello."])
                for _ in range(2)
            ]

    before = stack.calls_upstream()
    first, again = asyncio.run(texts())
    assert first == again
    assert stack.calls_upstream() - before == 1


def test_langchain_s_cache_serves_the_same_words_other_words_and_tool_calls(
    stack: Any, client: Any, provider_s: Any
) -> None:
    cache = CacheAICache(client, namespace=stack.namespace, ttl=3600)
    with openai.OpenAI(api_key="any", base_url=stack.demo_url) as root:
        model = ChatOpenAI(
            model=MODEL,
            cache=cache,
            client=root.chat.completions,
            root_client=root,
            async_client=object(),
            root_async_client=object(),
        )
        brief = SystemMessage("Be brief.")
        before = stack.calls_upstream()
        first = model.invoke([brief, HumanMessage("What is the capital of France?")])
        same = model.invoke([brief, HumanMessage("What is the capital of France?")])
        reworded = model.invoke([brief, HumanMessage("Which city is the capital of France?")])
        assert stack.calls_upstream() - before == 1
        assert first.content == same.content == reworded.content
        assert same.usage_metadata is not None
        assert same.usage_metadata["input_tokens"] == first.usage_metadata["input_tokens"]  # type: ignore[index]

        model.invoke([SystemMessage("Be long."), HumanMessage("What is the capital of France?")])
        assert stack.calls_upstream() - before == 2

        look = {
            "type": "function",
            "function": {
                "name": "look_up",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
        with_tool = model.bind_tools([look], tool_choice="look_up")
        asked_for, again = (with_tool.invoke("Look up the city of Paris.") for _ in range(2))
        assert asked_for.tool_calls == again.tool_calls != []
        assert stack.calls_upstream() - before == 3

        cache.clear()
        assert client.cache.list(tag="langchain", namespace=stack.namespace).data == []


def agent_model(kind: str, stack: Any, http: list[Any]) -> Any:
    if kind == "anthropic":
        client: Any = anthropic.AsyncAnthropic(api_key=stack.api_key, base_url=stack.root)
        http.append(client)
        return AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client))
    client = openai.AsyncOpenAI(api_key=stack.api_key, base_url=stack.base_url)
    http.append(client)
    provider = OpenAIProvider(openai_client=client)
    if kind == "responses":
        return OpenAIResponsesModel(MODEL, provider=provider, settings=OpenAIResponsesModelSettings(openai_store=False))
    return OpenAIChatModel(MODEL, provider=provider)


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_pydantic_ai_agent_is_a_client_of_every_protocol(stack: Any, kind: str, stream: bool) -> None:
    content = question()

    async def texts() -> list[str]:
        opened: list[Any] = []
        agent = Agent(agent_model(kind, stack, opened))
        try:
            if not stream:
                return [(await agent.run(content)).output for _ in range(2)]
            said = []
            for _ in range(2):
                async with agent.run_stream(content) as result:
                    said.append(await result.get_output())
            return said
        finally:
            for client in opened:
                await client.close()

    before = stack.calls_upstream()
    first, again = asyncio.run(texts())
    assert "Paris" in first
    assert first == again
    assert stack.calls_upstream() - before == 1


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
def test_a_pydantic_ai_agent_s_structured_output_survives_a_hit(stack: Any, kind: str) -> None:
    content = question()

    async def cities() -> list[City]:
        opened: list[Any] = []
        agent = Agent(agent_model(kind, stack, opened), output_type=City)
        try:
            return [(await agent.run(content)).output for _ in range(2)]
        finally:
            for client in opened:
                await client.close()

    before = stack.calls_upstream()
    first, again = asyncio.run(cities())
    assert isinstance(first, City)
    assert first == again
    assert stack.calls_upstream() - before == 1


@pytest.mark.parametrize("stream", [False, True])
def test_langchain_is_a_client(stack: Any, stream: bool) -> None:
    content = question()
    with openai.OpenAI(api_key=stack.api_key, base_url=stack.base_url) as root:
        model = ChatOpenAI(
            model=MODEL,
            client=root.chat.completions,
            root_client=root,
            async_client=object(),
            root_async_client=object(),
        )

        def text() -> str:
            if stream:
                return "".join(str(chunk.content) for chunk in model.stream(content))
            return str(model.invoke(content).content)

        before = stack.calls_upstream()
        first, again = text(), text()
    assert "Paris" in first
    assert first == again
    assert stack.calls_upstream() - before == 1


LITELLM_PROGRAM = """
import json, os
import litellm

def said(answer):
    return answer._hidden_params["additional_headers"]["llm_provider-x-cacheai-decision"]

told = {}
root, messages = os.environ["ROOT"], [{"role": "user", "content": os.environ["QUESTION"]}]
for name, base in (("openai", root + "/v1"), ("anthropic", root)):
    ask = dict(model=f"{name}/demo-small", api_base=base, api_key=os.environ["KEY"], messages=messages, max_tokens=99)
    answers = [litellm.completion(**ask) for _ in range(2)]
    stream = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(stream=True, **ask))
    texts = [answer.choices[0].message.content for answer in answers]
    told[name] = [[said(answer) for answer in answers], len({stream, *texts}), answers[1].usage.total_tokens > 0]
ask = dict(model="openai/demo-embed", api_base=root + "/v1", api_key=os.environ["KEY"], input=[os.environ["QUESTION"]])
told["embeddings"] = [said(litellm.embedding(**ask)) for _ in range(2)]
print(json.dumps(told))
"""


def test_litellm_is_a_client_of_both_protocols(stack: Any) -> None:
    env = {
        "KEY": stack.api_key,
        "ROOT": stack.root,
        "QUESTION": question(),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # its list of prices would come from the net
    }
    ran = run_with(LITELLM, LITELLM_PROGRAM, env, package="litellm")
    assert ran.returncode == 0, ran.stderr
    once = [["miss", "hit"], 1, True]
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "openai": once,
        "anthropic": once,
        "embeddings": ["miss", "hit"],
    }
