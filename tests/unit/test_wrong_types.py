"""Does every dialect survive a body in which any one value is of another kind than it should be?

Each value of a full example, at any depth, is replaced by each of a list of others. A caller's mistake is refused with
what to change or goes on to the provider, who judges it; a provider's is passed on and not stored. Nothing raises.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from cache_api.dialects import (
    Dialect,
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
    sse,
)
from cache_api.dialects.errors import Refused
from cache_api.domain.admission import bypass_reason, fuzzy, ttl_seconds
from cache_api.domain.keeping import new_entry
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.usage import Usage, estimated_usage
from tests.unit.builders import call_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = Policy(volatile_ttl_seconds=60)
SIGNALS = {"cacheai": {"decision": "miss", "request_id": "req_1"}, "cacheback_hit": False}
OTHERS: list[Any] = [
    None,
    True,
    0,
    -7,
    1e300,
    1.5,
    "",
    "x\0y",
    [],
    [3],
    ["x"],
    [[]],
    [{}],
    {},
    {"type": "text"},
    {"x": [None]},
]

TOOL = {"name": "look", "description": "d", "input_schema": {"type": "object"}, "parameters": {"type": "object"}}
PICTURE = "data:image/png;base64,AAAA"

ASKED: dict[Dialect, dict[str, Any]] = {
    openai_chat: {
        "model": "demo-small",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "4"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": PICTURE}},
                    {"type": "file", "file": {"file_data": "AAAA", "filename": "a.pdf"}},
                ],
            },
        ],
        "tools": [{"type": "function", "function": TOOL}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "n": 1,
    },
    openai_completions: {"model": "demo-small", "prompt": ["One?", "Two?"], "n": 1, "echo": False, "stream": True},
    openai_responses: {
        "model": "demo-small",
        "instructions": "Be brief.",
        "input": [
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "So."}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "4"}]},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": PICTURE},
                    {"type": "input_file", "file_data": "AAAA"},
                ],
            },
        ],
        "tools": [{"type": "function", **TOOL}],
        "previous_response_id": None,
        "store": False,
        "stream": True,
        "temperature": 0.0,
    },
    anthropic_messages: {
        "model": "demo-small",
        "max_tokens": 16,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "4"}]},
                    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "d"}]}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                ],
            },
        ],
        "tools": [TOOL, {"type": "bash_20250124", "name": "bash"}],
        "mcp_servers": [],
        "stream": True,
        "temperature": 0.0,
    },
    openai_embeddings: {"model": "demo-small", "input": ["One?", "Two?"], "dimensions": 8, "encoding_format": "float"},
}
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 3,
    "total_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
LOGPROBS = {"content": [{"token": "So", "logprob": -0.1, "top_logprobs": []}]}
ANSWERED: dict[Dialect, list[dict[str, Any]]] = {
    openai_chat: [
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "m-1",
            "service_tier": "default",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "So it is.", "refusal": None, "annotations": []},
                    "logprobs": LOGPROBS,
                    "finish_reason": "stop",
                }
            ],
            "usage": USAGE,
        },
        {
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                            {"id": "d", "type": "custom", "custom": {"name": "g", "input": "raw"}},
                        ],
                        "function_call": {"name": "f", "arguments": "{}"},
                    },
                    "finish_reason": "tool_calls",
                }
            ],
        },
    ],
    openai_completions: [
        {
            "id": "c1",
            "object": "text_completion",
            "model": "m-1",
            "choices": [{"index": 0, "text": "So.", "logprobs": LOGPROBS, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ],
    openai_responses: [
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "completed_at": 2,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "model": "m-1",
            "service_tier": "default",
            "output": [
                {
                    "type": "reasoning",
                    "id": "r",
                    "summary": [{"type": "summary_text", "text": "Hm."}],
                    "content": [{"type": "reasoning_text", "text": "Hm."}],
                },
                {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "custom_tool_call", "id": "g", "call_id": "d", "name": "g", "input": "raw"},
                {
                    "type": "message",
                    "id": "m",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "So.", "annotations": [{"a": 1}], "logprobs": [{}]}],
                },
            ],
            "usage": {"input_tokens": 5, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 1}},
        }
    ],
    anthropic_messages: [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m-1",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "text", "text": "So.", "citations": [{"type": "char_location"}]},
                {"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 5,
                "cache_creation_input_tokens": 1,
                "cache_creation": {"ephemeral_1h_input_tokens": 1},
                "output_tokens": 3,
                "service_tier": "standard",
            },
        }
    ],
    openai_embeddings: [
        {
            "object": "list",
            "model": "m-1",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}],
            "usage": {"prompt_tokens": 2, "total_tokens": 2},
        }
    ],
}
CASES = [(dialect, answer) for dialect, answers in ANSWERED.items() for answer in answers]
STREAMED = [(dialect, answer) for dialect, answer in CASES if dialect is not openai_embeddings]


def name_of(value: Any) -> str:
    return getattr(value, "NAME", "")


def changed(value: Any) -> Iterator[Any]:
    """The value with one of its parts, or itself, replaced or left out."""
    yield from OTHERS
    if isinstance(value, dict):
        for name, inner in value.items():
            rest = {other: one for other, one in value.items() if other != name}
            yield rest
            yield from ({**value, name: one} for one in changed(inner))
    if isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], one, *value[place + 1 :]] for one in changed(inner))


def bodies(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (body for body in changed(value) if isinstance(body, dict))


def plain_call(dialect: Dialect, *, stream: bool) -> Request:
    return call_of(dialect, orjson.dumps({**ASKED[dialect], "stream": stream}))


def told_again(dialect: Dialect, request: Request, answer: Any) -> bytes:
    told = dialect.replay(request, answer, SIGNALS, NOW)
    return told if isinstance(told, bytes) else b"".join(told)


@pytest.mark.parametrize("dialect", list(ASKED), ids=name_of)
def test_what_is_asked_is_read_or_refused(dialect: Dialect) -> None:
    read = 0
    for body in bodies(ASKED[dialect]):
        try:
            request = call_of(dialect, orjson.dumps(body))
        except Refused as refused:
            assert (refused.status, bool(refused.message)) == (400, True)
            continue
        bypass_reason(request, POLICY), fuzzy(request, POLICY), ttl_seconds(request, POLICY)
        assert orjson.loads(dialect.upstream_body(request))["model"]
        estimated_usage(list(request.parsed.prompt_texts), "")
        new_entry(request, POLICY, {}, now=NOW, usage=Usage(), vector=None, matchable=False)
        read += 1
    assert read > 20


@pytest.mark.parametrize(("dialect", "answer"), CASES, ids=name_of)
def test_an_odd_answer_is_passed_on_and_what_is_stored_can_be_told_again(dialect: Dialect, answer: Any) -> None:
    assert dialect.read_answer(answer).answer is not None
    whole, streamed = plain_call(dialect, stream=False), plain_call(dialect, stream=True)
    for body in bodies(answer):
        raw = orjson.dumps(body)
        tape = dialect.tape(whole, status=200, streamed=False, signals=SIGNALS)
        passed = tape.take(raw)
        tape.end(complete=True)
        assert orjson.loads(passed + tape.closing).items() >= body.items()
        dialect.answer_text(body)
        if (stored := tape.heard.answer) is not None:
            dialect.has_tool_calls(stored)
            for request in (whole, streamed):
                assert told_again(dialect, request, stored)


@pytest.mark.parametrize(("dialect", "answer"), STREAMED, ids=name_of)
def test_a_stream_with_an_odd_event_reaches_the_caller(dialect: Dialect, answer: Any) -> None:
    request = plain_call(dialect, stream=True)
    events = [event for event in told_again(dialect, request, answer).split(b"\n\n") if event]
    for place, event in enumerate(events):
        name, _, payload = event.rpartition(b"data: ")
        if payload == b"[DONE]":
            continue
        for body in bodies(orjson.loads(payload)):
            odd = name + b"data: " + orjson.dumps(body)
            tape = dialect.tape(request, status=200, streamed=True, signals=SIGNALS)
            sent = b"".join(tape.take(one + b"\n\n") for one in [*events[:place], odd, *events[place + 1 :]])
            tape.end(complete=True)
            assert sse.payload(sent + tape.closing)
            if (stored := tape.heard.answer) is not None:
                assert told_again(dialect, request, stored)
