"""Does LangChain's cache ask by meaning only where it may, and give back all that an answer held?"""

import asyncio
import json
import logging
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation

import cacheai
from cacheai.integrations.langchain import CacheAICache

from .sdk_server import AsyncSide, Server, SyncSide

LLM = '{"id": ["langchain", "chat_models", "openai", "ChatOpenAI"], "kwargs": {"model_name": "gpt-5-mini"}}---[]'
PROMPT = dumps([HumanMessage("Why?")])
ANSWER = AIMessage(
    "So.",
    id="run-1",
    tool_calls=[{"name": "look", "args": {"at": "sky", "timestamp": 1}, "id": "call_1"}],
    usage_metadata={"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
    response_metadata={"model_name": "gpt-5-mini", "finish_reason": "tool_calls"},
    additional_kwargs={"refusal": None},
)
GENERATIONS: list[Any] = [ChatGeneration(message=ANSWER, generation_info={"finish_reason": "tool_calls"})]
STORED = {"cache_key": "ab" * 32, "status": "created"}
MISS = {"decision": "miss", "reason": "no_candidate"}


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> SyncSide:
    return request.param(Server())


def cache_of(side: SyncSide, **options: Any) -> CacheAICache:
    return CacheAICache(side.client(), **options)


def call(side: SyncSide, cache: CacheAICache, name: str, *args: Any) -> Any:
    """The method, or its async twin."""
    if isinstance(side, AsyncSide):
        return asyncio.run(getattr(cache, f"a{name}")(*args))
    return getattr(cache, name)(*args)


def put(side: SyncSide, generations: Any, *, prompt: str = PROMPT, llm: str = LLM, **options: Any) -> Any:
    side.server.answers = [STORED]
    call(side, cache_of(side, **options), "update", prompt, llm, generations)
    return side.server.body()


def looked_up(side: SyncSide, prompt: str, *, llm: str = LLM, **options: Any) -> Any:
    side.server.answers = [MISS]
    assert call(side, cache_of(side, **options), "lookup", prompt, llm) is None
    return side.server.body()


def test_an_answer_is_stored_as_anybody_reads_it(side: SyncSide) -> None:
    body = put(side, GENERATIONS, ttl=timedelta(hours=1), namespace="docs")

    assert side.server.paths == [("POST", "/v1/cache/entries")]
    assert side.server.headers() == {"x-cacheai-ttl": "3600", "x-cacheai-namespace": "docs"}
    assert (body["model"], body["context"], body["tags"]) == ("gpt-5-mini", LLM, ["langchain"])
    assert body["messages"] == [{"role": "user", "content": "Why?"}]
    assert body["usage"] == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    (choice,) = body["response"]["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("So.", "tool_calls")
    (tool_call,) = choice["message"]["tool_calls"]
    assert json.loads(tool_call["function"]["arguments"]) == {"at": "sky", "timestamp": 1}


@pytest.mark.parametrize(
    "generations",
    [
        GENERATIONS,
        [ChatGeneration(message=AIMessage("a")), ChatGeneration(message=AIMessage("b"))],
        [ChatGeneration(message=AIMessage([{"type": "text", "text": "parts"}]))],
        [Generation(text="a text", generation_info={"finish_reason": "stop"})],
    ],
)
def test_a_hit_is_all_that_was_stored(side: SyncSide, generations: list[Any]) -> None:
    response = put(side, generations)["response"]
    side.server.answers = [{"decision": "hit", "layer": "semantic", "response": response, "answer": "So."}]
    found = call(side, cache_of(side), "lookup", PROMPT, LLM)

    assert found == generations
    assert [type(one) for one in found] == [type(one) for one in generations]


def chat(*messages: BaseMessage) -> str:
    return dumps([*messages])


USER = [{"role": "user", "content": "Why?"}]
IMAGE = [{"type": "text", "text": "Why?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]

# What is asked, and the text compared by meaning; None: everything is exact.
PROMPTS = [
    ("Why?", "Why?"),
    ("[1, 2]", "[1, 2]"),
    (chat(HumanMessage("Why?")), "Why?"),
    (chat(HumanMessage([{"type": "text", "text": "Why?"}])), "Why?"),
    (chat(SystemMessage("Be brief."), HumanMessage("Why?")), "Why?"),
    (chat(HumanMessage("Hi."), AIMessage("Hello."), HumanMessage("Why?")), "Why?"),
    (chat(HumanMessage("Why?", name="ann")), None),
    (chat(HumanMessage(IMAGE)), None),
    (chat(HumanMessage("Why?"), AIMessage("So.")), None),
    (chat(HumanMessage("Why?"), ToolMessage("42", tool_call_id="c")), None),
    (chat(SystemMessage("Be brief.")), None),
]


@pytest.mark.parametrize(("prompt", "text"), PROMPTS)
def test_only_a_user_s_last_text_is_compared_by_meaning(side: SyncSide, prompt: str, text: str | None) -> None:
    body = looked_up(side, prompt)

    fuzzy = [message["content"] for message in body["messages"] if message["role"] == "user"]
    assert fuzzy == ([] if text is None else [text])
    assert body["context"] == LLM
    assert "similarity_threshold" not in body


def test_every_exact_part_parts_scopes(side: SyncSide) -> None:
    prompts = [prompt for prompt, _ in PROMPTS if prompt.startswith('[{"lc"')]
    told = [json.dumps({**looked_up(side, prompt), "limit": 1}) for prompt in dict.fromkeys(prompts)]
    text_parts = 1  # the same words as one text, or as one part
    assert len(set(told)) == len(told) - text_parts
    assert looked_up(side, PROMPT, llm=LLM + "x")["context"] != looked_up(side, PROMPT)["context"]


def test_without_meaning_only_the_same_words_are_a_hit(side: SyncSide) -> None:
    assert looked_up(side, PROMPT, semantic=False)["similarity_threshold"] == 1.0


@pytest.mark.parametrize(
    ("llm", "model"),
    [
        (LLM, "gpt-5-mini"),
        ("[('_type', 'openai'), ('model', 'gpt-5'), ('stop', None)]", "gpt-5"),
        ("{'model_name': 'claude-x'}", "claude-x"),
        ("nothing known", "langchain"),
    ],
)
def test_the_model_is_read_out_of_what_langchain_says(side: SyncSide, llm: str, model: str) -> None:
    assert looked_up(side, PROMPT, llm=llm)["model"] == model


def test_a_clear_takes_only_what_langchain_stored_here(side: SyncSide) -> None:
    for options, sent in (
        ({}, {"tag": "langchain"}),
        ({"namespace": "docs"}, {"tag": "langchain", "namespace": "docs"}),
    ):
        side.server.answers = [{"matched": 1, "deleted": 1}]
        call(side, cache_of(side, **options), "clear")
        assert side.server.body() == sent


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.ConnectError("refused"),
        httpx2.Response(503, json={"error": {"message": "Not now.", "code": "unavailable"}}),
        httpx2.Response(400, json={"error": {"message": "Would bypass.", "code": "invalid_request"}}),
    ],
)
def test_out_of_reach_the_model_is_asked_and_nothing_breaks(
    side: SyncSide, caplog: pytest.LogCaptureFixture, trouble: Any
) -> None:
    side.server.answers = [trouble, trouble]
    with caplog.at_level(logging.WARNING, "cacheai"):
        assert call(side, cache_of(side), "lookup", PROMPT, LLM) is None
        call(side, cache_of(side), "update", PROMPT, LLM, GENERATIONS)
    assert len(side.server.asked) == 2
    assert "out of reach" in caplog.text
    assert "not stored" in caplog.text


def test_what_json_cannot_hold_is_not_stored_and_the_answer_is_kept(
    side: SyncSide, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [Generation(text="a", generation_info={"x": object()})]
    with caplog.at_level(logging.WARNING, "cacheai"):
        call(side, cache_of(side), "update", PROMPT, LLM, odd)
    assert side.server.asked == []
    assert "not stored" in caplog.text


def test_an_entry_of_another_s_making_is_a_miss(side: SyncSide) -> None:
    for response in ({"choices": []}, None, {"langchain": "x"}, {"langchain": [{"no": "text"}]}):
        side.server.answers = [{"decision": "hit", "response": response}]
        assert call(side, cache_of(side), "lookup", PROMPT, LLM) is None


def test_langchain_itself_asks_its_model_only_on_a_miss() -> None:
    side = SyncSide(Server())
    cache = cache_of(side)
    model = GenericFakeChatModel(messages=iter([AIMessage("So.")]), cache=cache)
    side.server.answers = [MISS, STORED]
    assert model.invoke("Why?").content == "So."

    side.server.answers = [{"decision": "hit", "response": side.server.body()["response"]}]
    assert model.invoke("Why?").content == "So."


def test_a_blocking_client_serves_async_calls_and_not_the_other_way() -> None:
    blocking = Server(answers=[MISS])
    assert asyncio.run(CacheAICache(SyncSide(blocking).client()).alookup(PROMPT, LLM)) is None
    assert len(blocking.asked) == 1
    for name, args in (("lookup", (PROMPT, LLM)), ("update", (PROMPT, LLM, GENERATIONS)), ("clear", ())):
        with pytest.raises(cacheai.ConfigurationError, match="not async"):
            getattr(CacheAICache(AsyncSide(Server()).client()), name)(*args)


def test_a_cache_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHEAI_API_KEY", raising=False)
    with pytest.raises(cacheai.ConfigurationError, match="API key"):
        CacheAICache()
