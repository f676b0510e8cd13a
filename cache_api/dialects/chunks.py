"""How is a stream of chunks with `choices` passed on, and what whole answer was it?

Chat completions and the older text completions are streamed alike; what a chunk holds is the dialect's business.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from cache_api.dialects import sse
from cache_api.dialects.errors import Refused
from cache_api.dialects.joining import CannotJoin
from cache_api.dialects.tape import ANSWER_MAX_BYTES, Heard

_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')
_USAGE = re.compile(rb'"usage"\s*:\s*\{')


class ChunkTape:
    """Passes events on as they came; keeps the usage nobody asked for, and the end until the ledger is written."""

    def __init__(
        self,
        join: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]],
        read_answer: Callable[[Mapping[str, Any]], Heard],
        members: bytes,
        *,
        include_usage: bool,
    ) -> None:
        self.heard = Heard()
        self._join = join
        self._read_answer = read_answer
        self.closing = b""
        self._members = members
        self._include_usage = include_usage
        self._events = sse.Events()
        self._payloads: list[bytes] = []
        self._size = 0
        self._done = False
        self._finished = False
        self._failed = False

    def take(self, chunk: bytes) -> bytes:
        out = [self._pass(event) for event in self._events.take(chunk)]
        return out[0] if len(out) == 1 else b"".join(out)

    def end(self, *, complete: bool) -> None:
        if last := self._events.last():
            out = self._pass(last)
            self.closing += out
        chunks = self._read()
        joined = self._joined(chunks)
        self.heard = self._read_answer(joined) if joined else Heard()
        if not self._done and not (complete and self._finished):
            self.heard.broken = True
            if not any(chunk.get("error") for chunk in chunks):  # The provider said itself what befell it.
                broken = Refused(502, "upstream_stream_broken", "The provider's stream broke off.")
                self.closing += stream_error(broken)
        if not self._done or self._failed:
            self.heard.answer = None
        if self._size > ANSWER_MAX_BYTES:
            self.heard.answer = None

    def _pass(self, event: bytes) -> bytes:
        """What of this event goes on now."""
        payload = sse.payload(event)
        if not payload:
            return event
        if payload.strip() == b"[DONE]":
            self._done = True
            self.closing += sse.spaced(event)
            return b""
        if self._done:
            self.closing += event
            return b""

        self._size += len(payload)
        if self._size <= 2 * ANSWER_MAX_BYTES or _USAGE.search(payload):
            self._payloads.append(payload)
        event = sse.spaced(event)
        if _USAGE.search(payload) and not self._include_usage and b'"choices"' in payload:
            parsed = sse.read_object(payload)
            if parsed.get("choices") == [] and "error" not in parsed:
                return b""  # asked for by us alone; an empty `choices` breaks clients that read choices[0]
        if not self._finished and _FINISH.search(payload):
            self._finished = True
            if b'"cacheai"' not in payload:
                return sse.with_members(event, self._members)
        return event

    def _read(self) -> list[dict[str, Any]]:
        chunks = [sse.read_object(payload) for payload in self._payloads]
        self._failed = any(not chunk or "error" in chunk for chunk in chunks)
        return [chunk for chunk in chunks if chunk]

    def _joined(self, chunks: list[dict[str, Any]]) -> dict[str, Any] | None:
        try:
            return self._join(chunks)
        except (CannotJoin, AttributeError, KeyError, TypeError):  # shapes no chunk has
            self._failed = True
            usages = [chunk["usage"] for chunk in chunks if isinstance(chunk.get("usage"), dict)]
            return {"usage": usages[-1]} if usages else None


def stream_error(refused: Refused) -> bytes:
    failure = {"message": refused.message, "type": "proxy_error", "code": refused.code}
    return sse.data(orjson.dumps({"error": failure}))
