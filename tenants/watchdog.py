"""Who ends a query when the database hangs?

A stopped PostgreSQL ignores its own statement timeout, and a query waits for its socket as long as it takes. One thread
per process shuts the socket of an overdue connection; the waiting thread then fails at once.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

# How late a query may be ended. A finer step would wake the thread more often while queries run.
STEP_SECONDS = 0.005
# Waking a sleeping thread costs more than a query's whole guard; it stays awake until nothing was guarded for so long.
IDLE_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Guarded:
    """A connection somebody waits for. Once `overdue` it is broken and must be closed."""

    connection: psycopg.Connection[Any]
    due: float
    overdue: bool = False


@dataclass(slots=True)
class _Watch:
    waiting: dict[int, Guarded] = field(default_factory=dict)
    cutting: threading.Lock = field(default_factory=threading.Lock)
    work: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


_watch = _Watch()


@contextmanager
def guard(connection: psycopg.Connection[Any], deadline_seconds: float) -> Iterator[Guarded]:
    """Break the connection if the block takes longer. What is raised then is psycopg's OperationalError."""
    guarded = enter(connection, deadline_seconds)
    try:
        yield guarded
    finally:
        leave(guarded)


def enter(connection: psycopg.Connection[Any], deadline_seconds: float) -> Guarded:
    """`guard` without the block, for the hot path: a generator costs three times the guard itself."""
    watch = _watch
    guarded = Guarded(connection, time.monotonic() + deadline_seconds)
    watch.waiting[id(guarded)] = guarded
    if not watch.work.is_set():
        _wake(watch)
    return guarded


def leave(guarded: Guarded) -> None:
    if _watch.waiting.pop(id(guarded), None) is None:
        # The thread took it, and may be about to shut the socket: the connection must not be in other hands by then.
        with _watch.cutting:
            pass


def _wake(watch: _Watch) -> None:
    with watch.cutting:
        if watch.thread is None:
            watch.thread = threading.Thread(target=_run, args=(watch,), name="watchdog", daemon=True)
            watch.thread.start()
    watch.work.set()


def _run(watch: _Watch) -> None:
    idle_since = time.monotonic()
    while True:
        now = time.monotonic()
        waiting = list(watch.waiting.values())
        if waiting:
            idle_since = now
        elif now - idle_since > IDLE_SECONDS:
            watch.work.clear()
            # Whoever entered before the flag fell saw no need to wake us.
            if not watch.waiting:
                watch.work.wait()
            idle_since = time.monotonic()
            continue

        nearest = STEP_SECONDS
        for guarded in waiting:
            left = guarded.due - now
            if left > 0:
                nearest = min(nearest, left)
            else:
                _cut(watch, guarded)
        time.sleep(nearest)


def _cut(watch: _Watch, guarded: Guarded) -> None:
    with watch.cutting:
        if watch.waiting.pop(id(guarded), None) is None:
            return  # Answered meanwhile.

        guarded.overdue = True
        try:
            with socket.socket(fileno=os.dup(guarded.connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
        except (OSError, psycopg.Error):
            return  # It broke by itself.


def _forget_threads() -> None:
    """A forked child has no threads and none of its parent's queries."""
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_forget_threads)
