"""Which long work is there, how far is it, and who is at it?

A job belongs to whoever touched it last, for seconds: a worker that dies leaves it to the next. The parts of an import
are shared out, each to whoever takes it first, for seconds too. A part goes in one transaction with its entries and its
count, so that it has its effect once, however often it is begun.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Literal
from uuid import UUID

import psycopg
from django.db import IntegrityError, connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Greatest

from cache_api.adapters import bulk, catalogue
from cache_api.adapters.bulk import Ready
from cache_api.adapters.catalogue import Filters, Place
from cache_api.domain.call import new_id
from cache_api.models import Job, JobPart
from tenants import vault
from tenants.isolation import as_owner, as_tenant

LEASE = timedelta(seconds=15)  # a part takes one
ATTEMPTS_MAX = 5  # at one part
ERRORS_MAX = 100  # kept; all are counted
REASON_MAX_CHARACTERS = 200
KEPT = timedelta(days=7)
EXPORT_KEPT = timedelta(days=1)  # its parts are the file
UPLOAD_MAX = timedelta(hours=1)
NO_ROOM = "nothing more may be stored: the plan is full"
COLUMN = "job_part.body"
RESULT_COLUMN = "job.result"

UNFINISHED = ("queued", "running")

_PART_ADD = "INSERT INTO job_part (tenant_id, job_id, number, first_line, body) VALUES (%s, %s, %s, %s, %b)"
_PART_TAKE = """
UPDATE job_part SET taken_at = %(now)s, attempts = attempts + 1
WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND number = (
  SELECT number FROM job_part
  WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND (taken_at IS NULL OR taken_at < %(lost)s)
  ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING number, first_line, attempts, body
"""

Kind = Literal["import", "purge", "backtest", "export", "duplicates"]


class Known(Exception):
    """There is a job under this id."""


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    first_line: int
    lines: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    line: int
    reason: str

    def as_dict(self) -> dict[str, Any]:
        return {"line": self.line, "reason": self.reason.replace("\0", "")[:REASON_MAX_CHARACTERS]}


def create(
    place: Place,
    kind: Kind,
    settings: Mapping[str, Any],
    *,
    now: datetime,
    status: Literal["receiving", "queued"],
    total: int = 0,
    job_id: UUID | None = None,
) -> UUID:
    """Under an id of the asker's own it is made once. Raises Known."""
    job_id = job_id or new_id(now)
    try:
        with catalogue.reading(place):
            Job.objects.create(
                tenant_id=place.tenant_id,
                id=job_id,
                project_id=place.project_id,
                kind=kind,
                status=status,
                settings={**settings, "key_id": str(place.key_id)},
                total=total,
                created_at=now,
                touched_at=now,
            )
    except IntegrityError as error:
        raise Known from error
    return job_id


def part_add(place: Place, job_id: UUID, part: Part) -> None:
    body = vault.seal(place.tenant_id, part.lines, column=COLUMN, row_id=job_id)
    with catalogue.reading(place), _values_apart() as cursor:
        cursor.execute(_PART_ADD, [place.tenant_id, job_id, part.number, part.first_line, body])


def received(place: Place, job_id: UUID, *, total: int) -> None:
    with catalogue.reading(place):
        _one(place.tenant_id, job_id).filter(status="receiving").update(status="queued", total=total)


def forget(place: Place, job_id: UUID) -> None:
    with catalogue.reading(place):
        _one(place.tenant_id, job_id).delete()


def find(place: Place, job_id: UUID) -> Job | None:
    with catalogue.reading(place):
        found = _one(place.tenant_id, job_id).filter(project_id=place.project_id)
        return found.exclude(status="receiving").first()


def recent(place: Place, kinds: Sequence[Kind], *, limit: int) -> list[Job]:
    """The newest first, those that are still being sent among them."""
    with catalogue.reading(place):
        return list(_in(place).filter(kind__in=kinds).order_by("-created_at")[:limit].defer("result"))


def under_way(place: Place, kind: Kind) -> Job | None:
    with catalogue.reading(place):
        return _in(place).filter(kind=kind, finished_at=None).order_by("-created_at").first()


def latest(place: Place, kind: Kind) -> Job | None:
    """The last one that came to its end."""
    with catalogue.reading(place):
        return _in(place).filter(kind=kind, status="done").order_by("-created_at").first()


def stop(place: Place, job_id: UUID, now: datetime) -> bool:
    """What is done of it stays done; whoever is at it finds nothing more to do. False if it is over already."""
    with catalogue.reading(place):
        if not _in(place).filter(id=job_id, finished_at=None).exists():
            return False
        # Parts before the job, as `part_done` has it: in turns they would wait for each other.
        _parts(place.tenant_id, job_id).delete()
        job = _in(place).filter(id=job_id, finished_at=None).select_for_update().first()
        if job is None:
            return False
        _fail(job, "stopped", now)
    return True


def forget_finished(place: Place, kind: Kind) -> None:
    with catalogue.reading(place):
        _in(place).filter(kind=kind).exclude(finished_at=None).delete()


def waiting(now: datetime) -> list[tuple[UUID, UUID]]:
    """Tenant and id of the jobs that nobody is at."""
    with as_owner():
        rows = Job.objects.filter(_free(now), finished_at=None, status__in=UNFINISHED).order_by("created_at")
        return list(rows.values_list("tenant_id", "id"))


def some_wait(now: datetime) -> bool:
    """Whether there is a job that nobody is at, or a part of one."""
    parts = JobPart.objects.filter(_untaken(now), tenant_id=OuterRef("tenant_id"), job_id=OuterRef("id"))
    shared = Q(Exists(parts), kind="import")
    with as_owner():
        return Job.objects.filter(_free(now) | shared, finished_at=None, status__in=UNFINISHED).exists()


def sweep(now: datetime) -> int:
    """Remove what finished long ago, and uploads that never ended; how many."""
    with as_owner():
        over = Q(finished_at__lt=now - KEPT) | Q(kind="export", finished_at__lt=now - EXPORT_KEPT)
        old = Job.objects.filter(over).delete()[0]
        return old + Job.objects.filter(status="receiving", created_at__lt=now - UPLOAD_MAX).delete()[0]


def begin(tenant_id: UUID, job_id: UUID, now: datetime) -> Job | None:
    """The job, for whoever asks first, or to share an import; None if there is nothing to do."""
    with as_tenant(tenant_id):
        mine = _one(tenant_id, job_id)
        free = mine.filter(_free(now), status__in=UNFINISHED)
        if not free.update(status="running", touched_at=now, attempts=F("attempts") + 1):
            return mine.filter(kind="import", status="running").first()
        job = mine.get()
        if job.attempts <= ATTEMPTS_MAX:
            return job
        _give_up(job, now)
    return None


def pause(job: Job) -> None:
    """Others' work comes first for a while."""
    with as_tenant(job.tenant_id):
        _one(job.tenant_id, job.id).filter(status="running").update(status="queued")


def finish(job: Job, now: datetime) -> None:
    """It is done; an import when nobody is at a part of it any more."""
    with as_tenant(job.tenant_id):
        mine = _one(job.tenant_id, job.id).filter(status="running")
        if job.kind == "import":
            mine = mine.exclude(Exists(_parts(job.tenant_id, job.id)))
        mine.update(status="done", finished_at=now)


def reach(job: Job, done: int, total: int, now: datetime) -> None:
    """So far it is; whoever is at it lives."""
    with as_tenant(job.tenant_id):
        _one(job.tenant_id, job.id).update(done=done, total=total, touched_at=now)


def result_put(job: Job, result: bytes, *, rejected: int) -> None:
    sealed = vault.seal(job.tenant_id, result, column=RESULT_COLUMN, row_id=job.id)
    with as_tenant(job.tenant_id):
        _one(job.tenant_id, job.id).update(result=sealed, rejected=rejected)
        _parts(job.tenant_id, job.id).delete()


def result_of(job: Job) -> bytes | None:
    if job.result is None:
        return None
    return vault.unseal(job.tenant_id, bytes(job.result), column=RESULT_COLUMN, row_id=job.id)


def next_part(job: Job, *, after: int) -> Part | None:
    """Raises vault.Corrupt."""
    with as_tenant(job.tenant_id):
        found = _parts(job.tenant_id, job.id).filter(number__gt=after).order_by("number").first()
    return None if found is None else _opened(job, found.number, found.first_line, found.body)


def take_part(job: Job, now: datetime) -> Part | None:
    """The first part that nobody is at, for whoever asks first. Raises vault.Corrupt."""
    with as_tenant(job.tenant_id), _values_apart() as cursor:
        cursor.execute(
            _PART_TAKE, {"tenant": job.tenant_id, "job": job.id, "now": now, "lost": now - LEASE}, binary=True
        )
        if (found := cursor.fetchone()) is None:
            return None
        number, first_line, attempts, body = found
        if attempts > ATTEMPTS_MAX:
            _give_up(job, now)
            return None
    return _opened(job, number, first_line, body)


def is_next(job: Job, part: Part) -> bool:
    """Whether all parts before it are written."""
    with as_tenant(job.tenant_id):
        return not _parts(job.tenant_id, job.id).filter(number__lt=part.number).exists()


def give_back(job: Job, part: Part) -> None:
    with as_tenant(job.tenant_id):
        _parts(job.tenant_id, job.id).filter(number=part.number).update(taken_at=None, attempts=F("attempts") - 1)


def parts_wait(job: Job, now: datetime) -> bool:
    """Whether another could help."""
    with as_tenant(job.tenant_id):
        return _parts(job.tenant_id, job.id).filter(_untaken(now)).exists()


def part_done(
    job: Job,
    number: int,
    entries: Sequence[Ready],
    rejected: Iterable[Rejected],
    now: datetime,
    *,
    room: Callable[[], int] | None = None,
) -> None:
    """Entries in, part gone, counted: all or none. Nothing if another did it meanwhile.

    `room` tells, in the same transaction, how many entries still fit.
    """
    refused = [one.as_dict() for one in rejected]
    vault.digest_key(job.tenant_id)  # within the transaction the tenant's keys could not be read
    with as_tenant(job.tenant_id):
        if not _parts(job.tenant_id, job.id).filter(number=number).delete()[0]:
            return
        if room is not None:
            most = room()
            refused += [Rejected(one.line, NO_ROOM).as_dict() for one in entries[most:]]
            entries = entries[:most]
        with _values_apart() as cursor:
            bulk.write(cursor, job.tenant_id, job.project_id, entries)
        stored = _one(job.tenant_id, job.id).select_for_update().get()
        _one(job.tenant_id, job.id).update(
            done=F("done") + len(entries),
            rejected=F("rejected") + len(refused),
            errors=sorted(stored.errors + refused, key=itemgetter("line"))[:ERRORS_MAX],
            attempts=0,
            touched_at=now,
        )


def parts_written(job: Job) -> tuple[int, int]:
    """The number of the next part of an export, and of its first line."""
    with as_tenant(job.tenant_id):
        return _parts(job.tenant_id, job.id).count(), job.done + 1


def part_written(job: Job, part: Part, *, lines: int, after: UUID, now: datetime) -> bool:
    """A part of an export, counted, and where the next one goes on; False if it was stopped meanwhile."""
    body = vault.seal(job.tenant_id, part.lines, column=COLUMN, row_id=job.id)
    with as_tenant(job.tenant_id):
        settings = {**job.settings, "after": str(after)}
        mine = _one(job.tenant_id, job.id).filter(finished_at=None)
        if not mine.update(done=F("done") + lines, settings=settings, attempts=0, touched_at=now):
            return False
        JobPart.objects.create(
            tenant_id=job.tenant_id, job_id=job.id, number=part.number, first_line=part.first_line, body=body
        )
    return True


def pieces(job: Job) -> Iterator[bytes]:
    """What an export wrote, a part at a time, each read in a transaction of its own."""
    part = next_part(job, after=-1)
    while part is not None:
        yield part.lines
        part = next_part(job, after=part.number)


def purge_some(job: Job, filters: Filters, *, asked_at: datetime, now: datetime) -> int:
    """Remove some of what fits, and count it with them; how many. None once it was stopped."""
    with as_tenant(job.tenant_id):
        if not _one(job.tenant_id, job.id).filter(finished_at=None).exists():
            return 0
        gone, _ = catalogue.purge_some(Place(job.tenant_id, job.project_id), filters, now=asked_at)
        _one(job.tenant_id, job.id).update(
            done=F("done") + gone, total=Greatest(F("total"), F("done") + Value(gone)), attempts=0, touched_at=now
        )
    return gone


def _free(now: datetime) -> Q:
    return Q(status="queued") | Q(touched_at__lt=now - LEASE)


def _untaken(now: datetime) -> Q:
    return Q(taken_at=None) | Q(taken_at__lt=now - LEASE)


def _opened(job: Job, number: int, first_line: int, body: bytes | memoryview) -> Part:
    lines = vault.unseal(job.tenant_id, bytes(body), column=COLUMN, row_id=job.id)
    return Part(number, first_line, lines)


@contextmanager
def _values_apart() -> Iterator[psycopg.Cursor[Any]]:
    """For megabytes: Django's own cursor writes values into the statement, which PostgreSQL then reads as its text."""
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        yield cursor


def _give_up(job: Job, now: datetime) -> None:
    _parts(job.tenant_id, job.id).delete()
    _fail(job, f"given up after {ATTEMPTS_MAX} attempts", now)


def _fail(job: Job, reason: str, now: datetime) -> None:
    mine = _one(job.tenant_id, job.id)
    stored = mine.select_for_update().get()
    errors = [*stored.errors, Rejected(0, reason).as_dict()][-ERRORS_MAX:]
    mine.update(status="failed", finished_at=now, errors=errors)


def _in(place: Place) -> QuerySet[Job]:
    return Job.objects.filter(tenant_id=place.tenant_id, project_id=place.project_id)


def _one(tenant_id: UUID, job_id: UUID) -> QuerySet[Job]:
    return Job.objects.filter(tenant_id=tenant_id, id=job_id)


def _parts(tenant_id: UUID, job_id: UUID) -> QuerySet[JobPart]:
    return JobPart.objects.filter(tenant_id=tenant_id, job_id=job_id)
