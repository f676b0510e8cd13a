"""Does a full cache go on serving, and do the least lately used entries make room?"""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from tests.api.conftest import Api
from tests.api.test_quotas import _restarted, decided, restart, tenant  # noqa: F401 (a fixture)
from tests.conftest import Cast
from tests.db.calls import query

DAY = timedelta(days=1)


def hold(now: datetime | None = None) -> int:
    from cache_api import maintenance
    from cache_api.adapters.used import patient_redis

    with patient_redis() as redis:
        return maintenance.hold_to_limits(redis, now or datetime.now(UTC))


def fill(api: Api, count: int) -> list[bool]:
    """Ask as many different questions; which answers were stored."""
    answers = [api.chat(f"What is {number} called in Latin?") for number in range(count)]
    return ["stored" in answer.headers["cache-status"] for answer in answers]


def exchange() -> None:
    """What the background does each second."""
    from cache_api import wiring

    used = wiring.parts().quotas._used
    for tally in used._tallies.values():
        tally.used = True
    used.exchange()


def stored(cast: Cast) -> int:
    ((count,),) = query("SELECT count(*) FROM entry WHERE tenant_id = %s", [cast.owner.tenant_id])
    return int(count)


def test_at_the_limit_hits_go_on_and_nothing_more_is_stored(api: Api, cast: Cast) -> None:
    tenant(cast, entries_max=5)
    assert fill(api, 1) == [True]
    exchange()  # now the process knows how many there are

    kept = fill(api, 8)

    assert kept == [False] + [True] * 5 + [False] * 2  # the first is there already; a fiftieth more is one
    assert stored(cast) == 6
    assert decided(api.chat("What is 0 called in Latin?")) == ("hit", "exact")


def test_the_least_lately_used_make_room(api: Api, cast: Cast) -> None:
    from cache_api import accounting

    tenant(cast, entries_max=4)
    hold()
    fill(api, 1)
    exchange()
    fill(api, 8)
    assert stored(cast) == 5
    api.chat("What is 0 called in Latin?")  # the oldest, and the last that was served
    accounting.price_calls(datetime.now(UTC))
    exchange()

    assert hold() == 1
    exchange()

    assert stored(cast) == 4
    assert decided(api.chat("What is 0 called in Latin?"))[0] == "hit"
    assert decided(api.chat("What is 1 called in Latin?"))[0] == "miss"
    assert stored(cast) == 5
    assert hold() == 1


def test_bytes_are_held_to_their_limit_too(api: Api, cast: Cast) -> None:
    fill(api, 4)
    ((size,),) = query("SELECT sum(size_bytes)::int FROM entry WHERE tenant_id = %s", [cast.owner.tenant_id])
    ((oldest,),) = query(
        "SELECT id FROM entry WHERE tenant_id = %s ORDER BY created_at LIMIT 1", [cast.owner.tenant_id]
    )
    tenant(cast, bytes_max=size)
    hold()
    fill(api, 6)
    assert stored(cast) == 6

    assert hold() > 0

    left = "SELECT sum(size_bytes) <= %s, bool_and(id <> %s) FROM entry WHERE tenant_id = %s"
    assert query(left, [size, oldest, cast.owner.tenant_id]) == [(True, True)]
    assert hold() == 0


def test_what_a_lowered_plan_leaves_too_much_is_readable_for_two_weeks(
    api: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    tenant(cast, entries_max=10)
    hold(now)
    fill(api, 8)
    tenant(cast, entries_max=3)

    assert hold(now + timedelta(minutes=1)) == hold(now + 13 * DAY) == 0
    restart(monkeypatch)
    exchange()
    assert decided(api.chat("What is 0 called in Latin?"))[0] == "hit"
    exchange()
    assert "stored" not in api.chat("What is 100 called in Latin?").headers["cache-status"]
    assert hold(now + 14 * DAY + timedelta(minutes=1)) == 5
    assert stored(cast) == 3


def test_a_plan_raised_again_in_time_loses_nothing(api: Api, cast: Cast) -> None:
    now = datetime.now(UTC)
    tenant(cast, entries_max=10)
    hold(now)
    fill(api, 8)
    tenant(cast, entries_max=3)
    hold(now)
    tenant(cast, entries_max=10)

    assert hold(now + 15 * DAY) == 0
    assert stored(cast) == 8


def test_each_tenant_has_room_of_its_own(api: Api, outsider: Api, cast: Cast) -> None:
    tenant(cast, entries_max=2)
    hold()
    fill(outsider, 4)
    fill(api, 4)

    hold()

    assert stored(cast) == 2
    ((theirs,),) = query("SELECT count(*) FROM entry WHERE tenant_id = %s", [cast.outsider.tenant_id])
    assert theirs == 4


def test_what_is_put_is_refused_when_full(api: Api, cast: Cast) -> None:
    tenant(cast, entries_max=1)
    fill(api, 2)
    exchange()
    entry: dict[str, Any] = {"question": "Why?", "model": "demo-small", "answer": "Because."}

    assert api.post("/v1/cache/entries", entry).status == 400
    assert api.put("/v1/cache/faq.refunds", {"value": {"text": "Within 30 days."}}).status == 400
    assert stored(cast) == 2


def test_an_import_ends_where_the_room_does(api: Api, cast: Cast) -> None:
    from cache_api import jobs

    tenant(cast, entries_max=10)
    lines = [
        f'{{"question": "What is {number}?", "model": "demo-small", "answer": "A number."}}' for number in range(20)
    ]
    made = api("POST", "/v1/cache/entries", raw="\n".join(lines).encode(), content_type="application/x-ndjson")
    (job,) = query("SELECT tenant_id, id FROM job WHERE tenant_id = %s", [cast.owner.tenant_id])
    while jobs.run(*job):
        pass

    told = api.get(f"/v1/cache/jobs/{made.json['job_id']}").json
    assert (told["status"], told["done"], told["rejected"]) == ("done", 11, 9)
    assert told["errors"][0]["reason"] == "nothing more may be stored: the plan is full"
    assert stored(cast) == 11


def test_workers_that_share_an_import_end_there_too(api: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api import jobs

    monkeypatch.setattr(jobs, "PART_BYTES", 500)
    tenant(cast, entries_max=10)
    lines = [
        f'{{"question": "What is {number}?", "model": "demo-small", "answer": "A number."}}' for number in range(40)
    ]
    api("POST", "/v1/cache/entries", raw="\n".join(lines).encode(), content_type="application/x-ndjson")
    (job,) = query("SELECT tenant_id, id FROM job WHERE tenant_id = %s", [cast.owner.tenant_id])

    # Each has counted before the other writes.
    both, count = Barrier(2, timeout=20), jobs.room_of
    first = threading.local()

    def counted(*, tenant_id: UUID) -> int:
        room = count(tenant_id=tenant_id)
        if not hasattr(first, "passed"):
            first.passed = True
            both.wait()
        return room

    def work() -> None:
        try:
            jobs.run(*job)
        finally:
            connections.close_all()

    monkeypatch.setattr(jobs, "room_of", counted)
    with ThreadPoolExecutor(2) as workers:
        for one in [workers.submit(work) for _ in range(2)]:
            one.result()

    assert stored(cast) == 11
    assert query("SELECT status, done, rejected FROM job") == [("done", 11, 29)]
