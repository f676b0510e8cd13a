"""Does the curve say what the settings came to?"""

from typing import Any

from dashboard import curves


def setting(promise: float, floor: float, hits: int, wrong: float) -> dict[str, Any]:
    return {
        "max_wrong_hit_rate": promise,
        "similarity_floor": floor,
        "similar_hits": hits,
        "expected_wrong": wrong,
        "expected_wrong_low": wrong / 2,
        "expected_wrong_high": wrong * 2,
        "hit_rate": hits / 100,
        "saved_usd": "1.5",
    }


def test_at_each_floor_the_points_follow_the_promises() -> None:
    settings = [setting(0.05, 0.7, 40, 2.0), setting(0.01, 0.9, 10, 0.05), setting(0.01, 0.7, 20, 0.2)]
    settings.append(setting(0.05, 0.9, 30, 0.3))

    drawn = curves.of_settings({"settings": settings, "max_wrong_hit_rate": 0.01, "similarity_floor": 0.7})

    assert (drawn["floors"], drawn["promises"]) == ([0.7, 0.9], [0.01, 0.05])
    assert [[one["rate"] for one in curve] for curve in drawn["curves"]] == [[0.2, 0.4], [0.1, 0.3]]
    assert drawn["curves"][0][1] == {
        "rate": 0.4,
        "hits": 40,
        "wrong": 2.0,
        "low": 1.0,
        "high": 4.0,
        "share": 0.05,
        "saved": 1.5,
    }
    assert drawn["now"] == {"promise": 0.01, "floor": 0.7}


def test_no_hits_are_no_wrong_ones() -> None:
    assert curves.wrong_share(setting(0.01, 0.7, 0, 0.0)) == 0
