"""What time is it, for processes on machines whose clocks differ? Redis's time, since all of them ask it."""

import time
from collections.abc import Callable
from typing import Any

# Between two readings the machine's own clock goes on. Clocks drift by some 0.05 ms in a second at worst.
READ_SECONDS = 10.0


class SharedClock:
    """Knows the time within bounds: a reading is older than its answer and younger than its question.

    Of two who must agree, the one says when at the latest and the other asks what it is at the earliest: so a slow
    reading, by a busy machine or over a long way, never ends a time before it is over.
    """

    def __init__(self, read: Callable[[], Any], *, now: Callable[[], float] = time.monotonic) -> None:
        self._read = read  # a Redis client's `time`: seconds and microseconds
        self._now = now
        self._ahead = (0.0, 0.0)  # of our own clock, at least and at most
        self._stale_at = float("-inf")

    def earliest(self) -> float:
        """Raises what reading raises."""
        return self._bounds()[0] + self._now()

    def latest(self) -> float:
        """Raises what reading raises."""
        return self._bounds()[1] + self._now()

    def _bounds(self) -> tuple[float, float]:
        if (asked := self._now()) >= self._stale_at:
            seconds, microseconds = self._read()
            told, answered = seconds + microseconds / 1e6, self._now()
            self._ahead = (told - answered, told - asked)
            self._stale_at = answered + READ_SECONDS
        return self._ahead
