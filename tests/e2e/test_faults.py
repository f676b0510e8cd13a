"""Does a call still get its answer while a part of ours is killed, hangs or lies, and do hits come back by themselves?

One stack with two web workers. Each test hurts it, and waits until it has healed.
"""

import email
import email.policy
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from uuid import uuid4

import psycopg
import pytest
import redis
import requests

from cacheai import embedded
from tests.e2e.conftest import Stack
from tests.e2e.faults import (
    BUSY_START_SECONDS,
    Answer,
    Line,
    arrived,
    callers_of,
    embedded_stack,
    is_alive,
    kill,
    lines_to_every_worker,
    load,
    postgres_answers,
    quantile,
    rows_of,
    sql,
    stopped,
    tree,
    unpriced,
    web_workers,
)
from tests.e2e.soak import soak
from tests.e2e.test_data_plane import fresh
from tests.e2e.test_published_clients import told_by
from tests.waiting import wait_until

HEALED_SECONDS = 30  # Hits come back by themselves within this. Wanted: 10.
INCLUDED = 400
CORRECTED_SECONDS = 90  # Wanted: 60.
SOAKED_SECONDS = 1  # until each fault has been; `make soak` takes as long as it is told
TOLD_SECONDS = 150  # Wanted: 60 for the look, and as many for the mail.
LEDGER = """
SELECT count(*) FILTER (WHERE billable), count(*) FILTER (WHERE reason = 'over_quota')
FROM call JOIN tenant ON tenant.id = call.tenant_id AND at >= period_start WHERE tenant.id = %s
"""
PRICED_SECONDS = 75  # Wanted: 60, and what a sweep takes on a busy machine.
FULL_DISK = """
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER disk_is_full BEFORE INSERT ON call FOR EACH ROW EXECUTE FUNCTION disk_is_full();
CREATE TRIGGER disk_is_full BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION disk_is_full();
"""
ACROSS_TENANTS = "SELECT tenant_id, id FROM project LIMIT 1"
QUESTION, REWORDED = "How can I reset my password?", "How can I reset my password please?"
EMBEDDED = {"similar", "no_candidate", "below_threshold", "guard"}  # reasons that only a question with a vector gets
REFRESH = {"X-CacheAI-Refresh": "true"}
KEEP_NOTHING = {"X-CacheAI-No-Store": "true"}


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    with embedded_stack(CACHEAI_WEB_WORKERS="2") as running:
        yield running


def store(line: Line) -> None:
    """A worker that was not asked since the last fault still has to find out that it is over."""
    wait_until(lambda: line.ask(QUESTION).decision == "hit", seconds=HEALED_SECONDS, what="a stored answer")


def store_with_vector(line: Line) -> None:
    """On a busy machine a vector may come too late: then the entry is stored anew."""

    def found() -> bool:
        line.ask(QUESTION, headers=REFRESH)
        return hits_again(line) and hits_again(line, REWORDED, reason="similar")

    wait_until(found, seconds=HEALED_SECONDS, what="an entry found in other words")


def degraded(stack: Stack) -> list[str]:
    parts: list[str] = requests.get(stack.root + "/readyz", timeout=30).json()["degraded"]
    return parts


def hits(answers: Sequence[Answer]) -> int:
    return sum(answer.decision == "hit" for answer in answers)


def hits_again(line: Line, question: str = QUESTION, *, reason: str = "exact") -> bool:
    answer = line.ask(question, headers=KEEP_NOTHING)
    assert answer.status in (0, 200)  # 0: the connection's own worker was killed
    return (answer.decision, answer.reason) == ("hit", reason)


# -- web


