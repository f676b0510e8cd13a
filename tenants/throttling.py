"""May this call go on, or does its tenant call too often, or for too many tokens?

The door to the rate-limit library. A safety control: what a tenant has paid for is counted in PostgreSQL. Without Redis
each process limits by itself, at its share.
"""

import math
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import structlog
from django.conf import settings
from throttled import RateLimitResult, Throttled, exceptions, rate_limiter, store

from tenants.authentication import Access

BURST = 1.2  # A minute's permits and a fifth more may come at once.
# A busy tenant's process takes a tenth of a second's permits ahead, so that not every call asks Redis.
LEASES_PER_MINUTE = 600
# What is not used so soon is lost to the tenant: a short time wastes little.
LEASE_SECONDS = 1.0
LEASES_MAX = 20_000
# No limit is used up for longer: of one call a minute two may come at once. Whose is, is ahead of Redis's clock, which
# went back: it would be refused until the clock is where it was.
USED_UP_SECONDS_MAX = 120.0
# Without Redis the next try comes after this; until then a call spends no time on it.
REDIS_AWAY_SECONDS = 5.0
MEMORY_MAX_KEYS = 100_000
KEY_PREFIX = "cacheai"

Kind = Literal["gcra", "fixed_window"]  # of calls, of tokens; the library names its keys by it

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rate:
    """What the limit headers say."""

    limit: int
    remaining: int
    reset_after_seconds: float
    retry_after_seconds: float
    limited: bool


@dataclass(slots=True)
class _Lease:
    """Permits this process took ahead; or, if `limited`, the time until which Redis need not be asked."""

    until: float
    permits: int
    remaining: int
    reset_at: float
    limited: bool

    def rate(self, limit: int, now: float) -> Rate:
        left = max(0.0, self.until - now) if self.limited else 0.0
        remaining = min(limit, self.remaining + self.permits)
        return Rate(limit, remaining, max(0.0, self.reset_at - now), left, self.limited)


@dataclass(slots=True)
class _State:
    leases: dict[str, _Lease] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    redis_away_until: float = 0.0
    failed_open: int = 0


_state = _State()


def check(access: Access) -> Rate:
    """Never raises: what cannot be counted with the others is counted here alone."""
    if access.key_rpm is None:
        return _check(f"tenant:{access.tenant_id}", access.rpm)

    key = _check(f"key:{access.key_id}", access.key_rpm)
    if key.limited:
        return key
    tenant = _check(f"tenant:{access.tenant_id}", access.rpm)
    return tenant if tenant.limited else key


def take_tokens(access: Access, tokens: int) -> Rate | None:
    """Where a limit of tokens per minute is set: take what a call will likely use, before a provider is asked.

    Minutes are the clock's, so that what was not used can be given back. None: nothing is set. Never raises.
    """
    rate: Rate | None = None
    taken: list[tuple[str, int]] = []
    for key, limit in _token_limits(access):
        taken.append((key, limit))
        result = _ask(key, limit, tokens, "fixed_window")
        if result.limited:
            left = [_ask(*one, -tokens, "fixed_window") for one in taken][-1].state
            return Rate(limit, left.remaining, left.reset_after, left.reset_after, limited=True)
        rate = Rate(limit, result.state.remaining, result.state.reset_after, 0.0, limited=False)
    return rate


def settle_tokens(access: Access, more: int) -> None:
    """The call used more than was taken for it, or less. Never raises."""
    for key, limit in _token_limits(access) if more else ():
        _ask(key, limit, more, "fixed_window")


def span(seconds: float) -> str:
    """As OpenAI writes it: 6m0s."""
    whole = math.ceil(seconds)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"


def failed_open() -> int:
    """How many checks of this process had to do without Redis."""
    return _state.failed_open


def _check(key: str, limit: int) -> Rate:
    now = time.monotonic()
    permits = 1
    with _state.lock:
        lease = _state.leases.get(key)
        if lease is not None and now < lease.until:
            if lease.permits > 0:
                lease.permits -= 1
                return lease.rate(limit, now)
            if lease.limited:
                return lease.rate(limit, now)
            permits = max(1, limit // LEASES_PER_MINUTE)  # It called a moment ago: busy.

    result = _ask(key, limit, permits)
    if result.limited and permits > 1:
        result = _ask(key, limit, permits := 1)
    return _keep(key, limit, result, 0 if result.limited else permits - 1)


def _keep(key: str, limit: int, result: RateLimitResult, permits: int) -> Rate:
    now, state = time.monotonic(), result.state
    until = now + (min(LEASE_SECONDS, state.retry_after) if result.limited else LEASE_SECONDS)
    lease = _Lease(until, permits, state.remaining, now + state.reset_after, result.limited)
    with _state.lock:
        before = _state.leases.get(key)
        if before is not None and before.until > now:
            lease.permits += before.permits  # Another thread asked at the same time.
        if before is None and len(_state.leases) >= LEASES_MAX:
            _state.leases.clear()  # Costs what was taken ahead, in the second when so many tenants call.
        _state.leases[key] = lease
    return Rate(limit, min(limit, state.remaining + permits), state.reset_after, state.retry_after, result.limited)


def _token_limits(access: Access) -> list[tuple[str, int]]:
    limits = ((f"key:{access.key_id}", access.key_tpm), (f"tenant:{access.tenant_id}", access.tpm))
    return [(key, limit) for key, limit in limits if limit is not None]


def _ask(key: str, limit: int, cost: int, kind: Kind = "gcra") -> RateLimitResult:
    now = time.monotonic()
    if now >= _state.redis_away_until:
        try:
            result = _common(limit, kind).limiter.limit(key, cost)
            if result.state.reset_after <= USED_UP_SECONDS_MAX:
                return result
        except exceptions.StoreUnavailableError as error:
            _state.redis_away_until = time.monotonic() + REDIS_AWAY_SECONDS
            log.warning("rate_limit_alone", seconds=REDIS_AWAY_SECONDS, error=type(error.__cause__).__name__)
    _state.failed_open += 1
    return _alone(limit, kind).limiter.limit(key, cost)


@lru_cache(maxsize=256)
def _common(limit: int, kind: Kind) -> Throttled:
    return _throttled(limit, kind, _redis(settings.REDIS_URL))


@lru_cache(maxsize=256)
def _alone(limit: int, kind: Kind) -> Throttled:
    return _throttled(max(1, limit // settings.WEB_WORKERS), kind, _memory())


def _throttled(limit: int, kind: Kind, where: store.BaseStore) -> Throttled:
    quota = rate_limiter.per_min(limit, burst=math.ceil(BURST * limit))
    return Throttled(using=kind, quota=quota, store=where, key_prefix=KEY_PREFIX)


@lru_cache(maxsize=1)
def _redis(url: str) -> store.RedisStore:
    timeout = settings.REDIS_TIMEOUT_SECONDS
    return store.RedisStore(server=url, options={"SOCKET_TIMEOUT": timeout, "SOCKET_CONNECT_TIMEOUT": timeout})


@lru_cache(maxsize=1)
def _memory() -> store.MemoryStore:
    return store.MemoryStore(options={"MAX_SIZE": MEMORY_MAX_KEYS})
