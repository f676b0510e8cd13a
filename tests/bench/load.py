"""How fast does a server answer? Requests made beforehand, kept-alive connections, one thread, little CPU.

Each caller has one connection and sends its next request when it has the whole answer to the last.
"""

import contextlib
import gc
import re
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import orjson

RECEIVE_BYTES = 262_144
ANSWER_SECONDS = 30.0  # A caller who waits longer is counted as an error.
POLL_SECONDS = 0.2
STAMP = re.compile(rb'"demo_sent_unix_seconds":([0-9.]+)[,}]')
LAST_CHUNK = b"\r\n0\r\n\r\n"
STAMP_TAIL_BYTES = 64  # A stamp may arrive in two reads.
# Of each stream the last chunks are held back until its ledger row is written: that is no relay delay.
CLOSING_STAMPS = 3


@dataclass(frozen=True)
class Server:
    """Where to, and what every request carries."""

    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()

    def request(self, body: object, *, headers: Sequence[tuple[str, str]] = ()) -> bytes:
        data = orjson.dumps(body)
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *headers)]
        return "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data


@dataclass
class Sample:
    """What came back. Times are in seconds, in the order the answers were complete."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    sent_unix_seconds: list[float] = field(default_factory=list)
    as_expected: list[bool] = field(default_factory=list)
    errors: int = 0
    cpu_seconds: float = 0.0

    @property
    def answers(self) -> int:
        return len(self.latencies)

    @property
    def unexpected(self) -> int:
        return self.answers - sum(self.as_expected)

    @property
    def per_second(self) -> float:
        """Of the expected answers alone: others may be quicker, and are not what is measured."""
        return sum(self.as_expected) / self.seconds if self.seconds else 0.0


@dataclass
class Relayed:
    """Seconds from a chunk's leaving the provider to its arrival here."""

    first: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    finished: int = 0
    errors: int = 0


class Broken(Exception):
    """The connection closed in the middle of an answer, or the answer is no HTTP."""


class _Caller:
    def __init__(self, server: Server) -> None:
        self._server = server
        self.buffer = b""
        self.sent = self.heard = self.sent_unix_seconds = 0.0
        self.link = self._connect()

    def _connect(self) -> socket.socket:
        link = socket.create_connection((self._server.host, self._server.port), ANSWER_SECONDS)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link

    def send(self, request: bytes) -> None:
        self.buffer = b""
        self.sent_unix_seconds = time.time()
        self.sent = self.heard = time.perf_counter()
        self.link.sendall(request)

    def more(self) -> bytes:
        """What has arrived; nothing once the connection is closed."""
        self.heard = time.perf_counter()
        try:
            return self.link.recv(RECEIVE_BYTES)
        except OSError:
            return b""

    def reconnect(self) -> None:
        self.close()
        self.link = self._connect()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.link.close()