def test_a_killed_web_worker_takes_only_its_own_streams_and_no_finished_answers_row(own_stack: Stack) -> None:
    own_stack.control(chunk_delay_seconds=0.15, chunks=20)
    lines = [Line(own_stack) for _ in range(200)]
    victim, other = web_workers(own_stack)
    with ThreadPoolExecutor(len(lines)) as pool:
        asked = [pool.submit(line.ask, fresh(), stream=True) for line in lines]
        arrived(own_stack, 200)
        unharmed = callers_of(other, own_stack)
        safe = [line.port in unharmed for line in lines]
        finished_before = [one.done() for one in asked]
        kill(victim)
        wait_until(
            lambda: len(web_workers(own_stack)) == 2, seconds=BUSY_START_SECONDS, what="a new worker (wanted: 2 s)"
        )
        with Line(own_stack) as line:
            assert line.ask(fresh()).status == 200
        answers = [one.result() for one in asked]
    whole = [answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n") for answer in answers]
    for line in lines:
        line.http.close()

    assert 0 < sum(safe) < len(lines), "both workers must have streams for this to say anything"
    assert all(is_whole for is_whole, is_safe in zip(whole, safe, strict=True) if is_safe)
    assert not all(whole)
    assert not all(finished_before)
    finished = [answer for answer, is_whole in zip(answers, whole, strict=True) if is_whole]
    wait_until(lambda: rows_of(own_stack, finished) == len(finished), seconds=30, what="a row for each whole answer")


def test_a_killed_gunicorn_comes_back_on_its_port_without_orphans(own_stack: Stack) -> None:
    master = own_stack.pids()["web"]
    before = tree(master)

    kill(master)

    def answered() -> bool:
        with Line(own_stack) as line:
            return own_stack.pids().get("web") not in (None, master) and line.ask(fresh()).status == 200

    wait_until(answered, seconds=BUSY_START_SECONDS, what="an answer by a new gunicorn (wanted: 5 s)")
    assert not any(is_alive(pid) for pid in before)


def test_five_hundred_equal_calls_on_two_workers_reach_the_provider_twice_at_most(own_stack: Stack) -> None:
    own_stack.control(reset=True, delay_seconds=1.5)
    question, ready = fresh(), threading.Barrier(500)

    def ask() -> Answer:
        with Line(own_stack) as line:
            _ = line.port
            ready.wait(60)
            return line.ask(question)

    with ThreadPoolExecutor(500) as pool:
        answers = [one.result() for one in [pool.submit(ask) for _ in range(500)]]

    assert {answer.status for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert own_stack.calls_upstream() <= 2


def test_followers_of_a_killed_leader_are_answered_by_a_new_one(own_stack: Stack) -> None:
    own_stack.control(reset=True, delay_seconds=2)
    question = fresh()
    with (
        lines_to_every_worker(own_stack, each=10) as followers,
        ThreadPoolExecutor(24) as pool,
        Line(own_stack) as leading,
    ):
        lead = pool.submit(leading.ask, question)
        arrived(own_stack, 1)
        leader, other = sorted(
            web_workers(own_stack), key=lambda pid: leading.port in callers_of(pid, own_stack), reverse=True
        )
        ports = [follower.port for follower in followers]
        asked = [pool.submit(follower.ask, question) for follower in followers]
        orphans = callers_of(other, own_stack)
        kill(leader)
        answers = [one.result() for one in asked]
        assert lead.result().status == 0

    followed = [answer for port, answer in zip(ports, answers, strict=True) if port in orphans]
    assert len(followed) == 10
    assert {answer.status for answer in followed} == {200}
    assert len({answer.text for answer in followed}) == 1
    assert own_stack.calls_upstream() <= 2


# -- stored answers


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1)", id="wrong tag"),
        pytest.param("substring(body FROM 1 FOR 20)", id="cut short"),
        pytest.param("''", id="empty"),
        pytest.param("decode(repeat('ff', 300), 'hex')", id="garbage"),
    ],
)
@pytest.mark.parametrize("asked", [QUESTION, REWORDED])
def test_an_entry_that_cannot_be_read_is_a_miss_and_set_aside(own_stack: Stack, damage: str, asked: str) -> None:
    with Line(own_stack) as line:
        store_with_vector(line)
        sql(own_stack, f"UPDATE entry SET body = {damage} WHERE namespace = %s", own_stack.namespace)

        answer = line.ask(asked, headers=KEEP_NOTHING)
        aside = sql(own_stack, "SELECT quarantined FROM entry WHERE namespace = %s", own_stack.namespace)
        bought = line.ask(QUESTION)

        assert (answer.status, answer.decision) == (200, "miss")
        assert aside == [(True,)]
        assert bought.decision == "miss"
        assert hits_again(line)


# -- embed


def test_misses_go_on_while_the_embed_worker_hangs(own_stack: Stack) -> None:
    with Line(own_stack) as line:
        store_with_vector(line)
        with stopped(tree(own_stack.pids()["embed"])):
            answers = [line.ask(fresh()) for _ in range(12)]
            assert hits_again(line)

        assert {answer.status for answer in answers} == {200}
        assert answers[0].reason == "deadline"
        assert max(answer.seconds for answer in answers) < 0.5  # 0.15 to wait, and what the call itself takes.
        assert quantile(answers[6:], 0.5) < 0.12  # The breaker is open: nothing is waited for.
        wait_until(
            lambda: hits_again(line, REWORDED, reason="similar"), seconds=HEALED_SECONDS, what="a similar hit again"
        )


