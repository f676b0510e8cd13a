"""How much has a tenant used so far, in all processes together?

    add ──► pending, in this process ──► each second ──► Redis: cacheai:used:<tenant>, a hash of names and numbers

What Redis does not know is read from PostgreSQL, which accounting also does each minute: there is the truth, here is
what is known of it in time for a call. Without Redis the last known numbers go on, with what is counted here.
"""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from cache_api.adapters.breaker import Breaker
from cache_api.ports import CacheUnavailable
from tenants.isolation import DatabaseUnavailable

EXCHANGE_SECONDS = 1.0
STALE_SECONDS = 10.0  # a number not heard of for so long is asked for before it is used
READ_SECONDS = 0.05  # while a call waits
READ_PATIENTLY_SECONDS = 2.0
PATIENT_SECONDS = 5.0
TENANTS_MAX = 20_000
LOCK_SECONDS = 0.05  # a call does not wait longer for another one's question
KEPT_SECONDS = 2 * 86_400  # a tenant that makes no call for so long is counted from PostgreSQL again

ENTRIES, BYTES, REQUESTS = "entries", "bytes", "requests:"

# ARGV: names, each with what to add. Answers a number for each; nothing for a name nobody has counted yet.
_ADD = """
local found = {}
for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then
    if ARGV[i + 1] ~= '0' then redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
    found[#found + 1] = redis.call('HGET', KEYS[1], ARGV[i])
  else
    found[#found + 1] = false
  end
end
redis.call('EXPIRE', KEYS[1], {kept})
return found
""".replace("{kept}", str(KEPT_SECONDS))
# The same, with what they truly are. A number no process asks for stays unknown.
_SET = """
for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
"""

log = logging.getLogger(__name__)


def patient_redis() -> Redis:
    """For workers: no call waits for them."""
    return Redis.from_url(settings.REDIS_URL, socket_timeout=PATIENT_SECONDS, socket_connect_timeout=PATIENT_SECONDS)


def requests_name(period_start: datetime) -> str:
    return f"{REQUESTS}{period_start.timestamp():.6f}"


def budget_name(budget_id: UUID, since: datetime) -> str:
    return f"budget:{budget_id}:{since:%Y-%m-%d}"


def set_used(redis: Redis, tenant_id: UUID, numbers: Mapping[str, int]) -> None:
    """Correct what the processes know. Raises RedisError."""
    redis.eval(_SET, 1, _key(tenant_id), *_flat(numbers))


@dataclass(slots=True)
class Count:
    """One number of a tenant's."""

    name: str
    truth: Callable[[float], int]  # reads it from PostgreSQL within some seconds; raises DatabaseUnavailable
    slow: bool = False  # no call waits for its truth
    known: int = 0  # of all processes, when they were last heard of
    pending: int = 0  # counted here since
    sure: bool = False  # False: nobody could say yet

    @property
    def value(self) -> int:
        return self.known + self.pending


@dataclass(slots=True)
class Tally:
    """What this process knows of one tenant's use."""

    tenant_id: UUID
    counts: dict[str, Count] = field(default_factory=dict)
    heard_at: float = float("-inf")
    used: bool = True  # since the last exchange
    exchanging: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, count: Count) -> Count:
        """This count, or the one of its name that is here already. A new one is asked for before it is used."""
        kept = self.counts.setdefault(count.name, count)
        if kept is count:
            self.heard_at = float("-inf")
        return kept


