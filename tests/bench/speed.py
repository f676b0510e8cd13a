"""How fast is it, beside others, on this machine, today?

    python -m tests.bench            all of it, under 15 minutes once the others are installed
    python -m tests.bench --quick    ours alone, small, in about two minutes
    python -m tests.bench --pages    the dashboard's pages alone, of a full tenant

One caller measures the time of a call, eight measure what a machine can do. Every figure is the median of rounds in
which the systems take turns, so that a disturbance meets all of them. A promise not kept is printed; nothing fails.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import orjson

from tests.bench import pages, peers, processes, transfer
from tests.bench.figures import Speed, percentile, speed_of
from tests.bench.load import Relayed, Sample, Server, relay, run
from tests.bench.questions import pairs, unheard
from tests.bench.report import (
    MANY,
    OURS,
    drawn,
    page_targets,
    pages_table,
    printed,
    promised,
    replay_target,
    targets,
    transfer_targets,
)
from tests.bench.stack import ROOT, NotStarted, Stack, running
from tests.bench.transfer import Transfer

OUT = ROOT / "out" / "bench"
CACHE = Path(os.environ.get("CACHEAI_BENCH_CACHE", ROOT / ".cacheai-bench")).resolve()
PATH = "/v1/chat/completions"
FLOOR = "0.92"  # cacheback's own default and the one of a new Policy
UNSTORED = (("X-CacheAI-No-Store", "true"),)
EXACT, SEMANTIC = b"x-cacheai-layer: exact", b"x-cacheai-layer: semantic"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: float  # a measurement
    few_entries: int
    many_entries: int
    questions: int  # asked for, then asked in other words
    misses: int  # a round
    streams: int
    stream_chunks: int
    ledger_rows: int  # that pages are shown of
    peers: bool


FULL = Size(3, 5.0, 1_000, 100_000, 300, 100, 200, 60, 1_000_000, peers=True)
QUICK = Size(1, 3.0, 1_000, 5_000, 100, 60, 50, 30, 20_000, peers=False)
CHUNK_SECONDS = 0.2
WARM_UP_SECONDS = 1.0
WARM_UP_MISSES = 20
WARM_UPS = 10
LONG_ANSWER_TOKENS = 2_000
REPLAYS = 5


@dataclass
class Case:
    """What is asked of whom, over and over."""

    system: str
    name: str
    server: Server
    requests: Sequence[bytes]
    hit: bytes
    pids: dict[str, int]
    callers: tuple[int, ...] = (1, MANY)
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    cpu: dict[int, list[dict[str, float]]] = field(default_factory=dict)

    def measure(self, seconds: float) -> None:
        _warm_up(lambda: run(self.server, self.requests, seconds=WARM_UP_SECONDS, expect=self.hit))
        for callers in self.callers:
            before = processes.cpu_seconds(self.pids)
            sample = run(self.server, self.requests, callers=callers, seconds=seconds, expect=self.hit)
            cpu = processes.spent(before, processes.cpu_seconds(self.pids))
            self.samples.setdefault(callers, []).append(sample)
            self.cpu.setdefault(callers, []).append({**cpu, "load generator": sample.cpu_seconds})

    def speeds(self) -> list[Speed]:
        return [
            speed_of(self.system, self.name, callers, rounds, self.cpu[callers])
            for callers, rounds in self.samples.items()
        ]


@dataclass
class MissCase:
    """What happens before the provider is called."""

    system: str
    server: Server
    missed: bytes  # what the head of a miss holds
    seed: int
    delays: list[float] = field(default_factory=list)  # the median of each round, in milliseconds
    p95: list[float] = field(default_factory=list)
    note: str = ""

    def measure(self, stack: Stack, count: int, round_: int) -> None:
        fresh = (self.server.request(chat(question)) for question in unheard(self.seed + round_))

        def ask(count: int) -> Sample:
            return run(self.server, list(islice(fresh, count)), count=count, expect=self.missed)

        _warm_up(lambda: ask(WARM_UP_MISSES))
        stack.control(reset=True)
        sample = ask(count)
        arrived = [call["arrived_unix_seconds"] for call in stack.control()["calls"]]
        sent = [at for at, ok in zip(sample.sent_unix_seconds, sample.as_expected, strict=True) if ok]
        if not arrived or len(arrived) != len(sent):
            self.note = f"{len(sent)} misses, yet {len(arrived)} calls upstream"
            return
        took = [(there - here) * 1000 for here, there in zip(sent, arrived, strict=True)]
        self.delays.append(percentile(took, 0.50))
        self.p95.append(percentile(took, 0.95))


def _warm_up(measure: Callable[[], Sample]) -> None:
    """Until it does what is measured: a circuit that the case before has broken closes by itself within seconds."""
    for _ in range(WARM_UPS):
        if measure().unexpected == 0:
            return


class Progress:
    """A line for each step, with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        spent = time.monotonic() - self._began
        print(f"[{int(spent) // 60:2}:{int(spent) % 60:02}] {text}", flush=True)

    def counter(self, text: str, total: int) -> Callable[[int], None]:
        shown = 0

        def show(done: int) -> None:
            nonlocal shown
            if done - shown >= total / 10 or done == total:
                shown = done
                self(f"{text}: {done:,} of {total:,}")

        return show


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="ours alone, small, in about two minutes")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--pages", action="store_true", help="the dashboard's pages alone")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of speed.json and speed.png")
    chosen = parser.parse_args(arguments)
    size = QUICK if chosen.quick else FULL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that what was started is stopped.

    say = Progress()
    busy = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="cacheai-bench-"))
    try:
        with running(work / "home", models=CACHE / "models") as stack:
            say(f"the stack is up at {stack.base_url}")
            if chosen.pages:
                found = _paged(stack, _entries_of(stack), size, say)
                print("\n" + pages_table(found) + "\n\n" + promised(page_targets(found)))
                return 0
            report = measured(stack, size, work, say, with_peers=size.peers and not chosen.no_peers)
            report["load_before"] = busy
    except NotStarted as error:
        print(f"The stack did not start: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)

    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "speed.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print("\n" + printed(report))
    drawn(report, chosen.out / "speed.png")
    print(f"\nWritten: {chosen.out / 'speed.json'} and speed.png beside it")
    return 0


def measured(stack: Stack, size: Size, work: Path, say: Progress, *, with_peers: bool) -> dict[str, Any]:
    entries = _entries_of(stack)
    idle_rss = processes.rss_mib(stack.pids)
    with contextlib.ExitStack() as running_peers:
        others, notes = _start_peers(running_peers, stack, work, say) if with_peers else ({}, {})
        cases, misses, relays = _prepare(stack, entries, size, others, notes, say)
        bare = running_peers.enter_context(peers.bare(work, entries.app_conninfo()))
        cases.insert(1, _bare_case(bare, size))
        for round_ in range(1, size.rounds + 1):
            for case in cases:
                say(f"round {round_} of {size.rounds}: {case.system}, {case.name}")
                case.measure(size.seconds)
            for miss in misses:
                say(f"round {round_} of {size.rounds}: {miss.system}, misses")
                miss.measure(stack, size.misses, round_)
        relayed = _relayed(stack, relays, size, say)
        replayed = _replayed(relays[OURS], size, say)
        transferred = _transferred(stack, entries, size, work, say)
        paged = _paged(stack, entries, size, say)
        peer_rss = {name: processes.rss_mib(peer.pids) for name, peer in others.items()}
    report = _report(stack, size, cases, misses, relayed, idle_rss, peer_rss, notes)
    report["transfer"] = transferred.as_dict()
    report["pages"] = paged
    report["replay_ms"] = replayed
    report["targets"].append(replay_target(replayed))
    report["targets"] += transfer_targets(report["transfer"]) + page_targets(paged)
    return report


def chat(question: str, **more: object) -> dict[str, object]:
    return {"model": peers.MODEL, "messages": [{"role": "user", "content": question}], **more}


# -- what is measured


def _entries_of(stack: Stack) -> Any:
    """The module that writes entries: it needs Django, which reads its settings when it is first loaded."""
    os.environ |= {"CACHEAI_HOME": str(stack.home), "DJANGO_SETTINGS_MODULE": "cacheai.settings"}
    for name in ("DATABASE_URL", "DATABASE_APP_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    import django

    django.setup()
    from tests.bench import entries

    return entries


def _start_peers(
    opened: contextlib.ExitStack, stack: Stack, work: Path, say: Progress
) -> tuple[dict[str, peers.Peer], dict[str, str]]:
    found: dict[str, peers.Peer] = {}
    notes: dict[str, str] = {}
    starts = {
        "LiteLLM": lambda: peers.litellm(CACHE, work, stack.demo_url, say),
        "cacheback": lambda: peers.cacheback(CACHE, work, stack.demo_url, CACHE / "models", FLOOR, say),
    }
    for name, start in starts.items():
        try:
            found[name] = opened.enter_context(start())
            say(f"{name} is up")
        except peers.NoPeer as error:
            notes[name] = str(error)
            say(f"{name}: {error}")
    return found, notes


def _prepare(
    stack: Stack, entries: Any, size: Size, others: dict[str, peers.Peer], notes: dict[str, str], say: Progress
) -> tuple[list[Case], list[MissCase], dict[str, Server]]:
    asked = pairs(size.questions)
    port = int(stack.base_url.removesuffix("/v1").rpartition(":")[2])
    direct_port = int(stack.demo_url.removesuffix("/v1").rpartition(":")[2])
    cases: list[Case] = []
    servers: list[Server] = []
    for wanted in (size.few_entries, size.many_entries):
        team = entries.team_create(f"bench-{wanted}")
        server = Server("127.0.0.1", port, PATH, (("Authorization", f"Bearer {team.api_key}"),))
        stored, again = _asked_once(server, asked, exact=EXACT, similar=SEMANTIC, unstored=UNSTORED)
        say(f"{len(again)} of {len(asked)} questions are semantic hits when asked in other words")
        entries.fill(team, wanted, progress=say.counter(f"tenant of {wanted:,} entries", wanted), say=say)
        if not servers and stored:
            cases.append(Case(OURS, "exact hit", server, stored, EXACT, stack.pids))
        name = f"semantic hit, {wanted:,} entries"
        if again:
            cases.append(Case(OURS, name, server, again, SEMANTIC, stack.pids))
        else:
            notes[f"{OURS}, {name}"] = "no question in other words was a hit"
        servers.append(server)

    for peer in others.values():
        say(f"{peer.name}: asking {len(asked)} questions for the first time")
        stored, again = _asked_once(peer.server, asked, exact=peer.hit, similar=peer.hit)
        found = {"exact hit": stored}
        if peer.name == "cacheback":
            found[f"semantic hit, {len(asked):,} entries"] = again
        for name, requests in found.items():
            say(f"{peer.name}: {len(requests)} of {len(asked)} questions are hits ({name})")
            if requests:
                cases.append(Case(peer.name, name, peer.server, requests, peer.hit, peer.pids))
            else:
                notes[f"{peer.name}, {name}"] = "nothing was a hit"
    cases.sort(key=lambda case: "semantic" in case.name)

    direct = Server("127.0.0.1", direct_port, PATH, (("Authorization", "Bearer demo"),))
    misses = [MissCase("direct", direct, b"200 ok", 100), MissCase(OURS, servers[0], b"x-cacheai-decision: miss", 200)]
    misses += [MissCase(peer.name, peer.server, b"200 ok", 300 + 100 * at) for at, peer in enumerate(others.values())]
    return cases, misses, {"direct": direct, OURS: servers[0]}


def _bare_case(bare: peers.Peer, size: Size) -> Case:
    requests = [bare.server.request(chat(question)) for question, _ in pairs(size.questions)]
    return Case(bare.name, "exact hit", bare.server, requests, bare.hit, bare.pids)


def _asked_once(
    server: Server,
    asked: Sequence[tuple[str, str]],
    *,
    exact: bytes,
    similar: bytes,
    unstored: Sequence[tuple[str, str]] = (),
) -> tuple[list[bytes], list[bytes]]:
    """Store every question; which are hits when asked again, and which when asked in other words?"""
    first = [server.request(chat(one)) for one, _ in asked]
    run(server, first, count=len(first))
    others = [server.request(chat(other), headers=unstored) for _, other in asked]
    return _hits(server, first, exact), _hits(server, others, similar)


def _hits(server: Server, requests: Sequence[bytes], hit: bytes) -> list[bytes]:
    sample = run(server, requests, count=len(requests), expect=hit)
    return [request for request, ok in zip(requests, sample.as_expected, strict=True) if ok]


def _relayed(stack: Stack, servers: dict[str, Server], size: Size, say: Progress) -> dict[str, dict[str, Relayed]]:
    """Of one stream after the other, and of many at once."""
    stack.control(reset=True)
    outcome: dict[str, dict[str, Relayed]] = {}
    for name, server in servers.items():
        say(f"relay: {name}, one stream at a time, then {size.streams} at once")
        alone = Relayed()
        for request in _streams(server, 20, chunks=10, pause=0.02, seed=700):
            one = relay(server, [request], spread_seconds=0)
            alone.first += one.first
            alone.later += one.later
            alone.finished += one.finished
            alone.errors += one.errors
        requests = _streams(server, size.streams, chunks=size.stream_chunks, pause=CHUNK_SECONDS, seed=800)
        together = relay(server, requests, spread_seconds=size.stream_chunks * CHUNK_SECONDS / 3)
        outcome[name] = {"one": alone, "many": together}
    return outcome


def _replayed(server: Server, size: Size, say: Progress) -> dict[str, float]:
    """The median in milliseconds of a long answer from the cache, whole and as a stream, in turns."""
    say(f"replay of {LONG_ANSWER_TOKENS:,} tokens, whole and as a stream")
    question, answer = "What is there to say at length?", " ".join(["word"] * LONG_ANSWER_TOKENS)
    entry = {"question": question, "answer": answer, "model": peers.MODEL}
    put = Request(f"http://{server.host}:{server.port}/v1/cache/entries", json.dumps(entry).encode())
    for name, value in (*server.headers, ("Content-Type", "application/json")):
        put.add_header(name, value)
    for _ in range(WARM_UPS):
        with contextlib.suppress(HTTPError):  # on a busy machine a write is given up after 100 ms
            urlopen(put, timeout=30).close()
            break
    took: dict[str, list[float]] = {"whole": [], "stream": []}
    for _ in range(REPLAYS):
        for how, latencies in took.items():
            request = server.request(chat(question, stream=how == "stream"))
            latencies += run(server, [request], seconds=size.seconds / REPLAYS, expect=EXACT).latencies
    return {how: percentile(latencies, 0.50) * 1000 for how, latencies in took.items()}


def _transferred(stack: Stack, entries: Any, size: Size, work: Path, say: Progress) -> Transfer:
    """Of the tenant with the most entries, into an empty project of its own: another tenant's vectors are not taken."""
    source = entries.team_named(f"bench-{size.many_entries}")
    target = entries.team_create("bench-transfer", beside=source)
    say(f"export and import of {size.many_entries:,} entries")
    return transfer.measured(
        stack.base_url,
        source.api_key,
        target.api_key,
        work / "entries.jsonl",
        waiting=lambda: entries.waiting_vectors(target),
        say=say,
    )


def _paged(stack: Stack, entries: Any, size: Size, say: Progress) -> list[dict[str, Any]]:
    """Of the tenant with the most entries, and with calls of three months."""
    from tests.bench import ledger  # It needs Django, as `entries` does.

    name = f"bench-{size.many_entries}"
    try:
        team = entries.team_named(name)
    except LookupError:  # The pages alone are measured: nothing was stored yet.
        team = entries.team_create(name)
        port = int(stack.base_url.removesuffix("/v1").rpartition(":")[2])
        server = Server("127.0.0.1", port, PATH, (("Authorization", f"Bearer {team.api_key}"),))
        run(server, [server.request(chat(one)) for one, _ in pairs(size.questions)], count=size.questions)
        counter = say.counter(f"tenant of {size.many_entries:,} entries", size.many_entries)
        entries.fill(team, size.many_entries, progress=counter, say=say)
    session = ledger.fill(team, size.ledger_rows, say=say)
    say("pages of the dashboard")
    paths = pages.addresses(
        str(team.tenant_id),
        project_id=str(team.project_id),
        call_id=str(ledger.a_call(team)),
        fingerprint=ledger.an_entry(team),
    )
    return [page.as_dict() for page in pages.measured(stack.base_url, session, paths)]


def _streams(server: Server, count: int, *, chunks: int, pause: float, seed: int) -> list[bytes]:
    told = json.dumps({"stamp_chunks": True, "chunks": chunks, "chunk_delay_seconds": pause})
    return [
        server.request(chat(question, stream=True, metadata={"demo": told}))
        for question in islice(unheard(seed), count)
    ]


# -- what it came to


def _report(
    stack: Stack,
    size: Size,
    cases: Sequence[Case],
    misses: Sequence[MissCase],
    relayed: dict[str, dict[str, Relayed]],
    idle_rss: dict[str, float],
    peer_rss: dict[str, dict[str, float]],
    notes: dict[str, str],
) -> dict[str, Any]:
    speeds = [speed for case in cases for speed in case.speeds()]
    added = _added(misses)
    rss, pss = processes.rss_mib(stack.pids), processes.private_mib(stack.pids)
    relays = {name: {how: _delays(one) for how, one in both.items()} for name, both in relayed.items()}
    for miss in misses:
        if miss.note:
            notes[f"{miss.system}, misses"] = miss.note
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "size": asdict(size),
        "versions": {
            "LiteLLM": peers.version(CACHE, "litellm", "litellm"),
            "cacheback": peers.version(CACHE, "cacheback-ai", "cacheback_ai"),
        },
        "speeds": [speed.as_dict() for speed in speeds],
        "miss_ms": added,
        "relay_ms": relays,
        "rss_mib": {name: {"started": idle_rss.get(name), "after": after} for name, after in rss.items()},
        "pss_mib": pss,
        "peer_rss_mib": peer_rss,
        "notes": notes,
    }
    report["targets"] = targets(speeds, added, relays, rss)
    return report


def _added(misses: Sequence[MissCase]) -> dict[str, dict[str, float]]:
    """Milliseconds until the provider sees a call, less what a direct one takes."""
    direct = next(miss for miss in misses if miss.system == "direct")
    base = median(direct.delays) if direct.delays else 0.0
    found = {"direct": {"p50": base, "p95": median(direct.p95) if direct.p95 else 0.0}}
    for miss in misses:
        if miss is not direct and miss.delays:
            found[miss.system] = {"p50": median(miss.delays) - base, "p95": median(miss.p95) - base}
    return found


def _delays(one: Relayed) -> dict[str, float]:
    return {
        "first_p50": percentile(one.first, 0.50) * 1000,
        "first_p95": percentile(one.first, 0.95) * 1000,
        "later_p50": percentile(one.later, 0.50) * 1000,
        "later_p95": percentile(one.later, 0.95) * 1000,
        "later_p99": percentile(one.later, 0.99) * 1000,
        "chunks": len(one.later),
        "finished": one.finished,
        "errors": one.errors,
    }


if __name__ == "__main__":
    sys.exit(main())
