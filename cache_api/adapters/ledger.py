"""How does a call get its one row, whatever is broken?

    record ──► queue ──► writer: one commit for all that waits ──► Postgres
                            │ late or refused
                            ▼
                          spool ──► keeper, each second ──► Postgres
                            │ disk full
                            ▼
                          log event `ledger_spill`, read back by `manage.py ledger_import`

The writer takes what is queued and no more, so that a call alone commits at once and a crowd shares its commits. A row
may arrive twice, by the queue and by the spool: its key is made of the call's id, and the table takes it once.
"""

import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import psycopg
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError as BrokerError
from psycopg.conninfo import make_conninfo

from cache_api.adapters.spool import Spool
from cache_api.domain.call import Call
from tenants import watchdog

RECORD_SECONDS = 0.1  # How long an answer waits for its row before the row goes to disk instead.
WRITE_SECONDS = 0.08  # Less, so that the writer can still spool, in one go, what it could not commit.
REPLAY_SECONDS = 2.0  # Nobody waits for a replay.
KEEPER_SECONDS = 1.0
ROWS_PER_COMMIT = 64
TEXT_MAX = 256  # A model's name comes from the caller and is part of an index, whose rows have 2,700 bytes.

PUT = "SELECT count(*) FROM ledger_put(%s)"

_REFUSED = (psycopg.DataError, psycopg.IntegrityError)

log = logging.getLogger(__name__)


class LedgerDown(Exception):
    """Postgres did not take the rows, or not in time."""


class _Waiting:
    """A row on its way, and the lock its call waits for."""

    __slots__ = ("given_up", "row", "settled")

    def __init__(self, row: bytes) -> None:
        self.row = row
        self.settled = threading.Lock()
        self.settled.acquire()
        self.given_up = False


class PostgresLedger:
    """The Ledger port: one writer and one keeper thread per process, started by the first call."""

    def __init__(
        self,
        *,
        conninfo: str | None = None,
        spool_folder: Path | None = None,
        hint: Callable[[], None] | None = None,
    ) -> None:
        self._conninfo = conninfo or app_conninfo()
        self._spool = Spool(spool_folder or spool_of_home())
        self._hint = hint or hint_pricing
        self._reset()
        _ledgers.add(self)

    def _reset(self) -> None:
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._connection: psycopg.Connection | None = None
        self._closing = threading.Event()
        self._down = False  # Postgres is: the writer spools until the keeper got through.
        self._stuck = False  # The writer is, as while it connects: each call spools for itself.
        self._committed = False

    @property
    def is_down(self) -> bool:
        """Rows go to the spool."""
        return self._down

    def record(self, call: Call) -> None:
        """Return when the row is committed or spooled. Never raises."""
        waiting = _Waiting(row_of(call))
        if not self._threads:
            self.start()
        if not self._stuck:
            self._queue.put(waiting)
            if waiting.settled.acquire(timeout=RECORD_SECONDS):
                return
            waiting.given_up = True
            self._stuck = True
        self._keep([waiting.row])

    def start(self) -> None:
        """Begin to replay what an earlier process left, before the first call comes."""
        with self._starting:
            if self._threads:
                return
            self._closing.clear()
            for name, run in (("ledger-writer", self._write), ("ledger-keeper", self._look_after)):
                thread = threading.Thread(target=run, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def close(self) -> None:
        """Finish what is queued."""
        self._closing.set()
        self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._spool.close()

    # -- Writer

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first, *self._also_waiting()]
            if not self._commit(_wanted(batch)):
                self._keep(_wanted(batch))
            self._stuck = False
            for waiting in batch:
                waiting.settled.release()

    def _also_waiting(self) -> list[_Waiting]:
        found: list[_Waiting] = []
        while len(found) < ROWS_PER_COMMIT - 1:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:  # The end; it must be met again, alone.
                self._queue.put(None)
                break
            found.append(waiting)
        return found

    def _commit(self, rows: list[bytes]) -> bool:
        if not rows:
            return True
        if self._down:
            return False  # The keeper finds out when it is worth asking again.
        try:
            if self._connection is None:
                self._connection = connect(self._conninfo)
            put_rows(self._connection, rows, WRITE_SECONDS)
        except LedgerDown as error:
            self._down = True
            log.warning("ledger_down", extra={"reason": str(error.__cause__)})
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            return False
        self._committed = True
        return True

    def _keep(self, rows: Sequence[bytes]) -> None:
        if not rows:
            return
        try:
            self._spool.append(rows)
        except OSError as error:
            for row in rows:
                # The last resort is the log. A row holds no text of a caller's.
                log.error("ledger_spill", extra={"row": row.decode(), "reason": error.strerror})

    # -- Keeper

    def _look_after(self) -> None:
        while not self._closing.is_set():
            if self._down or not self._spool.is_empty or self._spool.files_of_others():
                self._recover()
            if self._committed:
                self._committed = False
                self._hint()
            self._closing.wait(KEEPER_SECONDS)

    def _recover(self) -> None:
        """Replay; where that works, Postgres is worth asking again."""
        try:
            connection = connect(self._conninfo)
        except LedgerDown:
            return
        try:
            put_rows(connection, [])
            if self._spool.replay(lambda rows: put_rows(connection, rows)):
                self._committed = True
        except LedgerDown:
            return
        except OSError as error:
            log.warning("spool_unreadable", extra={"reason": str(error)})
            return
        finally:
            connection.close()
        if self._down:
            self._down = False
            log.info("ledger_up")

    def _forget(self) -> None:
        """In a forked child: threads, connection and file are the parent's."""
        self._spool.forget()
        self._reset()


