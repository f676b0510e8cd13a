"""How does Anthropic's Messages protocol ask, answer, stream and fail?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson

from cache_api.dialects import message_events, sse
from cache_api.dialects.asked_model import model_asked
from cache_api.dialects.errors import Refused, anthropic_error
from cache_api.dialects.joining import CannotJoin
from cache_api.dialects.last_text import parted
from cache_api.dialects.openai_chat import messages_asked
from cache_api.dialects.tape import ANSWER_MAX_BYTES, BodyTape, Heard, Tape, members_of, with_signals
from cache_api.domain.request import Parsed, Request
from cache_api.domain.scope import IGNORED_FIELDS
from cache_api.domain.usage import Usage, estimated_tokens, usage_of_anthropic

NAME = "anthropic_messages"
ENDPOINT = "messages"
SPEAKS = "M"

# Complete by the model's own choice or by the caller's; a refusal, a paused turn and a full window are not.
STORED_STOPS = ("end_turn", "stop_sequence", "tool_use")  # a tuple, as what stands in a body may not be hashable

# Where the provider's prompt cache may begin changes what is billed, not what is answered.
_CACHE_CONTROL = "cache_control"
_OUT_OF_CONTEXT = IGNORED_FIELDS | {"messages", _CACHE_CONTROL}

# With any of these the call goes on from, leaves behind, or is answered with what only the provider holds.
_STATE = ("container", "mcp_servers", "thread")
# Tools without a type are the caller's own, and these run at the caller's too; all others run at the provider's.
_CALLERS_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_", "browser_")
_HELD_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use", "search_result")
_HELD_SOURCES = ("base64", "text", "content")

_TURNING = re.compile(rb'"type"\s*:\s*"(?:message_(?:start|delta|stop)|error)"')
_BEYOND_64_BITS = 2.0**63

error = anthropic_error


def parse(body: Mapping[str, Any], model: str = "") -> Parsed:
    """What is asked. `model` is asked instead of the body's. Raises Refused."""
    model = model_asked(body, model)
    messages = messages_asked(body)
    temperature = body.get("temperature")
    tools = body.get("tools")
    tools = tools if isinstance(tools, list) else []
    texts, fuzzy, placeheld = _last_text(messages[-1])
    rest = {name: value for name, value in body.items() if name not in _OUT_OF_CONTEXT}
    rest["model"] = model
    rest["messages"] = [*map(_canonical_message, messages[:-1]), placeheld]
    if "system" in body:
        rest["system"] = _canonical_content(body["system"])
    if tools:
        rest["tools"] = [_unmarked(tool) for tool in tools]
    contents = [body.get("system"), *(message.get("content") for message in messages)]
    return Parsed(
        model=model,
        body=body,
        context=rest,
        question="\n\n".join(texts) if fuzzy else None,
        texts=tuple(texts),
        prompt_texts=tuple(text for text in map(_all_text, contents) if text),
        stream=body.get("stream") is True,
        tools=bool(tools or body.get("mcp_servers")),
        temperature=temperature if isinstance(temperature, int | float) else None,
        unsupported=any(_out_of_hand(block) for content in contents for block in _blocks(content)),
        stateful=any(body.get(name) for name in _STATE) or any(map(_runs_elsewhere, tools)),
    )


def upstream_body(request: Request) -> bytes:
    """The caller's own bytes where nothing has to change."""
    body, model = request.parsed.body, request.target.model
    if request.parsed.unparsed or ("cache" not in body and body.get("model") == model):
        return request.raw
    return orjson.dumps({**{name: value for name, value in body.items() if name != "cache"}, "model": model})


