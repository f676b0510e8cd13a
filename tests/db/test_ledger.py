"""A call has one row, in Postgres before the answer is complete. (Law 7)"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command

from cache_api.adapters import ledger
from cache_api.adapters.spool import Spool
from cache_api.domain.call import new_id
from tenants import isolation
from tests.conftest import Cast
from tests.db.calls import call_of, hit_of, ledger_in, query, write
from tests.waiting import wait_until

NOBODY_LISTENS = "host=127.0.0.1 port=1 user=nobody dbname=nothing connect_timeout=2"


def rows() -> int:
    return int(query("SELECT count(*) FROM call")[0][0])


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def book(spool: Path) -> Iterator[ledger.PostgresLedger]:
    made = ledger_in(spool)
    yield made
    made.close()


def test_a_recorded_call_is_in_the_table(cast: Cast, book: ledger.PostgresLedger) -> None:
    call = hit_of(cast.owner.tenant_id, cast.owner.project_id, similarity=0.97, task="faq")

    book.record(call)

    ((*found,),) = query(
        "SELECT tenant_id, at, id, decision, similarity, task, in_total, priced_at, billable FROM call"
    )
    assert found == [call.tenant_id, call.at, call.id, "hit", 0.97, "faq", 1200, None, True]


def test_a_call_recorded_twice_has_one_row(cast: Cast, book: ledger.PostgresLedger) -> None:
    call = call_of(cast.owner.tenant_id, cast.owner.project_id)

    book.record(call)
    book.record(call)

    assert rows() == 1


def test_a_crowd_of_threads_has_every_row(cast: Cast, book: ledger.PostgresLedger) -> None:
    def record() -> None:
        for _ in range(50):
            book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))

    threads = [threading.Thread(target=record) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.close()  # What took too long is on disk.
    ledger.adopt(book._spool._folder, ledger.app_conninfo())

    assert rows() == 800


def test_accounting_is_told_after_a_commit(cast: Cast, spool: Path) -> None:
    hints: list[int] = []
    book = ledger_in(spool, hints=hints)
    book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))
    wait_until(lambda: hints)
    book.close()

    assert len(hints) == 1


def test_the_app_writes_no_row_but_through_the_function(cast: Cast) -> None:
    with (
        psycopg.connect(ledger.app_conninfo()) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("INSERT INTO call DEFAULT VALUES")


def test_a_tenant_reads_its_own_calls_alone(cast: Cast) -> None:
    write([call_of(cast.owner.tenant_id, cast.owner.project_id)])

    seen = [
        isolation.read(person.tenant_id, "SELECT id FROM call", [], deadline_seconds=5)
        for person in (cast.owner, cast.outsider)
    ]

    assert [len(found) for found in seen] == [1, 0]


@pytest.mark.parametrize("partition", ["call_default", f"call_{datetime.now(UTC):%Y_%m}", "entry_0"])
def test_no_partition_opens_to_the_app(cast: Cast, partition: str) -> None:
    with (
        psycopg.connect(ledger.app_conninfo()) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(f"SELECT count(*) FROM {partition}")


# -- Postgres is away


def test_while_postgres_is_away_rows_wait_on_disk(cast: Cast, spool: Path) -> None:
    book = ledger_in(spool, conninfo=NOBODY_LISTENS)
    calls = [call_of(cast.owner.tenant_id, cast.owner.project_id) for _ in range(20)]

    for call in calls:
        book.record(call)
    book.close()

    assert rows() == 0
    assert ledger.adopt(spool, ledger.app_conninfo()) == 20
    assert rows() == 20
    assert list(spool.iterdir()) == []


def test_when_postgres_comes_back_the_rows_go_there_by_themselves(
    cast: Cast, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "KEEPER_SECONDS", 0.05)
    book = ledger_in(spool, conninfo=NOBODY_LISTENS)
    book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))
    assert book.is_down

    book._conninfo = ledger.app_conninfo()
    wait_until(lambda: not book.is_down)
    book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))
    book.close()

    assert rows() == 2


def test_a_postgres_that_hangs_costs_a_tenth_of_a_second_once(cast: Cast, spool: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # Accepts, and never says a word.
        host, port = silent.getsockname()
        book = ledger_in(spool, conninfo=f"host={host} port={port} dbname=x connect_timeout=2")
        took = []
        for _ in range(3):
            started = time.perf_counter()
            book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))
            took.append(time.perf_counter() - started)
        book.close()

    assert took[0] < 0.3
    assert max(took[1:]) < 0.05
    assert ledger.adopt(spool, ledger.app_conninfo()) == 3


def test_a_lock_on_the_table_sends_the_row_to_disk_and_later_home(cast: Cast, spool: Path, database: str) -> None:
    book = ledger_in(spool)
    book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))
    with psycopg.connect(database) as blocker:
        blocker.execute("LOCK TABLE call IN ACCESS EXCLUSIVE MODE")
        started = time.perf_counter()
        book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))
        took = time.perf_counter() - started
        assert book.is_down
    wait_until(lambda: not book.is_down)
    book.close()

    assert took < 0.25
    assert rows() == 2


def test_a_row_replayed_after_its_commit_is_taken_once(
    cast: Cast, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit came through, its confirmation did not: the row is in the table and on disk."""
    calls = [call_of(cast.owner.tenant_id, cast.owner.project_id) for _ in range(5)]
    write(calls)
    waiting = Spool(spool)
    waiting.append([ledger.row_of(call) for call in calls])
    waiting.close()

    ledger.adopt(spool, ledger.app_conninfo())

    assert rows() == 5
    assert "ledger_spill" not in [record.message for record in caplog.records]


