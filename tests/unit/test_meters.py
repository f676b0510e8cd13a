"""Does a meter alarm where something is amiss, and there alone?"""

import pytest

from cache_api.limits import Limit, Unit
from dashboard.views.usage import _meter


@pytest.mark.parametrize(
    ("name", "unit", "used", "most", "tone"),
    [
        ("projects", "projects", 1, 1, ""),  # of a newcomer's plan
        ("members", "members", 3, 2, "bad"),  # of a plan that is smaller now
        ("entries", "entries", 79, 100, ""),
        ("entries", "entries", 100, 100, "warn"),
        ("entries", "entries", 101, 100, "bad"),
        ("requests", "requests", 80, 100, "warn"),
        ("requests", "requests", 100, 100, "bad"),  # from there on calls pass by the cache
        ("rpm", "per_minute", None, 100, ""),
        ("keys", "keys", 7, None, ""),
    ],
)
def test_a_meter_is_coloured_by_what_its_limit_means(
    name: str, unit: Unit, used: int | None, most: int | None, tone: str
) -> None:
    assert _meter(Limit(name, unit, used, most)).tone == tone
