"""Who does the long work, and how does it go on if they die at it?"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.utils import timezone

from cache_api import backtesting, duplicates
from cache_api.adapters import catalogue, jobs
from cache_api.adapters.catalogue import Filters, Place
from cache_api.adapters.jobs import Part
from cache_api.backtesting import QUESTIONS_MAX
from cache_api.dialects.errors import Refused
from cache_api.export_lines import Lines
from cache_api.imports import Importer, settings_of
from cache_api.limits import room_held, room_of
from cache_api.models import Job
from cache_api.ports import CacheUnavailable
from tenants import vault
from tenants.authentication import Access
from tenants.isolation import DatabaseUnavailable

# What one import takes; a caller with more sends it in several.
ENTRIES_MAX = 100_000
BYTES_MAX = 1024**3
LINE_MAX_BYTES = 8 * 1024 * 1024
PART_BYTES = 3 * 1024 * 1024  # of lines; what a worker holds at a time, but for one long line
RUN_SECONDS = 60.0  # then upkeep, and others' jobs, come in between
TURN_SECONDS = jobs.LEASE.total_seconds()  # then a part before may be taken from whoever was at it
TURN_STEP_SECONDS = 0.01  # no transaction is held while a worker waits, so nothing wakes it
SHARERS_MAX = 16  # of one import, that a plan's limit is kept to the entry with

_TIMES = ("created_after", "created_before")

log = logging.getLogger(__name__)


def receive(
    place: Place,
    access: Access,
    headers: Mapping[str, str],
    pieces: Iterable[bytes],
    now: datetime,
    *,
    job_id: UUID | None = None,
) -> UUID:
    """Lay an upload aside, sealed, a part at a time. Raises Refused: then nothing of it stays; or Known."""
    settings = settings_of(access, headers)
    job_id = jobs.create(place, "import", settings, now=now, status="receiving", job_id=job_id)
    _take(place, job_id, pieces, most=ENTRIES_MAX, what="An import takes at most {most:,} entries")
    return job_id


def backtest(place: Place, pieces: Iterable[bytes], now: datetime) -> UUID:
    """Of uploaded questions. Raises Refused."""
    job_id = jobs.create(place, "backtest", {"asked_at": now.isoformat()}, now=now, status="receiving")
    _take(place, job_id, pieces, most=QUESTIONS_MAX, what="A backtest takes at most {most:,} questions")
    return job_id


def backtest_traffic(place: Place, *, days: float, now: datetime) -> UUID:
    """Of the questions whose answers the project stored; the one under way, if there is one."""
    if (running := jobs.under_way(place, "backtest")) is not None:
        return running.id
    settings = {"asked_at": now.isoformat(), "days": days}
    return jobs.create(place, "backtest", settings, now=now, status="queued")


def _take(place: Place, job_id: UUID, pieces: Iterable[bytes], *, most: int, what: str) -> None:
    try:
        total = 0
        for number, (first_line, lines) in enumerate(_parts(pieces)):
            total += sum(1 for line in lines.split(b"\n") if line.strip())
            if total > most:
                raise Refused(413, "request_too_large", f"{what.format(most=most)}: send the others as another.")
            jobs.part_add(place, job_id, Part(number, first_line, lines))
        if not total:
            raise Refused(400, "invalid_request", "Send at least one entry, each on a line of its own.")
        jobs.received(place, job_id, total=total)
    except BaseException:
        jobs.forget(place, job_id)
        raise


def purge_later(place: Place, filters: Filters, *, total: int, now: datetime) -> UUID:
    return jobs.create(place, "purge", _asked(filters, now), now=now, status="queued", total=total)


def export_later(place: Place, filters: Filters, *, total: int, now: datetime) -> UUID:
    """The one under way, or a new one in the place of what was written before."""
    if (running := jobs.under_way(place, "export")) is not None:
        return running.id
    jobs.forget_finished(place, "export")
    return jobs.create(place, "export", _asked(filters, now), now=now, status="queued", total=total)


def duplicates_later(place: Place, *, at_least: float, now: datetime) -> UUID:
    """The search under way, or a new one."""
    if (running := jobs.under_way(place, "duplicates")) is not None:
        return running.id
    settings = {"at_least": at_least, "asked_at": now.isoformat()}
    return jobs.create(place, "duplicates", settings, now=now, status="queued")


def unfinished(now: datetime) -> list[tuple[UUID, UUID]]:
    """Tenant and id of the jobs that nobody is at; what is over for good goes."""
    jobs.sweep(now)
    return jobs.waiting(now)


def some_wait() -> bool:
    return jobs.some_wait(timezone.now())


def run(tenant_id: UUID, job_id: UUID, *, call_next: Callable[[], None] = lambda: None) -> bool:
    """Work at it for a while, unless another does; True if there is more to do.

    `call_next` is called once if there is: at the end, or at the beginning where another can work beside this one.
    """
    job = jobs.begin(tenant_id, job_id, timezone.now())
    if job is None:
        return False
    shared = job.kind == "import" and jobs.parts_wait(job, timezone.now())
    if shared:
        call_next()
    ends = time.monotonic() + RUN_SECONDS
    work = _WORK[job.kind]
    try:
        if work(job, ends):
            if not shared:
                jobs.pause(job)
                call_next()
            return True
        jobs.finish(job, timezone.now())
    except (CacheUnavailable, DatabaseUnavailable, vault.Corrupt) as error:
        # The next one to look goes on from here, or gives up after some attempts.
        log.warning("job_stopped", extra={"job_id": str(job_id), "reason": type(error).__name__})
    return False


def _import(job: Job, ends: float) -> bool:
    """Parts are read side by side and written one behind the other: of equal lines the last one stays.

    True if there is more to do.
    """
    importer = Importer(job)
    spare = 0  # of the room, this worker's share; counted when it is used up: to count is slow where there is much
    while time.monotonic() < ends:
        part = jobs.take_part(job, timezone.now())
        if part is None:
            return False
        taken, rejected = importer.read(part)
        if not _has_its_turn(job, part):
            jobs.give_back(job, part)
            continue
        if spare < len(taken):
            spare = room_of(tenant_id=job.tenant_id) // SHARERS_MAX
        room = partial(room_held, job.tenant_id) if spare < len(taken) else None
        spare -= 0 if room else len(taken)
        jobs.part_done(job, part.number, taken, rejected, timezone.now(), room=room)
    return True


def _has_its_turn(job: Job, part: Part) -> bool:
    """Once the parts before it are written; False if whoever is at one of them seems to be gone."""
    ends = time.monotonic() + TURN_SECONDS
    while not jobs.is_next(job, part):
        if time.monotonic() > ends:
            return False
        time.sleep(TURN_STEP_SECONDS)
    return True


def _purge(job: Job, ends: float) -> bool:
    filters, asked_at = _filters_of(job)
    while jobs.purge_some(job, filters, asked_at=asked_at, now=timezone.now()):
        if time.monotonic() > ends:
            return True
    return False


def _export(job: Job, ends: float) -> bool:
    """Each part says where the next one goes on: who takes over writes no line twice."""
    filters, asked_at = _filters_of(job)
    after = UUID(job.settings["after"]) if "after" in job.settings else None
    line_of = Lines(vault.digest_key(job.tenant_id), job.project_id, asked_at)
    number, first_line = jobs.parts_written(job)
    held: list[bytes] = []
    size = 0

    def written(last: UUID) -> bool:
        part = Part(number, first_line, b"".join(line + b"\n" for line in held))
        return jobs.part_written(job, part, lines=len(held), after=last, now=timezone.now())

    place = Place(job.tenant_id, job.project_id)
    for one in catalogue.every(place, filters, now=asked_at, limit=None, after=after):
        held.append(line_of(one))
        after, size = one.entry.id, size + len(held[-1])
        if size < PART_BYTES:
            continue
        if not written(after):
            return False
        number, first_line, held, size = number + 1, first_line + len(held), [], 0
        if time.monotonic() > ends:
            return True
    if held and after is not None:
        written(after)
    return False


def _duplicates(job: Job, ends: float) -> bool:
    """In one go, which takes seconds: a worker that dies at it begins anew."""

    def reached(done: int, total: int) -> None:
        jobs.reach(job, done, total, timezone.now())

    jobs.result_put(job, orjson.dumps(duplicates.work(job, reached)), rejected=0)
    return False


def _backtest(job: Job, ends: float) -> bool:
    """In one go: a worker that dies at it begins anew."""

    def reached(done: int, total: int) -> None:
        jobs.reach(job, done, total, timezone.now())

    def lines() -> Iterator[tuple[int, bytes]]:
        part = jobs.next_part(job, after=-1)
        while part is not None:
            for number, line in enumerate(part.lines.split(b"\n"), part.first_line):
                if line.strip():
                    yield number, line
            part = jobs.next_part(job, after=part.number)

    result, rejected = backtesting.work(job, lines, reached)
    jobs.result_put(job, orjson.dumps(result), rejected=rejected)
    return False


_WORK = {
    "import": _import,
    "purge": _purge,
    "backtest": _backtest,
    "export": _export,
    "duplicates": _duplicates,
}


def _parts(pieces: Iterable[bytes]) -> Iterable[tuple[int, bytes]]:
    """Whole lines, and the number of the first. Raises Refused."""
    held = bytearray()
    size, line = 0, 1
    for piece in pieces:
        size += len(piece)
        if size > BYTES_MAX:
            raise Refused(413, "request_too_large", f"An import takes at most {BYTES_MAX // 1024**3} GiB.")
        held += piece
        if len(held) < PART_BYTES:
            continue
        cut = held.rfind(b"\n") + 1
        if cut:
            lines = bytes(held[:cut])
            yield line, lines
            line += lines.count(b"\n")
            del held[:cut]
        if len(held) > LINE_MAX_BYTES:
            message = f"Line {line} is longer than {LINE_MAX_BYTES // 2**20} MiB."
            raise Refused(413, "request_too_large", message)
    if held:
        yield line, bytes(held)


def _asked(filters: Filters, now: datetime) -> dict[str, Any]:
    chosen = {name: _written(value) for name, value in asdict(filters).items() if value is not None}
    return {"filters": chosen, "asked_at": now.isoformat()}


def _filters_of(job: Job) -> tuple[Filters, datetime]:
    told = job.settings["filters"]
    times = {name: datetime.fromisoformat(told[name]) for name in _TIMES if name in told}
    writer = {"writer": UUID(told["writer"])} if "writer" in told else {}
    return Filters(**{**told, **times, **writer}), datetime.fromisoformat(job.settings["asked_at"])


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
