"""How does OpenAI's Responses protocol ask, answer, stream and fail?"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson

from cache_api.dialects import sse
from cache_api.dialects.asked_model import model_asked
from cache_api.dialects.errors import Refused, openai_error
from cache_api.dialects.last_text import parted
from cache_api.dialects.response_events import ENDS, Joining, replay_events, texts_of
from cache_api.dialects.tape import ANSWER_MAX_BYTES, BodyTape, Heard, Tape, members_of, with_signals
from cache_api.domain.request import Parsed, Request
from cache_api.domain.scope import IGNORED_FIELDS
from cache_api.domain.usage import Usage, usage_of_openai

NAME = "openai_responses"
ENDPOINT = "responses"
SPEAKS = "R"

# With any of these the call goes on from, or leaves behind, what only the provider holds.
_STATE = ("previous_response_id", "conversation", "background", "prompt")
# Tuples, as a type that is no string may not be hashable.
# All other tools run at the provider, or act on a machine: no Scope holds what they find there.
_CALLERS_TOOLS = ("function", "custom", "namespace")
_TOOL_CALLS = ("function_call", "custom_tool_call")
# All other items stand for work done at the provider, or for an item kept there.
_HELD_ITEMS = (*_TOOL_CALLS, "message", "function_call_output", "custom_tool_call_output", "reasoning")
_HELD_PARTS = ("input_text", "output_text", "refusal", "input_image", "input_file")
# Answers of other items hold what a provider looked up or made at that moment.
_STORED_ITEMS = (*_TOOL_CALLS, "message", "reasoning")

_OUT_OF_CONTEXT = IGNORED_FIELDS | {"input"}
# Of the call, not of the answer, yet repeated in it; the tier is what was bought.
_REPEATED = IGNORED_FIELDS - {"service_tier"}

error = openai_error


def parse(body: Mapping[str, Any], model: str = "") -> Parsed:
    """What is asked. `model` is asked instead of the body's. Raises Refused."""
    stateful = any(body.get(name) for name in _STATE) or _prewarms(body)
    if model or body.get("model") or not stateful:  # what the provider holds may name the model, and be the input
        model = model_asked(body, model)
    items = _items(body.get("input"), needed=not stateful)

    tools = body.get("tools")
    temperature = body.get("temperature")
    texts, fuzzy, placeheld = _last_text(items[-1]) if items else ([], False, None)
    rest = {name: value for name, value in body.items() if name not in _OUT_OF_CONTEXT}
    rest["model"] = model
    rest["input"] = [*map(_canonical_item, items[:-1]), *([placeheld] if items else ())]
    return Parsed(
        model=model,
        body=body,
        context=rest,
        question="\n\n".join(texts) if fuzzy else None,
        texts=tuple(texts),
        prompt_texts=tuple(text for text in (_string(body.get("instructions")), *map(_all_text, items)) if text),
        stream=body.get("stream") is True,
        tools=bool(tools),
        temperature=temperature if isinstance(temperature, int | float) else None,
        unsupported=any(_out_of_hand(part) for item in items for part in _parts(item)),
        stateful=stateful
        or not _all_of(tools, _CALLERS_TOOLS)
        or any(_kind(item) not in _HELD_ITEMS for item in items),
        continuable=body.get("store") is not False,
    )


def upstream_body(request: Request) -> bytes:
    """The caller's own bytes where nothing has to change."""
    parsed, target = request.parsed, request.target
    same_model = (parsed.body.get("model") or "") == target.model
    if parsed.unparsed or ("cache" not in parsed.body and same_model):
        return request.raw

    body = {name: value for name, value in parsed.body.items() if name != "cache"}
    if not same_model:
        body["model"] = target.model
    return orjson.dumps(body)