def test_a_row_the_table_refuses_holds_up_no_other(
    cast: Cast, book: ledger.PostgresLedger, caplog: pytest.LogCaptureFixture
) -> None:
    good = [ledger.row_of(call_of(cast.owner.tenant_id, cast.owner.project_id)) for _ in range(3)]
    bad = ledger.row_of(call_of(cast.owner.tenant_id, cast.owner.project_id, status=70_000))

    with ledger.connect(ledger.app_conninfo()) as connection:
        taken = ledger.put_rows(connection, [good[0], bad, *good[1:]])

    assert taken == 3
    assert [record.message for record in caplog.records] == ["ledger_spill"]


@pytest.mark.parametrize("model", ["m\0x", "m\ud800x", "m" * 5000, "模型", 'm"\\\n'])
def test_any_model_name_finds_its_row(cast: Cast, book: ledger.PostgresLedger, model: str) -> None:
    book.record(call_of(cast.owner.tenant_id, cast.owner.project_id, model_asked=model, model_served=""))

    assert rows() == 1


# -- The disk is full too


def test_a_row_that_finds_no_disk_is_logged_and_read_back(
    cast: Cast, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    no_folder = tmp_path / "file"
    no_folder.write_text("")
    book = ledger_in(no_folder / "spool", conninfo=NOBODY_LISTENS)
    for _ in range(3):
        book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))
    book.close()
    spilled = [record for record in caplog.records if record.message == "ledger_spill"]
    log = tmp_path / "web.log"
    lines = [json.dumps({"event": "ledger_spill", "row": record.row}) for record in spilled]  # type: ignore[attr-defined]
    log.write_text("\n".join(["2026-11-01 web | " + lines[0], "noise ledger_spill {", *lines[1:], ""]))

    call_command("ledger_import", str(log))
    call_command("ledger_import", str(log))

    assert rows() == 3
    assert capsys.readouterr().out == "3 rows taken.\n0 rows taken.\n"


def test_spilled_rows_are_read_from_standard_input(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    row = ledger.row_of(call_of(cast.owner.tenant_id, cast.owner.project_id)).decode()
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"event": "ledger_spill", "row": row})))

    call_command("ledger_import")

    assert rows() == 1


# -- Processes die

CHILD = """
import os, sys
import django
django.setup()
from pathlib import Path
from uuid import UUID
from tests.db.calls import call_of, ledger_in
spool, conninfo, tenant, project = sys.argv[1:]
book = ledger_in(Path(spool), conninfo=conninfo)
while True:
    call = call_of(UUID(tenant), UUID(project))
    book.record(call)
    os.write(1, b"%s\\n" % str(call.id).encode())
"""


@pytest.mark.parametrize("reachable", [True, False])
def test_every_answer_given_before_kill_9_has_its_row(
    cast: Cast, spool: Path, tmp_path: Path, *, reachable: bool
) -> None:
    """The child says a call's id once `record` has returned, and is killed in the midst of it."""
    conninfo = ledger.app_conninfo() if reachable else NOBODY_LISTENS
    command = [sys.executable, "-c", CHILD, str(spool), conninfo]
    command += [str(cast.owner.tenant_id), str(cast.owner.project_id)]
    said: list[str] = []
    # A home of its own: this process's may have no PostgreSQL beside its secrets.
    child_environment = {**os.environ, "CACHEAI_HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            said.append(line.strip())
            if len(said) == 200:
                child.send_signal(signal.SIGKILL)
                break
        said += [line.strip() for line in child.stdout if line.endswith("\n")]

    ledger.adopt(spool, ledger.app_conninfo())

    kept = {str(call_id) for (call_id,) in query("SELECT id FROM call")}
    assert len(said) >= 200
    assert set(said) <= kept
    assert len(kept) <= len(said) + 1  # The one that was being written.


def test_a_forked_child_writes_over_a_connection_of_its_own(cast: Cast, book: ledger.PostgresLedger) -> None:
    book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))

    child = os.fork()
    if child == 0:
        book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))
        os._exit(0 if book._connection is not None else 1)
    _, status = os.waitpid(child, 0)
    book.record(call_of(cast.owner.tenant_id, cast.owner.project_id))

    assert status == 0
    assert not book.is_down
    assert rows() == 3


# -- Time


@pytest.mark.parametrize(
    "at",
    [
        datetime(2031, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        datetime(1999, 1, 1, tzinfo=UTC),
        datetime.now(UTC) + timedelta(minutes=10),
        datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(milliseconds=1),
    ],
)
def test_a_row_is_filed_under_its_ids_own_millisecond(cast: Cast, at: datetime) -> None:
    call = call_of(cast.owner.tenant_id, cast.owner.project_id, at=at)

    write([call])

    assert query("SELECT at FROM call WHERE id = %s", [call.id]) == [
        (at.replace(microsecond=at.microsecond // 1000 * 1000),)
    ]


def test_ids_made_in_one_millisecond_differ() -> None:
    now = datetime.now(UTC)

    assert len({new_id(now) for _ in range(1000)}) == 1000
