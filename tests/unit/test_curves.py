"""Does the curve say what the settings came to?"""

from typing import Any

from dashboard import curves


def setting(promise: float, floor: float, hits: int, wrong: float) -> dict[str, Any]:
    return {
        "max_wrong_hit_rate": promise,
        "similarity_floor": floor,
        "similar_hits": hits,
        "expected_wrong": wrong,
        "hit_rate": hits / 100,
    }


def test_the_points_are_those_of_the_projects_own_floor_in_order_of_risk() -> None:
    settings = [setting(0.05, 0.7, 40, 2.0), setting(0.01, 0.7, 20, 0.2), setting(0.01, 0.9, 10, 0.05)]

    drawn = curves.of_promises({"settings": settings, "max_wrong_hit_rate": 0.01, "similarity_floor": 0.7})

    assert drawn["promises"] == [0.01, 0.05]
    assert drawn["data"] == [[0.01, 0.05], [0.2, 0.4], [0.2, None]]


def test_no_hits_are_no_wrong_ones() -> None:
    assert curves.wrong_share(setting(0.01, 0.7, 0, 0.0)) == 0