def tape(request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape:
    if status >= 400:
        return BodyTape(read_answer, b"")
    members = members_of(signals)
    return ResponseStreamTape(members) if streamed else BodyTape(read_answer, members)


def read_answer(body: Mapping[str, Any]) -> Heard:
    """What a whole body says, and whether it may be stored."""
    heard = Heard(
        usage=usage_of_openai(body.get("usage")),
        text="".join(texts_of(body.get("output")).values()),
        model=_string(body.get("model")),
        service_tier=_string(body.get("service_tier")),
        recognised=body.get("object") == "response" or "output" in body,
    )
    if _fit_to_store(body):
        heard.answer = body
    return heard


def has_tool_calls(answer: Mapping[str, Any]) -> bool:
    return any(item["type"] in _TOOL_CALLS for item in answer["output"])


def answer_text(answer: Mapping[str, Any]) -> str:
    """ "" of what is no answer in this dialect."""
    return texts_of(answer.get("output")).get("output_text", "")


def answer_of_text(text: str, model: str) -> dict[str, Any]:
    """A finished response of a bare text, as a provider would have sent it."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"id": f"msg_{uuid4().hex}", "type": "message", "status": "completed", "role": "assistant"}
    return {
        "object": "response",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [{**message, "content": [part]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def usage_as_sent(usage: Usage) -> dict[str, Any]:
    """Counted tokens in the provider's words."""
    return {
        "input_tokens": usage.in_total,
        "input_tokens_details": {
            "cached_tokens": usage.in_cached,
            "cache_write_tokens": usage.in_write_5m + usage.in_write_1h,
        },
        "output_tokens": usage.out_total,
        "output_tokens_details": {"reasoning_tokens": usage.out_reasoning},
        "total_tokens": usage.total,
    }


def replay(
    request: Request, answer: Mapping[str, Any], signals: Mapping[str, Any], now: datetime
) -> bytes | Iterator[bytes]:
    """The stored answer in the form asked for, with this call's own fields and time."""
    seconds = int(now.timestamp())
    renewed = {**answer, "created_at": seconds}
    if not request.parsed.continuable or not answer.get("id"):
        renewed["id"] = f"resp_{uuid4().hex}"  # else the provider's own: a next call may go on from it
    if answer.get("completed_at") is not None:
        renewed["completed_at"] = seconds
    for name in _REPEATED & answer.keys():
        renewed[name] = request.parsed.body.get(name, {} if name == "metadata" else None)

    members = members_of(signals)
    if request.parsed.stream:
        return replay_events(renewed, members)
    return with_signals(orjson.dumps(renewed), renewed, members)


class ResponseStreamTape:
    """Passes events on as they came, but for the one that ends the response: it waits for the ledger."""

    def __init__(self, members: bytes) -> None:
        self.heard = Heard()
        self.closing = b""
        self._members = members
        self._events = sse.Events()
        self._joining = Joining()
        self._next_number = 0
        self._ended = False
        self._unread = False  # an event that is too long, or no JSON, went by

    def take(self, chunk: bytes) -> bytes:
        out = [self._pass(event) for event in self._events.take(chunk)]
        return out[0] if len(out) == 1 else b"".join(out)

    def end(self, *, complete: bool) -> None:
        if last := self._events.last():
            out = self._pass(last)  # which may add to what closes
            self.closing += out
        self.heard = self._hear()
        # A stream of which we did not read all may have ended well.
        if not self._ended and not (complete and self._unread):
            self.heard.broken = True
            self.closing += self._broken_off()

    def _pass(self, event: bytes) -> bytes:
        """What of this event goes on now."""
        payload = sse.payload(event)
        if not payload:
            return event
        event = sse.spaced(event)
        if self._ended:
            self.closing += event
            return b""

        said = sse.read_object(payload)
        self._unread = self._unread or not said
        self._joining.take(said)
        if isinstance(number := said.get("sequence_number"), int):
            self._next_number = number + 1
        kind = str(said.get("type"))
        if kind not in ENDS and kind != "error":
            return event
        self._ended = True
        self.closing += event if kind == "error" else _with_signals(event, said, self._members)
        return b""

    def _hear(self) -> Heard:
        response = self._joining.response
        if response is None:
            return Heard(text=self._joining.text)
        heard = read_answer(response)
        if self._unread or not self._joining.faithful or len(orjson.dumps(response)) > ANSWER_MAX_BYTES:
            heard.answer = None
        return heard

    def _broken_off(self) -> bytes:
        failure = {
            "type": "error",
            "sequence_number": self._next_number,
            "code": "upstream_stream_broken",
            "message": "The provider's stream broke off.",
            "param": None,
        }
        return sse.named("error", orjson.dumps(failure))


def _with_signals(event: bytes, said: Mapping[str, Any], members: bytes) -> bytes:
    """The closing event with our members, unless their names are taken."""
    if "cacheai" in said or "cacheback_hit" in said or "cacheback_synthesized" in said:
        return event
    return sse.with_members(event, members)


def _fit_to_store(body: Mapping[str, Any]) -> bool:
    """Complete, no refusal, not empty, and of items whose replay is known."""
    output = body.get("output")
    if body.get("status") != "completed" or body.get("error") or body.get("incomplete_details") or not output:
        return False
    if not _all_of(output, _STORED_ITEMS) or not all(map(_whole, output)):
        return False
    return has_tool_calls(body) or bool(answer_text(body).strip())


def _whole(item: Mapping[str, Any]) -> bool:
    if item.get("status") not in (None, "completed"):
        return False
    match item["type"]:
        case "message":
            return _texts_alone(item.get("content"), "output_text")
        case "function_call":
            return isinstance(item.get("arguments"), str)
        case "custom_tool_call":
            return isinstance(item.get("input"), str)
    return _texts_alone(item.get("summary"), "summary_text") and _texts_alone(item.get("content"), "reasoning_text")


def _texts_alone(parts: Any, kind: str) -> bool:
    return _all_of(parts, (kind,)) and all(isinstance(part.get("text"), str) for part in parts or ())


def _all_of(values: Any, kinds: tuple[str, ...]) -> bool:
    """Whether this is a list of objects of these types; none is a list too."""
    if values is None:
        return True
    return isinstance(values, list) and all(isinstance(one, dict) and one.get("type") in kinds for one in values)


def _prewarms(body: Mapping[str, Any]) -> bool:
    """Whether nothing is to be answered, only the provider's own cache to be filled."""
    options = body.get("prompt_cache_options")
    return isinstance(options, dict) and options.get("prewarm") is True


def _items(asked: Any, *, needed: bool) -> Sequence[Mapping[str, Any]]:
    """The input as items: a string is a user's message. Raises Refused."""
    if isinstance(asked, str):
        return [{"role": "user", "content": asked}]
    if asked is None and not needed:
        return []
    if not isinstance(asked, list):
        raise Refused(400, "invalid_request", "input must be a string or an array of items", "input")
    for index, item in enumerate(asked):
        if not isinstance(item, dict):
            raise Refused(400, "invalid_request", f"input[{index}] must be an object", "input")
    return asked


def _kind(item: Mapping[str, Any]) -> str:
    """A message need not say that it is one; without a role, an id alone refers to a kept item."""
    return str(item.get("type") or ("message" if "role" in item else "item_reference"))


def _last_text(item: Mapping[str, Any]) -> tuple[list[str], bool, Any]:
    """The last item's texts, whether they may be fuzzy, and the item as it enters the Scope."""
    content = item.get("content")
    if _kind(item) != "message" or item.get("role") != "user":
        return [], False, _canonical_item(item)
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    if not isinstance(content, list) or not content:
        return [], False, _canonical_item(item)

    texts, fuzzy, others = parted(content, is_text=_is_text, told=_digested)
    return texts, fuzzy, {**_canonical_item(item), "content": others}


def _canonical_item(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """One text part is the plain string; `message` is what an item with a role is anyway."""
    canonical = dict(item)
    if "role" in item and item.get("type") == "message":
        del canonical["type"]
    for name in ("content", "output"):
        parts = item.get(name)
        if isinstance(parts, list) and len(parts) == 1 and _is_text(parts[0]) and len(parts[0]) == 2:
            canonical[name] = parts[0]["text"]
        elif isinstance(parts, list):
            canonical[name] = [_digested(part) for part in parts]
    return canonical


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "input_text" and isinstance(part.get("text"), str)


def _digested(part: Any) -> Any:
    """Bytes take part by their digest: no entry carries images about."""
    if not isinstance(part, dict):
        return part
    held = {name: part[name] for name in ("image_url", "file_data") if isinstance(part.get(name), str)}
    return {**part, **{name: sha256(data.encode(errors="surrogatepass")).hexdigest() for name, data in held.items()}}


def _parts(item: Mapping[str, Any]) -> list[Any]:
    """The parts of a message or of a tool's output."""
    parts = item.get("content") if _kind(item) == "message" else item.get("output")
    return parts if isinstance(parts, list) else []


def _out_of_hand(part: Any) -> bool:
    """Whether a part's bytes are elsewhere: a remote URL, a file id, audio."""
    if not isinstance(part, dict) or part.get("type") not in _HELD_PARTS or part.get("file_id"):
        return True
    if part["type"] == "input_image":
        return not _string(part.get("image_url")).startswith("data:")
    return part["type"] == "input_file" and not part.get("file_data")


def _all_text(item: Mapping[str, Any]) -> str:
    strings = [_string(item.get(name)) for name in ("content", "arguments", "input", "output")]
    parts = [_string(part.get("text")) for part in _parts(item) if isinstance(part, dict)]
    return "\n".join(text for text in (*strings, *parts) if text)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
