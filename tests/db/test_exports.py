"""Does a tenant take along all that is its own, and nothing that is a secret or another's?"""

import fcntl
import json
import stat
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from django.conf import settings

from cache_api import exports
from cache_api.models import BlocklistEntry, Entry
from cache_api.tasks import default
from tenants import provider_keys, vault
from tenants.audit import Actor
from tenants.isolation import as_owner, as_tenant, tenant_tables
from tenants.models import ApiKey, TenantExport
from tests.conftest import Cast, Person
from tests.db.entries import put_sealed
from tests.rows import fill_tables

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "HOME", tmp_path)
    monkeypatch.setattr(exports, "hint_aside", lambda *_: None)
    vault._tenant_keys.clear()


def entry_put(tenant_id: UUID, project_id: UUID, question: str, *, size: int = 0) -> None:
    said = {"question": question, "request": {}, "answer": "It is blue. " + "x" * size}
    put_sealed(tenant_id, project_id, said, cost_usd=Decimal("0.0000000001"), usage={"in_total": 3})


def export(person: Person) -> Path:
    actor = Actor("person", person.user_id)
    asked = exports.export_ask(tenant_id=person.tenant_id, actor=actor, now=NOW)
    default.run_export(str(person.tenant_id), str(asked.id))
    path = exports.export_opened(tenant_id=person.tenant_id, export_id=asked.id, actor=actor, now=NOW)
    assert path is not None
    return path


def lines(path: Path, table: str) -> list[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        return [json.loads(line) for line in archive.read(f"{table}.ndjson").splitlines()]


def test_texts_are_opened_and_money_is_exact(cast: Cast) -> None:
    owner = cast.owner
    entry_put(owner.tenant_id, owner.project_id, "Why is the sky blue?")
    digest = bytes(range(32))
    said = {"query": "Blue?", "reason": "no", "metadata": {}}
    row_id = UUID(bytes=digest[:16])
    body = vault.seal(owner.tenant_id, orjson.dumps(said), column="blocklist_entry.body", row_id=row_id)
    with as_tenant(owner.tenant_id):
        BlocklistEntry.objects.create(
            tenant_id=owner.tenant_id,
            project_id=owner.project_id,
            id=1,
            digest=digest,
            body=body,
            category="general",
            severity=1,
            expires_at=NOW + timedelta(days=1),
        )

    path = export(owner)

    (entry,) = lines(path, "entry")
    assert entry["body"]["question"] == "Why is the sky blue?"
    assert (entry["cost_usd"], entry["usage"], len(entry["fingerprint"])) == ("0.0000000001", {"in_total": 3}, 64)
    (listed,) = lines(path, "blocklist_entry")
    assert listed["body"] == said
    assert {one["email"] for one in lines(path, "member")} == {"owner@example.test", "teammate@example.test"}
    assert [one["name"] for one in lines(path, "tenant")] == ["Team"]
    assert lines(path, "audit_event")[-1]["action"] == "export.asked"


def test_every_table_is_in_it_and_no_secret_and_nothing_of_another(cast: Cast) -> None:
    for person in (cast.owner, cast.outsider):
        provider_keys_put(person, f"sk-secret-{person.tenant_id}")
        fill_tables(person.tenant_id)
    with as_owner():
        digests = [bytes(key.digest) for key in ApiKey.objects.all()]

    path = export(cast.owner)

    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".ndjson") for name in archive.namelist()}
        whole = b"".join(archive.read(name) for name in archive.namelist())
    assert names == {"tenant", *tenant_tables()} - exports.LEFT_OUT
    for told in (cast.outsider.tenant_id, cast.outsider.project_id, cast.outsider.key_id, "sk-secret", "outsider@"):
        assert str(told).encode() not in whole, told
    for secret in (*digests, cast.owner.api_key.encode()):
        assert secret.hex().encode() not in whole and secret not in whole
    assert {"hint", "scopes", "name"} <= lines(path, "api_key")[0].keys()
    assert not {"digest", "pepper"} & lines(path, "api_key")[0].keys()
    assert lines(path, "provider_key")[0]["hint"] == f"{cast.owner.tenant_id}"[-4:]


def provider_keys_put(person: Person, secret: str) -> None:
    provider_keys.provider_key_put(tenant_id=person.tenant_id, provider="openai", secret=secret)


