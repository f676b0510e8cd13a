"""Who holds a client's connection until its next request is here, and how long may that take?"""

import re
import resource
import select
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from io import SEEK_END
from selectors import EVENT_READ
from typing import Any

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import _DEFER, STOP_KEEPALIVE_LINGER, ThreadWorker

# A program that asks in a loop sends its next request within this time. Its thread is there already, and the way over
# the poller costs more than half of what an exact hit costs.
LINGER_MILLISECONDS = 5
HEAD_SECONDS = 10.0  # for all of a head, however it comes
HEAD_BYTES_MAX = 64 * 1024
READ_BYTES = 8 * 1024
SWEEP_SECONDS = 1.0
# So much of a body lies with the poller until it is whole: every form, and nearly every call. As many bodies as there
# are connections cost 2 GiB.
BODY_HELD_BYTES = 256 * 1024
BODY_SECONDS = 15.0  # is waited for a body in all, and a second longer for each so many bytes of it:
BODY_BYTES_PER_SECOND = 32 * 1024
UNREAD_SECONDS = 0.05  # for a body that nobody reads; what is left of it then ends its connection
LEAVING_SECONDS = 2.0  # for the caller to hang up first: what it still sends would destroy the answer on its way
OPEN_FILES = 65_536  # one for each connection, and most systems begin with 1,024
TLS_GREETING = b"\x16"

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\n(?i:content-length):[ \t]*(\d{1,9})[ \t]*\r?\n")
_EXPECTS = re.compile(rb"\n(?i:expect:[ \t]*100-continue)[ \t]*\r?\n")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _NoRequest(Exception):
    """What came is no head, and will be none."""


class _Steady(SocketUnreader):  # type: ignore[misc]
    """Waits for a body while it comes steadily; only the waiting counts, not what the reader does between.

    A pause alone as the limit would begin anew with each byte. Raises TimeoutError.
    """

    seconds_left = 0.0

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self.seconds_left <= 0:
            raise TimeoutError
        before, began_at = self.sock.gettimeout(), time.monotonic()
        self.sock.settimeout(self.seconds_left)
        try:
            piece: bytes = super().chunk(size_hint)
        finally:
            self.sock.settimeout(before)
            self.seconds_left -= time.monotonic() - began_at
        self.seconds_left += len(piece) / BODY_BYTES_PER_SECOND
        return piece


class LingeringWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads; one takes a connection when a whole request is here, and waits a moment for the next.

    Where a thread waits for heads and bodies, as many half ones as there are threads hold up everybody, for ever. Here
    they lie with the poller until they are whole, or their time is over; a thread waits for the rest of a long body.
    """

    _swept_at = 0.0

    def init_process(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        if soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        super().init_process()

    def handle(self, conn: Any) -> Any:
        if not conn.initialized:
            conn.due = conn.whole_bytes = None
            conn.leaving = False
            conn.init()
            if not conn.is_http2:
                conn.parser.unreader = _Steady(conn.sock)
            self._comes(conn)  # its first bytes are on their way
        if conn.leaving:
            return self._has_left(conn)
        try:
            while self._request_is_here(conn):
                kept = super().handle(conn)
                if kept is not True:
                    return self._leaves(conn)
                if not self._lingers(conn):
                    return True
        except _NoRequest as refused:
            _refuse(conn, refused.args[0])
            return self._leaves(conn)
        return _DEFER

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        """Where gunicorn waits until a caller has hung up, everybody waits: all pass here."""
        result = False if fs.cancelled() or fs.exception() is not None else fs.result()
        if not result:
            self.nr_conns -= 1
            conn.close()
        elif result is _DEFER:
            conn.sock.setblocking(False)
            conn.timeout = conn.due
            if not self.alive and conn.whole_bytes is None:  # It ends with the process; a body on its way is awaited.
                conn.timeout = min(conn.due, time.monotonic() + STOP_KEEPALIVE_LINGER)
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        else:
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Whoever wrote a byte meanwhile stands behind others with more time: all are looked at."""
        now = time.monotonic()
        if now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            self.pending_conns.remove(conn)
            with suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)
            if conn.whole_bytes is not None:
                self.enqueue_req(conn)  # A view says so, in the words of its endpoint.
                continue
            self.nr_conns -= 1
            if conn.parser.unreader.buf.getvalue() and not conn.leaving:
                _refuse(conn, HTTPStatus.REQUEST_TIMEOUT)
            conn.close()

    def _keepalive_after(self, conn: Any, keepalive: bool) -> Any:
        conn.parser.unreader.seconds_left = UNREAD_SECONDS
        return super()._keepalive_after(conn, keepalive)

    def _request_is_here(self, conn: Any) -> bool:
        """Takes what came, and waits for nothing but the first of a body. Raises _NoRequest."""
        if conn.is_http2:
            return True
        if not self.cfg.is_ssl:
            if conn.whole_bytes is None and not self._head_is_here(conn):
                return False
            if not self._body_is_here(conn):
                return False
        is_late = conn.due is not None and time.monotonic() >= conn.due
        conn.parser.unreader.seconds_left = 0.0 if is_late else BODY_SECONDS
        conn.due = conn.whole_bytes = None
        return True

    def _head_is_here(self, conn: Any) -> bool:
        held = conn.parser.unreader.buf
        held.seek(0, SEEK_END)
        with suppress(BlockingIOError):
            piece = conn.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
            if not piece:
                conn.whole_bytes = 0
                return True  # The caller hung up, which gunicorn finds out as well.
            held.write(piece)
        head = held.getvalue()
        if end := _END_OF_HEAD.search(head):
            length = _LENGTH.search(head, 0, end.end())
            body_bytes = int(length[1]) if length else 0
            conn.whole_bytes = end.end() + body_bytes if body_bytes <= BODY_HELD_BYTES else 0
            conn.due = None
            return True

        if len(head) > HEAD_BYTES_MAX:
            raise _NoRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if head.startswith(TLS_GREETING):
            raise _NoRequest(HTTPStatus.BAD_REQUEST)
        now = time.monotonic()
        if conn.due is None:
            conn.due = now + HEAD_SECONDS
        if now > conn.due:  # Whoever writes a byte now and then is seldom there when the others are looked at.
            raise _NoRequest(HTTPStatus.REQUEST_TIMEOUT)
        return False

    def _body_is_here(self, conn: Any) -> bool:
        """Or will be no more: gunicorn finds out that the caller hung up, and a view that the body is late."""
        held = conn.parser.unreader.buf
        held.seek(0, SEEK_END)
        while (missing := conn.whole_bytes - held.tell()) > 0:
            try:
                piece = conn.sock.recv(missing, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if conn.due is not None:
                    is_late: bool = time.monotonic() >= conn.due
                    return is_late
                conn.due = time.monotonic() + BODY_SECONDS + conn.whole_bytes / BODY_BYTES_PER_SECOND
                if _EXPECTS.search(held.getvalue()):
                    conn.sock.send(CONTINUE, socket.MSG_DONTWAIT)
                self._comes(conn)  # Many clients send head and body apart.
                continue
            if not piece:
                return True
            held.write(piece)
        return True

    def _leaves(self, conn: Any) -> Any:
        """Nothing more is said on this connection; the poller has it until its caller hangs up."""
        if conn.is_http2 or self.cfg.is_ssl:
            return False
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        conn.leaving, conn.due = True, time.monotonic() + LEAVING_SECONDS
        return self._has_left(conn)

    def _has_left(self, conn: Any) -> Any:
        """What still comes is thrown away."""
        try:
            said = conn.sock.recv(BODY_HELD_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return _DEFER
        except OSError:
            return False
        return _DEFER if said and time.monotonic() < conn.due else False

    def _lingers(self, conn: Any) -> bool:
        """Whether the next request is here."""
        if conn.is_http2 or not self.alive:
            return False
        return bool(conn.parser.unreader.buf.getvalue()) or self._comes(conn)

    def _comes(self, conn: Any) -> bool:
        """Waits a moment for the next bytes. A thread that others wait for does not."""
        if conn.is_http2 or self.tpool._work_queue.qsize():
            return False
        waiting = select.poll()
        waiting.register(conn.sock, select.POLLIN)
        return bool(waiting.poll(LINGER_MILLISECONDS))


def _refuse(conn: Any, status: HTTPStatus) -> None:
    line = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with suppress(OSError):
        conn.sock.send(line.encode(), socket.MSG_DONTWAIT)
