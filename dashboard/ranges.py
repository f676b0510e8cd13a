"""Over which time is asked?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cache_api.selectors import Bucket

RANGES: Mapping[str, str] = {"1": "24 hours", "7": "7 days", "30": "30 days"}
USUAL_RANGE = "7"


@dataclass(frozen=True, slots=True)
class Range:
    """Up to now, from a full hour: an hour that is cut has to be counted from its calls."""

    days: int
    since: datetime
    until: datetime

    @property
    def key(self) -> str:
        return str(self.days)

    @property
    def bucket(self) -> Bucket:
        return "hour" if self.days == 1 else "day"

    @property
    def before(self) -> "Range":
        """As long, and just before it."""
        return Range(self.days, self.since - timedelta(days=self.days), self.since)


def read(wanted: str) -> Range:
    """From an address; whatever is no range there is the usual one."""
    days = int(wanted if wanted in RANGES else USUAL_RANGE)
    now = datetime.now(UTC)
    return Range(days, now.replace(minute=0, second=0, microsecond=0) - timedelta(days=days), now)