def tape(request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape:
    if status >= 400:
        return BodyTape(read_answer, b"")
    if streamed:
        return MessageStreamTape(members_of(signals), signals.get("cacheai", {}).get("request_id", ""))
    return BodyTape(read_answer, members_of(signals))


def read_answer(body: Mapping[str, Any]) -> Heard:
    """What a whole body says, and whether it may be stored."""
    content = body.get("content")
    content = content if isinstance(content, list) else None
    usage = body.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    heard = Heard(
        usage=usage_of_anthropic(usage),
        text="".join(map(_answered, content or ())),
        model=_string(body.get("model")),
        # What is paid for speed is a tier of its own.
        service_tier="fast" if usage.get("speed") == "fast" else _string(usage.get("service_tier")),
        recognised=body.get("type") == "message" and content is not None,
    )
    if heard.recognised and body.get("stop_reason") in STORED_STOPS and _fit_to_store(content or ()):
        heard.answer = body
    return heard


def has_tool_calls(answer: Mapping[str, Any]) -> bool:
    return any(block["type"].endswith("tool_use") for block in answer["content"])


def answer_text(answer: Mapping[str, Any]) -> str:
    """ "" of what is no answer in this dialect."""
    return "".join(_string(block.get("text")) for block in _blocks(answer.get("content")) if _is_text(block))


def answer_of_text(text: str, model: str) -> dict[str, Any]:
    """A finished message of a bare text, as the provider would have sent it."""
    return {
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }


def usage_as_sent(usage: Usage) -> dict[str, Any]:
    """Counted tokens in the provider's words: input leaves out what was read from its cache or written to it."""
    written = usage.in_write_5m + usage.in_write_1h
    return {
        "input_tokens": usage.in_total - usage.in_cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.in_cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.in_write_5m,
            "ephemeral_1h_input_tokens": usage.in_write_1h,
        },
        "output_tokens": usage.out_total,
    }


def replay(
    request: Request, answer: Mapping[str, Any], signals: Mapping[str, Any], now: datetime
) -> bytes | Iterator[bytes]:
    """The stored answer in the form asked for, with an id of its own."""
    renewed = {**answer, "id": f"msg_{uuid4().hex}"}
    if request.parsed.stream:
        return message_events.replayed(renewed, members_of(signals))
    return with_signals(orjson.dumps(renewed), renewed, members_of(signals))


class MessageStreamTape:
    """Passes events on as they came, and keeps `message_stop` until the ledger is written."""

    def __init__(self, members: bytes, request_id: str) -> None:
        self.heard = Heard()
        self.closing = b""
        self._members = members
        self._request_id = request_id
        self._events = sse.Events()
        self._payloads: list[bytes] = []
        self._size = 0
        self._done = False  # `message_stop` came
        self._finished = False  # the reason to stop came
        self._failed = False  # the provider said so itself: the caller is told

    def take(self, chunk: bytes) -> bytes:
        return b"".join([self._pass(event) for event in self._events.take(chunk)])

    def end(self, *, complete: bool) -> None:
        if last := self._events.last():
            out = self._pass(last)
            self.closing += out
        self.heard = self._heard()
        if not self._done:
            self.heard.answer = None
            self.heard.broken = not self._failed and not (complete and self._finished)
        if self.heard.broken:
            broken = Refused(502, "upstream_stream_broken", "The provider's stream broke off.")
            self.closing += sse.named("error", anthropic_error(broken, self._request_id))

    def _pass(self, event: bytes) -> bytes:
        """What of this event goes on now."""
        payload = sse.payload(event)
        if not payload and not self._done:
            return event
        if self._done:
            self.closing += event
            return b""

        event = sse.spaced(event)
        self._size += len(payload)
        turning = sse.read_object(payload) if _TURNING.search(payload) else {}
        kind = turning.get("type")
        if self._size <= 2 * ANSWER_MAX_BYTES or kind is not None:
            self._payloads.append(payload)
        if kind == "message_stop":
            self._done = True
            self.closing += event
            return b""
        if kind == "error":
            self._failed = True
        if not self._finished and _stop_reason(turning):
            self._finished = True
            if "cacheai" not in turning:
                return sse.with_members(event, self._members)
        return event

    def _heard(self) -> Heard:
        events = [sse.read_object(payload) for payload in self._payloads]
        joined = _joined(events)
        if joined is None:
            joined = _joined([event for event in events if event.get("type") in ("message_start", "message_delta")])
        heard = read_answer(joined or {})  # of the counts alone there is no content to be stored
        if self._size > ANSWER_MAX_BYTES:
            heard.answer = None
        if heard.usage is not None and not self._finished:  # the first count has one token or so of the answer
            tokens = estimated_tokens(message_events.answered_text(events))
            heard.usage = replace(heard.usage, out_total=max(heard.usage.out_total, tokens), estimated=True)
        return heard


