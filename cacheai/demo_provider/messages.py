"""How is Anthropic's /v1/messages spoken?"""

import json
from collections.abc import Iterator
from itertools import pairwise

from cacheai.demo_provider.answers import Answer, Question, Tool, compose
from cacheai.demo_provider.behaviour import Behaviour
from cacheai.demo_provider.chat import prompt_tokens, question_text
from cacheai.demo_provider.checks import (
    check_common,
    check_number,
    checked_count,
    checked_list,
    checked_messages,
    checked_stops,
    named,
    text_of,
)
from cacheai.demo_provider.refusals import Refusal
from cacheai.demo_provider.reply import UNKNOWN_FIELD, Event, Json, Plain, Reply, Stamp, Stream

__all__ = ["answer", "count", "question_text"]

ROLES = ("user", "assistant")
ENDINGS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
COUNTED_LAST = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
SIGNATURE = "ZGVtby1zaWduYXR1cmU="
BROKEN = Event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, name="error")


def answer(body: Json, behaviour: Behaviour, stamp: Stamp) -> Reply:
    question = _question(body)
    composed = compose(question, behaviour)
    message: Json = {
        "id": f"msg_{stamp.token}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": _blocks(body, composed, stamp),
        "stop_reason": ENDINGS.get(composed.ending, composed.ending),
        "stop_sequence": composed.stop,
        "usage": _usage(question, composed, behaviour),
        UNKNOWN_FIELD: stamp.unknown,
    }
    if behaviour.no_usage:
        del message["usage"]
    if body.get("stream"):
        return Stream(_events(message, composed), BROKEN)
    return Plain(message)


def count(body: Json, behaviour: Behaviour, stamp: Stamp) -> Reply:
    """/v1/messages/count_tokens: what the prompt would be billed as."""
    check_common(body)
    return Plain({"input_tokens": _prompt_tokens(body, checked_messages(body, ROLES))})


def _question(body: Json) -> Question:
    check_common(body, hottest=1.0)
    check_number(body, "top_k", 0, 1_000_000)
    messages = checked_messages(body, ROLES)
    max_tokens = checked_count(body, "max_tokens")
    if max_tokens is None:
        raise Refusal(400, "max_tokens: Field required", param="max_tokens")
    given = checked_list(body, "tools", named)
    tools = tuple(Tool(tool["name"], tool.get("input_schema") or {}) for tool in given)
    choice = body.get("tool_choice")
    chosen = choice if isinstance(choice, dict) else {}
    if chosen.get("type") == "tool":
        tools = tuple(tool for tool in tools if tool.name == chosen.get("name"))
        if not tools:
            raise Refusal(400, "tool_choice: the tool is not among the tools", param="tool_choice")
    last = messages[-1]["content"]
    return Question(
        text=question_text(body),
        prompt_tokens=_prompt_tokens(body, messages),
        max_tokens=max_tokens,
        stops=checked_stops(body, "stop_sequences"),
        tools=() if chosen.get("type") == "none" else tools,
        must_call=chosen.get("type") in ("any", "tool"),
        one_call=chosen.get("disable_parallel_tool_use") is True,
        answers_a_tool=isinstance(last, list)
        and any(isinstance(block, dict) and block.get("type") == "tool_result" for block in last),
        schema=_schema(body.get("output_config")),
    )


def _schema(output_config: object) -> Json | None:
    form = output_config.get("format") if isinstance(output_config, dict) else None
    if form is None:
        return None
    schema = form.get("schema") if isinstance(form, dict) and form.get("type") == "json_schema" else None
    if not isinstance(schema, dict):
        raise Refusal(400, "output_config.format.schema: Field required", param="output_config.format")
    return schema


def _prompt_tokens(body: Json, messages: list[Json]) -> int:
    texts = [text_of(message.get("content")) for message in messages]
    return prompt_tokens([*texts, text_of(body.get("system"))])


def _usage(question: Question, composed: Answer, behaviour: Behaviour) -> Json:
    """Unlike OpenAI's, input tokens leave out what was read from the provider's own cache."""
    return {
        "input_tokens": max(1, question.prompt_tokens - behaviour.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": behaviour.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": composed.tokens,
        "service_tier": "standard",
    }


def _blocks(body: Json, composed: Answer, stamp: Stamp) -> list[Json]:
    blocks: list[Json] = []
    asked = body.get("thinking")
    thinks = isinstance(asked, dict) and asked.get("type") in ("enabled", "adaptive")
    if thought := composed.reasoning or ("A demo need not think long." if thinks else None):
        blocks.append({"type": "thinking", "thinking": thought, "signature": SIGNATURE})
    if composed.text:
        blocks.append({"type": "text", "text": composed.text})
    for place, call in enumerate(composed.tool_calls):
        known = f"toolu_{stamp.token}{place:02d}"
        blocks.append({"type": "tool_use", "id": known, "name": call.name, "input": json.loads(call.arguments)})
    return blocks


def _events(message: Json, composed: Answer) -> Iterator[Event]:
    usage = message.get("usage")
    begun = message | {"content": [], "stop_reason": None, "stop_sequence": None}
    if usage:
        begun["usage"] = usage | {"output_tokens": 1}
    yield _event("message_start", {"message": begun})
    calls = iter(composed.tool_calls)
    for index, block in enumerate(message["content"]):
        arguments = next(calls).pieces() if block["type"] == "tool_use" else []
        empty, deltas = _block_deltas(block, composed, arguments)
        yield _event("content_block_start", {"index": index, "content_block": empty})
        if index == 0:
            yield _event("ping", {})
        for delta in deltas:
            yield _event("content_block_delta", {"index": index, "delta": delta}, piece=True)
        yield _event("content_block_stop", {"index": index})
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    spent = {"usage": {name: usage[name] for name in COUNTED_LAST}} if usage else {}
    yield _event("message_delta", {"delta": ending} | spent, closing=True)
    yield _event("message_stop", {})


def _event(kind: str, fields: Json, *, piece: bool = False, closing: bool = False) -> Event:
    return Event({"type": kind} | fields, kind, piece, closing)


def _block_deltas(block: Json, composed: Answer, arguments: list[str]) -> tuple[Json, list[Json]]:
    """A block as it begins, and what then fills it."""
    match block["type"]:
        case "thinking":
            thoughts = _halves(block["thinking"])
            deltas: list[Json] = [{"type": "thinking_delta", "thinking": thought} for thought in thoughts]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return block | {"thinking": "", "signature": ""}, deltas
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in composed.pieces]
        case _:
            parts = ["", *arguments]
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]


def _halves(text: str) -> list[str]:
    return [text[start:end] for start, end in pairwise((0, len(text) // 2, len(text))) if start < end]
