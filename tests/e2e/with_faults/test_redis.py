"""Do calls go on while Redis hangs, is killed or forgets everything?"""

import time
from itertools import cycle

import redis

from cacheai import embedded
from tests.e2e.conftest import Stack
from tests.e2e.test_data_plane import fresh
from tests.e2e.with_faults.hurting import (
    BUSY_START_SECONDS,
    EMBEDDED,
    HEALED_SECONDS,
    PRICED_SECONDS,
    QUESTION,
    REWORDED,
    Line,
    hits_again,
    kill,
    load,
    quantile,
    rows_of,
    some_tenant,
    stopped,
    store_with_vector,
    unpriced,
)
from tests.waiting import wait_until


def test_while_redis_hangs_calls_lose_little_time_and_limits_still_hold(own_stack: Stack) -> None:
    key = own_stack.manage("create_key", "--tenant", some_tenant(own_stack), "--rpm", "10").split()[-1]
    with Line(own_stack) as line, Line(own_stack, api_key=key) as limited:
        store_with_vector(line)
        limited.ask(QUESTION)
        healthy = [line.ask(QUESTION) for _ in range(60)]
        with stopped([own_stack.pids()["redis"]]):
            first = line.ask(fresh())
            for _ in range(6):  # Until the breakers are open.
                line.ask(fresh())
            hits, misses = [line.ask(QUESTION) for _ in range(60)], [line.ask(fresh()) for _ in range(10)]
            statuses = [limited.ask(QUESTION).status for _ in range(15)]

        assert {answer.status for answer in (first, *hits, *misses)} == {200}
        assert {answer.decision for answer in hits} == {"hit"}
        assert first.seconds < 1
        assert quantile(hits, 0.5) < quantile(healthy, 0.5) + 0.02
        assert quantile(misses, 0.5) < 0.15
        assert set(statuses) == {200, 429}
        wait_until(lambda: hits_again(line, REWORDED, reason="similar"), seconds=HEALED_SECONDS, what="a similar hit")


def test_a_flushed_and_a_killed_redis_cost_no_call_and_no_row(own_stack: Stack) -> None:
    questions = cycle([QUESTION, REWORDED, "", ""])
    with load(own_stack, lambda: next(questions) or fresh()) as calls:

        def embedded_since(at: float) -> bool:
            return any(answer.reason in EMBEDDED for answer in calls.since(at))

        wait_until(lambda: len(calls.answers) > 50, seconds=30, what="calls")
        with redis.Redis.from_url(embedded.addresses(own_stack.home).redis_url) as client:
            client.flushall()
        flushed_at = time.monotonic()
        wait_until(lambda: embedded_since(flushed_at), seconds=HEALED_SECONDS, what="an embedded question")

        with stopped([own_stack.pids()["redis"]]):
            told = own_stack.logs().count("hint_lost")
            wait_until(lambda: own_stack.logs().count("hint_lost") > told, seconds=20, what="a lost hint")
            kill(own_stack.pids()["redis"])
        killed_at = time.monotonic()
        healing = HEALED_SECONDS + BUSY_START_SECONDS
        wait_until(lambda: embedded_since(killed_at + 1), seconds=healing, what="an embedded question")
    answers = list(calls.answers)

    assert {answer.status for answer in answers} == {200}
    wait_until(lambda: rows_of(own_stack, answers) == len(answers), seconds=30, what="a row for each answer")
    wait_until(lambda: unpriced(own_stack) == 0, seconds=PRICED_SECONDS, what="all priced")
