"""Is somebody buying this very answer already?

Within a process identical calls wait on one Event, from before the question is embedded. Across processes the first
holds a lease in Redis:

    cacheai:flight:<fingerprint>   <token> while under way, "landed" for a moment afterwards

The lease is short and renewed while its holder lives, so that a dead leader's followers are promoted. Without Redis
each process leads for itself.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from cache_api.adapters.breaker import Breaker
from cache_api.domain.decision import Hit, Reason
from cache_api.domain.entry import Entry
from cache_api.domain.request import Request
from cache_api.ports import CacheUnavailable, Flight

LEASE_MS = 10_000
RENEW_SECONDS = 3.0
LANDED_MS = 2_000  # long enough for a call that looked just before the landing to see it
POLL_SECONDS = 0.05

_LANDED = b"landed"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Boarding:
    """One question being answered in this process, and those who wait for it."""

    done: threading.Event = field(default_factory=threading.Event)
    hit: Hit | None = None


class SharedFlights:
    """The Flights port."""

    def __init__(self, *, redis: Redis, breaker: Breaker, find_exact: Callable[[Request], Entry | None]) -> None:
        self._redis = redis
        self._breaker = breaker
        self._find_exact = find_exact
        self._lock = threading.Lock()
        self._boarding: dict[bytes, _Boarding] = {}
        self._landed: dict[bytes, float] = {}
        self._leases: dict[bytes, bytes] = {}
        self._renewer: threading.Thread | None = None

    def enter(self, request: Request, *, seconds: float) -> Flight:
        """Join identical calls under way in this process, or lead."""
        key, ends = request.fingerprint, time.monotonic() + seconds
        with self._lock:
            boarding = self._boarding.get(key)
            leading = boarding is None
            if boarding is None:
                boarding = self._boarding[key] = _Boarding()
            just_landed = leading and self._just_landed(key)
        if not leading:
            boarding.done.wait(seconds)
            return Flight(boarding.hit, _nothing_meanwhile, _nothing_to_land)

        if just_landed and (hit := self._bought(request)):
            self._finish(key, boarding, hit)
            return Flight(hit, _nothing_meanwhile, _nothing_to_land)
        return Flight(
            None,
            depart=lambda: self._depart(request, ends),
            land=lambda hit: self._land(key, boarding, hit),
        )

    def _just_landed(self, key: bytes) -> bool:
        """A call that looked before a landing and comes here after it must look again."""
        now = time.monotonic()
        for old in [old for old, at in self._landed.items() if now - at > LANDED_MS / 1000]:
            del self._landed[old]
        return key in self._landed

    def _land(self, key: bytes, boarding: _Boarding, hit: Hit | None) -> None:
        if boarding.done.is_set():
            return
        self._finish(key, boarding, hit)
        self._release(key, landed=hit is not None)

    def _finish(self, key: bytes, boarding: _Boarding, hit: Hit | None) -> None:
        with self._lock:
            if self._boarding.get(key) is boarding:
                del self._boarding[key]
            if hit is not None:
                self._landed[key] = time.monotonic()
        boarding.hit = hit
        boarding.done.set()

    # -- across processes

    def _lease(self, key: bytes) -> bool:
        """Whether this process may buy; without Redis it may."""
        token = uuid4().bytes
        try:
            with self._asking_redis():
                taken = self._redis.set(_name(key), token, nx=True, px=LEASE_MS)
        except CacheUnavailable:
            return True
        if taken:
            with self._lock:
                self._leases[key] = token
                self._start_renewer()
        return bool(taken)

    def _depart(self, request: Request, ends: float) -> Hit | None:
        """Take the lease, or wait for another process's landing; None: this one must buy."""
        key = request.fingerprint
        while not self._lease(key):
            try:
                with self._asking_redis():
                    state = self._redis.get(_name(key))
            except CacheUnavailable:
                return None
            if state == _LANDED:
                return self._bought(request)
            if time.monotonic() > ends:
                return None
            time.sleep(POLL_SECONDS)
        return None

    def _bought(self, request: Request) -> Hit | None:
        """What just landed, unless it was taken away since."""
        try:
            entry = self._find_exact(request)
        except CacheUnavailable:
            return None
        return None if entry is None else Hit(entry, Reason.COALESCED)

    def _release(self, key: bytes, *, landed: bool) -> None:
        with self._lock:
            held = self._leases.pop(key, None)
        if held is None:
            return
        try:
            with self._asking_redis():
                if landed:
                    self._redis.set(_name(key), _LANDED, px=LANDED_MS)
                else:
                    self._redis.delete(_name(key))
        except CacheUnavailable:
            log.info("lease_not_released")

    @contextmanager
    def _asking_redis(self) -> Iterator[None]:
        with self._breaker.watch():
            try:
                yield
            except RedisError as error:
                raise CacheUnavailable from error

    def _start_renewer(self) -> None:
        if self._renewer is None or not self._renewer.is_alive():
            self._renewer = threading.Thread(target=self._renew, name="leases", daemon=True)
            self._renewer.start()

    def _renew(self) -> None:
        while True:
            time.sleep(RENEW_SECONDS)
            with self._lock:
                held = list(self._leases)
                if not held:
                    self._renewer = None
                    return
            try:
                with self._asking_redis():
                    pipe = self._redis.pipeline(transaction=False)
                    for key in held:
                        pipe.pexpire(_name(key), LEASE_MS)
                    pipe.execute()
            except CacheUnavailable:
                log.info("leases_not_renewed")


def _name(key: bytes) -> str:
    return f"cacheai:flight:{key.hex()}"


def _nothing_meanwhile() -> None:
    """A follower asks nobody else."""


def _nothing_to_land(hit: Hit | None) -> None:
    """A follower bought nothing."""
