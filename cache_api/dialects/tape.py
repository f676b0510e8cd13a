"""What did the provider send, what may go on to the caller now, and what is it worth?

A tape lies between the provider and the caller. `take` hands each chunk on, `end` is called once when nothing more
comes, and `closing` is what the caller gets last, after the ledger row is safe.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from cache_api.domain.usage import Usage

ANSWER_MAX_BYTES = 1024 * 1024  # larger answers are relayed, not stored


@dataclass(slots=True)
class Heard:
    """What a finished tape knows of the answer."""

    answer: Mapping[str, Any] | None = None  # complete and fit to be stored, else None
    usage: Usage | None = None
    in_served: int = 0  # tokens of what was stored already and only filled up, beside those of `usage`
    text: str = ""  # for an estimate where no usage came
    model: str = ""
    service_tier: str = ""
    recognised: bool = False  # it has the shape of an answer, finished or not
    broken: bool = False  # the provider stopped half-way


class Tape(Protocol):
    heard: Heard
    closing: bytes

    def take(self, chunk: bytes) -> bytes: ...

    def end(self, *, complete: bool) -> None: ...


@dataclass(slots=True)
class BodyTape:
    """A whole body: held until its end, unless it grows past what is stored; then it passes as it comes."""

    read_answer: Callable[[Mapping[str, Any]], Heard]
    members: bytes  # the signals to be put before the last brace; b"" for an error's body
    heard: Heard = field(default_factory=Heard)
    closing: bytes = b""
    held: bytearray = field(default_factory=bytearray)
    passing: bool = False

    def take(self, chunk: bytes) -> bytes:
        if self.passing:
            return chunk
        self.held += chunk
        if len(self.held) <= ANSWER_MAX_BYTES:
            return b""

        self.passing = True
        first = bytes(self.held)
        self.held.clear()
        return first

    def end(self, *, complete: bool) -> None:
        if self.passing:
            self.heard.broken = not complete
            return

        body = bytes(self.held)
        self.closing = body
        if not complete:
            self.heard.broken = True
            return
        if not self.members:
            return
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        if isinstance(answer, dict):
            self.heard = self.read_answer(answer)
            self.closing = with_signals(body, answer, self.members)


def with_signals(body: bytes, answer: Mapping[str, Any], members: bytes) -> bytes:
    """The provider's own bytes with our members before the last brace, unless their names are taken."""
    if "cacheai" in answer or "cacheback_hit" in answer or "cacheback_synthesized" in answer:
        return body
    head, brace, tail = body.rpartition(b"}")
    comma = b"," if answer else b""
    return head + comma + members + brace + tail


def members_of(signals: Mapping[str, Any]) -> bytes:
    """`"a":1,"b":2` of {"a": 1, "b": 2}."""
    return orjson.dumps(signals)[1:-1]
