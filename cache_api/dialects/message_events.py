"""Which message do the events of a stream come to, and in which events does a stored message go out again?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from cache_api.dialects import sse
from cache_api.dialects.joining import CannotJoin

Event = Mapping[str, Any]

_SILENT = ("content_block_stop", "message_stop", "ping")  # they end or keep alive, and add nothing
_COUNTED_LAST = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
)


def join(events: Sequence[Event]) -> dict[str, Any]:
    """The message that would have come without `stream`. Raises CannotJoin, or what odd shapes raise."""
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = dict(event["message"])
            case "content_block_start":
                blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta" if event["delta"]["type"] == "input_json_delta":
                inputs[event["index"]] = inputs.get(event["index"], "") + event["delta"]["partial_json"]
            case "content_block_delta":
                _grow(blocks[event["index"]], event["delta"])
            case "message_delta":
                _end(message, event)
            case kind if kind not in _SILENT:
                raise CannotJoin(kind)
    for index, text in inputs.items():
        if text:
            blocks[index]["input"] = orjson.loads(text)
    return {**message, "content": [blocks[index] for index in sorted(blocks)]}


def answered_text(events: Sequence[Event]) -> str:
    """All that was written, for an estimate."""
    deltas = [event["delta"] for event in events if isinstance(event.get("delta"), Mapping)]
    return "".join(str(delta.get(name, "")) for delta in deltas for name in ("text", "thinking", "partial_json"))


def replayed(message: Mapping[str, Any], members: bytes) -> Iterator[bytes]:
    """One block of all that is said; then the closing part with `members`, which waits for the ledger."""
    usage = message.get("usage")
    usage = usage if isinstance(usage, Mapping) else {"input_tokens": 0, "output_tokens": 0}
    ending = {"stop_reason": message.get("stop_reason"), "stop_sequence": message.get("stop_sequence")}
    begun = {**message, **dict.fromkeys(ending), "content": [], "usage": {**usage, "output_tokens": 1}}
    out = [_event("message_start", {"message": begun})]
    for index, block in enumerate(message["content"]):
        bare, deltas = _taken_apart(block)
        out.append(_event("content_block_start", {"index": index, "content_block": bare}))
        out += [_event("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        out.append(_event("content_block_stop", {"index": index}))
    yield b"".join(out)

    counted = {name: usage[name] for name in _COUNTED_LAST if usage.get(name) is not None}
    last = _event("message_delta", {"delta": ending, "usage": counted})
    yield sse.with_members(last, members) + _event("message_stop", {})


def _grow(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case kind:
            raise CannotJoin(kind)


def _end(message: dict[str, Any], event: Event) -> None:
    """What stands beside delta and usage belongs to the message too; counts are totals, not additions."""
    told = {**event["delta"], **{name: event[name] for name in event.keys() - {"type", "delta", "usage"}}}
    counted = {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
    message |= {name: value for name, value in told.items() if value is not None or name not in message}
    if counted:
        message["usage"] = {**(message.get("usage") or {}), **counted}


def _taken_apart(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and what then fills it; kinds that come whole are filled by nothing."""
    kind = block["type"]
    if kind == "text":
        cited = block.get("citations")
        cited = cited if isinstance(cited, list) else []
        bare = {**block, "text": "", **({"citations": []} if cited else {})}
        deltas = [{"type": "text_delta", "text": piece} for piece in sse.pieces(block["text"])]
        return bare, [*deltas, *({"type": "citations_delta", "citation": one} for one in cited)]
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in sse.pieces(block["thinking"])]
        if "signature" not in block:
            return {**block, "thinking": ""}, deltas
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {**block, "thinking": "", "signature": ""}, deltas
    if isinstance(block.get("input"), Mapping):
        written = orjson.dumps(block["input"]).decode()
        return {**block, "input": {}}, [
            {"type": "input_json_delta", "partial_json": piece} for piece in sse.pieces(written)
        ]
    return dict(block), []


def _event(kind: str, fields: Mapping[str, Any]) -> bytes:
    return sse.named(kind, orjson.dumps({"type": kind, **fields}))
