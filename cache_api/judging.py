"""What becomes of a caller's or a member's verdict on a stored answer?

A wrong pair, and rewordings of what was asked, never match again; what the hit saved is taken back; and the entry's own
checks tell how likely its answer is right for the next question near it.
"""

from array import array
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from cache_api import wiring
from cache_api.adapters import catalogue, checks, corrections
from cache_api.adapters.catalogue import Place
from cache_api.adapters.store import entry_under
from cache_api.calls import call_in
from cache_api.domain.confidence import shipped
from cache_api.domain.decision import cut_of
from cache_api.domain.entry import Vector
from cache_api.domain.scope import question_fingerprint
from cache_api.models import Entry
from cache_api.ports import CacheUnavailable
from tenants import vault
from tenants.isolation import as_tenant

EMBED_SECONDS = 1.0


class Judged(NamedTuple):
    pair_blocked: bool
    corrected: bool  # what the hit had saved was taken back just now
    stored: bool = True  # the answer itself was still there


class _Pair(NamedTuple):
    """What was asked, as far as it is known."""

    asked: bytes | None = None
    similarity: float | None = None
    vector: Vector | None = None


def judge(
    place: Place,
    entry: Entry,
    *,
    right: bool,
    source: Literal["caller", "member"],
    call_id: UUID | None,
    question: str | None,
    now: datetime,
) -> Judged:
    """Of the entry's answer to a question, or to what a call had asked. Raises DatabaseUnavailable."""
    call = call_in(place.tenant_id, place.project_id, call_id) if call_id else None
    if call is not None and call.entry_id != entry.id:
        call = None  # it was answered by another entry
    if question:
        pair = _asked_beside(place, entry, question)
    else:
        pair = _Pair(_bytes(call.fingerprint), call.similarity) if call else _Pair()
    probability = _probability(place, entry, question, pair.similarity)
    with as_tenant(place.tenant_id):
        checks.feedback_put(
            place.tenant_id,
            place.project_id,
            place.key_id,
            right=right,
            asked=pair.asked,
            vector=pair.vector,
            cached=bytes(entry.fingerprint),
            now=now,
        )
        if pair.similarity is not None:
            heard = checks.Said(
                source, entry.id, pair.similarity, probability, right, place.key_id, call.id if call else None
            )
            checks.said_put(place.tenant_id, place.project_id, heard, now)
    wiring.parts().policies.forget(place.tenant_id, place.project_id)
    corrected = not right and call is not None and _corrected(place, call.id)
    # Only similar answers are refused by pair: the very question's own is evicted, and bought anew it may be right.
    another = pair.asked is not None and pair.asked != bytes(entry.fingerprint)
    return Judged(not right and another, corrected)


def judge_call(place: Place, call_id: UUID, *, right: bool, now: datetime) -> Judged | None:
    """A member's verdict on what a hit was served; a wrong answer goes at once. None: it is no hit."""
    call = call_in(place.tenant_id, place.project_id, call_id)
    if call is None or call.decision != "hit" or call.entry_id is None:
        return None
    with as_tenant(place.tenant_id):
        mine = Entry.objects.filter(tenant_id=place.tenant_id, id=call.entry_id, project_id=place.project_id)
        entry = mine.defer("body", "vector").first()
    if entry is None:
        return _gone(place, call_id, right=right)
    said = judge(place, entry, right=right, source="member", call_id=call_id, question=None, now=now)
    if not right:
        catalogue.delete(place, bytes(entry.fingerprint))
    return said


def judge_gone(place: Place, call_id: UUID, *, right: bool) -> Judged | None:
    """Of an answer that is not stored any more: what its hit saved can still be taken back. None: it is no hit."""
    call = call_in(place.tenant_id, place.project_id, call_id)
    return None if call is None or call.decision != "hit" else _gone(place, call_id, right=right)


def _gone(place: Place, call_id: UUID, *, right: bool) -> Judged:
    return Judged(False, not right and _corrected(place, call_id), stored=False)


def _corrected(place: Place, call_id: UUID) -> bool:
    return corrections.put(tenant_id=place.tenant_id, project_id=place.project_id, call_id=call_id)


def _asked_beside(place: Place, entry: Entry, question: str) -> _Pair:
    """The same call, had it asked this question."""
    asked = question_fingerprint(vault.digest_key(place.tenant_id), bytes(entry.scope), question)
    try:
        vector = wiring.parts().embedder.embed(question, EMBED_SECONDS)
    except CacheUnavailable:  # Then the very question is remembered, not its rewordings.
        return _Pair(asked)
    with as_tenant(place.tenant_id):
        mine = Entry.objects.filter(tenant_id=place.tenant_id, id=entry.id, embedder=vector.embedder)
        stored = mine.values_list("vector", flat=True).first()
    if stored is None:
        return _Pair(asked, None, vector)
    similarity = sum(a * b for a, b in zip(array("f", vector), map(float, stored), strict=True))
    return _Pair(asked, similarity, vector)


def _probability(place: Place, entry: Entry, question: str | None, similarity: float | None) -> float:
    """What is foretold of the pair; of a call whose question is not known, the least it was served at."""
    if not question or similarity is None:
        return min(1.0, cut_of(wiring.parts().policies.of(place.tenant_id, place.project_id)))
    kept = entry_under(place.tenant_id, entry.id)
    return shipped().probability(question, kept.question, similarity) if kept and kept.question else 0.0


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
