"""What do we still know while the database does not answer?"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenants.isolation import DatabaseUnavailable

K = TypeVar("K")
V = TypeVar("V")

# While one thread asks again the others go on with the old answer, so long at most: above any deadline of a read.
ASKING_SECONDS = 0.25


@dataclass(slots=True)
class _Item(Generic[V]):
    value: V
    fresh_until: float
    usable_until: float


class Kept(Generic[K, V]):
    """Answers asked for again when older than `fresh_seconds`, and in an outage used up to `usable_seconds`."""

    def __init__(
        self,
        *,
        fresh_seconds: float,
        usable_seconds: float,
        limit: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fresh_seconds = fresh_seconds
        self._usable_seconds = usable_seconds
        self._limit = limit
        self._clock = clock
        self._items: dict[K, _Item[V]] = {}
        self._first: dict[K, threading.Event] = {}
        self._forgotten = 0

    def __contains__(self, key: K) -> bool:
        return key in self._items

    def get(self, key: K, ask: Callable[[], V]) -> V:
        """Raises what `ask` raises; DatabaseUnavailable only if there is nothing usable."""
        if key in self._items:
            return self._get(key, ask)

        # A crowd that meets something for the first time would empty the pool of connections.
        asked = threading.Event()
        first = self._first.setdefault(key, asked)
        if first is not asked:
            first.wait(ASKING_SECONDS)
            return self._get(key, ask)
        try:
            return self._get(key, ask)
        finally:
            self._first.pop(key, None)
            asked.set()

    def _get(self, key: K, ask: Callable[[], V]) -> V:
        now = self._clock()
        item = self._items.get(key)
        if item is not None:
            if now < item.fresh_until:
                return item.value
            item.fresh_until = now + ASKING_SECONDS

        forgotten = self._forgotten
        try:
            value = ask()
        except DatabaseUnavailable:
            if item is None or now >= item.usable_until:
                raise
            item.fresh_until = now + self._fresh_seconds
            return item.value
        except Exception:
            self._items.pop(key, None)
            raise

        if forgotten == self._forgotten:  # Else what was read may be what was just withdrawn.
            self._put(key, value, now)
        return value

    def forget(self, key: K) -> None:
        self._forgotten += 1
        self._items.pop(key, None)

    def forget_where(self, unwanted: Callable[[K, V], bool]) -> None:
        self._forgotten += 1
        for key, item in list(self._items.items()):
            if unwanted(key, item.value):
                self._items.pop(key, None)

    def clear(self) -> None:
        self._forgotten += 1
        self._items.clear()

    def _put(self, key: K, value: V, now: float) -> None:
        if len(self._items) >= self._limit and key not in self._items:
            # In the order they were first put, which is near enough to the oldest, and costs nothing to know.
            for oldest in list(self._items)[: self._limit // 10 + 1]:
                self._items.pop(oldest, None)
        self._items[key] = _Item(value, now + self._fresh_seconds, now + self._usable_seconds)
