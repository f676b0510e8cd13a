"""What would each setting have come to, drawn as a curve?"""

from collections.abc import Mapping, Sequence
from typing import Any


def wrong_share(setting: Mapping[str, Any]) -> float:
    """Expected wrong answers among the hits by similarity."""
    hits: int = setting["similar_hits"]
    return float(setting["expected_wrong"]) / hits if hits else 0.0


def of_promises(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hit rate against the expected share of wrong hits, at the project's own floor: JSON for the page's script."""
    own = _at_floor(result["settings"], result["similarity_floor"])
    points = sorted((wrong_share(one), one["hit_rate"], one["max_wrong_hit_rate"]) for one in own)
    now = result["max_wrong_hit_rate"]
    return {
        "names": ["Hit rate", "Your promise"],
        "promises": [promise for _, _, promise in points],
        "data": [
            [share for share, _, _ in points],
            [rate for _, rate, _ in points],
            [rate if promise == now else None for _, rate, promise in points],
        ],
    }


def _at_floor(settings: Sequence[Mapping[str, Any]], floor: float) -> list[Mapping[str, Any]]:
    return [one for one in settings if one["similarity_floor"] == floor]
