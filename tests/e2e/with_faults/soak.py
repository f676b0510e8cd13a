"""What is left of a stack after hours of random faults under load?

`python -m tests.e2e.with_faults.soak --minutes 1440` starts one, hurts it until the time is over, and says what was
wrong.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from uuid import uuid4

import psycopg
import redis

from cacheai import embedded
from tests.bench.processes import private_mib
from tests.e2e.conftest import Stack
from tests.e2e.test_data_plane import fresh
from tests.e2e.with_faults.hurting import (
    BUSY_START_SECONDS,
    EMBEDDED,
    Answer,
    Line,
    Load,
    embedded_stack,
    kill,
    load,
    rows_of,
    sql,
    stopped,
    tree,
    unpriced,
    web_workers,
)
from tests.waiting import wait_until

HEALED_SECONDS = 15 + BUSY_START_SECONDS
SETTLED_SECONDS = 120  # of the ledger: what a minute's sweeps find, and what they take
HUNG_SECONDS = 2
LINES_EACH = 2
MIB = 2**20
GROWTH_MAX_BYTES = 48 * MIB  # of all processes in an hour; less than an hour is measured by the same, for the noise
KNOWN = [f"What does the word {word} mean?" for word in ("abacus", "binnacle", "cairn", "dirigible", "eider", "fjord")]


@dataclass
class Tenant:
    """It has its own answers to the same questions, told by a word that nobody else may see."""

    key: str
    word: str
    calls: Load = field(default_factory=Load)


@dataclass
class Soaked:
    done: list[str] = field(default_factory=list)  # faults, in order
    answers: list[Answer] = field(default_factory=list)
    foreign: int = 0
    sizes: list[int] = field(default_factory=list)  # of all processes together, healed
    files: list[int] = field(default_factory=list)
    seconds: float = 0.0
    rows: int = 0
    recount: str = ""

    def problems(self) -> list[str]:
        answered = [answer for answer in self.answers if answer.status == 200]
        broken = sum(answer.status == 0 for answer in self.answers)
        others = sorted({answer.status for answer in self.answers} - {0, 200})
        third = max(1, len(self.sizes) // 3)
        grown = max(self.sizes[-third:]) - max(self.sizes[:third])  # at times all of them are up
        found = {
            f"statuses {others}": others,
            f"{broken} connections broken by {self.done.count('web worker')} kills": broken
            > 2 * LINES_EACH * self.done.count("web worker"),
            f"{self.foreign} answers with another tenant's word": self.foreign,
            f"{len(answered)} answers and {self.rows} rows": self.rows != len(answered),
            f"the roll-ups: {self.recount}": not self.recount.startswith("No difference"),
            f"{grown / MIB:.0f} MiB more in {self.seconds / 3600:.2f} h": grown
            > GROWTH_MAX_BYTES * max(1.0, self.seconds / 3600),
            f"files: {self.files[0]}, then {self.files[-1]}": self.files[-1] > self.files[0] + len(KNOWN),
        }
        return [problem for problem, is_one in found.items() if is_one]


def soak(
    stack: Stack, *, seconds: float, chance: random.Random, say: Callable[[str], None] = lambda line: None
) -> Soaked:
    """For so long at least, and until each fault has been."""
    stack.control(reset=True)
    stack.namespace = uuid4().hex
    soaked, tenants = Soaked(), [_tenant(stack) for _ in range(2)]
    began = time.monotonic()
    with ExitStack() as under_load:
        for tenant in tenants:
            questions = cycle([*KNOWN, "", ""])
            lines = [Line(stack, api_key=tenant.key) for _ in range(LINES_EACH)]
            tenant.calls = under_load.enter_context(load(stack, partial(_next, questions), lines=lines))
        left: list[str] = []
        while left or time.monotonic() - began < seconds:
            left = left or chance.sample(sorted(FAULTS), len(FAULTS))
            fault = left.pop()
            FAULTS[fault](stack, chance)
            for tenant in tenants:
                _heal(stack, tenant)
            soaked.done.append(fault)
            soaked.sizes.append(_size(stack))
            soaked.files.append(_files(stack))
            say(f"{time.monotonic() - began:8.0f} s  {fault:<24} {soaked.sizes[-1] / MIB:6.0f} MiB")
    soaked.seconds = time.monotonic() - began

    for tenant, other in zip(tenants, tenants[::-1], strict=True):
        soaked.answers += tenant.calls.answers
        soaked.foreign += sum(other.word.encode() in answer.body for answer in tenant.calls.answers)
    answered = [answer for answer in soaked.answers if answer.status == 200]
    wait_until(lambda: rows_of(stack, answered) == len(answered), seconds=SETTLED_SECONDS, what="a row for each answer")
    wait_until(lambda: unpriced(stack) == 0, seconds=SETTLED_SECONDS, what="all priced")
    soaked.rows = rows_of(stack, answered)
    soaked.recount = stack.manage("ledger_recount").strip()
    soaked.files.append(_files(stack))
    return soaked


def _tenant(stack: Stack) -> Tenant:
    tenant = stack.new_tenant()
    sql(stack, "UPDATE tenant SET rpm = 1000000, requests_included = 100000000 WHERE id = %s", tenant)
    made = Tenant(stack.new_key(tenant=tenant), f"canary{uuid4().hex}")
    entries = [{"question": question, "answer": made.word, "model": "demo-small"} for question in KNOWN]
    headers = {"Authorization": f"Bearer {made.key}", "X-CacheAI-Namespace": stack.namespace}
    assert stack.call("POST", "/cache/entries", json={"entries": entries}, headers=headers).ok
    return made


def _next(questions: Iterator[str]) -> str:
    return next(questions) or fresh()


def _heal(stack: Stack, tenant: Tenant) -> None:
    """Exact hits, and questions that are embedded; both are the tenant's own."""
    since = time.monotonic()

    def healed() -> bool:
        reasons = {answer.reason for answer in tenant.calls.since(since)}
        return "exact" in reasons and not reasons.isdisjoint(EMBEDDED)

    wait_until(healed, seconds=HEALED_SECONDS, what="hits and embedded questions")


