"""What does the product decide about a question and the entries near it? The one door to its code."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

import numpy as np

from cache_api.dialects import openai_chat
from cache_api.domain import confidence, decision, guard
from cache_api.domain.admission import bypass_reason, fuzzy
from cache_api.domain.decision import Hit, Judgement, decide, judge
from cache_api.domain.entry import Candidate, Entry
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.usage import Usage
from tests.bench.quality.vectors import Vectors
from tests.unit import builders

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MODEL = "demo-small"
POLICY = Policy()
# To see what a candidate is worth, rather than only that it is refused; the guards cost time under it for nothing.
OPEN_POLICY = replace(POLICY, similarity_floor=0.0)
SCORED_FROM = 0.5
CANDIDATES = 5
REFUSED = -2.0  # what is refused by a gate that no cut moves ranks under all others, and among its like by cosine
CUT_GATES = ("floor", "probability")  # what a cut decides, and a sweep over cuts therefore sets itself
QUERIES_AT_ONCE = 1000
REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Judged:
    """What the best of the candidates is worth, and which of them the product serves."""

    best: int | None  # place of the candidate with the highest score
    score: float
    served: int | None


NOTHING = Judged(None, REFUSED, None)


def judged(asked: str, stored: Sequence[str], similarities: Sequence[float]) -> Judged:
    """One question, as a single chat call, beside its nearest entries."""
    if not similarities or max(similarities) < SCORED_FROM or not may_match(asked):
        return NOTHING
    return _judged(asked, tuple(stored), tuple(similarities))


@lru_cache(maxsize=REMEMBERED)
def _judged(asked: str, stored: tuple[str, ...], similarities: tuple[float, ...]) -> Judged:
    """Remembered: another seed, or a neighbouring cut, meets mostly the same candidates."""

    request = request_of(asked)
    candidates = [
        Candidate(entry_of(text), similarity)
        for text, similarity in zip(stored, similarities, strict=True)
        if similarity >= SCORED_FROM and may_match(text)
    ]
    scores = {
        judgement.candidate.entry.question: score_of(judgement) for judgement in judge_openly(request, candidates)
    }
    if not scores:
        return NOTHING

    best = max(scores, key=lambda text: scores[text])
    decision = decide(request, candidates, POLICY, NOW)
    served = stored.index(decision.entry.question or "") if isinstance(decision, Hit) else None
    return Judged(stored.index(best or ""), scores[best], served)


def scores_of(asked: str, stored: str, similarity: float) -> tuple[float, str | None]:
    """A pair alone: its score, and the guard that refuses it."""
    candidate = Candidate(entry_of(stored), similarity)
    judgement = judge_openly(request_of(asked), [candidate])[0]
    return score_of(judgement), _gate_of(judgement)


def judge_openly(request: Request, candidates: Sequence[Candidate]) -> list[Judgement]:
    return judge(request, candidates, OPEN_POLICY, NOW)


def score_of(judgement: Judgement) -> float:
    """The probability that the answer is right, or the cosine where the product has none."""
    if _gate_of(judgement) is None:
        probability = judgement.probability
        return judgement.candidate.similarity if probability is None else probability
    return REFUSED + judgement.candidate.similarity / 2


def _gate_of(judgement: Judgement) -> str | None:
    if judgement.refused is None or judgement.refused.startswith(CUT_GATES):
        return None
    return judgement.refused


@lru_cache(maxsize=REMEMBERED)
def looked_up(question: str) -> bool:
    """Or does it pass the cache by, as what asks for the present does?"""
    return bypass_reason(request_of(question), POLICY) is None


@lru_cache(maxsize=REMEMBERED)
def may_match(question: str) -> bool:
    """Is it looked up, and stored, by similarity at all?"""
    return looked_up(question) and fuzzy(request_of(question), POLICY)


_remembered_mismatch = lru_cache(maxsize=REMEMBERED)(guard.mismatch)
_remembered_features = lru_cache(maxsize=REMEMBERED)(confidence.features)


def remember_texts() -> None:
    """What is seen of a text and of a pair, for as long as this process runs: the tests ask it over and over."""
    guard._remembered = lru_cache(maxsize=REMEMBERED)(guard._traits)
    decision.mismatch = _remembered_mismatch  # type: ignore[attr-defined]
    confidence.features = _remembered_features


def forget_texts() -> None:
    guard._remembered.cache_clear()
    _remembered_mismatch.cache_clear()
    _remembered_features.cache_clear()


@lru_cache(maxsize=REMEMBERED)
def request_of(question: str) -> Request:
    return builders.request_of(question)


@lru_cache(maxsize=REMEMBERED)
def entry_of(question: str) -> Entry:
    """Each entry has an answer of its own, as a model's answers to two wordings are never the same."""
    return Entry(
        id=UUID(int=1),
        cache_key="",
        question=question,
        answer=openai_chat.answer_of_text(f"An answer to: {question}", MODEL),
        provider="demo",
        model=MODEL,
        usage=Usage(),
        cost_usd=None,
        latency_ms=900,
        created_at=NOW - timedelta(hours=1),
        expires_at=NOW + timedelta(days=1),
    )


def nearest(asked: Vectors, entries: Vectors, *, count: int = CANDIDATES) -> tuple[np.ndarray, np.ndarray]:
    """Places and cosines of the nearest entries of each, nearest first."""
    count = min(count, len(entries))
    places = np.empty((len(asked), count), dtype=np.int64)
    cosines = np.empty((len(asked), count), dtype=np.float32)
    for start in range(0, len(asked), QUERIES_AT_ONCE):
        some = asked[start : start + QUERIES_AT_ONCE] @ entries.T
        near = np.argpartition(-some, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(some, near, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        places[start : start + len(some)] = np.take_along_axis(near, order, axis=1)
        cosines[start : start + len(some)] = np.take_along_axis(values, order, axis=1)
    return places, cosines
