"""How is a provider asked, and how does its answer come back? The one door to urllib3.

Addresses are checked in the connect itself, on the address that is dialled, so that rebinding and odd spellings of an
address do not matter.
"""

import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import BadStatusLine, HTTPResponse, IncompleteRead, parse_headers
from io import BufferedReader, RawIOBase
from time import monotonic
from typing import Any

from urllib3 import PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    TimeoutError,
)
from urllib3.response import BaseHTTPResponse

from cache_api.adapters.addresses import Allowed, BadAddress, check_url, is_closed
from cache_api.domain.request import Request, Target
from cache_api.ports import (
    Arriving,
    Saturated,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)

CONNECT_SECONDS = 5
READ_SECONDS = 120  # to the first byte, and between chunks
TOTAL_SECONDS = 900
QUEUE_SECONDS = 5  # how long a call waits for a place when too many wait for providers
POOL_SIZE = 256
HOSTS = 64
INTERIM_MAX = 16  # of what may come before an answer: early hints, still processing
STATUS_MAX = 599

ANTHROPIC_VERSION = "2023-06-01"  # of a caller who names none
_RELAYED_UP = ("openai-", "anthropic-")
_RELAYED_DOWN = ("openai-", "anthropic-")
_RELAYED_DOWN_NAMES = frozenset(
    {
        "content-type",
        "content-encoding",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-request-id",
        "request-id",
    }
)

# What the server in front of us writes of a header; it answers 500 where it meets another.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")


class _Blocked(HTTPError):
    """The name leads to an address that may not be dialled. No OSError: that would be taken for a broken line."""


# Of this thread's exchange: whether its line is a new one, and when it has to be over.
_dialled = threading.local()