def test_a_model_file_that_is_missing_leaves_the_exact_hits(own_stack: Stack) -> None:
    weights = next((own_stack.home / "models").glob("*/model.onnx"))
    aside = weights.with_suffix(".aside")
    with Line(own_stack) as line:
        store_with_vector(line)
        weights.rename(aside)
        before = own_stack.pids()["embed"]
        kill(before)
        assert line.ask(fresh()).status == 200
        wait_until(
            lambda: own_stack.pids().get("embed") not in (None, before),
            seconds=BUSY_START_SECONDS,
            what="a new embed worker",
        )
        wait_until(
            lambda: "embedding_model_missing" in own_stack.logs(), seconds=BUSY_START_SECONDS, what="a failed load"
        )

        answer = line.ask(REWORDED, headers=KEEP_NOTHING)
        assert (answer.status, answer.decision) == (200, "bypass")
        assert hits_again(line)
        wait_until(lambda: degraded(own_stack) == ["embedder"], seconds=HEALED_SECONDS, what="degraded")

        aside.rename(weights)
        kill(own_stack.pids()["embed"])
        # Wanted: 10 s, with the worker's own start.
        wait_until(
            lambda: hits_again(line, REWORDED, reason="similar"),
            seconds=HEALED_SECONDS + BUSY_START_SECONDS,
            what="hits",
        )


# -- Redis


def test_while_redis_hangs_calls_lose_little_time_and_limits_still_hold(own_stack: Stack) -> None:
    tenant, _ = sql(own_stack, ACROSS_TENANTS)[0]
    key = own_stack.manage("create_key", "--tenant", str(tenant), "--rpm", "10").split()[-1]
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


# -- accounting


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


# -- PostgreSQL


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

    assert len(during) > 100
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


# -- keys


@pytest.mark.parametrize("told", ["at once", "never"])
def test_a_key_revoked_under_load_stops_on_every_worker(own_stack: Stack, told: str) -> None:
    tenant, _ = sql(own_stack, ACROSS_TENANTS)[0]
    key = own_stack.manage("create_key", "--tenant", str(tenant)).split()[-1]
    with lines_to_every_worker(own_stack, api_key=key) as lines, load(own_stack, fresh, lines=lines) as calls:
        wait_until(lambda: len(calls.answers) > 20, seconds=30, what="calls")
        with stopped([own_stack.pids()["redis"]] if told == "never" else []):
            own_stack.manage("revoke_key", key)
            wait_until(
                lambda: [answer.status for answer in list(calls.answers)].count(401) == len(lines),
                seconds=10 + BUSY_START_SECONDS,
                what="a refusal on every connection",
            )

    assert {answer.status for answer in calls.answers} == {200, 401}


# -- a plan's limit, and all of it at random


def test_a_plan_carries_as_many_calls_as_it_says_though_a_worker_is_killed(own_stack: Stack) -> None:
    name = uuid4().hex
    tenant = own_stack.new_tenant(name)
    mine = {"Authorization": f"Bearer {own_stack.new_key(tenant=tenant)}"}
    plan = "UPDATE tenant SET requests_included = %s, requests_hard = true, rpm = 1000000 WHERE id = %s"
    sql(own_stack, plan, INCLUDED, tenant)
    questions = [f"What is {number} called in Latin?" for number in range(40)]
    ask = partial(own_stack.chat, headers=mine)

    def ledger() -> tuple[int, int]:
        return sql(own_stack, LEDGER, tenant)[0]  # type: ignore[return-value]

    with ThreadPoolExecutor(4) as crowd:
        answers = list(crowd.map(ask, questions * 5))
        victim = web_workers(own_stack)[0]
        kill(victim)
        wait_until(
            lambda: victim not in web_workers(own_stack) and len(web_workers(own_stack)) == 2,
            seconds=BUSY_START_SECONDS,
            what="another worker",
        )
        answers += crowd.map(ask, questions * 5)

    # What Redis heard twice or not at all, since it was late, accounting corrects each minute; until then calls pass.
    def at_its_end() -> bool:
        answers.append(ask(questions[0]))
        return {reason_of(one) for one in answers[-4:]} == {"over_quota"} and ledger()[0] >= INCLUDED

    wait_until(at_its_end, seconds=CORRECTED_SECONDS, what="the end of the plan")
    counted = sum(answer.headers["X-CacheAI-Decision"] in {"hit", "miss"} for answer in answers)
    refused = sum(reason_of(answer) == "over_quota" for answer in answers)

    assert {answer.status_code for answer in answers} == {200}
    assert ledger() == (counted, refused)
    assert counted >= INCLUDED
    told = f"{name} has used 100 % of its requests"
    wait_until(lambda: told in mails(own_stack), seconds=TOLD_SECONDS, what="a mail")
    assert mails(own_stack).count(told) == 1


def test_random_faults_cost_no_answer_no_row_and_nobody_s_secret(own_stack: Stack) -> None:
    soaked = soak(own_stack, seconds=SOAKED_SECONDS, chance=random.Random(7))

    assert soaked.problems() == []


def reason_of(answer: requests.Response) -> str:
    return answer.headers["X-CacheAI-Reason"]


def mails(stack: Stack) -> list[str]:
    """Subjects of those that would have been sent."""
    found = sorted((stack.home / "mail").glob("*.eml"))
    return [str(email.message_from_bytes(path.read_bytes(), policy=email.policy.default)["subject"]) for path in found]
