"""Can anybody change who did what, and not be found out?"""

import csv
import io
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.utils import ProgrammingError

from tenants import audit, audit_check, selectors
from tenants.audit import SYSTEM, Actor, record
from tenants.audit_export import audit_export
from tenants.isolation import as_owner, as_tenant
from tenants.models import AuditEvent, AuditHead
from tests.conftest import Cast

HERE = "192.0.2.1"


@pytest.fixture
def trail(cast: Cast) -> Cast:
    """Each tenant's trail begins with what made the cast; the owner's goes on."""
    for number in range(5):
        with as_tenant(cast.owner.tenant_id):
            actor = Actor("person", cast.owner.user_id, HERE)
            record(
                tenant_id=cast.owner.tenant_id, actor=actor, action="test.act", target=f"é{number}", diff={"n": number}
            )
    return cast


def faults(cast: Cast) -> list[str]:
    return audit_check.trail_of(tenant_id=cast.owner.tenant_id).faults


def length(cast: Cast) -> int:
    return audit_check.trail_of(tenant_id=cast.owner.tenant_id).seq


def test_a_trail_nobody_touched_holds(trail: Cast) -> None:
    assert faults(trail) == []
    events = selectors.audit_events_of(tenant_id=trail.owner.tenant_id, limit=3)
    assert [event.target for event in events] == ["é4", "é3", "é2"]
    before = selectors.audit_events_of(tenant_id=trail.owner.tenant_id, limit=1, before=events[-1].seq)
    assert [event.target for event in before] == ["é1"]
    names = selectors.actor_names(tenant_id=trail.owner.tenant_id, events=events)
    assert names == {trail.owner.user_id: "owner@example.test"}


@pytest.mark.parametrize(
    "columns",
    [
        {"action": "test.nothing"},
        {"diff": {"n": 9}},
        {"actor_id": None},
        {"address": "198.51.100.9"},
        {"target": ""},
        {"hash": bytes(32)},
    ],
)
def test_a_row_that_was_changed_is_found(trail: Cast, columns: dict[str, Any]) -> None:
    seq = length(trail) - 2
    with as_owner():
        AuditEvent.objects.filter(tenant_id=trail.owner.tenant_id, seq=seq).update(**columns)

    assert f"row {seq} was changed" in faults(trail)


def test_a_row_that_was_taken_out_is_found_wherever_it_stood(trail: Cast) -> None:
    last = length(trail)
    with as_owner():
        AuditEvent.objects.filter(tenant_id=trail.owner.tenant_id, seq=last - 2).delete()
    assert faults(trail)[0] == f"row {last - 2} is missing"

    with as_owner():
        AuditEvent.objects.filter(tenant_id=trail.owner.tenant_id, seq=last).delete()
    assert faults(trail)[-1] == f"the last rows are missing: the chain ended at {last}"


def test_a_head_that_was_taken_away_with_the_last_row_shows_in_the_next(trail: Cast) -> None:
    """What a forger who can write every table may still do shows only in the heads that went to the log."""
    known = audit_check.trail_of(tenant_id=trail.owner.tenant_id)
    with as_owner():
        mine = AuditEvent.objects.filter(tenant_id=trail.owner.tenant_id)
        mine.filter(seq=known.seq).delete()
        before = mine.get(seq=known.seq - 1)
        AuditHead.objects.filter(tenant_id=trail.owner.tenant_id).update(seq=before.seq, hash=before.hash)

    found = audit_check.trail_of(tenant_id=trail.owner.tenant_id)
    assert found.faults == []
    assert found.seq < known.seq


def test_the_app_itself_may_add_rows_and_change_none(trail: Cast) -> None:
    for act in (
        lambda: AuditEvent.objects.update(action="x"),
        lambda: AuditEvent.objects.all().delete(),
        lambda: AuditHead.objects.all().delete(),
    ):
        with pytest.raises(ProgrammingError), as_tenant(trail.owner.tenant_id):
            act()
    assert faults(trail) == []


def test_what_was_not_done_is_not_told(cast: Cast) -> None:
    before = length(cast)
    with pytest.raises(RuntimeError), as_tenant(cast.owner.tenant_id):
        record(tenant_id=cast.owner.tenant_id, actor=SYSTEM, action="test.act")
        raise RuntimeError

    assert length(cast) == before


def test_the_command_prints_each_head_and_ends_with_the_faults(trail: Cast) -> None:
    out = io.StringIO()
    call_command("audit_verify", stdout=out)
    known = audit_check.trail_of(tenant_id=trail.owner.tenant_id)
    assert f"{trail.owner.tenant_id} {known.seq} {known.hash}" in out.getvalue().splitlines()
    assert str(trail.outsider.tenant_id) in out.getvalue()
    assert audit_check.log_trails() == 0

    with as_owner():
        AuditEvent.objects.filter(tenant_id=trail.owner.tenant_id, seq=known.seq).update(target="x")
    with pytest.raises(CommandError, match=f"{trail.owner.tenant_id}: row {known.seq} was changed"):
        call_command("audit_verify", stdout=io.StringIO())
    assert audit_check.log_trails() == 1


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tenants.audit_export.ROWS_AT_A_TIME", 2)
    yield


def test_whoever_has_the_file_can_check_the_chain(trail: Cast, pages: None) -> None:
    actor = Actor("person", trail.owner.user_id, HERE)
    lines = "".join(audit_export(tenant_id=trail.owner.tenant_id, kind="ndjson", actor=actor)).splitlines()
    rows = [json.loads(line) for line in lines]

    assert rows[-1]["action"] == "audit.export"
    assert [row["seq"] for row in rows] == list(range(1, length(trail) + 1))
    before = audit.FIRST_HASH
    for row in rows:
        said = row.pop("hash")
        canonical = json.dumps(
            {**row, "tenant_id": str(trail.owner.tenant_id)}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        before = sha256(before + canonical.encode()).digest()
        assert said == before.hex()


def test_a_table_of_it_holds_the_same_and_no_formula(trail: Cast, pages: None) -> None:
    with as_tenant(trail.owner.tenant_id):
        record(tenant_id=trail.owner.tenant_id, actor=SYSTEM, action="test.act", target='=HYPERLINK("x")')
    table = "".join(audit_export(tenant_id=trail.owner.tenant_id, kind="csv", actor=SYSTEM))
    rows = list(csv.DictReader(io.StringIO(table)))

    assert [int(row["seq"]) for row in rows] == list(range(1, length(trail) + 1))
    assert rows[-2]["target"] == '\'=HYPERLINK("x")'
    assert json.loads(rows[-3]["diff"]) == {"n": 4}
