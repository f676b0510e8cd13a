"""How much may be spent on providers, for whom, and what happens when it is spent?"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal
from uuid import UUID

Period = Literal["day", "month"]
Action = Literal["alert", "cache_only", "block"]
PERIODS: tuple[Period, ...] = ("day", "month")
ACTIONS: tuple[Action, ...] = ("alert", "cache_only", "block")  # each refuses all that the one before refuses
THRESHOLDS = (50, 80, 100)  # per cent at which people are told


@dataclass(frozen=True, slots=True)
class Budget:
    """For one project, one key or one task's name; for the whole tenant if none is given."""

    id: UUID
    amount_usd: Decimal
    period: Period
    action: Action = "alert"
    project_id: UUID | None = None
    key_id: UUID | None = None
    task: str = ""

    def covers(self, project_id: UUID, key_id: UUID, task: str) -> bool:
        return (
            (self.project_id is None or self.project_id == project_id)
            and (self.key_id is None or self.key_id == key_id)
            and (not self.task or self.task == task)
        )


def period_start(period: Period, at: datetime) -> datetime:
    """Days and months are UTC's, as the ledger's."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day if period == "day" else day.replace(day=1)


def next_period_start(period: Period, at: datetime) -> datetime:
    since = period_start(period, at)
    return since + timedelta(days=1) if period == "day" else (since + timedelta(days=32)).replace(day=1)


def passed(used: int | Decimal, most: int | Decimal) -> tuple[int, ...]:
    """The thresholds that are reached."""
    return tuple(threshold for threshold in THRESHOLDS if used * 100 >= threshold * most)
