"""Who holds a client's connection until its next request is here, and how long may that take?"""

import resource
import select
import socket
import struct
import time
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from io import SEEK_END
from typing import Any

from gunicorn.workers.gthread import _DEFER, ThreadWorker

# A program that asks in a loop sends its next request within this time. Its thread is there already, and the way over
# the poller costs more than half of what an exact hit costs.
LINGER_MILLISECONDS = 5
HEAD_SECONDS = 10.0  # for all of a head, however it comes
HEAD_BYTES_MAX = 64 * 1024
READ_BYTES = 8 * 1024
SWEEP_SECONDS = 1.0
BODY_PAUSE_SECONDS = 15  # without a byte of a body; then its caller is gone
OPEN_FILES = 65_536  # one for each connection, and most systems begin with 1,024
TLS_GREETING = b"\x16"


class _NoRequest(Exception):
    """What came is no head, and will be none."""


class LingeringWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads; one takes a connection when a whole head is here, and waits a moment for the next.

    Where a thread waits for heads, as many half ones as there are threads hold up everybody, for ever. Here they lie
    with the poller until they are whole, or their time is over.
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
            conn.init()
            pause = struct.pack("ll", BODY_PAUSE_SECONDS, 0)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pause)
            self._lingers(conn)  # its first bytes are on their way
        try:
            while self._head_is_here(conn):
                kept = super().handle(conn)
                if kept is not True or not self._lingers(conn):
                    return kept
        except _NoRequest as refused:
            _refuse(conn, refused.args[0])
            return False
        return _DEFER

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        super().finish_request(conn, fs)
        if self.pending_conns and self.pending_conns[-1] is conn:
            conn.timeout = conn.head_due

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
            self.nr_conns -= 1
            if conn.parser.unreader.buf.getvalue():
                _refuse(conn, HTTPStatus.REQUEST_TIMEOUT)
            conn.close()

    def _head_is_here(self, conn: Any) -> bool:
        """Takes what came, and waits for nothing. Raises _NoRequest."""
        if conn.is_http2 or self.cfg.is_ssl:
            return True
        held = conn.parser.unreader.buf
        held.seek(0, SEEK_END)
        with suppress(BlockingIOError):
            piece = conn.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
            if not piece:
                return True  # The caller hung up, which gunicorn finds out as well.
            held.write(piece)
        head = held.getvalue()
        if b"\n\r\n" in head or b"\n\n" in head:
            conn.head_due = None
            return True

        if len(head) > HEAD_BYTES_MAX:
            raise _NoRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if head.startswith(TLS_GREETING):
            raise _NoRequest(HTTPStatus.BAD_REQUEST)
        now = time.monotonic()
        if getattr(conn, "head_due", None) is None:
            conn.head_due = now + HEAD_SECONDS
        if now > conn.head_due:  # Whoever writes a byte now and then is seldom there when the others are looked at.
            raise _NoRequest(HTTPStatus.REQUEST_TIMEOUT)
        return False

    def _lingers(self, conn: Any) -> bool:
        """Whether the next request is here. A thread that others wait for does not linger."""
        if conn.is_http2 or not self.alive or self.tpool._work_queue.qsize():
            return False
        if conn.parser.unreader.buf.getvalue():
            return True
        waiting = select.poll()
        waiting.register(conn.sock, select.POLLIN)
        return bool(waiting.poll(LINGER_MILLISECONDS))


def _refuse(conn: Any, status: HTTPStatus) -> None:
    line = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with suppress(OSError):
        conn.sock.send(line.encode(), socket.MSG_DONTWAIT)
