"""Is the share of wrong hits that of the calls in question, and honest where projects were checked differently?"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from cache_api.domain.call import Call
from cache_api.figures import Only
from cache_api.models import AnswerCheck
from cache_api.wrong_hits import wrong_hits
from tenants import projects
from tenants.isolation import as_tenant
from tests.conftest import Cast
from tests.db.calls import hit_of, write

NOW = datetime.now(UTC)


@pytest.fixture
def mine(cast: Cast) -> UUID:
    return cast.owner.tenant_id


@pytest.fixture
def other(mine: UUID) -> UUID:
    """A second project."""
    return projects.project_create(tenant_id=mine, name="Other")


def checked(tenant_id: UUID, project_id: UUID, *, right: int = 0, wrong: int = 0, **fields: Any) -> None:
    made = [
        AnswerCheck(
            **{
                "tenant_id": tenant_id,
                "project_id": project_id,
                "checked_at": NOW - timedelta(days=1),
                "kind": "hit",
                "source": "judge",
                "entry_id": uuid4(),
                "similarity": 0.95,
                "probability": 0.99,
                "correct": place < right,
                "trust": 1.0,
                **fields,
            }
        )
        for place in range(right + wrong)
    ]
    with as_tenant(tenant_id):
        AnswerCheck.objects.bulk_create(made)


def test_few_checks_tell_what_was_foretold_and_no_rate(cast: Cast, mine: UUID) -> None:
    checked(mine, cast.owner.project_id, right=99)

    found = wrong_hits(mine, [cast.owner.project_id], NOW)

    assert (found.measured.checked, found.measured.rate) == (99, None)
    assert found.predicted == pytest.approx(0.01)
    assert wrong_hits(mine, [cast.owner.project_id], NOW - timedelta(days=2)).predicted is None


def test_a_random_sample_of_thirty_days_is_what_counts(cast: Cast, mine: UUID) -> None:
    project_id = cast.owner.project_id
    checked(mine, project_id, right=99, wrong=1)
    checked(mine, project_id, right=50, checked_at=NOW - timedelta(days=31))
    for unasked in ({"kind": "feedback"}, {"kind": "doubt"}, {"source": "member"}):
        checked(mine, project_id, wrong=20, **unasked)

    found = wrong_hits(mine, [project_id], NOW)

    assert (found.measured.checked, found.measured.rate) == (100, 0.01)
    assert (found.measured.low, found.measured.high) == pytest.approx((0.000253, 0.054459), abs=1e-6)
    assert found.promised == (0.02, 0.02)


def test_who_serves_more_counts_for_more(cast: Cast, mine: UUID, other: UUID) -> None:
    """100 of 10,000 hits are checked here, 100 of 100 there."""
    both = [cast.owner.project_id, other]
    checked(mine, both[0], right=100, chance=0.01)
    checked(mine, both[1], right=50, wrong=50, chance=1.0)

    found = wrong_hits(mine, both, NOW)
    apart = found.by_project

    assert found.measured.rate == pytest.approx(50 / 10_100)
    assert found.measured.high > apart[both[0]].measured.high
    assert [apart[one].measured.rate for one in both] == [0.0, 0.5]
    assert (found.measured.checked, found.projects) == (200, 2)


def test_some_calls_alone_are_told_by_their_rows(cast: Cast, mine: UUID) -> None:
    project_id, calls = cast.owner.project_id, []
    for model, wrong in (("gpt-5", 0), ("gpt-5-mini", 3)):
        for place in range(100):
            call: Call = hit_of(mine, project_id, at=NOW - timedelta(hours=1), model_served=model, layer="semantic")
            calls.append(call)
            checked(mine, project_id, right=place >= wrong, wrong=place < wrong, call_id=call.id)
    write(calls)

    rates = [
        wrong_hits(mine, [project_id], NOW, only=only).measured.rate
        for only in (Only(), Only(model="gpt-5"), Only(model="gpt-5-mini"), Only(key_id=UUID(int=1)))
    ]

    assert rates == [0.015, 0.0, 0.03, None]


def test_an_outsider_is_told_nothing(cast: Cast, mine: UUID) -> None:
    checked(mine, cast.owner.project_id, right=200)

    assert wrong_hits(cast.outsider.tenant_id, [cast.owner.project_id], NOW).measured.checked == 0
