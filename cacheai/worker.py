"""Who holds a client's connection between two of its requests?"""

import select
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# A program that asks in a loop sends its next request within this time. Its thread is there already, and the way over
# the poller costs more than half of what an exact hit costs.
LINGER_MILLISECONDS = 5


class LingeringWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads, each waiting a moment for its connection's next request before the poller takes it back."""

    def handle(self, conn: Any) -> Any:
        kept = super().handle(conn)
        while kept is True and self._lingers(conn):
            kept = super().handle(conn)
        return kept

    def _lingers(self, conn: Any) -> bool:
        """Whether the next request is here. A thread that others wait for does not linger."""
        if conn.is_http2 or not self.alive or self.tpool._work_queue.qsize():
            return False
        if conn.parser.unreader.buf.getvalue():
            return True
        waiting = select.poll()
        waiting.register(conn.sock, select.POLLIN)
        return bool(waiting.poll(LINGER_MILLISECONDS))
