"""How is /v1/responses spoken?"""

from collections.abc import Iterator
from itertools import count

from cacheai.demo_provider.answers import Answer, Question, Tool, ToolCall, compose
from cacheai.demo_provider.behaviour import Behaviour
from cacheai.demo_provider.chat import JSON_ANYHOW, openai_usage, prompt_tokens
from cacheai.demo_provider.checks import check_common, checked_count, checked_list, named, text_of
from cacheai.demo_provider.refusals import Refusal
from cacheai.demo_provider.reply import UNKNOWN_FIELD, Event, Json, Plain, Reply, Stamp, Stream

# Fields of the request that the answer repeats, with what it says if they were not given.
REPEATED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
BROKEN = Event(
    {"type": "error", "code": "server_error", "message": "The server had an error.", "param": None},
    name="error",
)


class NumberedEvents:
    def __init__(self) -> None:
        self._numbers = count()

    def __call__(self, kind: str, fields: Json, *, piece: bool = False, closing: bool = False) -> Event:
        return Event({"type": kind, "sequence_number": next(self._numbers)} | fields, kind, piece, closing)


def question_text(body: Json) -> str:
    asked = body.get("input")
    if isinstance(asked, str):
        return asked
    for item in reversed(asked if isinstance(asked, list) else []):
        if isinstance(item, dict) and item.get("role") == "user":
            return text_of(item.get("content"))
    return ""


def answer(body: Json, behaviour: Behaviour, stamp: Stamp) -> Reply:
    check_common(body)
    question = _question(body)
    composed = compose(question, behaviour)
    usage = None if behaviour.no_usage else _usage(question, composed, behaviour)
    begun = _frame(body, stamp) | {"status": "in_progress", "completed_at": None, "output": [], "usage": None}
    items = _items(composed, stamp)
    if composed.ending == "length":
        ending: Json = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    else:
        ending = {"status": "completed", "completed_at": stamp.created_unix_seconds}
    done = begun | ending | {"output": items, "usage": usage}
    if body.get("stream"):
        return Stream(_events(begun, done, composed), BROKEN)
    return Plain(done)


def _question(body: Json) -> Question:
    asked = body.get("input")
    if not isinstance(asked, str | list) or not asked:
        raise Refusal(400, "Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    items = checked_list(body, "input", _is_object) if isinstance(asked, list) else []
    texts = [asked] if isinstance(asked, str) else [text_of(item.get("content")) for item in items]
    given = checked_list(body, "tools", _is_object)
    tools = tuple(Tool(tool["name"], tool.get("parameters") or {}) for tool in given if named(tool))
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        tools = tuple(tool for tool in tools if tool.name == choice.get("name"))
    return Question(
        text=question_text(body),
        prompt_tokens=prompt_tokens([*texts, text_of(body.get("instructions"))]),
        max_tokens=checked_count(body, "max_output_tokens"),
        tools=() if choice == "none" else tools,
        must_call=choice == "required" or isinstance(choice, dict),
        one_call=body.get("parallel_tool_calls") is False,
        answers_a_tool=bool(items) and items[-1].get("type") == "function_call_output",
        schema=_schema(body.get("text")),
    )


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _schema(text: object) -> Json | None:
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict) or wanted.get("type") == "text":
        return None
    schema = wanted.get("schema")
    return schema if isinstance(schema, dict) else JSON_ANYHOW


def _usage(question: Question, composed: Answer, behaviour: Behaviour) -> Json:
    chat = openai_usage(question.prompt_tokens, [composed], behaviour)
    return {
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": behaviour.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": chat["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": composed.reasoning_tokens},
        "total_tokens": chat["total_tokens"],
    }


def _frame(body: Json, stamp: Stamp) -> Json:
    repeated = {field: body.get(field, unsaid) for field, unsaid in REPEATED.items()}
    return repeated | {
        "id": f"resp_{stamp.token}",
        "object": "response",
        "created_at": stamp.created_unix_seconds,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "service_tier": "default",
        UNKNOWN_FIELD: stamp.unknown,
    }


def _items(composed: Answer, stamp: Stamp) -> list[Json]:
    items: list[Json] = []
    if composed.reasoning:
        summary = [{"type": "summary_text", "text": composed.reasoning}]
        items.append({"id": f"rs_{stamp.token}", "type": "reasoning", "summary": summary})
    if not composed.tool_calls:
        items.append(
            {
                "id": f"msg_{stamp.token}",
                "type": "message",
                "status": "incomplete" if composed.ending == "length" else "completed",
                "role": "assistant",
                "content": [_part(composed.text, refused=composed.refused)],
            }
        )
    for place, call in enumerate(composed.tool_calls):
        items.append(
            {
                "id": f"fc_{stamp.token}{place:02d}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_{stamp.token}{place:02d}",
                "name": call.name,
                "arguments": call.arguments,
            }
        )
    return items


def _part(text: str, *, refused: bool) -> Json:
    if refused:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _events(begun: Json, done: Json, composed: Answer) -> Iterator[Event]:
    event = NumberedEvents()
    yield event("response.created", {"response": begun})
    yield event("response.in_progress", {"response": begun})
    calls = iter(composed.tool_calls)
    for index, item in enumerate(done["output"]):
        begins, filling = _item_events(event, item, index, composed, calls)
        yield event("response.output_item.added", {"output_index": index, "item": begins})
        yield from filling
        yield event("response.output_item.done", {"output_index": index, "item": item})
    yield event(f"response.{done['status']}", {"response": done}, closing=True)


def _item_events(
    event: NumberedEvents, item: Json, index: int, composed: Answer, calls: Iterator[ToolCall]
) -> tuple[Json, Iterator[Event]]:
    """An item as it begins, and what then fills it."""
    where: Json = {"output_index": index, "item_id": item["id"]}
    match item["type"]:
        case "function_call":
            begins = item | {"status": "in_progress", "arguments": ""}
            return begins, _call_events(event, next(calls), where)
        case "reasoning":
            return item | {"summary": []}, _summary_events(event, item["summary"][0], where)
        case _:
            begins = item | {"status": "in_progress", "content": []}
            return begins, _message_events(event, composed, where | {"content_index": 0})


def _call_events(event: NumberedEvents, call: ToolCall, where: Json) -> Iterator[Event]:
    for piece in call.pieces():
        yield event("response.function_call_arguments.delta", where | {"delta": piece}, piece=True)
    done = {"name": call.name, "arguments": call.arguments}
    yield event("response.function_call_arguments.done", where | done)


def _summary_events(event: NumberedEvents, part: Json, where: Json) -> Iterator[Event]:
    where = where | {"summary_index": 0}
    yield event("response.reasoning_summary_part.added", where | {"part": part | {"text": ""}})
    yield event("response.reasoning_summary_text.delta", where | {"delta": part["text"]}, piece=True)
    yield event("response.reasoning_summary_text.done", where | {"text": part["text"]})
    yield event("response.reasoning_summary_part.done", where | {"part": part})


def _message_events(event: NumberedEvents, composed: Answer, where: Json) -> Iterator[Event]:
    refused = composed.refused
    kind, field = ("response.refusal", "refusal") if refused else ("response.output_text", "text")
    extra: Json = {} if refused else {"logprobs": []}
    yield event("response.content_part.added", where | {"part": _part("", refused=refused)})
    for piece in composed.pieces:
        yield event(f"{kind}.delta", where | {"delta": piece} | extra, piece=True)
    yield event(f"{kind}.done", where | {field: composed.text} | extra)
    yield event("response.content_part.done", where | {"part": _part(composed.text, refused=refused)})
