"""Does long work go on when whoever was at it is gone, and end when it cannot be done?"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connections
from django.utils import timezone

from cache_api import jobs as work
from cache_api.adapters import jobs
from cache_api.adapters.catalogue import Filters, Place
from cache_api.adapters.jobs import Part
from cache_api.models import Job, JobPart
from tenants.isolation import as_owner
from tests.conftest import Cast
from tests.waiting import wait_until


@pytest.fixture
def place(cast: Cast) -> Place:
    return Place(cast.owner.tenant_id, cast.owner.project_id, cast.owner.key_id)


@pytest.fixture
def job_id(place: Place) -> UUID:
    return work.purge_later(place, Filters(tag="x"), total=1, now=timezone.now())


def test_a_job_is_one_worker_s_at_a_time(place: Place, job_id: UUID) -> None:
    now = timezone.now()
    assert jobs.begin(place.tenant_id, job_id, now) is not None
    assert jobs.begin(place.tenant_id, job_id, now) is None
    assert jobs.waiting(now) == []


def test_a_dead_worker_s_job_is_found_and_goes_to_the_next(place: Place, job_id: UUID) -> None:
    now = timezone.now()
    jobs.begin(place.tenant_id, job_id, now)
    later = now + jobs.LEASE + timedelta(seconds=1)
    assert jobs.waiting(later) == [(place.tenant_id, job_id)]
    assert jobs.begin(place.tenant_id, job_id, later) is not None


def test_a_paused_job_may_be_taken_at_once(place: Place, job_id: UUID) -> None:
    now = timezone.now()
    job = jobs.begin(place.tenant_id, job_id, now)
    assert job is not None
    jobs.pause(job)
    assert jobs.waiting(now) == [(place.tenant_id, job_id)]


def test_what_kills_every_worker_is_given_up(place: Place, job_id: UUID) -> None:
    now = timezone.now()
    jobs.part_add(place, job_id, Part(0, 1, b"{}"))
    for _ in range(jobs.ATTEMPTS_MAX):
        assert jobs.begin(place.tenant_id, job_id, now) is not None
        now += jobs.LEASE + timedelta(seconds=1)
    assert jobs.begin(place.tenant_id, job_id, now) is None
    found = jobs.find(place, job_id)
    assert found is not None
    assert (found.status, found.errors[0]["reason"]) == ("failed", "given up after 5 attempts")
    assert jobs.waiting(now + timedelta(hours=1)) == []
    with as_owner():
        assert not JobPart.objects.exists()


def test_a_part_that_was_done_meanwhile_is_not_done_again(place: Place, job_id: UUID) -> None:
    now = timezone.now()
    part = Part(0, 1, b"{}")
    jobs.part_add(place, job_id, part)
    job = jobs.begin(place.tenant_id, job_id, now)
    assert job is not None
    for _ in range(2):
        jobs.part_done(job, part.number, [], [jobs.Rejected(1, "a\0b")], now)
    found = jobs.find(place, job_id)
    assert found is not None
    assert (found.rejected, found.errors) == (1, [{"line": 1, "reason": "ab"}])


@pytest.fixture
def uploaded(place: Place) -> UUID:
    """An import of two parts."""
    now = timezone.now()
    told = {"headers": {}, "provider": "", "default_model": "", "ttl_max_seconds": None, "entries_max": None}
    job_id = jobs.create(place, "import", told, now=now, status="receiving")
    for number in range(2):
        jobs.part_add(place, job_id, Part(number, number + 1, b"{}"))
    jobs.received(place, job_id, total=2)
    return job_id


def test_an_import_s_parts_are_shared_out_and_it_is_done_with_the_last(place: Place, uploaded: UUID) -> None:
    now = timezone.now()
    one, other = (jobs.begin(place.tenant_id, uploaded, now) for _ in range(2))
    assert one is not None
    assert other is not None
    assert jobs.waiting(now) == []
    assert jobs.take_part(one, now) == Part(0, 1, b"{}")
    assert jobs.parts_wait(one, now)
    assert jobs.some_wait(now)
    assert jobs.take_part(other, now) == Part(1, 2, b"{}")
    assert jobs.take_part(one, now) is None
    assert not jobs.parts_wait(one, now)
    assert not jobs.some_wait(now)

    jobs.part_done(other, 1, [], [jobs.Rejected(2, "second")], now)
    jobs.finish(other, now)
    found = jobs.find(place, uploaded)
    assert found is not None
    assert found.status == "running"

    jobs.part_done(one, 0, [], [jobs.Rejected(1, "first")], now)
    jobs.finish(one, now)
    found = jobs.find(place, uploaded)
    assert found is not None
    assert (found.status, [error["line"] for error in found.errors]) == ("done", [1, 2])
    assert jobs.begin(place.tenant_id, uploaded, now) is None


def test_however_many_share_an_import_it_is_one_attempt(place: Place, uploaded: UUID) -> None:
    now = timezone.now()
    shared = [jobs.begin(place.tenant_id, uploaded, now) for _ in range(2 * jobs.ATTEMPTS_MAX)]
    assert None not in shared


def test_whoever_begins_an_import_calls_the_next_once(place: Place, uploaded: UUID) -> None:
    called: list[str] = []
    beside = jobs.begin(place.tenant_id, uploaded, timezone.now())
    assert beside is not None
    assert not work.run(place.tenant_id, uploaded, call_next=lambda: called.append("next"))
    assert called == ["next"]
    assert not work.run(place.tenant_id, uploaded, call_next=lambda: called.append("again"))
    assert called == ["next"]


def test_the_part_of_a_dead_worker_goes_to_the_next(place: Place, uploaded: UUID) -> None:
    now = timezone.now()
    job = jobs.begin(place.tenant_id, uploaded, now)
    assert job is not None
    taken = [jobs.take_part(job, now) for _ in range(3)]
    assert [part and part.number for part in taken] == [0, 1, None]
    part = jobs.take_part(job, now + jobs.LEASE + timedelta(seconds=1))
    assert part is not None
    assert part.number == 0


def test_a_part_is_written_behind_those_before_it(
    place: Place, uploaded: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a dead worker, the next one does them first."""
    monkeypatch.setattr(work, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(jobs, "LEASE", timedelta(seconds=-1))  # whoever is at a part is taken for dead
    order: list[int] = []
    done = jobs.part_done

    def noted(job: Job, number: int, *rest: Any, **named: Any) -> None:
        order.append(number)
        done(job, number, *rest, **named)

    monkeypatch.setattr(jobs, "part_done", noted)
    job = jobs.begin(place.tenant_id, uploaded, timezone.now())
    assert job is not None
    behind = Part(1, 2, b"{}")
    parts = [behind, jobs.take_part(job, timezone.now())]
    assert not jobs.is_next(job, behind)
    take = jobs.take_part
    monkeypatch.setattr(jobs, "take_part", lambda job, now: parts.pop(0) if parts else take(job, now))

    assert not work.run(place.tenant_id, uploaded)
    assert order == [0, 1]
    found = jobs.find(place, uploaded)
    assert found is not None
    assert found.status == "done"


def test_a_part_that_kills_every_worker_is_given_up(place: Place, uploaded: UUID) -> None:
    now = timezone.now()
    job = jobs.begin(place.tenant_id, uploaded, now)
    assert job is not None
    for _ in range(jobs.ATTEMPTS_MAX):
        part = jobs.take_part(job, now)
        assert part is not None
        assert part.number == 0
        now += jobs.LEASE + timedelta(seconds=1)
    assert jobs.take_part(job, now) is None
    found = jobs.find(place, uploaded)
    assert found is not None
    assert (found.status, found.errors[0]["reason"]) == ("failed", "given up after 5 attempts")
    with as_owner():
        assert not JobPart.objects.exists()


def test_who_stops_an_import_waits_for_the_part_that_is_written(place: Place, uploaded: UUID, database: str) -> None:
    """In the other order each would wait for what the other holds."""
    with ThreadPoolExecutor(1) as stopper, psycopg.connect(database) as writer:
        writer.execute("DELETE FROM job_part WHERE job_id = %s AND number = 0", [uploaded])
        stopped = stopper.submit(_stop, place, uploaded)
        with psycopg.connect(database, autocommit=True) as watcher:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            wait_until(lambda: watcher.execute(waiting).fetchone() == (1,))
        writer.execute("SELECT FROM job WHERE id = %s FOR UPDATE", [uploaded])
        writer.commit()
        assert stopped.result()
    found = jobs.find(place, uploaded)
    assert found is not None
    assert found.status == "failed"


def _stop(place: Place, job_id: UUID) -> bool:
    try:
        return jobs.stop(place, job_id, timezone.now())
    finally:
        connections.close_all()


def test_old_jobs_and_uploads_that_never_ended_go(place: Place, job_id: UUID) -> None:
    now = timezone.now()
    jobs.create(place, "import", {}, now=now, status="receiving")
    job = jobs.begin(place.tenant_id, job_id, now)
    assert job is not None
    jobs.finish(job, now)
    assert jobs.sweep(now + timedelta(minutes=59)) == 0
    assert jobs.sweep(now + timedelta(minutes=61)) == 1
    assert jobs.sweep(now + timedelta(days=8)) == 1
    assert jobs.find(place, job_id) is None


def test_an_export_that_was_written_is_kept_for_a_day(place: Place) -> None:
    now = timezone.now()
    exported = work.export_later(place, Filters(), total=0, now=now)
    purged = work.purge_later(place, Filters(tag="x"), total=0, now=now)
    for job_id in (exported, purged):
        job = jobs.begin(place.tenant_id, job_id, now)
        assert job is not None
        jobs.finish(job, now)

    jobs.sweep(now + jobs.EXPORT_KEPT + timedelta(seconds=1))

    assert [job.id for job in jobs.recent(place, ["export", "purge"], limit=9)] == [purged]


def test_what_was_stopped_is_neither_paused_nor_finished_by_whoever_is_at_it(place: Place, job_id: UUID) -> None:
    now = timezone.now()
    job = jobs.begin(place.tenant_id, job_id, now)
    assert job is not None
    assert jobs.stop(place, job_id, now)
    jobs.pause(job)
    jobs.finish(job, now)

    found = jobs.find(place, job_id)
    assert found is not None
    assert (found.status, [one["reason"] for one in found.errors]) == ("failed", ["stopped"])
    assert not jobs.stop(place, job_id, now)
    assert jobs.purge_some(job, Filters(), asked_at=now, now=now) == 0
