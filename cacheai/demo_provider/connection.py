"""What is on the wire: how is a call read from a socket, an answer written to it?"""

import gzip
import json
import select
import socket
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from itertools import pairwise
from typing import Self

import orjson

from cacheai.demo_provider.behaviour import Behaviour
from cacheai.demo_provider.refusals import Refusal
from cacheai.demo_provider.reply import Event

RECEIVE_BYTES = 65_536
GATHERED_BYTES = 65_536  # Without a delay between them events leave together: one write is cheap, many are not.
MOST_HEAD_BYTES = 65_536
HALF_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"\xe6\x97'  # Two thirds of a character.
MOST_BODY_BYTES = 64 * 1024 * 1024


class ClientGone(Exception):
    """The caller closed the connection before it had everything."""


class CutOff(Exception):
    """The provider was told to close the connection here."""


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    query: str
    version: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish and (self.version == "HTTP/1.1" or "keep-alive" in wish)


class Connection:
    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._held = b""
        self._gone = select.poll()
        self._gone.register(link, select.POLLIN)

    def read(self) -> Received | None:
        """None: the caller closed the connection between two calls."""
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            if len(self._held) > MOST_HEAD_BYTES:
                raise Refusal(431, "The request's head is too large.")
            if not self._receive():
                return None
        head = self._held[:end].decode("latin-1").split("\r\n")
        self._held = self._held[end + 4 :]
        request_line = head[0].split(" ")
        if len(request_line) != 3:
            raise Refusal(400, "This is no HTTP request.")
        method, target, version = request_line
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if headers.get("expect", "").lower() == "100-continue":
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        path, _, query = target.partition("?")
        return Received(method, path, query, version, headers, self._body(headers))

    def wait(self, seconds: float) -> None:
        """Sleep, but wake when the caller leaves."""
        if seconds <= 0:
            return
        until = time.monotonic() + seconds
        if self._gone.poll(seconds * 1000):
            try:
                seen = self._link.recv(1, socket.MSG_PEEK)
            except ConnectionError as error:
                raise ClientGone from error
            if not seen:
                raise ClientGone
            time.sleep(max(0.0, until - time.monotonic()))  # It sent its next call early; it is still there.

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, behaviour: Behaviour) -> None:
        if behaviour.content_encoding:
            body = gzip.compress(body, mtime=0)
            headers = {**headers, "Content-Encoding": "gzip"}
        head = _head(status, {**headers, "Content-Length": str(len(body))})
        if behaviour.cut_after_chunks is not None:
            self._send(head + body[: len(body) // 2])
            raise CutOff
        if behaviour.byte_by_byte or behaviour.half_utf8:
            self._send(head)
            self._send_pieces(_pieces(body, behaviour))
        else:
            self._send(head + body)

    def stream(
        self, headers: Mapping[str, str], events: Iterator[Event], behaviour: Behaviour, *, chunked: bool
    ) -> None:
        """The head leaves with the first event. Without chunks (HTTP/1.0) the end is the connection's."""
        headers = {**headers, "Transfer-Encoding": "chunked"} if chunked else dict(headers)
        packer = zlib.compressobj(wbits=31) if behaviour.content_encoding else None
        if packer:
            headers["Content-Encoding"] = "gzip"
        pending = [_head(200, headers)]
        split = behaviour.byte_by_byte or behaviour.half_utf8
        sent_pieces = 0

        def frame(data: bytes) -> bytes:
            return b"%x\r\n%b\r\n" % (len(data), data) if chunked else data

        def flush() -> None:
            if pending:
                self._send(b"".join(pending))
                pending.clear()

        for event in events:
            if behaviour.cut_after_chunks is not None and (
                event.closing or (event.piece and sent_pieces == behaviour.cut_after_chunks)
            ):
                if behaviour.half_utf8:
                    pending.append(frame(HALF_EVENT))
                flush()
                raise CutOff
            if event.piece:
                if sent_pieces:
                    self.wait(behaviour.chunk_delay_seconds)
                sent_pieces += 1
            data = _event_bytes(event, behaviour)
            if packer:
                data = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
            if split:
                flush()
                self._send_pieces([frame(piece) for piece in _pieces(data, behaviour)])
                continue
            pending.append(frame(data))
            if behaviour.chunk_delay_seconds or sum(map(len, pending)) > GATHERED_BYTES:
                flush()
        if packer:
            pending.append(frame(packer.flush()))
        if chunked:
            pending.append(b"0\r\n\r\n")
        flush()

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise Refusal(400, "Content-Length is no number.")
        return self._take(int(length))

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size_line = self._take_line().partition(b";")[0]
            try:
                size = int(size_line, 16)
            except ValueError as error:
                raise Refusal(400, "A chunk has no size.") from error
            if size:
                yield self._take(size)
                self._take_line()
                continue
            while self._take_line():  # Trailers, then the blank line.
                pass
            return

    def _take(self, count: int) -> bytes:
        if count > MOST_BODY_BYTES:
            raise Refusal(413, "The request's body is too large.")
        if count <= len(self._held):
            taken, self._held = self._held[:count], self._held[count:]
            return taken
        parts, missing = [self._held], count - len(self._held)
        self._held = b""
        while missing:
            part = self._link.recv(min(missing, 1 << 20))
            if not part:
                raise ClientGone
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _take_line(self) -> bytes:
        while (end := self._held.find(b"\r\n")) < 0:
            if not self._receive():
                raise ClientGone
        line, self._held = self._held[:end], self._held[end + 2 :]
        return line

    def _receive(self) -> bool:
        try:
            data = self._link.recv(RECEIVE_BYTES)
        except ConnectionError as error:
            raise ClientGone from error
        self._held += data
        return bool(data)

    def _send(self, data: bytes) -> None:
        try:
            self._link.sendall(data)
        except ConnectionError as error:
            raise ClientGone from error

    def _send_pieces(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._send(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()


def json_bytes(value: object) -> bytes:
    """As providers send it: compact, characters as they are."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # Half a surrogate pair or a huge number, which an answer may repeat.
        pass
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _event_bytes(event: Event, behaviour: Behaviour) -> bytes:
    data = event.data
    if behaviour.stamp_chunks and isinstance(data, dict):
        data = {**data, "demo_sent_unix_seconds": time.time()}
    payload = data.encode() if isinstance(data, str) else json_bytes(data)
    lines = b"data: " + payload + b"\n\n"
    if event.name:
        lines = b"event: " + event.name.encode() + b"\n" + lines
    if behaviour.comments:
        lines = b": still here\n\n" + lines
    if behaviour.no_space_after_data:
        lines = lines.replace(b"data: ", b"data:", 1)
    return lines.replace(b"\n", b"\r\n") if behaviour.crlf else lines


def _pieces(data: bytes, behaviour: Behaviour) -> list[bytes]:
    if behaviour.byte_by_byte:
        return [data[at : at + 1] for at in range(len(data))]
    # After the first byte of each character that has several.
    edges = [0, *(at + 1 for at, byte in enumerate(data) if byte >= 0xC0), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {_reason(status)}\r\nDate: {_date(int(time.time()))}\r\n{lines}\r\n".encode("latin-1")


@lru_cache(maxsize=2)
def _date(unix_seconds: int) -> str:
    return formatdate(unix_seconds, usegmt=True)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded"  # 529, and whatever else a test makes up.