def whole_answer(data: bytes) -> bytes | None:
    """Its head once all of it is here, else None. Raises Broken."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end]
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        stop = lower.find(b"\r\n", at + 2)
        length = int(lower[at + 17 : stop if stop >= 0 else None])
        return head if len(data) >= end + 4 + length else None
    if b"\r\ntransfer-encoding: chunked" in lower:
        return head if data.endswith(LAST_CHUNK) or data[end:].startswith(b"\r\n\r\n0\r\n\r\n") else None
    raise Broken("neither a length nor chunks")


def run(
    server: Server,
    requests: Sequence[bytes],
    *,
    callers: int = 1,
    seconds: float = 0.0,
    count: int = 0,
    expect: bytes = b"",
) -> Sample:
    """Ask round and round for so many seconds, or so many requests once, from the first on.

    `expect` is what the head of an answer holds, in lower case, if the server did what is measured.
    """
    sample = Sample()
    turn = _endless(requests)
    left = count or -1
    open_callers: dict[int, _Caller] = {}
    waiting = select.epoll()

    def begin(caller: _Caller) -> bool:
        nonlocal left
        if left == 0 or (not count and time.perf_counter() >= ends):
            return False
        left -= 1
        caller.send(next(turn))
        return True

    gc.collect()
    gc.disable()  # A pause of ours would be counted as the server's.
    cpu = time.process_time()
    began = time.perf_counter()
    ends = began + seconds
    try:
        for _ in range(callers):
            caller = _Caller(server)
            open_callers[caller.link.fileno()] = caller
            waiting.register(caller.link, select.EPOLLIN)
            begin(caller)
        active = min(callers, count) if count else callers
        while active:
            for number, _ in waiting.poll(POLL_SECONDS):
                caller = open_callers[number]
                ok = _received(caller, sample, expect)
                if ok is None:
                    continue
                if not ok:
                    waiting.unregister(number)
                    del open_callers[number]
                    caller.reconnect()
                    open_callers[caller.link.fileno()] = caller
                    waiting.register(caller.link, select.EPOLLIN)
                if not begin(caller):
                    active -= 1
            now = time.perf_counter()
            if any(now - caller.sent > ANSWER_SECONDS for caller in open_callers.values()) and now > ends:
                sample.errors += active
                break
    finally:
        sample.seconds = time.perf_counter() - began
        sample.cpu_seconds = time.process_time() - cpu
        gc.enable()
        waiting.close()
        for caller in open_callers.values():
            caller.close()
    return sample


def _received(caller: _Caller, sample: Sample, expect: bytes) -> bool | None:
    """True: the answer is whole; False: it broke off; None: more is to come."""
    try:
        data = caller.more()
        if not data:
            raise Broken("closed")
        caller.buffer = caller.buffer + data if caller.buffer else data
        head = whole_answer(caller.buffer)
    except (Broken, ValueError):
        sample.errors += 1
        return False
    if head is None:
        return None
    sample.latencies.append(time.perf_counter() - caller.sent)
    sample.sent_unix_seconds.append(caller.sent_unix_seconds)
    good = head[9:12] == b"200"
    if not good:
        sample.errors += 1
    sample.as_expected.append(good and expect in head.lower())
    return True


def relay(server: Server, requests: Sequence[bytes], *, spread_seconds: float) -> Relayed:
    """Open a stream for each request, evenly over `spread_seconds`, and read all to their ends.

    `later` holds the chunks that came while all streams were open.
    """
    outcome = Relayed()
    waiting = select.epoll()
    streams: dict[int, _Caller] = {}
    stamps: dict[int, list[tuple[float, float]]] = {}
    gone: list[list[tuple[float, float]]] = []
    started, began = 0, time.perf_counter()
    all_open_from = first_end = float("inf")
    gc.collect()
    gc.disable()
    try:
        while started < len(requests) or streams:
            due = began + spread_seconds * started / len(requests)
            now = time.perf_counter()
            if started < len(requests) and now >= due:
                stream = _Caller(server)
                number = stream.link.fileno()
                streams[number], stamps[number] = stream, []
                waiting.register(stream.link, select.EPOLLIN)
                stream.send(requests[started])
                started += 1
                if started == len(requests):
                    all_open_from = time.time()
                continue
            pause = min(POLL_SECONDS, due - now) if started < len(requests) else POLL_SECONDS
            if streams and all(now - stream.heard > ANSWER_SECONDS for stream in streams.values()):
                outcome.errors += len(streams)
                break
            for number, _ in waiting.poll(max(0.0, pause)):
                stream = streams[number]
                data = stream.more()
                arrived = time.time()
                seen = stream.buffer + data
                stamps[number] += [(float(sent), arrived) for sent in STAMP.findall(seen)]
                stream.buffer = _after_last_stamp(seen)
                ended = seen.endswith(LAST_CHUNK)
                if data and not ended:
                    continue
                outcome.finished += ended
                outcome.errors += not ended
                first_end = min(first_end, arrived)
                waiting.unregister(number)
                gone.append(stamps.pop(number))
                streams.pop(number).close()
    finally:
        gc.enable()
        waiting.close()
        for stream in streams.values():
            stream.close()
    for seen in gone:
        delays = [(arrived - sent, arrived) for sent, arrived in seen[: len(seen) - CLOSING_STAMPS]]
        outcome.first += [delay for delay, _ in delays[:1]]
        outcome.later += [delay for delay, arrived in delays[1:] if all_open_from <= arrived <= first_end]
    return outcome


def _after_last_stamp(data: bytes) -> bytes:
    """What a stamp may have begun in."""
    tail = data[-STAMP_TAIL_BYTES:]
    found = list(STAMP.finditer(tail))
    return tail[found[-1].end() :] if found else tail


def _endless(requests: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from requests
