"""What does a provider's line bring that is no answer, or no end?"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from requests.exceptions import RequestException

from cache_api.adapters.outside import guarded_session
from cache_api.adapters.upstream import UrllibUpstream
from cache_api.ports import UpstreamError, UpstreamTimeout, UpstreamUnreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Said = Callable[[socket.socket, int], None]


class Provider:
    """Keeps its lines, and answers each request as it is told."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.says: Said = lambda line, number: None
        self._asked = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            read = b""
            while came := line.recv(65_536):
                read += came
                if b"\r\n\r\n" in read:
                    read = b""
                    self._asked += 1
                    self.says(line, self._asked)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


def _ask(provider: Provider, upstream: UrllibUpstream, *, total_seconds: float = 5.0) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{provider.port}/v1/models"
    arriving = upstream.relay("GET", url, {}, None, read_seconds=2.0, total_seconds=total_seconds)
    return arriving.status, b"".join(arriving.chunks)


def _upstream(provider: Provider) -> UrllibUpstream:
    return UrllibUpstream(allowed=[("127.0.0.1", provider.port)], denied=(), waiting_max=4)


def _whole(body: bytes, extra: bytes = b"") -> bytes:
    return OK + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("hint", [b"103 Early Hints", b"102 Processing"])
def test_what_comes_before_an_answer_is_none_and_no_answer_goes_to_the_next_caller(
    provider: Provider, hint: bytes
) -> None:
    def says(line: socket.socket, number: int) -> None:
        if number == 1:
            line.sendall(b"HTTP/1.1 " + hint + b"\r\nLink: </x>\r\n\r\n")
            time.sleep(0.2)
        line.sendall(_whole(b"answer %d" % number))

    provider.says = says
    upstream = _upstream(provider)

    assert _ask(provider, upstream) == (200, b"answer 1")
    assert _ask(provider, upstream) == (200, b"answer 2")


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"999 Big"])
def test_a_status_that_is_no_answers_is_refused(provider: Provider, status: bytes) -> None:
    provider.says = lambda line, _: line.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(UpstreamUnreachable):
        _ask(provider, _upstream(provider))


def test_who_never_comes_to_an_answer_is_not_waited_for(provider: Provider) -> None:
    provider.says = lambda line, _: line.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)

    with pytest.raises(UpstreamUnreachable):
        _ask(provider, _upstream(provider))


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 OK\r\n", OK + b"Content-Length: 9999\r\n\r\n"])
def test_a_little_now_and_then_does_not_hold_a_place_for_longer_than_an_exchange_may_last(
    provider: Provider, begins: bytes
) -> None:
    def says(line: socket.socket, number: int) -> None:
        line.sendall(begins)
        while True:
            line.sendall(b"x")
            time.sleep(0.1)

    provider.says = says
    began = time.monotonic()

    with pytest.raises(UpstreamError) as raised:
        _ask(provider, _upstream(provider), total_seconds=0.6)

    assert isinstance(raised.value, UpstreamTimeout)
    assert time.monotonic() - began < 1.5


def test_an_issuer_is_not_listened_to_for_long_either(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    def says(line: socket.socket, number: int) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            line.sendall(b"x")
            time.sleep(0.1)

    provider.says = says
    monkeypatch.setattr("cache_api.adapters.outside.TIMEOUT_SECONDS", 0.6)
    session = guarded_session(allowed=[("127.0.0.1", provider.port)], denied=())
    began = time.monotonic()

    with pytest.raises(RequestException):
        session.get(f"http://127.0.0.1:{provider.port}/x")

    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "header", [b"OpenAI-X: a\x00b", b"OpenAI-X: a\x01b", b"OpenAI-X: a\x0bb", b"OpenAI-(X): a", b"X-Request-Id: \x7f"]
)
def test_a_header_that_our_server_would_not_write_is_left_out(provider: Provider, header: bytes) -> None:
    provider.says = lambda line, _: line.sendall(_whole(b"{}", header + b"\r\n"))
    arriving = _upstream(provider).relay("GET", f"http://127.0.0.1:{provider.port}/v1/models", {}, None)

    assert set(arriving.headers) == {"content-type"}
    assert b"".join(arriving.chunks) == b"{}"


def test_a_piece_of_a_size_beyond_all_numbers_is_an_answer_that_broke_off(provider: Provider) -> None:
    provider.says = lambda line, _: line.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5_000 + b"\r\n")

    with pytest.raises(UpstreamUnreachable):
        _ask(provider, _upstream(provider))