class Used:
    """Safe in threads."""

    def __init__(self, *, redis: Redis, redis_breaker: Breaker, truth_breaker: Breaker) -> None:
        self._redis = redis
        self._redis_breaker = redis_breaker
        self._truth_breaker = truth_breaker
        self._lock = threading.Lock()  # of all pending numbers: held for an addition
        self._tallies: dict[UUID, Tally] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        _all.add(self)

    def of(self, tenant_id: UUID) -> Tally:
        tally = self._tallies.get(tenant_id)
        if tally is None:
            with self._lock:
                if len(self._tallies) >= TENANTS_MAX:
                    self._tallies.clear()  # Costs each a question: cheaper than keeping them in order.
                tally = self._tallies.setdefault(tenant_id, Tally(tenant_id))
                if self._thread is None and not self._closing.is_set():
                    self._thread = threading.Thread(target=self._exchange_forever, name="used", daemon=True)
                    self._thread.start()
        return tally

    def refresh(self, tally: Tally) -> None:
        """Before numbers are used: hear of those that are new or old."""
        tally.used = True
        if time.monotonic() - tally.heard_at > STALE_SECONDS:
            self._exchange(tally, truth_seconds=READ_SECONDS)

    def add(self, count: Count, amount: int) -> None:
        with self._lock:
            count.pending += amount

    def take(self, tally: Tally, count: Count) -> int:
        """Count one more, in all processes at once; what it comes to then."""
        self.add(count, 1)
        self._exchange(tally, truth_seconds=READ_SECONDS)
        return count.value

    def exchange(self) -> None:
        """Tell what was counted here, and hear what others counted, of all tenants that called since the last time."""
        for tally in list(self._tallies.values()):
            if tally.used:
                tally.used = False
                self._exchange(tally, truth_seconds=READ_PATIENTLY_SECONDS)

    def close(self) -> None:
        """Tell what was not told yet."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.exchange()

    def _exchange_forever(self) -> None:
        while not self._closing.wait(EXCHANGE_SECONDS):
            try:
                self.exchange()
            except Exception:
                log.exception("used_not_exchanged")

    def _exchange(self, tally: Tally, *, truth_seconds: float) -> None:
        if not tally.exchanging.acquire(timeout=LOCK_SECONDS):
            return
        try:
            counts = list(tally.counts.values())
            told = {count.name: count.pending for count in counts}
            heard = self._tell(tally.tenant_id, told)
            for count in counts:
                number = None if heard is None else heard[count.name]
                if number is None and (heard is not None or not count.sure):
                    number = self._counted(tally.tenant_id, count, truth_seconds)
                if number is not None:
                    with self._lock:
                        count.known, count.sure = number, True
                        count.pending -= told[count.name]
            tally.heard_at = time.monotonic()
        finally:
            tally.exchanging.release()

    def _tell(self, tenant_id: UUID, pending: Mapping[str, int]) -> Mapping[str, int | None] | None:
        """What the numbers come to; None where nobody counted one yet, None for all if Redis is away."""
        try:
            with self._redis_breaker.watch():
                try:
                    found: Any = self._redis.eval(_ADD, 1, _key(tenant_id), *_flat(pending))
                except RedisError as error:
                    raise CacheUnavailable from error
        except CacheUnavailable:
            return None
        numbers = (None if number is None else int(number) for number in found)
        return dict(zip(pending, numbers, strict=True))

    def _counted(self, tenant_id: UUID, count: Count, seconds: float) -> int | None:
        """The truth, told to the other processes. What was counted here is in it: a call's row comes first."""
        if count.slow and seconds < READ_PATIENTLY_SECONDS:
            return None
        try:
            with self._truth_breaker.watch():
                try:
                    number = count.truth(seconds)
                except DatabaseUnavailable as error:
                    raise CacheUnavailable from error
        except CacheUnavailable:
            return None
        with suppress(CacheUnavailable), self._redis_breaker.watch():
            try:
                self._redis.hsetnx(_key(tenant_id), count.name, str(number))
            except RedisError as error:
                raise CacheUnavailable from error
        return number

    def _forget(self) -> None:
        """In a forked child the thread is the parent's."""
        self._thread = None


def _key(tenant_id: UUID) -> str:
    return f"cacheai:used:{tenant_id}"


def _flat(numbers: Mapping[str, int]) -> list[str]:
    return [part for name, number in numbers.items() for part in (name, str(number))]


_all: "weakref.WeakSet[Used]" = weakref.WeakSet()


def _forget_parents() -> None:
    for used in list(_all):
        used._forget()


os.register_at_fork(after_in_child=_forget_parents)
