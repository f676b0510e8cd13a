"""How does a call get its one row, whatever is broken?

    record ──► gathered: one commit for all that wait ──► Postgres
                            │ late or refused
                            ▼
                          spool ──► keeper, each second ──► Postgres
                            │ disk full
                            ▼
                          log event `ledger_spill`, read back by `manage.py ledger_import`

A call alone commits at once, and a crowd shares its commits. A row may arrive twice, by both ways: its key is made of
the call's id, and the table takes it once.
"""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import orjson
import psycopg
from django.conf import settings
from psycopg import pq
from psycopg.conninfo import make_conninfo

from cache_api.adapters.gathering import Gatherer, Overdue
from cache_api.adapters.spool import Spool
from cache_api.domain.call import Call
from tenants import isolation, watchdog
from tenants.hints import hint as hint_worker

RECORD_SECONDS = 0.1  # How long an answer waits for its row before the row goes to disk instead.
WRITE_SECONDS = 0.08  # Less, so that the writer can still spool, in one go, what it could not commit.
REPLAY_SECONDS = 2.0  # Nobody waits for a replay.
KEEPER_SECONDS = 1.0
ROWS_PER_COMMIT = 64
TEXT_MAX = 256  # A model's name comes from the caller and is part of an index, whose rows have 2,700 bytes.

PUT = "ledger_put"  # Takes jsonb, of which the binary form is a 1 and the text.

_REFUSED = (psycopg.DataError, psycopg.IntegrityError)

log = logging.getLogger(__name__)


class LedgerDown(Exception):
    """Postgres did not take the rows, or not in time."""


class PostgresLedger:
    """The Ledger port: calls commit for one another; one keeper thread per process looks after the connection."""

    def __init__(
        self,
        *,
        conninfo: str | None = None,
        spool_folder: Path | None = None,
        hint: Callable[[], None] | None = None,
    ) -> None:
        self._conninfo = conninfo or app_conninfo()
        self._spool = Spool(spool_folder or spool_of_home())
        self._hint = hint or partial(hint_worker, "cache_api.accounting.price")
        self._commits: Gatherer[bytes, None] = Gatherer(self._write, max_batch=ROWS_PER_COMMIT)
        self._reset()
        _ledgers.add(self)

    def _reset(self) -> None:
        self._starting = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._connection: psycopg.Connection | None = None  # Set by the keeper, taken away by who finds it broken.
        self._tried = threading.Event()
        self._closing = threading.Event()
        self._committed = False

    @property
    def is_down(self) -> bool:
        """Rows go to the spool."""
        return self._connection is None and self._tried.is_set()

    def record(self, call: Call) -> None:
        """Return when the row is committed or spooled. Never raises."""
        if self._keeper is None:
            self.start()
        row = row_of(call)
        try:
            self._commits.submit(row, RECORD_SECONDS)
        except Overdue:
            self._keep([row])

    def start(self) -> None:
        """Connect, and begin to replay what an earlier process left, before the first call comes."""
        with self._starting:
            if self._keeper is None:
                self._closing.clear()
                keeper = threading.Thread(target=self._look_after, name="ledger-keeper", daemon=True)
                keeper.start()
                self._keeper = keeper

    def close(self) -> None:
        """Finish what is under way."""
        self._closing.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._tried.clear()
        self._spool.close()

    # -- Writing

    def _write(self, rows: list[bytes]) -> list[None]:
        if not self._commit(rows):
            self._keep(rows)
        return [None] * len(rows)

    def _commit(self, rows: list[bytes]) -> bool:
        if not self._tried.is_set():  # The first call waits for the connection, but not long.
            self._tried.wait(RECORD_SECONDS)
            self._tried.set()
        connection = self._connection
        if connection is None:
            return False  # The keeper finds out when it is worth asking again.
        try:
            put_rows(connection, rows, WRITE_SECONDS)
        except LedgerDown as error:
            self._connection = None
            connection.close()
            log.warning("ledger_down", extra={"reason": str(error.__cause__)})
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
            if self._connection is None or not self._spool.is_empty or self._spool.files_of_others():
                self._recover()
            self._tried.set()
            if self._committed:
                self._committed = False
                self._hint()
            self._closing.wait(KEEPER_SECONDS)

    def _recover(self) -> None:
        """Connect and replay; where that works, Postgres is worth asking again."""
        try:
            connection = connect(self._conninfo)
        except LedgerDown:
            return
        try:
            put_rows(connection, [])
            if self._spool.replay(lambda rows: put_rows(connection, rows)):
                self._committed = True
            if self._connection is None:
                self._connection = connection
                log.info("ledger_up")
        except LedgerDown:
            return
        except OSError as error:
            log.warning("spool_unreadable", extra={"reason": str(error)})
        finally:
            if self._connection is not connection:
                connection.close()

    def _forget(self) -> None:
        """In a forked child: threads, connection and file are the parent's."""
        self._spool.forget()
        self._reset()


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
            "task": plain_text(call.task),
            "origin": call.origin,
            "parent_id": call.parent_id,
            "dialect": call.dialect,
            "provider": call.provider,
            "model_asked": plain_text(call.model_asked),
            "model_served": plain_text(call.model_served),
            "stream": call.stream,
            "service_tier": plain_text(call.service_tier),
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
            "end_user": call.end_user or None,
            "fingerprint": f"\\x{call.fingerprint.hex()}" if call.fingerprint else None,
            "in_served": call.in_served or None,
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
            result = isolation.call_on(connection, PUT, [b"\x01[" + b",".join(rows) + b"]"])
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(result)
    except _REFUSED:
        raise
    except psycopg.Error as error:
        raise LedgerDown from error
    return result.ntuples


def plain_text(text: str) -> str:
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
