"""Is this part of ours worth asking, or is it known to be down?"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cache_api.ports import CacheUnavailable


class Breaker:
    """Opens after some failures within some seconds; then one probe at a time finds out whether to close it.

    A failure counts unless another call succeeded while the failed one ran: a part that answers others is
    busy, not broken, and must not be given up for everybody.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        within_seconds: float = 10.0,
        open_seconds: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._within_seconds = within_seconds
        self._open_seconds = open_seconds
        self._now = now
        self._lock = threading.Lock()
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._succeeded_at = float("-inf")
        self._probe_at: float | None = None  # None: closed

    @property
    def is_open(self) -> bool:
        return self._probe_at is not None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Refuse at once while open. Only CacheUnavailable is the part's failure, no other exception."""
        started = self._admit()
        try:
            yield
        except CacheUnavailable:
            self._failed(started)
            raise
        self._succeeded()

    def _admit(self) -> float:
        now = self._now()
        if self._probe_at is None:
            return now

        with self._lock:
            if self._probe_at is not None:
                if now < self._probe_at:
                    raise CacheUnavailable
                # This call is the probe. If it never reports, the next one may go after the same pause.
                self._probe_at = now + self._open_seconds
        return now

    def _succeeded(self) -> None:
        self._succeeded_at = self._now()
        if self._probe_at is not None:
            with self._lock:
                self._probe_at = None
                self._failed_at.clear()

    def _failed(self, started: float) -> None:
        now = self._now()
        with self._lock:
            if self._succeeded_at > started:
                return

            self._failed_at.append(now)
            enough = len(self._failed_at) == self._failed_at.maxlen
            if self._probe_at is not None or (enough and now - self._failed_at[0] <= self._within_seconds):
                self._probe_at = now + self._open_seconds
