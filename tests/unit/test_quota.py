"""When does a plan end, and when does a budget's period begin?"""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import uuid4

import pytest

from cache_api.domain.budget import Budget, next_period_start, passed, period_start
from cache_api.domain.quota import overage_usd, requests_max, spend_cap_usd, with_overshoot

PROJECT, KEY = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("plan", "included", "hard", "cap", "most"),
    [
        ("free", 10_000, True, None, 10_000),
        ("free", 10_000, False, None, None),  # an operator's gift: nothing is taken for more
        ("pro", 100_000, False, None, 462_500),  # the price again, 29 dollars
        ("pro", 100_000, False, Decimal(0), 100_000),
        ("pro", 100_000, False, Decimal("0.00008"), 100_001),
        ("pro", 150_000, False, Decimal("0.00008"), 150_001),  # more are included by a grant
        ("pro", 100_000, True, Decimal(50), 100_000),  # a trial
        ("team", 1_000_000, False, None, 4_316_666),
        ("team", 1_000_000, False, Decimal(1_000), 21_500_000),  # past the second tier
        ("enterprise", 10_000_000, False, None, None),
        ("enterprise", 10_000_000, True, None, 10_000_000),
    ],
)
def test_a_plan_ends(plan: str, included: int, hard: bool, cap: Decimal | None, most: int | None) -> None:
    assert requests_max(plan, included=included, hard=hard, overage_cap_usd=cap) == most


@pytest.mark.parametrize(("plan", "calls"), [("pro", 462_500), ("team", 4_316_666)])
def test_where_a_plan_ends_its_cap_is_reached_and_not_passed(plan: str, calls: int) -> None:
    included = 100_000 if plan == "pro" else 1_000_000
    cap = spend_cap_usd(plan, None)
    at_the_end, after = (overage_usd(plan, included=included, calls=number) for number in (calls, calls + 1))
    assert at_the_end is not None and after is not None and cap is not None
    assert at_the_end <= cap < after


def test_what_is_taken_beyond_the_price() -> None:
    assert overage_usd("pro", included=100_000, calls=125_000) == Decimal("2.00")
    assert overage_usd("pro", included=100_000, calls=99_000) == 0
    assert overage_usd("enterprise", included=1, calls=5) is None


@pytest.mark.parametrize(("most", "allowed"), [(0, 0), (1, 2), (50, 51), (51, 53), (5_000, 5_100)])
def test_a_little_more_is_stored(most: int, allowed: int) -> None:
    assert with_overshoot(most) == allowed


@pytest.mark.parametrize(
    ("at", "day", "month", "next_month"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, 999_999, UTC), 30, (2026, 11), (2026, 12)),
        (datetime(2026, 12, 31, 0, 0, tzinfo=UTC), 31, (2026, 12), (2027, 1)),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), 29, (2028, 2), (2028, 3)),
        (datetime(2026, 12, 1, 1, tzinfo=timezone(timedelta(hours=2))), 30, (2026, 11), (2026, 12)),
    ],
)
def test_days_and_months_are_utcs(at: datetime, day: int, month: tuple[int, int], next_month: tuple[int, int]) -> None:
    assert period_start("day", at).day == day
    assert next_period_start("day", at) - period_start("day", at) == timedelta(days=1)
    assert period_start("month", at) == datetime(*month, 1, tzinfo=UTC)
    assert next_period_start("month", at) == datetime(*next_month, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("used", "thresholds"), [(0, ()), (49, ()), (50, (50,)), (79, (50,)), (80, (50, 80)), (100, (50, 80, 100))]
)
def test_thresholds_are_reached(used: int, thresholds: tuple[int, ...]) -> None:
    assert passed(used, 100) == passed(Decimal(used) / 100, Decimal(1)) == thresholds


@pytest.mark.parametrize(
    ("whom", "covered"),
    [
        ({}, True),
        ({"project_id": PROJECT}, True),
        ({"project_id": uuid4()}, False),
        ({"key_id": KEY}, True),
        ({"key_id": uuid4()}, False),
        ({"task": "triage"}, True),
        ({"task": "tria"}, False),
    ],
)
def test_a_budget_covers_whom_it_is_for(whom: dict[str, object], covered: bool) -> None:
    budget = Budget(uuid4(), Decimal(1), "month", **whom)  # type: ignore[arg-type]
    assert budget.covers(PROJECT, KEY, "triage") is covered
