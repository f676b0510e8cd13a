"""How do entries leave for a file, and come back from one?"""

import itertools
import json
import sys
import time
from argparse import Namespace
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any, Final

import httpx2
from openai import Stream

from .._asking import given
from .._client import Client
from .._errors import CacheAIError
from .._transfer import lines_in
from .._types import Job
from .entries import ask, check_ours, filters_of, whole_file
from .terminal import Failed, Misused, Progress, Terminal

FORMATS: Final = ("jsonl", "json")
STANDARD: Final = "-"
# What is sent at once: some seconds' work, however fast the server stores, so that there is something to show.
FIRST_BYTES: Final = 256 * 1024
SMALLEST_BYTES: Final = 64 * 1024
LARGEST_BYTES: Final = 8 * 1024 * 1024
QUICK_SECONDS: Final = 4.0  # twice as much is no slower than slow
SLOW_SECONDS: Final = 8.0
UNDER_WAY: Final = 2  # one is sent while the server works at the other
ERRORS_SHOWN: Final = 20
# Long work meets its plan's limit of calls by the minute: it waits as it is told, and goes on.
MAX_RETRIES: Final = 6

Batch = list[tuple[int, bytes]]  # lines, each with its number


def export(client: Client, args: Namespace, terminal: Terminal) -> int:
    to_stdout = args.file in (STANDARD, "/dev/stdout")
    if to_stdout and terminal.as_json and args.format == "jsonl":
        raise Misused("--json means one document on the standard output: give -f json, or a FILE.")
    form = "json" if to_stdout and terminal.as_json else _format(args)
    total = _total(client, args)
    with (
        Progress("Exporting", total) as progress,
        nullcontext(sys.stdout.buffer) if to_stdout else whole_file(args.file) as file,
        _exported(client, args) as chunks,
    ):
        lines = itertools.islice(lines_in(chunks), args.limit)
        count = _write(lines, file, form, progress)
        file.flush()
    if to_stdout:
        terminal.say(f"{count:,} exported.")
    else:
        terminal.show({"file": args.file, "format": form, "exported": count}, [f"{count:,} exported to {args.file}."])
    return 0


def _total(client: Client, args: Namespace) -> int | None:
    """How many fit; unknown to a key that may not purge, which is who else is told a count."""
    filters = filters_of(args) or {"all": True}
    try:
        matched: int = ask(client, "POST", "/cache/purge", **filters, dry_run=True)["matched"]
    except CacheAIError:
        return None
    return min(matched, args.limit or matched)


@contextmanager
def _exported(client: Client, args: Namespace) -> Iterator[Iterator[bytes]]:
    """The server's bytes as they come. Raises Failed if they break off."""
    query = {**filters_of(args), **given(limit=args.limit), "format": "jsonl"}
    answer = client.get("/cache/export", cast_to=object, options={"params": query}, stream=True, stream_cls=Stream[Any])
    try:
        check_ours(answer.response)
        yield answer.response.iter_bytes()
    except httpx2.TransportError as error:
        raise Failed(f"The export broke off ({error}): nothing was written. Try again.", "broken") from error
    finally:
        answer.close()


def _write(lines: Iterable[bytes], file: IO[bytes], form: str, progress: Progress) -> int:
    """How many."""
    before, after = (b"", b"\n") if form == "jsonl" else (b",\n", b"")
    count = 0
    if form == "json":
        file.write(b'{"object": "list", "data": [\n')
    for line in lines:
        file.write((before if count else b"") + line + after)
        count += 1
        progress.reach(count)
    if form == "json":
        file.write(b"\n]}\n")
    return count


