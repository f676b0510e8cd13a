"""Are figures of some calls alone, and of days, what a count of the calls comes to?"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from cache_api import accounting, selectors
from cache_api.figures import Only
from dashboard.ranges import Range
from tests.conftest import Cast
from tests.db.calls import call_of, hit_of, write

NOW = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
ALIKE = [
    {},
    {"model_served": "gpt-5-mini"},
    {"provider": "anthropic", "model_asked": "claude-sonnet-4-5", "model_served": "claude-sonnet-4-5"},
    {"key_id": UUID(int=8)},
]


@pytest.fixture
def ids(cast: Cast) -> tuple[UUID, UUID]:
    """Of a project with a call and a hit of each kind every five hours of six days; the last day's have no price."""
    ids = (cast.owner.tenant_id, cast.owner.project_id)

    def made(hours: range) -> list[Any]:
        return [
            make(*ids, at=NOW - timedelta(hours=back), **fields)
            for back in hours
            for make in (call_of, hit_of)
            for fields in ALIKE
        ]

    write(made(range(25, 150, 5)))
    accounting.price_calls(NOW)
    accounting.roll_up()
    write(made(range(0, 25, 5)))
    return ids


@pytest.mark.parametrize(
    ("only", "of_eight"),
    [
        (Only(), 8),
        (Only(provider="openai"), 6),
        (Only(model="gpt-5-mini"), 2),
        (Only(key_id=UUID(int=8)), 2),
        (Only(provider="anthropic", model="gpt-5"), 0),
        (Only(provider="openai", model="gpt-5", key_id=UUID(int=7)), 2),
    ],
)
@pytest.mark.parametrize(
    ("since", "until", "moments"),
    [
        (NOW - timedelta(days=30), NOW + timedelta(hours=1), 30),
        (datetime(2026, 11, 6, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC), 15),
        (datetime(2026, 11, 6, 7, 45, tzinfo=UTC), datetime(2026, 11, 9, 12, 15, tzinfo=UTC), 15),
    ],
)
def test_days_and_hours_come_to_the_same_as_the_calls(
    ids: tuple[UUID, UUID], only: Only, of_eight: int, since: datetime, until: datetime, moments: int
) -> None:
    whole = selectors.figures(*ids, since, until, only=only)
    counted = [
        sum(row.figures.calls for row in selectors.usage_by(*ids, **span, bucket=bucket, group_by=None, only=only))
        for span in ({"since": since, "until": until},)
        for bucket in ("hour", "day")
    ]
    latencies = selectors.latencies(*ids, since, until, only=only)

    at = [NOW - timedelta(hours=back) for back in range(0, 150, 5)]
    assert sum(since <= one < until for one in at) == moments
    assert [whole.calls, *counted] == [moments * of_eight] * 3
    assert latencies["hit"].calls + latencies["miss"].calls == whole.calls


def test_a_day_begins_where_the_viewer_is(ids: tuple[UUID, UUID]) -> None:
    asked = Range(7, NOW - timedelta(days=7), NOW + timedelta(hours=1), ZoneInfo("America/Los_Angeles"))
    span = {"since": asked.since, "until": asked.until}

    rows = selectors.usage_by(*ids, bucket="day", group_by=None, starts=asked.own_starts, **span)

    at = [NOW - timedelta(hours=back) for back in range(0, 150, 5)]
    by_day = {day: sum(one.astimezone(asked.zone).date() == day.date() for one in at) * 8 for day in asked.starts}
    assert {row.since: row.figures.calls for row in rows} == {day: calls for day, calls in by_day.items() if calls}


def test_what_can_be_chosen_is_what_had_calls(ids: tuple[UUID, UUID]) -> None:
    names = selectors.names_in(*ids, NOW - timedelta(days=30), NOW)

    assert names.providers == ["anthropic", "openai"]
    assert names.models == ["claude-sonnet-4-5", "gpt-5", "gpt-5-mini"]
    assert names.keys == [UUID(int=7), UUID(int=8)]


def test_groups_are_told_over_the_whole_time_the_most_called_first(ids: tuple[UUID, UUID]) -> None:
    found = selectors.figures_by("model", *ids, NOW - timedelta(days=30), NOW + timedelta(hours=1))

    assert {model: one.calls for model, one in found.items()} == {
        "gpt-5": 120,
        "claude-sonnet-4-5": 60,
        "gpt-5-mini": 60,
    }
    assert next(iter(found)) == "gpt-5"
