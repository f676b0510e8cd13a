"""How does OpenAI's chat completions protocol ask, answer, stream and fail?"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

from cache_api.dialects import sse
from cache_api.dialects.asked_model import model_asked
from cache_api.dialects.chunks import ChunkTape
from cache_api.dialects.errors import Refused, openai_error
from cache_api.dialects.joining import join_chat
from cache_api.dialects.last_text import parted
from cache_api.dialects.tape import BodyTape, Heard, Tape, members_of, with_signals
from cache_api.domain.request import Parsed, Request
from cache_api.domain.scope import IGNORED_FIELDS
from cache_api.domain.usage import Usage, usage_of_openai

NAME = "openai_chat"
ENDPOINT = "chat/completions"
SPEAKS = "C"

# Tuples, as what stands in a body may not be hashable.
STORED_FINISHES = ("stop", "tool_calls", "function_call")

_OUT_OF_CONTEXT = IGNORED_FIELDS | {"messages", "store"}

# Of the call, not of the answer, yet repeated in that of a call which is kept; the tier is what was bought.
_REPEATED = IGNORED_FIELDS - {"service_tier"}

_THOUGHTS = ("reasoning", "thinking")

_HELD_PARTS = ("text", "image_url", "file", "refusal")

# All other tools run at the provider: no Scope holds what they find there. So do searches asked for by a field.
_CALLERS_TOOLS = ("function", "custom")
_SEARCHES = ("web_search_options", "search_parameters", "plugins")
# By these an answer says that it holds what was looked up at that moment, whichever way that was asked for.
_FOUND = ("citations", "search_results")

error = openai_error


def parse(body: Mapping[str, Any], model: str = "") -> Parsed:
    """What is asked. `model` is asked instead of the body's. Raises Refused."""
    model = model_asked(body, model)
    messages = messages_asked(body)
    options = body.get("stream_options")
    temperature = body.get("temperature")
    texts, fuzzy, placeheld = _last_text(messages[-1])
    rest = {name: value for name, value in body.items() if name not in _OUT_OF_CONTEXT}
    rest["model"] = model
    rest["messages"] = [_canonical_message(message) for message in messages[:-1]] + [placeheld]
    return Parsed(
        model=model,
        body=body,
        context=rest,
        question="\n\n".join(texts) if fuzzy else None,
        texts=tuple(texts),
        prompt_texts=tuple(_all_text(message) for message in messages),
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        tools=bool(body.get("tools") or body.get("functions")),
        choices=body["n"] if isinstance(body.get("n"), int) else 1,
        temperature=temperature if isinstance(temperature, int | float) else None,
        unsupported=any(_out_of_hand(message) for message in messages),
        stateful=_looks_things_up(body),
    )