def _size(stack: Stack) -> int:
    return round(private_mib({"stack": stack.process.pid})["stack"] * MIB)


def _files(stack: Stack) -> int:
    """What grows where nobody tidies up: the spool, what is half written. Data and logs are expected to."""
    ours = [path for path in stack.home.iterdir() if path.name not in {"pgdata", "models", "mail", "exports"}]
    return sum(1 for path in ours for _ in ([path] if path.is_file() else path.rglob("*")))


# -- the faults


def _killed(name: str, stack: Stack, chance: random.Random) -> None:
    before = stack.pids()[name]
    kill(before)
    wait_until(lambda: stack.pids().get(name) not in (None, before), seconds=HEALED_SECONDS, what=f"another {name}")


def _kill_web_worker(stack: Stack, chance: random.Random) -> None:
    before = web_workers(stack)
    kill(chance.choice(before))
    wait_until(
        lambda: len(web_workers(stack)) == len(before) and set(web_workers(stack)) != set(before),
        seconds=HEALED_SECONDS,
        what="another web worker",
    )


def _hung(name: str, stack: Stack, chance: random.Random) -> None:
    with stopped(tree(stack.pids()[name])):
        time.sleep(HUNG_SECONDS * (0.5 + chance.random()))  # It hangs for as long as it hangs.


def _flushed(stack: Stack, chance: random.Random) -> None:
    with redis.Redis.from_url(embedded.addresses(stack.home).redis_url) as client:
        client.flushall()


def _backends_ended(stack: Stack, chance: random.Random) -> None:
    with _operator(stack) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = current_user AND pid <> pg_backend_pid()"
        )


def _table_locked(stack: Stack, chance: random.Random) -> None:
    with _operator(stack) as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {chance.choice(['entry', 'call'])} IN ACCESS EXCLUSIVE MODE")
        time.sleep(HUNG_SECONDS * chance.random())


@contextmanager
def _operator(stack: Stack) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    with psycopg.connect(embedded.addresses(stack.home).owner_url, autocommit=True) as connection:
        yield connection


FAULTS: Mapping[str, Callable[[Stack, random.Random], None]] = {
    "web worker": _kill_web_worker,
    **{f"{name} killed": partial(_killed, name) for name in ("accounting", "default", "beat", "embed", "redis")},
    "postgres killed": partial(_killed, "postgres"),
    **{f"{name} hangs": partial(_hung, name) for name in ("embed", "redis", "postgres", "accounting")},
    "redis flushed": _flushed,
    "connections ended": _backends_ended,
    "a table locked": _table_locked,
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.with_faults.soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cacheai.settings")
    with embedded_stack(CACHEAI_WEB_WORKERS="2") as stack:
        soaked = soak(stack, seconds=60 * told.minutes, chance=random.Random(told.seed), say=print)
    broken = sum(answer.status == 0 for answer in soaked.answers)
    print(
        f"{len(soaked.answers)} calls and {len(soaked.done)} faults in {soaked.seconds / 60:.1f} min: "
        f"{broken} connections broken, {soaked.rows} rows, {soaked.foreign} foreign; "
        f"{soaked.sizes[0] / MIB:.0f} MiB, then {soaked.sizes[-1] / MIB:.0f}; {soaked.recount}"
    )
    for problem in soaked.problems():
        print(f"WRONG: {problem}")
    return bool(soaked.problems())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
