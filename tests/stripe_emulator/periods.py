"""When does a billing period end?"""

import calendar
from datetime import UTC, datetime

from .world import DAY_SECONDS

_SECONDS = {"day": DAY_SECONDS, "week": 7 * DAY_SECONDS}
_MONTHS = {"month": 1, "year": 12}


def period_end(anchor: int, start: int, interval: str, count: int) -> int:
    """The first turn after `start`, counted from the anchor, so that the 31st comes back after February."""
    turn = 0
    while (end := _turn(anchor, turn, interval, count)) <= start:
        turn += 1
    return end


def _turn(anchor: int, turn: int, interval: str, count: int) -> int:
    if interval in _SECONDS:
        return anchor + turn * count * _SECONDS[interval]
    begun = datetime.fromtimestamp(anchor, UTC)
    years, month = divmod(begun.month - 1 + turn * count * _MONTHS[interval], 12)
    year = begun.year + years
    day = min(begun.day, calendar.monthrange(year, month + 1)[1])
    return int(begun.replace(year=year, month=month + 1, day=day).timestamp())
