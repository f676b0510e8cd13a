"""Does what is due each quarter of a minute come so when somebody puts the clock back?"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery

from cacheai.beat import Scheduler
from cacheai.celery import app as ours

EVERY_SECONDS = 15.0


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    app = Celery("clock", broker="memory://", set_as_current=False)
    app.conf.result_expires = None  # There are no results to clean up.
    app.conf.beat_schedule = {name: {"task": name, "schedule": EVERY_SECONDS} for name in ("sweep", "mail")}
    scheduler = Scheduler(app, schedule_filename=str(tmp_path / "beat"))
    yield scheduler
    scheduler.close()
    app.close()


def test_a_clock_put_back_by_ten_minutes_delays_no_task_for_longer_than_its_own_time(scheduler: Scheduler) -> None:
    while scheduler.tick() == 0:  # Until nothing is due.
        pass
    for entry in scheduler.schedule.values():  # As they are when the clock is put back.
        entry.last_run_at += timedelta(minutes=10)
    scheduler._heap = [item._replace(time=item.time + 600) for item in scheduler._heap]

    assert 0 < scheduler.tick() <= EVERY_SECONDS
    for entry in scheduler.schedule.values():
        entry.last_run_at -= timedelta(seconds=EVERY_SECONDS)
    scheduler._heap = [item._replace(time=item.time - EVERY_SECONDS) for item in scheduler._heap]
    while scheduler.tick() == 0:
        pass

    assert {name: entry.total_run_count for name, entry in scheduler.schedule.items()} == {"sweep": 1, "mail": 1}


def test_beat_starts_with_it() -> None:
    assert ours.conf.beat_scheduler == f"{Scheduler.__module__}:{Scheduler.__name__}"