class _Ending(RawIOBase):
    """A line that is read no longer than its exchange may last, however little comes however often."""

    def __init__(self, line: socket.socket, raw: RawIOBase, ends: float) -> None:
        self._line, self._raw, self._ends = line, raw, ends

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int | None:
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError("the exchange took too long")
        patience = self._line.gettimeout()
        if patience is None or patience > left:
            self._line.settimeout(left)
        return self._raw.readinto(into)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    """The final one: http.client takes 103 for it, and the true one would be read by the line's next caller."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        ends = getattr(_dialled, "ends", None)
        if ends is not None:
            self.fp = BufferedReader(_Ending(sock, self.fp.detach(), ends))

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(INTERIM_MAX):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == 101 or status > STATUS_MAX:  # nobody asked for another protocol
                break
            if status >= 200:
                return version, status, reason
            parse_headers(self.fp)
        raise BadStatusLine(str(status))


class _Guard:
    """Dials the first address of a name that answers, unless one of them is closed."""

    allowed: Allowed = ()
    denied: tuple[str, ...] = ()
    host: str
    port: int
    _dns_host: str
    timeout: Any
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        _dialled.fresh = True
        host = self._dns_host.strip("[]")
        try:
            infos = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        for info in infos:
            address = str(info[4][0])
            if is_closed(address, self.denied) and not self._is_allowed(host, address):
                raise _Blocked("closed address")
        return self._first_that_connects(infos[:4])

    def _is_allowed(self, host: str, address: str) -> bool:
        return (address, self.port) in self.allowed or (host, self.port) in self.allowed

    def _first_that_connects(self, infos: list[Any]) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in infos:
            line = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    line.setsockopt(*option)
                line.settimeout(CONNECT_SECONDS)
                line.connect(address)
            except OSError as error:
                line.close()
                failure = error
            else:
                return line
        raise NewConnectionError(self, f"no address answers: {failure}") from failure  # type: ignore[arg-type]


def guarded_pools(allowed: Allowed, denied: tuple[str, ...]) -> dict[str, type[HTTPConnectionPool]]:
    """For a PoolManager's `pool_classes_by_scheme`."""
    guard = type("_Guarded", (_Guard,), {"allowed": allowed, "denied": denied})
    plain = type("_Plain", (guard, HTTPConnection), {"response_class": _Answer})
    secure = type("_Secure", (guard, HTTPSConnection), {"response_class": _Answer})
    return {
        "http": type("_PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("_SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


@contextmanager
def over_within(seconds: float) -> Iterator[None]:
    """What this thread asks meanwhile is over by then, to the last byte of the answer."""
    _dialled.ends = monotonic() + seconds
    try:
        yield
    finally:
        _dialled.ends = None


class UrllibUpstream:
    """The Upstream port. One instance a process; safe in threads."""

    def __init__(self, *, allowed: Allowed, denied: tuple[str, ...], waiting_max: int) -> None:
        self.allowed = allowed
        self._pools = PoolManager(num_pools=HOSTS, maxsize=POOL_SIZE, retries=False)
        self._pools.pool_classes_by_scheme = guarded_pools(allowed, denied)
        self._places = threading.BoundedSemaphore(waiting_max)

    def send(self, request: Request, body: bytes) -> Arriving:
        """Ask the provider of a Request. Raises UpstreamError."""
        url = f"{request.target.base_url}/{request.endpoint}"
        headers = headers_up(request.target, request.headers, request.endpoint)
        return self.relay("POST", url, headers, body, query=request.query)

    def relay(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        query: str = "",
        read_seconds: float = READ_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> Arriving:
        """One exchange with a provider. Raises UpstreamError; closing the chunks gives the place back."""
        try:
            check_url(url, self.allowed)
        except BadAddress as error:
            raise UpstreamRefused(str(error)) from error
        if not self._places.acquire(timeout=QUEUE_SECONDS):
            raise Saturated("Too many calls are waiting for providers. Try again in a second.")
        try:
            with over_within(total_seconds):
                response = self._open(method, f"{url}?{query}" if query else url, headers, body, read_seconds)
        except BaseException:
            self._places.release()
            raise
        return Arriving(response.status, _headers_down(response.headers), self._chunks(response))

    def _open(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, read_seconds: float
    ) -> BaseHTTPResponse:
        for last in (False, True):
            _dialled.fresh = False
            try:
                return self._pools.urlopen(
                    method,
                    url,
                    body=body,
                    headers=headers,
                    preload_content=False,
                    decode_content=False,
                    redirect=False,
                    retries=False,
                    timeout=Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                )
            except _Blocked as error:
                raise UpstreamRefused("The base URL is not a public address.") from error
            except LocationParseError as error:
                raise UpstreamRefused("The base URL cannot be read.") from error
            except NewConnectionError as error:  # nothing was sent yet
                if last:
                    raise UpstreamUnreachable("The provider could not be reached.") from error
            except TimeoutError as error:
                raise UpstreamTimeout("The provider did not answer in time.") from error
            except ProtocolError as error:
                # A kept-alive line the provider had closed: nothing was answered, so nothing was done.
                if last or _dialled.fresh:
                    raise UpstreamUnreachable("The provider closed the connection.") from error
            except HTTPError as error:
                raise UpstreamUnreachable("The provider could not be reached.") from error
        raise AssertionError("unreachable")

    def _chunks(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        return _Chunks(response, self._places)


class _Chunks:
    """What `read1` gives, until the end. A class, since a generator never started would never give its place back."""

    def __init__(self, response: BaseHTTPResponse, places: threading.BoundedSemaphore) -> None:
        self._response = response
        self._places: threading.BoundedSemaphore | None = places
        self._ends = monotonic() + TOTAL_SECONDS

    def __iter__(self) -> "_Chunks":
        return self

    def __next__(self) -> bytes:
        if self._places is None:
            raise StopIteration
        try:
            if monotonic() > self._ends:
                raise UpstreamTimeout("The provider's answer took too long.")
            chunk = self._response.read1()
            if not chunk and self._response.length_remaining:
                raise UpstreamUnreachable("The provider's answer broke off.")
        except TimeoutError as error:
            self.close()
            raise UpstreamTimeout("The provider stopped sending.") from error
        except (HTTPError, OSError, IncompleteRead, ValueError, OverflowError) as error:
            self.close()
            raise UpstreamUnreachable("The provider's answer broke off.") from error
        except BaseException:
            self.close()
            raise
        if not chunk:
            self._give_back()
            self._response.release_conn()
            raise StopIteration
        return chunk

    def close(self) -> None:
        if self._places is not None:
            self._give_back()
            self._response.close()

    def _give_back(self) -> None:
        if self._places is not None:
            self._places.release()
            self._places = None

    def __del__(self) -> None:
        self.close()


def headers_up(target: Target, callers: Mapping[str, str], endpoint: str = "") -> dict[str, str]:
    """What goes to the provider: its credential, and those of the caller's headers that are its business."""
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    if endpoint.partition("/")[0] == "messages":
        headers["anthropic-version"] = ANTHROPIC_VERSION
    for name, value in callers.items():
        if name == "user-agent" or name.startswith(_RELAYED_UP):
            headers[name] = value
    if target.credential:
        bearer = target.auth_header == "authorization"
        headers[target.auth_header] = f"Bearer {target.credential}" if bearer else target.credential
    return headers


def _headers_down(raw: Mapping[str, str]) -> dict[str, str]:
    headers = {}
    for name, value in raw.items():
        name = name.lower()
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            continue
        if name in _RELAYED_DOWN_NAMES or name.startswith(_RELAYED_DOWN):
            headers[name] = value
        elif name.startswith("x-ratelimit-"):
            headers["x-upstream-ratelimit-" + name.removeprefix("x-ratelimit-")] = value
    return headers