def test_rows_come_page_by_page_each_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_A_TIME", 3)
    for number in range(7):
        entry_put(cast.owner.tenant_id, cast.owner.project_id, f"Question {number}")

    asked = [one["body"]["question"] for one in lines(export(cast.owner), "entry")]

    assert sorted(asked) == [f"Question {number}" for number in range(7)]
    (done,) = exports.exports_of(tenant_id=cast.owner.tenant_id)
    assert (done.status, done.tables_done) == ("done", done.tables_total)
    assert done.rows_done >= 7


def test_what_is_held_does_not_grow_with_what_there_is(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_A_TIME", 4)
    for number in range(40):
        entry_put(cast.owner.tenant_id, cast.owner.project_id, f"{number}", size=500_000)
    tracemalloc.start()
    path = export(cast.owner)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sum(len(one["body"]["answer"]) for one in lines(path, "entry")) > 20_000_000
    assert peak < 8_000_000


def test_only_this_user_reads_the_file_and_only_for_a_day(cast: Cast) -> None:
    path = export(cast.owner)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.parent.name == str(cast.owner.tenant_id)  # erased with it
    (done,) = exports.exports_of(tenant_id=cast.owner.tenant_id)
    assert done.expires_at is not None
    tomorrow = done.expires_at
    opened = {"tenant_id": cast.owner.tenant_id, "export_id": done.id, "actor": Actor("person", cast.owner.user_id)}
    assert exports.export_opened(**opened, now=tomorrow - timedelta(seconds=1)) == path
    assert exports.export_opened(**opened, now=tomorrow) is None
    assert exports.unfinished(tomorrow) == []
    assert not path.exists()
    assert exports.exports_of(tenant_id=cast.owner.tenant_id) == []


def test_another_tenant_opens_it_as_little_as_one_that_is_not_there(cast: Cast) -> None:
    export(cast.owner)
    (done,) = exports.exports_of(tenant_id=cast.owner.tenant_id)

    for export_id in (done.id, uuid4()):
        opened = exports.export_opened(
            tenant_id=cast.outsider.tenant_id,
            export_id=export_id,
            actor=Actor("person", cast.outsider.user_id),
            now=NOW,
        )
        assert opened is None
    assert exports.exports_of(tenant_id=cast.outsider.tenant_id) == []


def test_asked_twice_there_is_one(cast: Cast) -> None:
    first, second = (
        exports.export_ask(tenant_id=cast.owner.tenant_id, actor=Actor("person", cast.owner.user_id), now=NOW)
        for _ in range(2)
    )

    assert first.id == second.id


def parts_of(path: Path, table: str) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return [name for name in archive.namelist() if name.startswith(f"{table}.")]


def asked_by(person: Person) -> tuple[UUID, UUID]:
    export = exports.export_ask(tenant_id=person.tenant_id, actor=Actor("operator"), now=NOW)
    return person.tenant_id, export.id


def state_of(place: tuple[UUID, UUID]) -> TenantExport:
    (found,) = exports.exports_of(tenant_id=place[0])
    return found


def lease_over(place: tuple[UUID, UUID]) -> None:
    with as_tenant(place[0]):
        TenantExport.objects.update(touched_at=NOW - exports.LEASE - timedelta(minutes=1))


def questions_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        rows = [json.loads(line) for name in parts_of(path, "entry") for line in archive.read(name).splitlines()]
    return sorted(one["body"]["question"] for one in rows)


@pytest.fixture
def questions(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of entries that take three parts: each is a page of three."""
    monkeypatch.setattr(exports, "ROWS_AT_A_TIME", 3)
    monkeypatch.setattr(exports, "PART_SECONDS", 0.0)
    asked = [f"Question {number}" for number in range(7)]
    for question in asked:
        entry_put(cast.owner.tenant_id, cast.owner.project_id, question)
    return asked


def test_what_takes_longer_goes_on_where_it_stopped(
    cast: Cast, questions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "RUN_SECONDS", 0.0)  # Each turn is one part.
    place, told = asked_by(cast.owner), []

    while exports.run(*place):
        assert state_of(place).status == "queued"
        told.append((state_of(place).tables_done, state_of(place).rows_done))

    assert told == sorted(told)
    assert len(told) > len(set(tenant_tables()) - exports.LEFT_OUT)
    path = exports.path_of(*place)
    assert parts_of(path, "entry") == ["entry.ndjson", "entry.2.ndjson", "entry.3.ndjson"]
    assert questions_in(path) == questions
    assert state_of(place).status == "done"


@pytest.mark.parametrize("when", ["in a part", "before it is noted"])
def test_a_killed_worker_loses_one_part(
    cast: Cast, questions: list[str], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    place, pages, note = asked_by(cast.owner), exports._pages, exports._note

    class Killed(BaseException):
        pass

    def read(tenant_id: UUID, table: str, after: Any) -> Any:
        if when == "in a part" and table == "entry" and after:
            raise Killed
        yield from pages(tenant_id, table, after)

    def tell(*whose: Any, **noted: Any) -> None:
        cursor = noted.get("cursor", {})
        if when == "before it is noted" and cursor.get("table") == "entry" and cursor["part"] == 3:
            raise Killed
        note(*whose, **noted)

    with monkeypatch.context() as broken:
        broken.setattr(exports, "_pages", read)
        broken.setattr(exports, "_note", tell)
        with pytest.raises(Killed):
            exports.run(*place)
    kept, path = state_of(place).cursor, exports.path_of(*place)
    assert (kept["table"], kept["part"]) == ("entry", 2)
    if when == "in a part":
        with exports._draft_of(path).open("r+b") as file:  # As it lies there if nobody could tidy up.
            file.truncate(kept["start"])
            file.seek(kept["start"])
            file.write(b"half a part")
    lease_over(place)

    assert not exports.run(*place)

    assert parts_of(path, "entry") == ["entry.ndjson", "entry.2.ndjson", "entry.3.ndjson"]
    assert questions_in(path) == questions
    with zipfile.ZipFile(path) as archive:
        assert state_of(place).rows_done == sum(len(archive.read(name).splitlines()) for name in archive.namelist())


def test_what_is_lost_with_its_disk_begins_anew(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "RUN_SECONDS", 0.0)
    place = asked_by(cast.owner)
    with as_tenant(place[0]):
        TenantExport.objects.update(cursor={"table": "entry", "after": [], "part": 1, "start": 99, "directory": ""})

    assert exports.run(*place)

    while exports.run(*place):
        pass
    with zipfile.ZipFile(exports.path_of(*place)) as archive:
        assert {name.removesuffix(".ndjson") for name in archive.namelist()} == {
            "tenant",
            *tenant_tables(),
        } - exports.LEFT_OUT


def test_two_workers_never_write_at_once(cast: Cast) -> None:
    place = asked_by(cast.owner)
    path = exports.path_of(*place)
    path.parent.mkdir(parents=True)
    with exports._draft_of(path).open("wb") as slow:
        fcntl.flock(slow, fcntl.LOCK_EX)
        assert not exports.run(*place)
    assert not path.exists()
    lease_over(place)
    exports.run(*place)
    assert path.exists()


def test_what_cannot_be_written_is_tried_some_times(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = exports.export_ask(tenant_id=cast.owner.tenant_id, actor=Actor("operator"), now=NOW)
    place = (cast.owner.tenant_id, asked.id)

    def full(*_: Any) -> None:
        raise OSError("no space left")

    for attempt in range(1, exports.ATTEMPTS_MAX + 1):
        with monkeypatch.context() as broken:
            broken.setattr(exports, "_part", full)
            exports.run(*place)
        exports.run(*place)  # too early: somebody may be at it
        (now,) = exports.exports_of(tenant_id=cast.owner.tenant_id)
        assert (now.status, now.attempts) == ("running", attempt)
        with as_tenant(cast.owner.tenant_id):
            TenantExport.objects.update(touched_at=NOW - exports.LEASE - timedelta(minutes=1))
        assert exports.unfinished(datetime.now(UTC)) == [place]
    exports.run(*place)

    (given_up,) = exports.exports_of(tenant_id=cast.owner.tenant_id)
    assert given_up.status == "failed"
    assert exports.unfinished(datetime.now(UTC)) == []
    assert list((settings.HOME / "exports").rglob("*.part")) == []


def test_an_entry_nobody_can_open_does_not_hold_up_the_others(cast: Cast) -> None:
    entry_put(cast.owner.tenant_id, cast.owner.project_id, "Readable")
    with as_tenant(cast.owner.tenant_id):
        Entry.objects.update(body=b"\x01" + bytes(60))
    entry_put(cast.owner.tenant_id, cast.owner.project_id, "Still")

    told = [one["body"] and one["body"]["question"] for one in lines(export(cast.owner), "entry")]
    assert sorted(told, key=str) == [None, "Still"]
