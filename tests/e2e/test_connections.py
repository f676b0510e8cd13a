"""Does a caller who sends half of something, or nothing, hold up nobody, and is it told so in time?

A server of its own with our worker, four threads and a view that answers at once.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from cacheai.management.commands.runstack import CONNECTIONS, free_port
from cacheai.worker import (
    BODY_BYTES_PER_SECOND,
    BODY_HELD_BYTES,
    BODY_SECONDS,
    HEAD_BYTES_MAX,
    HEAD_SECONDS,
    SWEEP_SECONDS,
)
from tests.waiting import wait_until

THREADS = 4
HALVES, SILENT = 2_000, 500
BUSY_SECONDS = 5.0  # What a machine that does other things as well may add.
WHOLE = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
HALF = b"POST /echo HTTP/1.1\r\nHost: x\r\nX-Caca"
LONG = BODY_HELD_BYTES + 1  # of such a body a thread waits for the rest


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """What the server under test runs."""
    status, said = "200 OK", b"unread"
    if environ["PATH_INFO"] != "/unread":
        try:
            said = environ["wsgi.input"].read()
        except TimeoutError:
            status, said = "408 Request Timeout", b"late"
    start_response(status, [("Content-Length", str(len(said)))])
    return [said]


def head(length: int, *, path: str = "/echo", more: bytes = b"") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (path.encode(), more, length)


CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n"


@contextmanager
def server() -> Iterator[int]:
    """Its port."""
    found = free_port("127.0.0.1", 0)
    served = (sys.executable, "-m", "gunicorn", f"{__name__}:application", f"--bind=127.0.0.1:{found}")
    ours = ("--worker-class=cacheai.worker.LingeringWorker", f"--worker-connections={CONNECTIONS}", "--keep-alive=75")
    process = subprocess.Popen(
        [*served, *ours, f"--threads={THREADS}", "--graceful-timeout=1", "--no-control-socket"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answers(found), seconds=30, what="a server")
        yield found
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with server() as found:
        yield found


def answers(port: int) -> bool:
    try:
        return ask(port).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def ask(port: int) -> bytes:
    """As someone who was not here before."""
    with connected(port) as line:
        line.sendall(WHOLE)
        return line.recv(4096)


def wait_for(ending: bytes, line: socket.socket) -> None:
    """Head and body of an answer may come apart."""
    said = b""
    while not said.endswith(ending):
        piece = line.recv(4096)
        assert piece, said
        said += piece


def seconds_of(port: int, times: int) -> list[float]:
    taken = []
    for _ in range(times):
        began = time.monotonic()
        assert ask(port).startswith(b"HTTP/1.1 200")
        taken.append(time.monotonic() - began)
    return sorted(taken)


def ends(line: socket.socket) -> tuple[bytes, float]:
    """What is said before the other side hangs up, and when."""
    said = b""
    while piece := line.recv(4096):
        said += piece
    return said, time.monotonic()


@dataclass(frozen=True)
class Crowd:
    """What becomes of all who never finish; they come at once, as each of them takes its ten seconds."""

    alone: list[float]  # seconds of others before, in order
    beside: list[float]  # and meanwhile
    begun_at: float
    half: list[tuple[bytes, float]]
    silent: list[tuple[bytes, float]]
    slow: tuple[bytes, float]  # who writes a byte now and then
    bodies: list[tuple[bytes, float]]  # who sends a byte of a body now and then: held here, and by every thread there
    beside_bodies: float  # the slowest second of others beside those held here
    behind_bodies: tuple[bytes, float]  # who asks where half bodies have every thread


@pytest.fixture(scope="module")
def crowd(port: int) -> Iterator[Crowd]:
    with server() as other, ExitStack() as kept, ThreadPoolExecutor(2 + 3 * THREADS) as pool:
        alone = seconds_of(port, 100)
        begun_at = time.monotonic()

        def drips(to: int, begin: bytes) -> "Future[tuple[bytes, float]]":
            return pool.submit(written_slowly, kept.enter_context(connected(to)), begin)

        held = [drips(port, head(100_000)) for _ in range(2 * THREADS)]
        threads = [drips(other, begin) for begin in (head(LONG), CHUNKED) * (THREADS // 2)]
        beside_bodies = seconds_of(port, 100)[-1]
        behind = pool.submit(lambda: (ask(other), time.monotonic()))
        slow = pool.submit(written_slowly, kept.enter_context(connected(port)))
        half = [kept.enter_context(connected(port)) for _ in range(HALVES)]
        silent = [kept.enter_context(connected(port)) for _ in range(SILENT)]
        for line in half:
            line.sendall(HALF)
        beside = seconds_of(port, 200)
        assert time.monotonic() - begun_at < HEAD_SECONDS, "they were let go before anybody was asked beside them"
        told = [ends(line) for line in half], [ends(line) for line in silent]
        bodies = [one.result() for one in (*held, *threads)]
        yield Crowd(alone, beside, begun_at, *told, slow.result(), bodies, beside_bodies, behind.result())


def written_slowly(line: socket.socket, begin: bytes = HALF) -> tuple[bytes, float]:
    line.sendall(begin)
    line.settimeout(0.5)
    while True:
        line.sendall(b"h")
        with suppress(TimeoutError):
            return ends(line)


def test_two_thousand_who_never_finish_hold_up_nobody(crowd: Crowd) -> None:
    assert crowd.beside[197] < 1.2 * crowd.alone[98] + 0.5  # wanted: 20 % more; held up, it would be ten seconds


def test_half_heads_are_told_after_ten_seconds_and_a_byte_now_and_then_buys_no_time(crowd: Crowd) -> None:
    told = [*crowd.half, crowd.slow]

    assert {answer[:13] for answer, _ in told} == {b"HTTP/1.1 408 "}
    assert min(at for _, at in told) - crowd.begun_at > HEAD_SECONDS - 1
    assert max(at for _, at in told) - crowd.begun_at < HEAD_SECONDS + SWEEP_SECONDS + BUSY_SECONDS


def test_who_says_nothing_at_all_is_let_go_without_a_word(crowd: Crowd) -> None:
    assert {answer for answer, _ in crowd.silent} == {b""}
    assert max(at for _, at in crowd.silent) - crowd.begun_at < HEAD_SECONDS + SWEEP_SECONDS + BUSY_SECONDS


def test_half_bodies_hold_no_thread_up_to_a_size(crowd: Crowd) -> None:
    assert crowd.beside_bodies < BUSY_SECONDS  # twice as many as there are threads, for fifteen seconds


def test_half_bodies_are_told_in_time_and_a_byte_now_and_then_buys_none(crowd: Crowd) -> None:
    most = BODY_SECONDS + 100_000 / BODY_BYTES_PER_SECOND + SWEEP_SECONDS + BUSY_SECONDS

    assert {answer.partition(b"\r\n")[0] for answer, _ in crowd.bodies} == {b"HTTP/1.1 408 Request Timeout"}
    assert {answer[-4:] for answer, _ in crowd.bodies} == {b"late"}  # by the view, in its own words
    assert max(at for _, at in crowd.bodies) - crowd.begun_at < most


def test_as_many_long_half_bodies_as_there_are_threads_let_go_of_them(crowd: Crowd) -> None:
    answer, at = crowd.behind_bodies

    assert answer.startswith(b"HTTP/1.1 200")
    assert at - crowd.begun_at < BODY_SECONDS + BUSY_SECONDS


def test_a_long_body_may_take_its_time_while_it_comes_steadily(port: int) -> None:
    """Longer than is waited for one that does not come."""
    seconds, tenth = int(BODY_SECONDS) + 3, b"x" * (BODY_BYTES_PER_SECOND // 5)
    with connected(port) as line:
        line.sendall(head(seconds * 10 * len(tenth)))
        for _ in range(seconds * 10):
            line.sendall(tenth)
            time.sleep(0.1)
        assert line.recv(64).startswith(b"HTTP/1.1 200")


def test_a_body_nobody_reads_is_not_waited_for(port: int) -> None:
    with ExitStack() as kept:
        for _ in range(2 * THREADS):
            line = kept.enter_context(connected(port))
            line.sendall(head(10 * LONG, path="/unread") + b"x")
            wait_for(b"unread", line)
        assert seconds_of(port, 20)[-1] < HEAD_SECONDS / 2


def test_who_does_not_hang_up_after_the_last_answer_holds_up_nobody(port: int) -> None:
    """gunicorn itself waits two seconds for each, where every connection passes."""
    with ExitStack() as kept:
        for _ in range(10):
            line = kept.enter_context(connected(port))
            line.sendall(head(0, more=b"Connection: close\r\n"))
            assert line.recv(4096).startswith(b"HTTP/1.1 200")
        assert seconds_of(port, 20)[-1] < HEAD_SECONDS / 2


def test_who_asks_whether_to_send_a_body_is_told_to(port: int) -> None:
    with connected(port) as line:
        line.sendall(head(5, more=b"Expect: 100-continue\r\n"))
        assert line.recv(4096).startswith(b"HTTP/1.1 100 ")
        line.sendall(b"hello")
        said = b""
        while not said.endswith(b"hello"):
            said += line.recv(4096)
        assert b"HTTP/1.1 200" in said


def test_a_head_may_come_byte_by_byte_and_so_may_the_next_on_its_connection(port: int) -> None:
    with connected(port) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for place in range(len(WHOLE)):
                line.sendall(WHOLE[place : place + 1])
                time.sleep(0.001)  # A packet of its own.
            wait_for(b"hello", line)


def test_several_requests_in_one_packet_are_answered_in_order(port: int) -> None:
    with connected(port) as line:
        line.sendall(WHOLE * 3 + HALF)
        said = b""
        while said.count(b"hello") < 3:
            said += line.recv(4096)
        line.sendall(b": 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nso")
        rest, _ = ends(line)

    assert rest.endswith(b"so")


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        pytest.param([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"], b"400", id="TLS spoken to a plain port"),
        pytest.param([HALF, *[b"x" * 4096] * (HEAD_BYTES_MAX // 4096 + 1)], b"431", id="a head without an end"),
        pytest.param([b"\r\n\r\n"], b"400", id="no request"),
    ],
)
def test_what_will_never_be_a_request_is_told_so_at_once(port: int, pieces: Iterable[bytes], status: bytes) -> None:
    began = time.monotonic()
    with connected(port) as line:
        for piece in pieces:
            line.sendall(piece)
        said = line.recv(4096)

    assert said.startswith(b"HTTP/1.1 " + status)
    assert time.monotonic() - began < HEAD_SECONDS / 2


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: +5",
        b"Content-Length: 5, 5",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: identity, chunked, gzip",
        b"Transfer-Encoding : chunked",
    ],
)
def test_a_body_whose_end_two_servers_could_see_elsewhere_is_refused(port: int, framing: bytes) -> None:
    """And what comes after it is no request of anybody."""
    with connected(port) as line:
        line.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n0\r\n\r\n" + WHOLE)
        said, _ = ends(line)

    assert said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert said.count(b"HTTP/1.1 ") == 1
