"""What does each plan cost, and what does it allow?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any

from cache_api.domain.cost import PLAN_FEES, PlanFee
from tenants import features

FREE, PRO, TEAM, ENTERPRISE = "free", "pro", "team", "enterprise"

TRIAL_DAYS = 14
PAST_DUE_GRACE = timedelta(days=7)

# States of a subscription nothing leads out of.
ENDED = frozenset({"canceled", "incomplete_expired"})


class Opens(Enum):
    """What a subscription opens."""

    PLAN = "plan"
    READ_ONLY = "read_only"  # the plan, but nothing is stored
    FREE = "free"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan's price and limits; None is without a limit, or a contract's own."""

    name: str
    title: str
    fee: PlanFee | None
    requests_included: int
    requests_hard: bool
    entries_max: int
    projects_max: int | None
    members_max: int | None
    keys_max: int
    rpm: int
    detail_days: int
    ttl_max_days: int
    features: tuple[str, ...]

    @property
    def price_usd(self) -> Decimal | None:
        return None if self.fee is None else self.fee.price

    @property
    def is_sold(self) -> bool:
        """By checkout; the others are given."""
        return self.fee is not None and self.fee.price > 0

    def columns(self) -> dict[str, Any]:
        """Named as the columns of Tenant are."""
        return {
            "plan": self.name,
            "rpm": self.rpm,
            "tpm": None,
            "requests_included": self.requests_included,
            "requests_hard": self.requests_hard,
            "entries_max": self.entries_max,
            "bytes_max": None,
            "ttl_max_seconds": self.ttl_max_days * 86_400,
            "detail_days": self.detail_days,
            "projects_max": self.projects_max,
            "members_max": self.members_max,
            "keys_max": self.keys_max,
            "features": list(self.features),
        }


PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        FREE: Plan(
            name=FREE,
            title="Free",
            fee=PLAN_FEES[FREE],
            requests_included=PLAN_FEES[FREE].included,
            requests_hard=True,
            entries_max=5_000,
            projects_max=1,
            members_max=2,
            keys_max=5,
            rpm=100,
            detail_days=7,
            ttl_max_days=7,
            features=(),
        ),
        PRO: Plan(
            name=PRO,
            title="Pro",
            fee=PLAN_FEES[PRO],
            requests_included=PLAN_FEES[PRO].included,
            requests_hard=False,
            entries_max=100_000,
            projects_max=10,
            members_max=5,
            keys_max=20,
            rpm=1_000,
            detail_days=30,
            ttl_max_days=90,
            features=features.PRO,
        ),
        TEAM: Plan(
            name=TEAM,
            title="Team",
            fee=PLAN_FEES[TEAM],
            requests_included=PLAN_FEES[TEAM].included,
            requests_hard=False,
            entries_max=1_000_000,
            projects_max=50,
            members_max=25,
            keys_max=100,
            rpm=6_000,
            detail_days=90,
            ttl_max_days=365,
            features=features.TEAM,
        ),
        ENTERPRISE: Plan(
            name=ENTERPRISE,
            title="Enterprise",
            fee=None,
            requests_included=10_000_000,
            requests_hard=False,
            entries_max=10_000_000,
            projects_max=None,
            members_max=None,
            keys_max=500,
            rpm=30_000,
            detail_days=400,
            ttl_max_days=365,
            features=features.ENTERPRISE,
        ),
    }
)
RANK: Mapping[str, int] = {name: rank for rank, name in enumerate(PLANS)}


def opens(state: str, past_due_since: datetime | None, now: datetime) -> Opens:
    """`state` is Stripe's word; the empty one is of a tenant that never bought."""
    match state:
        case "trialing" | "active":
            return Opens.PLAN
        case "past_due":
            in_grace = past_due_since is None or now < past_due_since + PAST_DUE_GRACE
            return Opens.PLAN if in_grace else Opens.READ_ONLY
        case "" | "incomplete":
            return Opens.UNCHANGED
        case _:  # unpaid, paused, canceled, incomplete_expired
            return Opens.FREE
