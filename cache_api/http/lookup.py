"""What would the cache decide, and why? The provider is never asked, and no hit is counted."""

from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from django.http import HttpResponse

from cache_api import wiring
from cache_api.described import answer_in
from cache_api.dialects.errors import Refused
from cache_api.domain.call import new_id
from cache_api.domain.confidence import shipped
from cache_api.domain.decision import Bypass, Hit, Judgement, Reason, cut_of, judge
from cache_api.domain.entry import Candidate, Entry
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.signals import call_id_of, request_id_of, signals_of
from cache_api.explaining import explain
from cache_api.http.questions import request_of
from cache_api.http.visits import Visit, answer, unavailable
from cache_api.looking import Looked, Stopwatch, milliseconds_since
from cache_api.ports import CacheUnavailable

LIMIT_DEFAULT, LIMIT_MAX = 5, 50


def lookup(visit: Visit) -> HttpResponse:
    began = perf_counter()
    body = visit.body()
    fields = body.value
    visit.same_project(fields.get("project_id"))
    limit = fields.get("limit", LIMIT_DEFAULT)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise Refused(400, "invalid_request", f"limit must be a whole number from 1 to {LIMIT_MAX}", "limit")

    if fields.get("request_id") is not None:
        return _explained(visit, fields["request_id"], limit)

    request, policy = request_of(visit, fields, unparsed=body.unparsed)
    if policy.mode == "shadow":
        policy = replace(policy, mode="on")  # what would be served is what is asked for here
    watch = Stopwatch()
    looked = wiring.parts().service.look_up(request, policy, watch)
    now = datetime.now(UTC)
    decision = looked.decision or Bypass(Reason.CACHE_UNAVAILABLE)
    judged = _judged(request, policy, looked, limit, now)
    signals = signals_of(request, decision, new_id(now), now)
    found: dict[str, Any] = {
        "decision": signals.decision,
        "layer": signals.layer,
        "reason": signals.reason,
        "similarity": signals.similarity,
        "threshold": signals.threshold,
        "cache_key": signals.cache_key,
        "timings_ms": {"embed": watch.embed, "lookup": watch.lookup, "total": milliseconds_since(began)},
        "candidates": [_described(one, policy, now) for one in judged],
    }
    if fields.get("include_answer") and isinstance(decision, Hit):
        stored = decision.entry.answer
        found |= {"answer": answer_in(stored, request.endpoint), "response": stored}
    return answer(found)


def _explained(visit: Visit, request_id: Any, limit: int) -> HttpResponse:
    """A past call: what was decided, and how its candidates of now are judged."""
    if not isinstance(request_id, str):
        raise Refused(400, "invalid_request", "request_id must be a string such as req_0123...", "request_id")
    call_id = call_id_of(request_id)
    now = datetime.now(UTC)
    try:
        found = explain(visit.place, call_id, limit=limit, now=now) if call_id else None
    except CacheUnavailable:
        raise unavailable() from None
    if found is None:
        raise Refused(404, "not_found", "There is no call under this request id.", "request_id")
    call = found.call
    return answer(
        {
            "request_id": request_id_of(call.id),
            "at": call.at,
            "question": found.question,
            "decision": call.decision,
            "layer": call.layer or None,
            "reason": call.reason,
            "similarity": call.similarity,
            "threshold": found.policy.similarity_floor,
            "cache_key": found.cache_key,
            "timings_ms": {"embed": call.ms_embed, "lookup": call.ms_lookup, "total": call.ms_total},
            "candidates": [_described(one, found.policy, now) for one in found.judged],
        }
    )


def _judged(request: Request, policy: Policy, looked: Looked, limit: int, now: datetime) -> list[Judgement]:
    decision = looked.decision
    if isinstance(decision, Hit) and decision.similarity is None:
        return [Judgement(Candidate(decision.entry, 1.0), None)]
    if looked.vector is None:
        return []
    try:
        candidates = wiring.parts().store.search(request, looked.vector, limit=limit, checked=policy.checked)
    except CacheUnavailable:  # the decision stands by itself
        return []
    return judge(request, candidates, policy, now)


def _described(judgement: Judgement, policy: Policy, now: datetime) -> dict[str, Any]:
    candidate, entry = judgement.candidate, judgement.candidate.entry
    probability = judgement.probability
    return {
        "cache_key": entry.cache_key,
        "question": entry.question,
        "similarity": round(candidate.similarity, 4),
        "accepted": judgement.refused is None,
        "reason": judgement.refused,
        "probability": None if probability is None else round(probability, 4),
        "cut": round(cut_of(policy), 4),
        "would_hit_at": None if probability is None else shipped().promise_of(probability),
        "checks": len(candidate.checks),
        "age": entry.age_seconds(now),
        "ttl": _ttl(entry, now),
    }


def _ttl(entry: Entry, now: datetime) -> int | None:
    left = entry.ttl_seconds(now)
    return None if left is None else max(0, left)
