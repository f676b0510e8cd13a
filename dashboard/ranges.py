"""Over which time is asked, and where does a day begin?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest

from cache_api.selectors import Bucket

RANGES: Mapping[str, str] = {"1": "24 hours", "7": "7 days", "30": "30 days", "90": "90 days"}
USUAL_RANGE = "7"
OWN_DAYS_MAX = 30  # beyond it a viewer's own days would be read from too many hours


@dataclass(frozen=True, slots=True)
class Range:
    """Up to now, from a full hour: an hour that is cut has to be counted from its calls."""

    days: int
    since: datetime
    until: datetime
    zone: tzinfo = UTC

    @property
    def key(self) -> str:
        return str(self.days)

    @property
    def bucket(self) -> Bucket:
        return "hour" if self.days == 1 else "day"

    @property
    def before(self) -> "Range":
        """As long, and just before it."""
        return Range(self.days, self.since - (self.until - self.since), self.since, self.zone)

    @property
    def starts(self) -> Sequence[datetime]:
        """Of all its buckets: full hours, or midnights where the viewer is."""
        if self.bucket == "hour":
            hours = -((self.since - self.until) // timedelta(hours=1))
            return [self.since + timedelta(hours=hour) for hour in range(hours)]
        first, last = (at.astimezone(self.zone).date() for at in (self.since, self.until))
        days = (first + timedelta(days=day) for day in range((last - first).days + 1))
        return [datetime.combine(day, time.min, self.zone) for day in days]

    @property
    def own_starts(self) -> Sequence[datetime]:
        """Where they differ from UTC's."""
        return () if self.bucket == "hour" or self.zone is UTC else self.starts


def of(http: HttpRequest) -> Range:
    """As the address says it."""
    return read(http.GET.get("days", ""), http.COOKIES.get("zone", ""))


def zone_of(http: HttpRequest) -> tzinfo:
    """Where the viewer is, as the page's script says; UTC where it does not."""
    return _zone(http.COOKIES.get("zone", ""))


def read(wanted: str, zone: str = "") -> Range:
    """Whatever is no range is the usual one."""
    days = int(wanted if wanted in RANGES else USUAL_RANGE)
    now = datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
    return Range(days, since, now, _zone(zone) if days <= OWN_DAYS_MAX else UTC)


def _zone(name: str) -> tzinfo:
    """UTC where a name tells nothing."""
    try:
        return ZoneInfo(name) if name not in ("", "UTC") else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown, no name at all, a folder of the list
        return UTC
