"""What would each setting have come to, drawn as a curve with a handle?"""

from collections.abc import Mapping
from typing import Any


def wrong_share(setting: Mapping[str, Any]) -> float:
    """Expected wrong answers among the hits by similarity."""
    hits: int = setting["similar_hits"]
    return float(setting["expected_wrong"]) / hits if hits else 0.0


def of_settings(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON for the page's script: at each floor, along the promises, hits, wrong ones and dollars."""
    settings = result["settings"]
    promises = sorted({one["max_wrong_hit_rate"] for one in settings})
    floors = sorted({one["similarity_floor"] for one in settings})
    found = {(one["similarity_floor"], one["max_wrong_hit_rate"]): one for one in settings}
    return {
        "promises": promises,
        "floors": floors,
        "now": {"promise": result["max_wrong_hit_rate"], "floor": result["similarity_floor"]},
        "curves": [[_point(found[floor, promise]) for promise in promises] for floor in floors],
    }


def _point(setting: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "rate": setting["hit_rate"],
        "hits": setting["similar_hits"],
        "wrong": setting["expected_wrong"],
        "low": setting["expected_wrong_low"],
        "high": setting["expected_wrong_high"],
        "share": wrong_share(setting),
        "saved": float(setting["saved_usd"]),
    }