def _wanted(batch: list[_Waiting]) -> list[bytes]:
    return [waiting.row for waiting in batch if not waiting.given_up]


def hint_pricing() -> None:
    """Tell the accounting worker that there is something to price; if it is not told, it looks each minute."""
    try:
        current_app.send_task("cache_api.accounting.price", ignore_result=True, retry=False)
    except (BrokerError, OSError) as error:
        log.info("hint_lost", extra={"reason": str(error)})


def row_of(call: Call) -> bytes:
    """The row as JSON: every column that must have a value, in any order."""
    usage, timings = call.usage, call.timings
    return orjson.dumps(
        {
            "tenant_id": call.tenant_id,
            "at": call.at,
            "id": call.id,
            "project_id": call.project_id,
            "key_id": call.key_id,
            "task": _plain(call.task),
            "origin": call.origin,
            "parent_id": call.parent_id,
            "dialect": call.dialect,
            "provider": call.provider,
            "model_asked": _plain(call.model_asked),
            "model_served": _plain(call.model_served),
            "stream": call.stream,
            "service_tier": _plain(call.service_tier),
            "status": call.status,
            "decision": call.decision,
            "layer": call.layer,
            "reason": call.reason,
            "similarity": call.similarity,
            "entry_id": call.entry_id,
            "in_total": usage.in_total,
            "in_cached": usage.in_cached,
            "in_write_5m": usage.in_write_5m,
            "in_write_1h": usage.in_write_1h,
            "in_audio": usage.in_audio,
            "out_total": usage.out_total,
            "out_reasoning": usage.out_reasoning,
            "out_audio": usage.out_audio,
            "tokens_estimated": usage.estimated,
            "price_source": "",
            "price_version": "",
            "billable": call.billable,
            "retry": call.retry,
            "ms_total": timings.total,
            "ms_embed": timings.embed,
            "ms_lookup": timings.lookup,
            "ms_upstream": timings.upstream,
            "ms_first_byte": timings.first_byte,
        }
    )


def spool_of_home() -> Path:
    return Path(settings.HOME) / "spool"


def adopt(spool_folder: Path, conninfo: str) -> int:
    """Put the rows that dead processes left where they belong; how many. Raises LedgerDown."""
    spool = Spool(spool_folder)
    if not spool.files_of_others():
        return 0
    with connect(conninfo) as connection:
        return spool.replay(lambda rows: put_rows(connection, rows))


def connect(conninfo: str) -> psycopg.Connection:
    """Raises LedgerDown."""
    try:
        return psycopg.connect(conninfo, autocommit=True)
    except psycopg.Error as error:
        raise LedgerDown from error


def put_rows(connection: psycopg.Connection, rows: list[bytes], deadline_seconds: float = REPLAY_SECONDS) -> int:
    """How many of the rows were new. A row the table refuses is logged, and holds up no others. Raises LedgerDown."""
    try:
        return _put(connection, rows, deadline_seconds)
    except _REFUSED:
        return sum(_put_alone(connection, row, deadline_seconds) for row in rows)


def _put_alone(connection: psycopg.Connection, row: bytes, deadline_seconds: float) -> int:
    try:
        return _put(connection, [row], deadline_seconds)
    except _REFUSED as error:
        log.error("ledger_spill", extra={"row": row.decode(), "reason": type(error).__name__})
        return 0


def _put(connection: psycopg.Connection, rows: list[bytes], deadline_seconds: float) -> int:
    try:
        with watchdog.guard(connection, deadline_seconds):
            taken = connection.execute(PUT, (f"[{b','.join(rows).decode()}]",), prepare=True).fetchone()
    except _REFUSED:
        raise
    except psycopg.Error as error:
        raise LedgerDown from error
    return int(taken[0]) if taken else 0


def _plain(text: str) -> str:
    """What a text column can hold: a caller may name a model with NUL or half a surrogate pair."""
    if text.isascii() and len(text) <= TEXT_MAX and "\0" not in text:
        return text
    return text[:TEXT_MAX].replace("\0", "").encode("utf-8", "replace").decode()


def app_conninfo() -> str:
    """The app's login, past Django's pool."""
    database = settings.DATABASES["default"]
    named = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    given = {lower: database[upper] for lower, upper in named.items() if database.get(upper)}
    options = {name: value for name, value in database.get("OPTIONS", {}).items() if name != "pool"}
    return make_conninfo(**options, **given)


_ledgers: "weakref.WeakSet[PostgresLedger]" = weakref.WeakSet()


def _forget_parents() -> None:
    for ledger in list(_ledgers):
        ledger._forget()


os.register_at_fork(after_in_child=_forget_parents)
