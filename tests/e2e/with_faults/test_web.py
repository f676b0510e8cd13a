"""Does a killed web process cost its own calls alone, and do two workers buy one answer once?"""

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.conftest import Stack
from tests.e2e.test_data_plane import fresh
from tests.e2e.with_faults.hurting import (
    BUSY_START_SECONDS,
    Answer,
    Line,
    arrived,
    callers_of,
    is_alive,
    kill,
    lines_to_every_worker,
    rows_of,
    tree,
    web_workers,
)
from tests.waiting import wait_until


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
    """In a second burst: in the first, 500 threads and connections begin at once, and a late Redis is done without."""
    for _ in range(2):
        own_stack.control(reset=True, delay_seconds=1.5)
        answers = _asked_at_once(own_stack, 500)
        assert {answer.status for answer in answers} == {200}

    assert len({answer.text for answer in answers}) == 1
    assert own_stack.calls_upstream() <= 2


def _asked_at_once(stack: Stack, callers: int) -> list[Answer]:
    question, ready = fresh(), threading.Barrier(callers)

    def ask() -> Answer:
        with Line(stack) as line:
            _ = line.port
            ready.wait(60)
            return line.ask(question)

    with ThreadPoolExecutor(callers) as pool:
        return [one.result() for one in [pool.submit(ask) for _ in range(callers)]]


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