def messages_asked(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Raises Refused."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "invalid_request", "messages must be an array with at least one message", "messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise Refused(400, "invalid_request", f"messages[{index}] must be an object", "messages")
    return messages


def upstream_body(request: Request) -> bytes:
    """The caller's own bytes where nothing has to change."""
    parsed, target = request.parsed, request.target
    if parsed.unparsed:
        return request.raw
    add_usage = parsed.stream and not parsed.include_usage and target.takes_stream_options
    if "cache" not in parsed.body and parsed.body.get("model") == target.model and not add_usage:
        return request.raw

    body = {name: value for name, value in parsed.body.items() if name != "cache"}
    body["model"] = target.model
    if add_usage:
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return orjson.dumps(body)


def tape(request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape:
    if status >= 400:
        return BodyTape(read_answer, b"")
    if streamed:
        return ChunkTape(join_chat, read_answer, members_of(signals), include_usage=request.parsed.include_usage)
    return BodyTape(read_answer, members_of(signals))


def read_answer(body: Mapping[str, Any]) -> Heard:
    """What a whole body says, and whether it may be stored."""
    choices = body.get("choices")
    choices = choices if isinstance(choices, list) else []
    heard = Heard(
        usage=usage_of_openai(body.get("usage")),
        text="".join(_answered(choice) for choice in choices),
        model=_string(body.get("model")),
        service_tier=_string(body.get("service_tier")),
        recognised="choices" in body,
    )
    found = any(body.get(name) for name in _FOUND)
    if len(choices) == 1 and _fit_to_store(choices[0]) and "error" not in body and not found:
        heard.answer = body
    return heard


def has_tool_calls(answer: Mapping[str, Any]) -> bool:
    message = answer["choices"][0]["message"]
    return bool(message.get("tool_calls") or message.get("function_call"))


def answer_text(answer: Mapping[str, Any]) -> str:
    """ "" of what is no answer in this dialect."""
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def answer_of_text(text: str, model: str) -> dict[str, Any]:
    """A finished message of a bare text, as a provider would have sent it."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": model, "choices": [choice]}


def usage_as_sent(usage: Usage) -> dict[str, Any]:
    """Counted tokens in the provider's words."""
    return {"prompt_tokens": usage.in_total, "completion_tokens": usage.out_total, "total_tokens": usage.total}


def replay(
    request: Request, answer: Mapping[str, Any], signals: Mapping[str, Any], now: datetime
) -> bytes | Iterator[bytes]:
    """The stored answer in the form asked for, with this call's own fields, and an id and a time of its own."""
    renewed = {**answer, "id": f"chatcmpl-{uuid4().hex}", "created": int(now.timestamp())}
    for name in _REPEATED & answer.keys():
        renewed[name] = request.parsed.body.get(name, {} if name == "metadata" else None)
    members = members_of(signals)
    if not request.parsed.stream:
        return with_signals(orjson.dumps(renewed), renewed, members)
    return _replay_stream(renewed, members, include_usage=request.parsed.include_usage)


def _replay_stream(answer: dict[str, Any], members: bytes, *, include_usage: bool) -> Iterator[bytes]:
    """One block of role, content and tool calls; then the closing part, which waits for the ledger."""
    choice = answer.pop("choices")[0]
    usage = answer.pop("usage", None)
    head = orjson.dumps({**answer, "object": "chat.completion.chunk"})[:-1] + b',"choices":[{"index":0,"delta":'
    end = b',"finish_reason":null}]}'
    usage_null = b',"usage":null' if include_usage else b""

    def chunk(delta: Mapping[str, Any], logprobs: Any = None) -> bytes:
        tail = end if logprobs is None else b',"logprobs":' + orjson.dumps(logprobs) + end
        return sse.data(head + orjson.dumps(delta) + tail[:-1] + usage_null + b"}")

    message = choice["message"]
    out = [chunk({"role": message.get("role", "assistant"), "content": ""})]
    # What was thought is told before what is said, wherever a whole message has it.
    for name, value in sorted(message.items(), key=lambda member: not member[0].startswith(_THOUGHTS)):
        if name in {"role", "tool_calls", "function_call"} or value is None:
            continue
        if name == "content" and choice.get("logprobs") and isinstance(value, str):
            out.append(chunk({name: value}, choice["logprobs"]))  # they belong to tokens we no longer see
        elif isinstance(value, str):
            out.extend(chunk({name: piece}) for piece in sse.pieces(value))
        elif value != []:
            out.append(chunk({name: value}))
    for index, call in enumerate(message.get("tool_calls") or ()):
        out.extend(_tool_call_chunks(chunk, index, call))
    if message.get("function_call"):
        out.append(chunk({"function_call": message["function_call"]}))
    yield b"".join(out)

    finish = head + b'{},"logprobs":null,"finish_reason":' + orjson.dumps(choice.get("finish_reason")) + b"}]"
    closing = sse.data(finish + usage_null + b"," + members + b"}")
    if include_usage:
        closing += sse.data(orjson.dumps({**answer, "object": "chat.completion.chunk", "choices": [], "usage": usage}))
    yield closing + sse.DONE


def _tool_call_chunks(chunk: Any, index: int, call: Mapping[str, Any]) -> Iterator[bytes]:
    """`id`, `type` and name first, then the arguments in pieces."""
    kind = "custom" if "custom" in call else "function"
    inner = call.get(kind) or {}
    grows = "input" if kind == "custom" else "arguments"
    whole = inner.get(grows) or ""
    yield chunk({"tool_calls": [{**call, "index": index, kind: {**inner, grows: ""}}]})
    for piece in sse.pieces(whole):
        yield chunk({"tool_calls": [{"index": index, kind: {grows: piece}}]})


def _fit_to_store(choice: Any) -> bool:
    """Complete, no refusal, not filtered, not empty, and of the model's own knowledge alone."""
    if not isinstance(choice, dict) or choice.get("finish_reason") not in STORED_FINISHES:
        return False
    message = choice.get("message")
    if not isinstance(message, dict) or message.get("refusal") or message.get("annotations"):
        return False
    content, calls = message.get("content"), message.get("tool_calls") or []
    if calls or message.get("function_call"):
        return isinstance(calls, list) and all(map(_can_be_told_again, calls))
    return isinstance(content, str) and bool(content.strip())


def _can_be_told_again(call: Any) -> bool:
    if not isinstance(call, dict):
        return False
    kind, grows = ("custom", "input") if "custom" in call else ("function", "arguments")
    inner = call.get(kind) or {}
    return isinstance(inner, dict) and isinstance(inner.get(grows), str | None)


def _answered(choice: Any) -> str:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return ""
    texts = [value for name, value in message.items() if name != "role" and isinstance(value, str)]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        texts.append(str(call.get("function") or call.get("custom") or "") if isinstance(call, dict) else "")
    return "".join(texts)


def _last_text(message: Mapping[str, Any]) -> tuple[list[str], bool, Any]:
    """The last message's texts, whether they may be fuzzy, and the message as it enters the Scope."""
    content = message.get("content")
    if message.get("role") != "user":
        return [], False, _canonical_message(message)
    if isinstance(content, str):
        return [content], True, {**message, "content": [None]}
    if not isinstance(content, list) or not content:
        return [], False, _canonical_message(message)

    texts, fuzzy, others = parted(content, is_text=_is_text, told=lambda part: part)
    return texts, fuzzy, {**message, "content": others}


def _canonical_message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """One text part is the plain string."""
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and _is_text(content[0]) and len(content[0]) == 2:
        return {**message, "content": content[0]["text"]}
    return message


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _looks_things_up(body: Mapping[str, Any]) -> bool:
    """Whether the provider itself searches or runs something for this answer."""
    if any(body.get(name) is not None for name in _SEARCHES):  # an empty object asks for a search, too
        return True
    tools = body.get("tools")
    return isinstance(tools, list) and any(map(_runs_elsewhere, tools))


def _runs_elsewhere(tool: Any) -> bool:
    if not isinstance(tool, dict):
        return False  # the provider says what is wrong with it
    return tool.get("type", "function" if "function" in tool else None) not in _CALLERS_TOOLS


def _out_of_hand(message: Mapping[str, Any]) -> bool:
    """Whether a part's bytes are elsewhere: a remote URL, a file id, audio."""
    content = message.get("content")
    if not isinstance(content, list):
        return message.get("audio") is not None
    for part in content:
        if not isinstance(part, dict) or part.get("type") not in _HELD_PARTS:
            return True
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if part["type"] == "image_url" and not (isinstance(url, str) and url.startswith("data:")):
            return True
        file = part.get("file")
        if part["type"] == "file" and not (isinstance(file, dict) and "file_data" in file):
            return True
    return False


def _all_text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if _is_text(part))
    return ""


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
