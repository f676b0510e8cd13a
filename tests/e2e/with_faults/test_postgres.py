"""Do calls go on, and come their rows later, while PostgreSQL is gone, hangs or is full?"""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import psycopg

from cacheai import embedded
from tests.e2e.conftest import Stack
from tests.e2e.test_data_plane import fresh
from tests.e2e.test_published_clients import told_by
from tests.e2e.with_faults.hurting import (
    BUSY_START_SECONDS,
    HEALED_SECONDS,
    PRICED_SECONDS,
    QUESTION,
    Line,
    degraded,
    hits,
    hits_again,
    kill,
    load,
    postgres_answers,
    quantile,
    rows_of,
    stopped,
    store,
    tree,
    unpriced,
)
from tests.waiting import wait_until

FULL_DISK = """
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER disk_is_full BEFORE INSERT ON call FOR EACH ROW EXECUTE FUNCTION disk_is_full();
CREATE TRIGGER disk_is_full BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION disk_is_full();
"""


def test_postgres_gone_for_a_while_costs_no_call_and_no_row(own_stack: Stack) -> None:
    questions = cycle([QUESTION, ""])
    with load(own_stack, lambda: next(questions) or fresh()) as calls:
        wait_until(lambda: hits(calls.answers) > 20, seconds=30, what="hits")
        with stopped([own_stack.process.pid]):  # Nobody starts it again.
            kill(own_stack.pids()["postgres"])
            gone_at = time.monotonic()
            wait_until(lambda: time.monotonic() - gone_at > 12, seconds=20, what="an outage under load")
            back_at = time.monotonic()
        wait_until(lambda: postgres_answers(own_stack), seconds=BUSY_START_SECONDS, what="PostgreSQL")
        wait_until(lambda: hits(calls.answers[-4:]), seconds=HEALED_SECONDS, what="hits again")
    answers, during = list(calls.answers), calls.between(gone_at + 0.5, back_at)

    assert len(during) > 20
    assert {answer.decision for answer in during} == {"bypass"}
    assert {answer.status for answer in answers} == {200}  # wanted: 99.9 %
    wait_until(lambda: rows_of(own_stack, answers) == len(answers), seconds=30, what="the spool replayed")
    wait_until(lambda: not list((own_stack.home / "spool").glob("*")), seconds=30, what="an empty spool")
    wait_until(lambda: unpriced(own_stack) == 0, seconds=PRICED_SECONDS, what="all priced")
    assert own_stack.manage("ledger_recount").startswith("No difference")


def test_a_hanging_postgres_costs_a_deadline_and_then_nothing(own_stack: Stack) -> None:
    own_stack.control(delay_seconds=0.05)
    with Line(own_stack) as line, load(own_stack, fresh) as calls:
        store(line)
        wait_until(lambda: len(calls.answers) > 100, seconds=30, what="calls")
        healthy = list(calls.answers)
        with stopped(tree(own_stack.pids()["postgres"])):
            hung_at = time.monotonic()
            wait_until(lambda: time.monotonic() - hung_at > 9, seconds=20, what="a while under load")
            open_at, end_at = hung_at + 3, time.monotonic()
        wait_until(lambda: hits_again(line), seconds=HEALED_SECONDS, what="hits again")
    hanging, later = calls.between(hung_at, open_at), calls.between(open_at, end_at)

    assert {answer.status for answer in calls.answers} == {200}
    assert quantile(hanging, 0.99) < quantile(healthy, 0.99) + 0.35  # wanted: 0.25
    assert quantile(later, 0.5) < quantile(healthy, 0.5) + 0.015  # wanted: 0.005
    wait_until(lambda: rows_of(own_stack, calls.answers) == len(calls.answers), seconds=30, what="a row each")


def test_a_full_disk_of_postgres_costs_no_call_no_hit_and_no_row(own_stack: Stack) -> None:
    questions = cycle([QUESTION, ""])
    with load(own_stack, lambda: next(questions) or fresh()) as calls:
        wait_until(lambda: hits(calls.answers[-12:]) > 4, seconds=30, what="hits of both workers")
        with psycopg.connect(embedded.addresses(own_stack.home).owner_url, autocommit=True) as owner:
            owner.execute(FULL_DISK)
            try:
                wait_until(lambda: "No space left on device" in own_stack.logs(), what="a word of it")
                wait_until(lambda: degraded(own_stack) == ["ledger"], what="degraded")
                full_at = time.monotonic()
                # Half of them ask what is stored; while breakers open on failed writes, a tenth of all are hits.
                wait_until(lambda: hits(calls.since(full_at)[-100:]) > 30, seconds=60, what="hits all the same")
            finally:
                owner.execute("DROP FUNCTION disk_is_full CASCADE")
    answers = list(calls.answers)

    assert {answer.status for answer in answers} == {200}
    wait_until(lambda: rows_of(own_stack, answers) == len(answers), seconds=30, what="the spool replayed")
    wait_until(lambda: not list((own_stack.home / "spool").glob("*")), seconds=30, what="an empty spool")
    wait_until(lambda: unpriced(own_stack) == 0, seconds=PRICED_SECONDS, what="all priced")
    assert own_stack.manage("ledger_recount").startswith("No difference")


def test_a_published_client_gets_its_typed_error_for_a_change_while_postgres_hangs(own_stack: Stack) -> None:
    with stopped(tree(own_stack.pids()["postgres"])):
        told = told_by(
            "0.2.0",
            own_stack,
            """
from cacheai.exceptions import APIError

try:
    with client() as one:
        one.cache.update("no-such-key", output="x")
except APIError as error:
    told["status"], told["message"] = error.status_code, error.message
""",
        )
    with Line(own_stack) as line:
        store(line)

    assert (told["status"], told["message"]) == (503, "Service temporarily unavailable")


def test_slow_queries_and_a_pool_without_connections_are_a_bypass(own_stack: Stack) -> None:
    lines = [Line(own_stack) for _ in range(100)]
    store(lines[0])
    owner_url = embedded.addresses(own_stack.home).owner_url
    with psycopg.connect(owner_url) as connection, ThreadPoolExecutor(100) as pool:
        connection.execute("LOCK TABLE entry IN ACCESS EXCLUSIVE MODE")
        answers = list(pool.map(lambda line: line.ask(fresh()), lines))
    for line in lines:
        line.http.close()

    assert {answer.status for answer in answers} == {200}
    assert {answer.decision for answer in answers} == {"bypass"}
    with Line(own_stack) as line:
        wait_until(lambda: hits_again(line), seconds=HEALED_SECONDS, what="hits again")
