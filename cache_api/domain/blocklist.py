"""Is this a question that is not to be answered, and what becomes of it?"""

from dataclasses import dataclass
from datetime import timedelta

from cache_api.domain.decision import Blocked
from cache_api.domain.policy import Policy
from cache_api.domain.request import Parsed
from cache_api.domain.scope import digest

FLOOR = 0.85  # cosine from which a question counts as a listed one
SAME = 0.98  # cosine from which a listed question is not listed again
TEXT_MAX_CHARACTERS = 32_000  # a longer one is compared by its very text alone
KEPT = timedelta(days=30)
FALSE_POSITIVES_MAX = 5  # so many reports take a question off
ENTRIES_MAX = 2_000  # all are compared with each call: 2 ms at this size


@dataclass(frozen=True, slots=True)
class Match:
    """The listed question nearest to a text."""

    id: int
    query: str
    reason: str
    category: str
    severity: int
    similarity: float  # 1: the very text
    hit_count: int


def texts_of(parsed: Parsed) -> tuple[str, ...]:
    """What the listed questions are compared with: all that was asked, and its parts. An image beside hides nothing."""
    whole = parsed.question if parsed.question is not None else "\n\n".join(parsed.texts)
    return tuple(dict.fromkeys(text for text in (whole, *parsed.texts) if text.strip()))


def digest_of(key: bytes, text: str) -> bytes:
    """Equal for texts that differ in case and blanks alone: 32 bytes."""
    return digest(key, "blocklist", " ".join(text.split()).casefold())


def blocked(match: Match, policy: Policy) -> Blocked | None:
    """None where the project only observes."""
    if policy.blocklist == "observe":
        return None
    return Blocked(match.id, match.reason or match.category, match.similarity, FLOOR)
