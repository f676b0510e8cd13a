"""How is a decision told to people: its reason as a sentence, and what became of each candidate?"""

from collections.abc import Mapping
from dataclasses import dataclass

from cache_api.domain.confidence import shipped
from cache_api.domain.decision import DOUBTED, Judgement, Reason, cut_of
from cache_api.domain.policy import Policy

REASON_WORDS: Mapping[str, str] = {
    Reason.EXACT: "The same question had been answered before.",
    Reason.SIMILAR: "A stored answer to a question that means the same was likely enough to be right.",
    Reason.SYNTHESIZED: "A small model wrote the answer from stored ones that were near.",
    Reason.COALESCED: "The same question was being asked already: both were told its answer.",
    Reason.STALE_ON_ERROR: "The provider failed, so that an answer past its end stood in.",
    Reason.NO_CANDIDATE: "Nothing like it was stored.",
    Reason.EXACT_ONLY: "Calls of this kind are served from the very same question alone, and it was new.",
    Reason.BELOW_THRESHOLD: "What was near was not likely enough to be right.",
    Reason.GUARD: "What was near differs in something that changes the answer: a number, a name, a not.",
    Reason.KNOWN_WRONG: "The nearest stored answer was judged wrong for this question before.",
    Reason.EXPIRED: "The stored answer was past its end.",
    Reason.TOO_OLD: "The stored answer was older than the caller accepts.",
    Reason.REFRESH: "The caller asked for a fresh answer.",
    Reason.CALLER: "The caller asked to go past the cache.",
    Reason.POLICY: "The project's policy keeps this call from the cache, or only watches.",
    Reason.KEY_SCOPE: "The key may not be served from the cache.",
    Reason.OVER_QUOTA: "The plan's requests are used up: calls go straight through.",
    Reason.ENDPOINT: "Nothing is cached at this endpoint.",
    Reason.STATEFUL: "The call goes on from something only the provider holds.",
    Reason.UNPARSED: "The body could not be read in full, so that it was passed on untouched.",
    Reason.UNSUPPORTED_CONTENT: "It has a part whose content is not in the call itself.",
    Reason.TOOLS: "The call may use tools, and the policy keeps those from the cache.",
    Reason.SAMPLING: "The call asks for more than one answer, or for chance.",
    Reason.TOO_LONG: "The question is too long to be compared.",
    Reason.VOLATILE: "The answer depends on when, or by whom, it is asked.",
    Reason.CACHE_UNAVAILABLE: "A part of the cache was away: the call went on without it.",
    Reason.DEADLINE: "The cache had no answer in time: the call went on without it.",
    Reason.BLOCKLIST: "The question is on the project's blocklist.",
}
FLOOR_WORDS = "No stored question was as near as the similarity floor asks."
_GATES: Mapping[str, str] = {
    "floor": "less similar than the policy's floor",
    "evidence": "checks near it were wrong too often",
    DOUBTED: "not likely enough to be right",
    "known_wrong": "judged wrong for this question before",
    "exact_only": "served to the very same question alone",
    "expired": "past its end",
    "too_old": "older than the caller accepts",
}


def reason_words(reason: str, *, similarity: float | None, floor: float | None) -> str:
    """Below the threshold is whatever was too far away, and whatever was near but doubtful."""
    if reason == Reason.BELOW_THRESHOLD and similarity is not None and floor is not None and similarity < floor:
        return FLOOR_WORDS
    return REASON_WORDS.get(reason, "")


def refusal_words(refused: str | None) -> str:
    """Which rule refused a candidate."""
    if refused is None:
        return "would be served"
    gate, _, detail = refused.replace(" ", ":", 1).partition(":")
    if gate == Reason.GUARD:
        return f"differs in: {detail.replace('_', ' ')}"
    return _GATES.get(gate, refused)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored question near the one that was asked. Shares are 0 to 1."""

    question: str | None
    similarity: float
    probability: float | None  # that its answer is right; None: refused before that was asked
    cut: float  # the least to be served
    would_hit_at: float | None  # the strictest promise under which it is served
    refused: str | None
    words: str


def candidate(judged: Judgement, policy: Policy) -> Candidate:
    return Candidate(
        question=judged.candidate.entry.question,
        similarity=judged.candidate.similarity,
        probability=judged.probability,
        cut=cut_of(policy),
        would_hit_at=None if judged.probability is None else shipped().promise_of(judged.probability),
        refused=judged.refused,
        words=refusal_words(judged.refused),
    )
