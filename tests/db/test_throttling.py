"""Does a tenant get its calls a minute, no more, and no fewer when Redis is away?"""

import time
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
import redis
from django.conf import settings

from tenants import authentication, throttling
from tenants.authentication import Access
from tests.conftest import Cast, Servers
from tests.fault_proxy import fault_proxy, redis_target
from tests.waiting import wait_until

LATE_SECONDS = 1.5  # fifty waits would take longer


@pytest.fixture
def access(cast: Cast) -> Access:
    return replace(authentication.authenticate(cast.owner.api_key, address="192.0.2.1"), tenant_id=uuid4())


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def forget() -> None:
        monkeypatch.setattr(throttling, "_state", throttling._State())
        for made in (throttling._common, throttling._alone, throttling._redis, throttling._memory):
            made.cache_clear()

    forget()
    monkeypatch.setattr(settings, "REDIS_TIMEOUT_SECONDS", 5)  # A busy test machine is no outage.
    yield
    forget()


def _allowed(access: Access, calls: int) -> int:
    return sum(not throttling.check(access).limited for _ in range(calls))


def test_a_minutes_calls_and_a_fifth_more_pass_at_once(access: Access) -> None:
    access = replace(access, rpm=10)

    assert _allowed(access, 15) == 12
    refused = throttling.check(access)
    assert refused.limited
    assert refused.limit == 10
    assert refused.remaining == 0
    assert 0 < refused.retry_after_seconds <= 6


def test_the_first_answer_tells_what_is_left(access: Access) -> None:
    rate = throttling.check(replace(access, rpm=100))

    assert (rate.limit, rate.remaining, rate.limited, rate.retry_after_seconds) == (100, 100, False, 0)
    assert 0 < rate.reset_after_seconds <= 1


def test_a_busy_tenant_gets_no_more_than_its_limit(access: Access) -> None:
    """With permits taken ahead too."""
    access = replace(access, rpm=6_000)
    started = time.monotonic()

    allowed = _allowed(access, 8_000)

    refilled = (time.monotonic() - started) * 100
    assert 7_200 - 10 <= allowed <= 7_200 + refilled + 10


def test_a_busy_tenants_call_seldom_asks_redis(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    ask = throttling._ask
    monkeypatch.setattr(throttling, "_ask", lambda *question: asked.append(question) or ask(*question))

    _allowed(replace(access, rpm=100_000), 1_000)

    assert len(asked) <= 10


def test_the_last_permits_are_not_lost_to_a_busy_tenant(access: Access) -> None:
    access = replace(access, rpm=1_200)
    throttling._common(1_200, "gcra").limit(f"tenant:{access.tenant_id}", cost=1_438)  # What others used of 1,440.

    assert _allowed(access, 2) == 2  # The second call asks for two, and gets the one there is.


def test_permits_taken_ahead_at_the_same_time_add_up(access: Access) -> None:
    key, limit = f"tenant:{access.tenant_id}", 6_000
    for _ in range(2):  # Two threads found no permits and both asked.
        throttling._keep(key, limit, throttling._ask(key, limit, 10), 9)

    assert throttling._state.leases[key].permits == 18


def test_processes_share_one_limit(access: Access) -> None:
    access = replace(access, rpm=10)
    first = _allowed(access, 8)
    throttling._state.leases.clear()  # What another process has not seen.

    assert first + _allowed(access, 8) == 12


def test_tenants_do_not_share(access: Access) -> None:
    access = replace(access, rpm=10)
    assert _allowed(access, 20) == 12

    assert _allowed(replace(access, tenant_id=uuid4()), 20) == 12


def test_a_keys_own_limit_counts_beside_its_tenants(access: Access) -> None:
    slow = replace(access, rpm=100, key_rpm=10)

    assert _allowed(slow, 20) == 12
    assert _allowed(replace(slow, key_id=uuid4(), key_rpm=None), 10) == 10


def test_without_redis_each_process_limits_alone(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(settings, "WEB_WORKERS", 2)

    assert _allowed(replace(access, rpm=10), 10) == 6
    assert throttling.failed_open() > 0


def test_a_clock_of_redis_that_went_back_refuses_nobody_and_lifts_no_limit(access: Access) -> None:
    access = replace(access, rpm=60 * settings.WEB_WORKERS)
    throttling.check(access)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        [key] = client.keys(f"*gcra:tenant:{access.tenant_id}")
        used_until = float(client.get(key) or 0)
        client.set(key, used_until + 600)

    assert 72 - 1 <= _allowed(access, 100) <= 72 + 10  # with what its limit gives it back meanwhile
    assert throttling.check(access).retry_after_seconds <= 1


def test_a_hanging_redis_costs_one_short_wait(
    access: Access, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, query = redis_target(servers.redis_url)
    monkeypatch.setattr(settings, "REDIS_TIMEOUT_SECONDS", 0.05)
    with fault_proxy(target) as proxy:
        monkeypatch.setattr(settings, "REDIS_URL", f"redis://127.0.0.1:{proxy.port}{query}")
        throttling.check(access)
        proxy.freeze()

        started = time.monotonic()
        assert not throttling.check(access).limited
        assert time.monotonic() - started < LATE_SECONDS
        started = time.monotonic()
        for _ in range(50):
            throttling.check(access)
        assert time.monotonic() - started < LATE_SECONDS

        proxy.thaw()
        wait_until(lambda: _is_counted(access), what="a call that Redis counts")


def _is_counted(access: Access) -> bool:
    throttling._state.redis_away_until = 0
    before = throttling.failed_open()
    throttling.check(access)
    return throttling.failed_open() == before


def test_tokens_are_taken_before_and_settled_after(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throttled.utils.now_sec", lambda: 1_000_000_000)  # in the middle of a minute
    access = replace(access, tpm=1_000)

    first = throttling.take_tokens(access, 600)
    assert first is not None
    assert (first.limit, first.remaining, first.limited) == (1_000, 400, False)
    refused = throttling.take_tokens(access, 600)
    assert refused is not None
    assert (refused.limited, refused.remaining, refused.reset_after_seconds) == (True, 400, 20)  # nothing was taken
    throttling.settle_tokens(access, -500)  # it was 100
    again = throttling.take_tokens(access, 600)
    assert again is not None
    assert (again.limited, again.remaining) == (False, 300)
    throttling.settle_tokens(access, 5_000)  # a long answer: the minute is over for the next one
    after = throttling.take_tokens(access, 1)
    assert after is not None
    assert (after.limited, after.remaining) == (True, 0)


def test_a_keys_own_tokens_count_for_its_tenant_too(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throttled.utils.now_sec", lambda: 1_000_000_000)
    narrow = replace(access, tpm=1_000, key_tpm=500)
    other = replace(narrow, key_id=uuid4())

    taken = [throttling.take_tokens(one, 400) for one in (narrow, other, replace(other, key_id=uuid4()))]

    assert [rate.limited for rate in taken if rate] == [False, False, True]
    # What the tenant's limit refused was given back to the key.
    assert throttling.take_tokens(replace(other, tpm=None), 100).limited is False  # type: ignore[union-attr]


def test_without_a_limit_of_tokens_redis_is_not_asked(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "_ask", None)
    assert throttling.take_tokens(access, 1_000_000) is None
    throttling.settle_tokens(access, 1_000_000)
