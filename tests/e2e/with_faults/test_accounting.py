"""Is each call counted once though accounting is killed in the middle?"""

import psycopg

from cacheai import embedded
from tests.e2e.conftest import Stack
from tests.e2e.with_faults.hurting import (
    BUSY_START_SECONDS,
    PRICED_SECONDS,
    QUESTION,
    Line,
    kill,
    sql,
    tree,
    unpriced,
)
from tests.waiting import wait_until


def test_accounting_killed_within_its_transaction_takes_effect_once(own_stack: Stack) -> None:
    owner_url = embedded.addresses(own_stack.home).owner_url
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'usage_dirty'::regclass"

    def kill_in_the_middle(line: Line, which: int) -> None:
        before = tree(own_stack.pids()["accounting"])
        victim = before[which]
        with psycopg.connect(owner_url) as connection:
            connection.execute("LOCK TABLE usage_dirty IN ACCESS EXCLUSIVE MODE")
            assert [line.ask(QUESTION).decision for _ in range(4)] == ["hit"] * 4
            wait_until(lambda: sql(own_stack, waiting)[0][0], seconds=BUSY_START_SECONDS, what="accounting under way")
            kill(victim)
            wait_until(lambda: is_whole_without(victim, len(before)), seconds=BUSY_START_SECONDS, what="a new worker")

    def is_whole_without(victim: int, processes: int) -> bool:
        now = tree(own_stack.pids().get("accounting", 0))
        return len(now) == processes and victim not in now

    with Line(own_stack) as line:
        line.ask(QUESTION)
        for which in (0, -1, 0):  # All of it; and its child alone, which the kernel kills where memory is short.
            wait_until(lambda: unpriced(own_stack) == 0, seconds=PRICED_SECONDS, what="all priced")
            kill_in_the_middle(line, which)
            line.ask(QUESTION)  # One more hint: else the next sweep finds them, within the minute.
        wait_until(lambda: unpriced(own_stack) == 0, seconds=PRICED_SECONDS, what="all priced")

    assert sql(own_stack, "SELECT hits FROM entry WHERE namespace = %s", own_stack.namespace) == [(15,)]
    assert own_stack.manage("ledger_recount").startswith("No difference")
