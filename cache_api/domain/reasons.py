"""Which decision, and which layer of a hit, does a reason stand for? Each belongs to one alone."""

from collections.abc import Mapping

from cache_api.domain.decision import Reason

_LAYER_OF_HIT: Mapping[str, str] = {
    Reason.EXACT: "exact",
    Reason.COALESCED: "exact",
    Reason.STALE_ON_ERROR: "exact",
    Reason.SIMILAR: "semantic",
    Reason.SYNTHESIZED: "synthesized",
}
_MISSES = frozenset(
    {
        Reason.NO_CANDIDATE,
        Reason.EXACT_ONLY,
        Reason.BELOW_THRESHOLD,
        Reason.GUARD,
        Reason.KNOWN_WRONG,
        Reason.EXPIRED,
        Reason.TOO_OLD,
        Reason.REFRESH,
    }
)


def decision_of(reason: str) -> str:
    if reason in _LAYER_OF_HIT:
        return "hit"
    if reason in _MISSES:
        return "miss"
    return "blocked" if reason == Reason.BLOCKLIST else "bypass"


def layer_of(reason: str) -> str:
    """The empty text for what is no hit."""
    return _LAYER_OF_HIT.get(reason, "")
