"""Are the rows of the trail found by who, what, to what and when, taken along, and is the chain's state told?"""

import csv
import io
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from tenants import api_keys
from tenants.audit import SYSTEM, Actor, record
from tenants.isolation import as_owner, as_tenant
from tenants.models import AuditEvent
from tests.api.test_cache_pages import Go, go, signed_in
from tests.conftest import Cast
from tests.db.calls import execute

__all__ = ["go"]


@pytest.fixture
def trail(cast: Cast) -> Cast:
    """Rows beside those of the cast's own making."""
    owner = cast.owner
    for actor, action, target in (
        (Actor("person", owner.user_id, "192.0.2.1"), "budget.put", str(uuid4())),
        (Actor("person", cast.teammate.user_id), "budget.delete", str(uuid4())),
        (SYSTEM, "policy.change", str(owner.project_id)),
    ):
        with as_tenant(owner.tenant_id):
            record(tenant_id=owner.tenant_id, actor=actor, action=action, target=target, diff={"to": "=1+1"})
    return cast


def actions(page: Any) -> list[str]:
    return [event.action for event, _, _ in page.context["events"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (lambda cast: {"actor": str(cast.owner.user_id)}, ["budget.put"]),
        (lambda cast: {"actor": str(cast.teammate.user_id)}, ["budget.delete"]),
        (lambda cast: {"action": "budget."}, ["budget.delete", "budget.put"]),
        (lambda cast: {"action": "budget.put"}, ["budget.put"]),
        (lambda cast: {"action": "budget"}, []),
        (lambda cast: {"target": "cache", "action": "policy."}, ["policy.change"]),  # a project's name
        (lambda cast: {"target": str(cast.owner.project_id), "action": "policy."}, ["policy.change"]),
        (lambda cast: {"target": "nothing of the kind"}, []),
        (lambda cast: {"actor": "system", "action": "policy."}, ["policy.change"]),
        (lambda cast: {"until": "2020-01-01"}, []),
        (lambda cast: {"since": "2099-01-01"}, []),
        (lambda cast: {"actor": str(cast.owner.user_id), "since": f"{timezone.now():%Y-%m-%d}"}, ["budget.put"]),
        (lambda cast: {"actor": "%%", "since": "soon"}, []),
        (lambda cast: {"action": "a\0b"}, []),
    ],
)
def test_rows_are_found_by_who_what_to_what_and_when(
    go: Go, trail: Cast, query: Callable[[Cast], dict[str, str]], found: list[str]
) -> None:
    assert actions(go("audit", **query(trail))) == found


@pytest.mark.parametrize(
    ("zone", "day", "found"),
    [
        ("Pacific/Kiritimati", "2031-05-02", ["budget.put"]),  # fourteen hours before UTC it is the next day
        ("Pacific/Kiritimati", "2031-05-01", []),
        ("America/Los_Angeles", "2031-05-01", ["budget.put"]),
        ("nowhere", "2031-05-01", ["budget.put"]),
        ("Asia/Tokyo", "0001-01-01", []),
        ("America/Los_Angeles", "9999-12-30", []),
    ],
)
def test_days_begin_where_the_viewer_is(go: Go, trail: Cast, zone: str, day: str, found: list[str]) -> None:
    execute("UPDATE audit_event SET at = '2031-05-01T12:30Z' WHERE action = 'budget.put'")
    client = signed_in(trail.owner)
    client.cookies["zone"] = zone

    page = client.get(reverse("audit", args=[trail.owner.tenant_id]), {"since": day, "until": day})

    assert actions(page) == found
    assert ("From (UTC)" in page.content.decode()) is (zone == "nowhere")


def test_details_call_projects_by_their_names(go: Go, trail: Cast) -> None:
    owner = trail.owner
    with as_tenant(owner.tenant_id):
        record(
            tenant_id=owner.tenant_id, actor=SYSTEM, action="x.y", target="", diff={"project_id": str(owner.project_id)}
        )

    assert b'<span class="faint">project_id</span> <bdi>Cache</bdi>' in go("audit", action="x.y").content


@pytest.mark.parametrize(
    ("action", "value", "told"),
    [
        ("plan.applied", [100, 6000], "100 → 6,000"),
        ("plan.applied", [[], ["sso", "networks"]], "none → sso, networks"),
        ("plan.applied", [None, "2026-11-22"], "none → 2026-11-22"),
        ("key.create", ["proxy", "cache:read"], "proxy, cache:read"),
        ("sso.put", True, "True"),
    ],
)
def test_a_change_is_told_as_what_was_and_what_is(go: Go, trail: Cast, action: str, value: Any, told: str) -> None:
    with as_tenant(trail.owner.tenant_id):
        record(tenant_id=trail.owner.tenant_id, actor=SYSTEM, action=action, target="", diff={"rule": value})

    page = go("audit", action=action, actor="system").content.decode()

    assert f'<span class="faint">rule</span> <bdi>{told}</bdi>' in page


def test_the_filters_stand_in_the_address_and_go_on_to_the_next_page(
    go: Go, trail: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard.views import audit

    monkeypatch.setattr(audit, "PAGE_ROWS", 1)
    page = go("audit", action="budget.")
    assert actions(page) == ["budget.delete"]
    assert b"action=budget.&amp;before=" in page.content

    page = go("audit", action="budget.", before=str(page.context["older"]))
    assert actions(page) == ["budget.put"]
    assert page.context["older"] is None
    assert b">Newest</a>" in page.content


def test_what_was_found_is_taken_along(go: Go, trail: Cast) -> None:
    lines = csv.DictReader(io.StringIO(b"".join(go("audit-export", action="budget.")).decode()))

    rows = [(row["action"], row["diff"]) for row in lines]
    assert [action for action, _ in rows] == ["budget.put", "budget.delete"]


def test_the_filters_offer_who_and_what_is_there(go: Go, trail: Cast) -> None:
    page = go("audit", actor=str(uuid4())).content.decode()

    assert "owner@example.test</option>" in page
    assert "CacheAI itself</option>" in page
    assert '<optgroup label="Budgets">' in page
    assert "selected" in page  # the one that is asked for, though nobody is called so


def test_the_chains_state_is_told_with_each_look(go: Go, trail: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.views import audit

    assert b"The chain holds, from the first row" in go("audit").content
    monkeypatch.setattr(audit, "CHECKED_ROWS", 2)
    page = go("audit").content
    assert b"in its newest 2 rows" in page
    assert b"Check every row" in page
    assert b"The chain holds, from the first row" in go("audit", verify="1").content


@pytest.mark.parametrize(("back", "near"), [(0, True), (2, False)])
def test_a_row_that_was_changed_is_told(
    go: Go, trail: Cast, monkeypatch: pytest.MonkeyPatch, back: int, near: bool
) -> None:
    from dashboard.views import audit

    monkeypatch.setattr(audit, "CHECKED_ROWS", 2)
    tenant_id = trail.owner.tenant_id
    api_keys.key_create(tenant_id=tenant_id, project_id=trail.owner.project_id, name="<script>alert(1)</script>")
    with as_owner():
        last: Any = AuditEvent.objects.filter(tenant_id=tenant_id).latest("seq")
        AuditEvent.objects.filter(tenant_id=tenant_id, seq=last.seq - back).update(target="another")

    page = go("audit").content
    assert (b"The chain does not hold" in page) == near
    assert b"The chain does not hold" in go("audit", verify="1").content
    assert b"<script>alert" not in page
