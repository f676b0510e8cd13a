"""How do entries leave as lines of JSON, and come in again?

Neither side ever holds them all: an export is read as it comes, a load is sent in parts that each fit one request.
"""

import json
from asyncio import sleep
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from os import PathLike
from pathlib import Path
from time import sleep as sleep_here
from typing import IO, Any, Concatenate, Final, ParamSpec, TypeVar

import httpx2
from openai import AsyncOpenAI, AsyncStream, OpenAI, RequestOptions, Stream
from pydantic import ValidationError as InvalidEntry

from ._asking import Ask, Asks, AsksLater, as_method
from ._config import Settings
from ._errors import CacheError, ConnectionError
from ._types import Entry, Job, JobAnswer, JobError

# A quarter of what one request may hold: a part is never refused, and is soon sent again after a broken connection.
PART_MAX_BYTES: Final = 8 * 1024 * 1024

FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0  # between two looks at how far a load is

P = ParamSpec("P")
R = TypeVar("R", bound=Asks)
L = TypeVar("L", bound=AsksLater)
Line = Entry | Mapping[str, Any] | str | bytes
Source = str | PathLike[str] | IO[str] | IO[bytes] | Iterable[Line]


def lines_in(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that are not empty, each without its end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
    if rest:
        yield rest


class ExportedEntries(Stream[Entry]):
    """Entries as the server sends them, closed when read to the end or left."""

    def __stream__(self) -> Iterator[Entry]:
        try:
            with _as_ours(self.response):
                yield from map(_entry, lines_in(self.response.iter_bytes()))
        finally:
            self.response.close()


class AsyncExportedEntries(AsyncStream[Entry]):
    """Entries as the server sends them, closed when read to the end or left."""

    async def __stream__(self) -> AsyncIterator[Entry]:
        rest = b""
        try:
            with _as_ours(self.response):
                async for chunk in self.response.aiter_bytes():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in filter(None, lines):
                        yield _entry(line)
            if rest:
                yield _entry(rest)
        finally:
            await self.response.aclose()


def sent_lines(ask: Callable[P, Ask[Entry]]) -> Callable[Concatenate[R, P], ExportedEntries]:
    @wraps(ask)
    def method(resource: R, /, *args: P.args, **kwargs: P.kwargs) -> ExportedEntries:
        request = ask(*args, **kwargs)
        return resource._client.get(
            request.path, cast_to=Entry, options=request.options(), stream=True, stream_cls=ExportedEntries
        )

    return as_method(method, ask)


def sent_lines_async(ask: Callable[P, Ask[Entry]]) -> Callable[Concatenate[L, P], AsyncIterator[Entry]]:
    @wraps(ask)
    async def method(resource: L, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Entry]:
        request = ask(*args, **kwargs)
        entries = await resource._client.get(
            request.path, cast_to=Entry, options=request.options(), stream=True, stream_cls=AsyncExportedEntries
        )
        async with entries:
            async for entry in entries:
                yield entry

    return as_method(method, ask)


def load(client: OpenAI, entries: Source, headers: Mapping[str, str]) -> Job:
    begun = []
    for part in _parts(_lines(entries)):
        answer = client.post("/cache/entries", cast_to=JobAnswer, content=part, options=_sent_with(headers))
        begun.append((_job_id(answer), part.count(b"\n")))
    return _sum([(_waited(client, job_id), lines) for job_id, lines in begun])


async def load_async(client: AsyncOpenAI, entries: Source | AsyncIterable[Line], headers: Mapping[str, str]) -> Job:
    begun = []
    async for part in _parts_async(entries):
        answer = await client.post("/cache/entries", cast_to=JobAnswer, content=part, options=_sent_with(headers))
        begun.append((_job_id(answer), part.count(b"\n")))
    return _sum([(await _waited_async(client, job_id), lines) for job_id, lines in begun])


def load_headers(
    namespace: str | None, tags: str | Iterable[str] | None, ttl: int | str | timedelta | None
) -> dict[str, str]:
    """What all entries of a load get that do not say so themselves."""
    return Settings(namespace=namespace, tags=tags, ttl=ttl).headers()


@contextmanager
def _as_ours(response: httpx2.Response) -> Iterator[None]:
    try:
        yield
    except httpx2.TransportError as error:
        raise ConnectionError(message="The export broke off.", request=response.request) from error


def _entry(line: bytes) -> Entry:
    try:
        return Entry.model_validate_json(line)
    except InvalidEntry:
        pass  # A field of tomorrow's kind is taken as it is, which is slow.
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise CacheError(CacheError.__doc__) from error
    if not (isinstance(fields, dict) and "cache_key" in fields):
        raise CacheError(CacheError.__doc__)
    return Entry.model_construct(**fields)


def _lines(entries: Source) -> Iterator[bytes]:
    if isinstance(entries, str | PathLike):
        with Path(entries).open("rb") as file:
            yield from _lines(file)
        return
    for line in entries:
        yield _line(line)


def _line(line: Line) -> bytes:
    if isinstance(line, Entry):
        line = line.to_json(indent=None)
    elif isinstance(line, Mapping):
        line = json.dumps(line)
    return (line if isinstance(line, bytes) else line.encode()).rstrip(b"\r\n") + b"\n"


class _Part:
    """Lines until they fill one request."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> bytes:
        """What was there, if this line starts the next part."""
        full = self.taken() if self._size + len(line) > PART_MAX_BYTES else b""
        self._lines.append(line)
        self._size += len(line)
        return full

    def taken(self) -> bytes:
        taken = b"".join(self._lines)
        self._lines, self._size = [], 0
        return taken


def _parts(lines: Iterable[bytes]) -> Iterator[bytes]:
    part = _Part()
    for line in lines:
        if full := part.add(line):
            yield full
    if last := part.taken():
        yield last


async def _parts_async(entries: Source | AsyncIterable[Line]) -> AsyncIterator[bytes]:
    if not isinstance(entries, AsyncIterable):
        for full in _parts(_lines(entries)):
            yield full
        return

    part = _Part()
    async for entry in entries:
        if full := part.add(_line(entry)):
            yield full
    if last := part.taken():
        yield last


def _sent_with(headers: Mapping[str, str]) -> RequestOptions:
    return {"headers": {"Content-Type": "application/x-ndjson", **headers}}


def _job_id(answer: object) -> str:
    return Ask[JobAnswer]("post", "/cache/entries", JobAnswer).read(answer).job_id


def _job(answer: object) -> Job:
    return Ask[Job]("get", "/cache/jobs", Job).read(answer)


def _waited(client: OpenAI, job_id: str) -> Job:
    pause = FIRST_PAUSE_SECONDS
    while True:
        job = _job(client.get(f"/cache/jobs/{job_id}", cast_to=Job))
        if job.status in ("done", "failed"):
            return job
        sleep_here(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _waited_async(client: AsyncOpenAI, job_id: str) -> Job:
    pause = FIRST_PAUSE_SECONDS
    while True:
        job = _job(await client.get(f"/cache/jobs/{job_id}", cast_to=Job))
        if job.status in ("done", "failed"):
            return job
        await sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _sum(jobs: list[tuple[Job, int]]) -> Job:
    """Of all parts, each with its count of lines; lines with errors are counted from the first part's."""
    errors, before = list[JobError](), 0
    for job, lines in jobs:
        errors += [error.model_copy(update={"line": error.line + before}) for error in job.errors]
        before += lines
    return Job(
        status="failed" if any(job.status == "failed" for job, _ in jobs) else "done",
        total=before,
        done=sum(job.done for job, _ in jobs),
        rejected=sum(job.rejected for job, _ in jobs),
        errors=errors,
        unindexed=jobs[-1][0].unindexed if jobs else None,
    )
