"""Where does an event of a text/event-stream begin and end, and what does it carry?"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

EVENT_MAX_BYTES = 8 * 1024 * 1024  # beyond it a stream is passed on unread

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_TIGHT = re.compile(rb"^data:(?=[^ \r\n])", re.MULTILINE)
_LINE = re.compile(rb"\r\n|\n|\r")


class Events:
    """Cuts chunks, however they were sliced, into whole events; every byte comes out once and in order."""

    def __init__(self) -> None:
        self.rest = b""

    def take(self, chunk: bytes) -> list[bytes]:
        data = self.rest + chunk if self.rest else chunk
        if data.endswith(b"\n\n") and b"\r" not in data:  # the usual case, without a regular expression
            self.rest = b""
            return [part + b"\n\n" for part in data[:-2].split(b"\n\n")]

        events, start = [], 0
        # A lone CR at the very end may be half of a CRLF: leave it for the next chunk.
        usable = len(data) - 1 if data.endswith(b"\r") else len(data)
        # What was searched before holds no end, but for one that straddles the border.
        position = max(0, len(self.rest) - 3)
        while found := _END.search(data, position, usable):
            events.append(data[start : found.end()])
            start = position = found.end()
        self.rest = data[start:]
        if len(self.rest) > EVENT_MAX_BYTES:
            events.append(self.rest)
            self.rest = b""
        return events

    def last(self) -> bytes:
        """What never had its blank line, with one; nothing of half an event, which would spoil what comes after it."""
        rest, self.rest = self.rest, b""
        body = payload(rest).strip()
        try:
            whole = body == b"[DONE]" or orjson.loads(body) is not None
        except orjson.JSONDecodeError:
            whole = False
        if not whole:
            return b""
        return rest if rest.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")) else rest + b"\n\n"


def payload(event: bytes) -> bytes:
    """The `data:` lines of an event, joined; empty for a comment."""
    if event.endswith(b"\n\n"):  # the usual cases, without a regular expression: one line, or a name before it
        if event.startswith(b"data: ") and event.count(b"\n") == 2:
            return event[6:-2]
        name, _, body = event.partition(b"\ndata: ")
        if name.startswith(b"event: ") and body and event.count(b"\n") == 3:
            return body[:-2]

    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")]
    return b"\n".join(lines)


def read_object(payload: bytes) -> dict[str, Any]:
    """The JSON object that an event carries; empty where it is none."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def spaced(event: bytes) -> bytes:
    """`data:` lines gain the one space that some clients insist on; all else stays."""
    return event if event.startswith(b"data: ") or b"\ndata: " in event else _TIGHT.sub(b"data: ", event)


def with_members(event: bytes, members: bytes) -> bytes:
    """The event with `members` (`"a":1,"b":2`) put before the last brace of its JSON object."""
    head, brace, tail = event.rpartition(b"}")
    if not brace:
        return event
    comma = b"" if head.rstrip().endswith(b"{") else b","
    return head + comma + members + brace + tail


def data(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"


def named(name: str, body: bytes) -> bytes:
    """An event whose name stands in a line of its own."""
    return b"event: " + name.encode() + b"\ndata: " + body + b"\n\n"


DONE = b"data: [DONE]\n\n"
PIECE_MAX = 80


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of at most 80 characters, cut after white space where there is any."""
    start = 0
    while len(text) - start > PIECE_MAX:
        end = max(text.rfind(space, start, start + PIECE_MAX) for space in " \n\t") + 1
        if end <= start:
            end = start + PIECE_MAX
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
