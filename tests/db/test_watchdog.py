"""A part of ours has a deadline, also when PostgreSQL hangs: it then ignores its own."""

import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connections

from tenants import authentication, isolation, watchdog
from tenants.isolation import DatabaseUnavailable, read, read_before_tenant
from tests.conftest import Cast, point
from tests.fault_proxy import FaultProxy, fault_proxy

DEADLINE_SECONDS = 0.05
LATE_SECONDS = 0.5  # A busy test machine; in life it is a few milliseconds.
TENANT = uuid4()


@pytest.fixture
def proxy(live: None) -> Iterator[FaultProxy]:
    """The app's connections go through a proxy that can hang and break."""
    before = dict(connections.settings["default"])
    host, port = before["HOST"], before["PORT"]
    target = Path(host) / f".s.PGSQL.{port or 5432}" if host.startswith("/") else (host, int(port or 5432))
    with fault_proxy(target) as proxy:
        _point({**before, "HOST": "127.0.0.1", "PORT": str(proxy.port)})
        try:
            yield proxy
        finally:
            proxy.thaw()
            _point(before)


def _point(values: dict[str, Any]) -> None:
    connections["default"].close()
    connections["default"].close_pool()
    point("default", values)


def test_a_slow_query_ends_at_its_deadline(live: None) -> None:
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as raised:
        read(TENANT, "SELECT pg_sleep(5)", [], deadline_seconds=DEADLINE_SECONDS)

    assert DEADLINE_SECONDS <= time.monotonic() - started < LATE_SECONDS
    assert raised.value.reason == "deadline"
    assert read(TENANT, "SELECT 1", [], deadline_seconds=5) == [(1,)]


def test_a_hanging_server_ends_at_the_deadline(proxy: FaultProxy) -> None:
    read(TENANT, "SELECT 1", [], deadline_seconds=5)
    proxy.freeze()

    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as raised:
        read(TENANT, "SELECT 1", [], deadline_seconds=DEADLINE_SECONDS)

    assert time.monotonic() - started < LATE_SECONDS
    assert raised.value.reason == "deadline"


def test_a_query_whose_connection_breaks_is_refused(proxy: FaultProxy) -> None:
    read(TENANT, "SELECT 1", [], deadline_seconds=5)
    threading.Timer(0.1, proxy.cut).start()

    with pytest.raises(DatabaseUnavailable) as raised:
        read(TENANT, "SELECT pg_sleep(5)", [], deadline_seconds=4)

    assert raised.value.reason == "cache_unavailable"


def test_after_a_restart_no_read_meets_a_dead_connection(proxy: FaultProxy) -> None:
    pool: Any = connections["default"].pool
    read(TENANT, "SELECT 1", [], deadline_seconds=5)
    idle = [pool.getconn() for _ in range(pool.max_size)]
    for connection in idle:
        pool.putconn(connection)
    proxy.cut()
    for connection in idle:
        assert select.select([connection.fileno()], [], [], 5)[0], "the cut has not arrived"

    assert read(TENANT, "SELECT 1", [], deadline_seconds=5) == [(1,)]


def test_a_known_key_works_on_while_the_database_hangs(proxy: FaultProxy, cast: Cast) -> None:
    """The cache never breaks a call. (Law 1)"""
    known = authentication.authenticate(cast.owner.api_key, address="192.0.2.1")
    proxy.freeze()
    authentication._verified._items[next(iter(authentication._verified._items))].fresh_until = 0

    assert authentication.authenticate(cast.owner.api_key, address="192.0.2.1") == known
    with pytest.raises(authentication.Unverifiable):
        authentication.authenticate(cast.outsider.api_key, address="192.0.2.1")


def test_many_overdue_connections_end_together(live: None, database: str) -> None:
    failed: list[float] = []

    def wait() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            started = time.monotonic()
            with pytest.raises(psycopg.OperationalError), watchdog.guard(connection, DEADLINE_SECONDS):
                connection.execute("SELECT pg_sleep(5)")
            failed.append(time.monotonic() - started)

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(failed) == 8
    assert max(failed) < LATE_SECONDS


def test_a_guarded_connection_in_time_stays_whole(live: None, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with watchdog.guard(connection, DEADLINE_SECONDS) as guarded:
            connection.execute("SELECT 1")
        time.sleep(2 * DEADLINE_SECONDS)  # The deadline passes with nobody waiting.

        assert not guarded.overdue
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_watchdog_wakes_again_after_a_rest(live: None) -> None:
    read(TENANT, "SELECT 1", [], deadline_seconds=5)
    deadline = time.monotonic() + 10
    while watchdog._watch.work.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)

    assert not watchdog._watch.work.is_set()
    with pytest.raises(DatabaseUnavailable):
        read(TENANT, "SELECT pg_sleep(5)", [], deadline_seconds=DEADLINE_SECONDS)


def test_with_all_connections_taken_a_read_is_refused_and_not_an_error(live: None) -> None:
    pool: Any = connections["default"].pool
    read_before_tenant("SELECT 1", [], deadline_seconds=5)
    patience, pool.timeout = pool.timeout, 0.05
    taken = [pool.getconn(timeout=5) for _ in range(pool.max_size)]
    try:
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable) as raised:
            read(TENANT, "SELECT 1", [], deadline_seconds=5)
        assert time.monotonic() - started < LATE_SECONDS
        assert raised.value.reason == "cache_unavailable"
    finally:
        pool.timeout = patience
        for connection in taken:
            pool.putconn(connection)


def test_a_process_without_a_pool_reads_too(live: None) -> None:
    before = dict(connections.settings["default"])
    options = {name: value for name, value in before["OPTIONS"].items() if name != "pool"}
    _point({**before, "OPTIONS": options})
    try:
        assert read(TENANT, "SELECT 1", [], deadline_seconds=5) == [(1,)]
        with pytest.raises(DatabaseUnavailable):
            read(TENANT, "SELECT pg_sleep(5)", [], deadline_seconds=DEADLINE_SECONDS)
        assert read(TENANT, "SELECT 1", [], deadline_seconds=5) == [(1,)]
        with isolation.as_tenant(TENANT), pytest.raises(RuntimeError):
            read(TENANT, "SELECT 1", [], deadline_seconds=5)
    finally:
        _point(before)