def _joined(events: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    try:
        return message_events.join(events)
    except (CannotJoin, AttributeError, KeyError, TypeError, ValueError):  # an error, half an input, no event at all
        return None


def _stop_reason(event: Mapping[str, Any]) -> Any:
    delta = event.get("delta")
    return delta.get("stop_reason") if isinstance(delta, dict) else None


def _fit_to_store(content: Sequence[Any]) -> bool:
    """Not empty, and such that it can be sent again as it was."""
    says = [block for block in content if _is_text(block) and block["text"].strip()]
    calls = [block for block in content if isinstance(block, Mapping) and block.get("type") == "tool_use"]
    return bool(says or calls) and all(map(_replayable, content))


def _replayable(block: Any) -> bool:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(kind, str) or _written(block.get("input")) is None or _rounded(block.get("input")):
        return False
    return kind not in {"text", "thinking"} or isinstance(block.get(kind), str)


def _rounded(value: Any) -> bool:
    """Whether an integer over 64 bits may have been read as a float, to come back as another number."""
    if isinstance(value, float):
        return abs(value) >= _BEYOND_64_BITS
    if isinstance(value, Mapping):
        return any(map(_rounded, value.values()))
    return isinstance(value, list) and any(map(_rounded, value))


def _answered(block: Any) -> str:
    if not isinstance(block, Mapping):
        return ""
    written = _written(block["input"]) if "input" in block else ""
    return "".join(_string(part) for part in (block.get("text"), block.get("thinking"), block.get("name"), written))


def _written(value: Any) -> str | None:
    """As JSON, unless it is nested too deeply to be written again."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return None


def _last_text(message: Mapping[str, Any]) -> tuple[list[str], bool, Any]:
    """The last message's texts, whether they may be fuzzy, and the message as it enters the Scope."""
    content = message.get("content")
    if message.get("role") != "user":
        return [], False, _canonical_message(message)
    if isinstance(content, str):
        return [content], True, {**message, "content": [None]}
    if not isinstance(content, list) or not content:
        return [], False, _canonical_message(message)

    blocks = [_unmarked(block) for block in content]
    texts, fuzzy, others = parted(blocks, is_text=_is_text, told=_canonical_block)
    return texts, fuzzy, {**message, "content": others}


def _canonical_message(message: Mapping[str, Any]) -> dict[str, Any]:
    return {**message, "content": _canonical_content(message.get("content"))}


def _canonical_content(content: Any) -> Any:
    """One text block is the plain string."""
    if not isinstance(content, list):
        return content
    blocks = [_canonical_block(block) for block in content]
    if len(blocks) == 1 and _is_text(blocks[0]) and len(blocks[0]) == 2:
        return blocks[0]["text"]
    return blocks


def _canonical_block(block: Any) -> Any:
    """Bytes by their digest: a question's context is kept with its answer, its pictures are not."""
    block = _unmarked(block)
    if not isinstance(block, dict):
        return block
    if "content" in block:
        block["content"] = _canonical_content(block["content"])
    if isinstance(block.get("source"), dict):
        block["source"] = source = dict(block["source"])
        if "content" in source:
            source["content"] = _canonical_content(source["content"])
        if source.get("type") == "base64" and isinstance(source.get("data"), str):
            source["data"] = {"sha256": sha256(source["data"].encode("utf-8", "surrogatepass")).hexdigest()}
    return block


def _unmarked(part: Any) -> Any:
    """A block or tool without its mark for the provider's prompt cache."""
    if not isinstance(part, dict):
        return part
    return {name: value for name, value in part.items() if name != _CACHE_CONTROL}


def _is_text(block: Any) -> bool:
    return isinstance(block, Mapping) and block.get("type") == "text" and isinstance(block.get("text"), str)


def _out_of_hand(block: Any) -> bool:
    """Whether a block's bytes are elsewhere: a remote URL, a file id, or a kind not known here."""
    if not isinstance(block, dict):
        return True
    kind = block.get("type")
    if kind in ("image", "document"):
        source = block.get("source")
        if not isinstance(source, dict) or source.get("type") not in _HELD_SOURCES:
            return True
        return any(map(_out_of_hand, _blocks(source.get("content"))))
    if kind == "tool_result":
        return any(map(_out_of_hand, _blocks(block.get("content"))))
    return kind not in _HELD_BLOCKS


def _runs_elsewhere(tool: Any) -> bool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    return isinstance(kind, str) and not kind.startswith(_CALLERS_TOOLS)


def _all_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    blocks = [block for block in _blocks(content) if isinstance(block, dict)]
    texts = [block["text"] if _is_text(block) else _all_text(block.get("content")) for block in blocks]
    return "\n".join(text for text in texts if text)


def _blocks(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
