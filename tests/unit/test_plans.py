"""What does each plan cost, and what does it allow?"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from billing.plans import PLANS, RANK, Opens, opens
from cache_api.domain.cost import PLAN_FEES

NOW = datetime(2026, 11, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("plan", "calls", "usd"),
    [
        ("free", 10_001, "0"),
        ("pro", 0, "0"),
        ("pro", 100_000, "0"),
        ("pro", 100_001, "0.00008"),
        ("pro", 125_000, "2"),
        ("team", 1_500_000, "30"),
        ("team", 10_000_000, "540"),
        ("team", 10_000_001, "540.00004"),
        ("team", 12_000_000, "620"),
    ],
)
def test_overage_is_taken_tier_by_tier(plan: str, calls: int, usd: str) -> None:
    assert PLAN_FEES[plan].overage_usd(calls) == Decimal(usd)


@pytest.mark.parametrize(
    ("plan", "cap", "calls"),
    [
        ("free", "5", 10_000),
        ("pro", "0", 100_000),
        ("pro", "29", 462_500),
        ("team", "30", 1_500_000),
        ("team", "540", 10_000_000),
        ("team", "620", 12_000_000),
    ],
)
def test_a_cap_is_so_many_calls_and_not_one_more(plan: str, cap: str, calls: int) -> None:
    fee = PLAN_FEES[plan]

    assert fee.calls_within(Decimal(cap)) == calls
    assert fee.overage_usd(calls) <= Decimal(cap)
    assert not fee.overage or fee.overage_usd(calls + 1) > Decimal(cap)


def test_a_larger_plan_allows_at_least_as_much() -> None:
    assert list(RANK) == ["free", "pro", "team", "enterprise"]
    plans = list(PLANS.values())
    for small, large in pairwise(plans):
        assert set(small.features) <= set(large.features)
        for limit in ("requests_included", "entries_max", "keys_max", "rpm", "detail_days", "ttl_max_days"):
            assert getattr(small, limit) <= getattr(large, limit)


def test_only_free_stops_at_what_is_included() -> None:
    assert [plan.name for plan in PLANS.values() if plan.requests_hard] == ["free"]
    assert [plan.name for plan in PLANS.values() if plan.is_sold] == ["pro", "team"]


@pytest.mark.parametrize(
    ("state", "since", "opened"),
    [
        ("", None, Opens.UNCHANGED),
        ("incomplete", None, Opens.UNCHANGED),
        ("trialing", None, Opens.PLAN),
        ("active", None, Opens.PLAN),
        ("past_due", None, Opens.PLAN),
        ("past_due", timedelta(days=6), Opens.PLAN),
        ("past_due", timedelta(days=7), Opens.READ_ONLY),
        ("past_due", timedelta(days=8), Opens.READ_ONLY),
        ("unpaid", timedelta(days=30), Opens.FREE),
        ("paused", None, Opens.FREE),
        ("canceled", None, Opens.FREE),
        ("incomplete_expired", None, Opens.FREE),
    ],
)
def test_what_a_state_opens(state: str, since: timedelta | None, opened: Opens) -> None:
    assert opens(state, since and NOW - since, NOW) is opened