def load(client: Client, args: Namespace, terminal: Terminal) -> int:
    done, rejected = 0, 0
    unindexed: int | None = None
    errors: list[dict[str, Any]] = []
    with opened(args.file) as file, Progress("Importing", _count(args)) as progress:
        lines = _lines_of_array(file, args.file) if _format(args) == "json" else _filled(file)
        patient, pace = client.with_options(max_retries=MAX_RETRIES), Pace()

        def send(batch: Batch) -> Job:
            lines = [line for _, line in batch]
            return patient.cache.load(lines, namespace=args.namespace, tags=args.tag, ttl=args.ttl)

        began = time.monotonic()
        for batch, job in _sent(send, _batches(lines, pace)):
            if job.status == "failed":
                raise Failed(f"The server gave up after {done:,} lines: run it again.", "failed")
            done += len(batch)
            rejected += job.rejected
            unindexed = job.unindexed
            errors += [{"line": batch[one.line - 1][0], "reason": one.reason} for one in job.errors]
            progress.reach(done)
            ended = time.monotonic()
            pace.took(ended - began)
            began = ended
    stored = done - rejected
    document = {"total": done, "stored": stored, "rejected": rejected, "errors": errors, "unindexed": unindexed}
    lines_told = [f"{stored:,} stored, {rejected:,} rejected."]
    if unindexed:
        lines_told.append(f"Still to index: {unindexed:,}. Until then they are found by the same words alone.")
    terminal.show(document, lines_told)
    return tell_rejected(terminal, rejected, errors)


def tell_rejected(terminal: Terminal, rejected: int, errors: Sequence[Mapping[str, Any]]) -> int:
    """The lines that were broken, by their number; and the code to end with."""
    for error in errors[:ERRORS_SHOWN]:
        terminal.say(f"line {error['line']}: {error['reason']}")
    if rejected > ERRORS_SHOWN:
        terminal.say(f"{rejected - ERRORS_SHOWN:,} more: --json names those the server told.")
    return 1 if rejected else 0


def _sent(send: Callable[[Batch], Job], batches: Iterable[Batch]) -> Iterator[tuple[Batch, Job]]:
    """Each batch with what became of it, in order."""
    under_way: deque[tuple[Batch, Future[Job]]] = deque()
    for batch in batches:
        under_way.append((batch, _begun(send, batch)))
        if len(under_way) == UNDER_WAY:
            first, job = under_way.popleft()
            yield first, job.result()
    for last, job in under_way:
        yield last, job.result()


def _begun(send: Callable[[Batch], Job], batch: Batch) -> "Future[Job]":
    """In a thread that nobody waits for, as an executor's are: whoever interrupts has waited long enough."""
    future: Future[Job] = Future()

    def work() -> None:
        try:
            future.set_result(send(batch))
        except Exception as error:  # noqa: BLE001 (raised to whoever asks for the result)
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    return future


@contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    if name == STANDARD:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file


def _count(args: Namespace) -> int | None:
    """Unknown of what can be read once only, or is no list of lines."""
    if _format(args) == "json" or not Path(args.file).is_file():
        return None
    with Path(args.file).open("rb") as file:
        return sum(1 for _ in _filled(file))


def _filled(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines with something in them, each with its number."""
    for number, line in enumerate(file, 1):
        if (text := line.removeprefix(BOM_UTF8) if number == 1 else line).strip():
            yield number, text


def _lines_of_array(file: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Raises Failed."""
    try:
        rows = json.load(file)
    except ValueError as error:
        raise Failed(f"{name} is no JSON: {error}", "format") from error
    if isinstance(rows, dict):
        rows = rows.get("data")
    if not isinstance(rows, list):
        raise Failed(f"{name} holds no array of entries.", "format")
    return ((number, json.dumps(row).encode()) for number, row in enumerate(rows, 1))


@dataclass
class Pace:
    """How much is sent at once."""

    size_bytes: int = FIRST_BYTES

    def took(self, seconds: float) -> None:
        if seconds < QUICK_SECONDS:
            self.size_bytes = min(2 * self.size_bytes, LARGEST_BYTES)
        elif seconds > SLOW_SECONDS:
            self.size_bytes = max(self.size_bytes // 2, SMALLEST_BYTES)


def _batches(lines: Iterable[tuple[int, bytes]], pace: Pace) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for number, line in lines:
        if batch and size + len(line) > pace.size_bytes:
            yield batch
            batch, size = [], 0
        batch.append((number, line))
        size += len(line)
    if batch:
        yield batch


def _format(args: Namespace) -> str:
    return args.format or ("json" if args.file.endswith(".json") else "jsonl")
