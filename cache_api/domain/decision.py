"""May a stored answer be served, and if not, why not?"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from cache_api.domain.confidence import shipped
from cache_api.domain.entry import Candidate, Entry
from cache_api.domain.evidence import is_shut, posterior
from cache_api.domain.guard import mismatch
from cache_api.domain.policy import Policy
from cache_api.domain.records import record
from cache_api.domain.request import Request

DOUBTED = "probability"


class Reason(StrEnum):
    """Every word a decision can give: in headers, ledger and dashboard alike."""

    EXACT = "exact"
    SIMILAR = "similar"
    SYNTHESIZED = "synthesized"
    COALESCED = "coalesced"
    STALE_ON_ERROR = "stale_on_error"

    NO_CANDIDATE = "no_candidate"
    EXACT_ONLY = "exact_only"
    BELOW_THRESHOLD = "below_threshold"
    GUARD = "guard"
    KNOWN_WRONG = "known_wrong"
    EXPIRED = "expired"
    TOO_OLD = "too_old"
    REFRESH = "refresh"

    CALLER = "caller"
    POLICY = "policy"
    KEY_SCOPE = "key_scope"
    OVER_QUOTA = "over_quota"
    ENDPOINT = "endpoint"
    STATEFUL = "stateful"
    UNPARSED = "unparsed"
    UNSUPPORTED_CONTENT = "unsupported_content"
    TOOLS = "tools"
    SAMPLING = "sampling"
    TOO_LONG = "too_long"
    VOLATILE = "volatile"
    CACHE_UNAVAILABLE = "cache_unavailable"
    DEADLINE = "deadline"

    BLOCKLIST = "blocklist"


@record(frozen=True, slots=True)
class Hit:
    entry: Entry
    reason: Reason
    similarity: float | None = None
    threshold: float | None = None
    probability: float | None = None  # that the answer is right; of a similar one alone
    name = "hit"

    @property
    def layer(self) -> str:
        return "semantic" if self.reason is Reason.SIMILAR else "exact"


@record(frozen=True, slots=True)
class Miss:
    reason: Reason
    similarity: float | None = None  # of the nearest candidate
    threshold: float | None = None
    doubtful: "Judgement | None" = None  # the likeliest that nothing but its probability refused
    name = "miss"
    layer = ""


@record(frozen=True, slots=True)
class Bypass:
    reason: Reason
    unserved: Hit | None = None  # what a project that only watches would have served
    name = "bypass"
    layer = ""
    similarity = None
    threshold = None


@record(frozen=True, slots=True)
class Synthesized:
    """Stored answers were near enough for a small model to answer from, not to be served."""

    similarity: float  # of the nearest that was used
    threshold: float
    reason = Reason.SYNTHESIZED
    name = "hit"
    layer = "synthesized"


@record(frozen=True, slots=True)
class Blocked:
    """The question is on the project's blocklist."""

    blocklist_id: int
    why: str
    similarity: float
    threshold: float
    reason = Reason.BLOCKLIST
    name = "blocked"
    layer = ""


Decision = Hit | Synthesized | Miss | Bypass | Blocked


@record(frozen=True, slots=True)
class Judgement:
    """What became of one candidate; `refused` names the first gate that said no."""

    candidate: Candidate
    refused: str | None
    probability: float | None = None  # that its answer is right; of those alone that pass every gate before

    @property
    def reason(self) -> Reason:
        if self.refused is None:
            return Reason.SIMILAR
        gate = self.refused.partition(":")[0]
        return Reason.BELOW_THRESHOLD if gate.startswith(("floor", "evidence", DOUBTED)) else Reason(gate)

    @property
    def is_doubtful(self) -> bool:
        """Nothing is known against it but that it is not likely enough."""
        return self.refused is not None and self.refused.startswith(DOUBTED)


def threshold_of(request: Request, policy: Policy) -> float:
    """A caller may tighten, never loosen."""
    return max(policy.similarity_floor, request.controls.threshold or 0.0)


def decide(request: Request, candidates: Sequence[Candidate], policy: Policy, now: datetime) -> Hit | Miss:
    """Serve the likeliest of the candidates that pass every gate; else explain by the nearest one."""
    threshold = threshold_of(request, policy)
    judged = judge(request, candidates, policy, now)
    if passed := [judgement for judgement in judged if judgement.refused is None]:
        best = max(passed, key=_likelihood)  # the nearest of equals
        return Hit(best.candidate.entry, Reason.SIMILAR, best.candidate.similarity, threshold, best.probability)

    if not judged:
        return Miss(Reason.NO_CANDIDATE, None, threshold)
    doubtful = max((one for one in judged if one.is_doubtful), key=_likelihood, default=None)
    return Miss(judged[0].reason, judged[0].candidate.similarity, threshold, doubtful)


def judge(request: Request, candidates: Sequence[Candidate], policy: Policy, now: datetime) -> list[Judgement]:
    """Every candidate, nearest first, with the first gate that refused it."""
    threshold = threshold_of(request, policy)
    nearest_first = sorted(candidates, key=lambda candidate: -candidate.similarity)
    cut = cut_of(policy)
    return [_judgement(request, candidate, threshold, cut, now) for candidate in nearest_first]


def cut_of(policy: Policy) -> float:
    """The least probability to serve at: what was learnt of this project, or what was learnt of the world."""
    return shipped().cut(policy.max_wrong_hit_rate) if policy.learnt_cut is None else policy.learnt_cut


def _likelihood(judgement: Judgement) -> float:
    return judgement.probability or 0.0


def freshness_refusal(request: Request, entry: Entry, now: datetime) -> Reason | None:
    """An entry past its end, or older than the caller accepts."""
    if entry.expires_at is not None and entry.expires_at <= now:
        return Reason.EXPIRED
    oldest = request.controls.max_age_seconds
    if oldest is not None and now - entry.created_at > timedelta(seconds=oldest):
        return Reason.TOO_OLD
    return None


def _judgement(request: Request, candidate: Candidate, threshold: float, cut: float, now: datetime) -> Judgement:
    refused = _refusal(request, candidate, threshold, now)
    if refused is not None or request.question is None or candidate.entry.question is None:
        return Judgement(candidate, refused or "exact_only")

    probability = shipped().probability(request.question, candidate.entry.question, candidate.similarity)
    if candidate.checks:
        probability = posterior(probability, candidate.similarity, candidate.checks)
        refused = "evidence" if is_shut(candidate.similarity, candidate.checks) else None
    if refused is None and probability < cut:
        refused = f"{DOUBTED} {probability:.4f} < {cut:.4f}"
    return Judgement(candidate, refused, probability)


def _refusal(request: Request, candidate: Candidate, threshold: float, now: datetime) -> str | None:
    entry = candidate.entry
    if candidate.known_wrong:
        return "known_wrong"
    if candidate.similarity < threshold:
        return "floor"
    if not entry.matchable or entry.question is None or request.question is None:
        return "exact_only"
    if stale := freshness_refusal(request, entry, now):
        return stale.value
    if guard := mismatch(request.question, entry.question):
        return f"guard:{guard}"
    return None
