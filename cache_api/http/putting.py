"""How are answers put that did not come through us?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cache_api import wiring
from cache_api.adapters import catalogue
from cache_api.adapters.embedding_queue import BACKGROUND_BATCH
from cache_api.dialects.errors import Refused
from cache_api.domain.entry import NewEntry, Vector
from cache_api.given import answer_in, entry_of, refuse_unstorable
from cache_api.http.questions import request_of
from cache_api.http.visits import Visit, unavailable
from cache_api.ports import CacheUnavailable
from tenants.hints import hint_aside

EMBED_SECONDS = 2.0  # for all of a call's entries; what is not embedded then is soon afterwards
HINT_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Stored:
    cache_key: str
    status: str

    def as_dict(self) -> dict[str, Any]:
        return {"cache_key": self.cache_key, "status": self.status, "reason": None}


@dataclass(frozen=True, slots=True)
class Rejected:
    refused: Refused

    def as_dict(self) -> dict[str, Any]:
        return {"cache_key": None, "status": "rejected", "reason": str(self.refused)}


def put(visit: Visit, given: Sequence[Any], *, unparsed: bool) -> list[Stored | Rejected]:
    """Store each that can be stored; the others say why not."""
    built = [_built(visit, fields, unparsed=unparsed) for fields in given]
    entries = [entry for entry in built if isinstance(entry, NewEntry)]
    known = catalogue.known(visit.place, [entry.fingerprint for entry in entries]) if entries else set()
    vectors = vectors_of(entries)
    results: list[Stored | Rejected] = []
    for entry in built:
        if isinstance(entry, Rejected):
            results.append(entry)
            continue
        status = "updated" if entry.fingerprint in known else "created"
        known.add(entry.fingerprint)
        try:
            wiring.parts().store.put(with_vector(entry, vectors.get(entry.question)))
        except CacheUnavailable:
            results.append(Rejected(unavailable()))
        else:
            results.append(Stored(entry.fingerprint.hex(), status))
    return results


def vectors_of(entries: Sequence[NewEntry]) -> dict[str | None, Vector]:
    """The vectors of questions, as many as there is time for; live calls go in between."""
    embedder = wiring.parts().embedder
    questions = list(dict.fromkeys(entry.question for entry in entries if entry.matchable and entry.question))
    vectors: dict[str | None, Vector] = {}
    ends = time.monotonic() + EMBED_SECONDS
    for start in range(0, len(questions), BACKGROUND_BATCH):
        some = questions[start : start + BACKGROUND_BATCH]
        left = ends - time.monotonic()
        try:
            if left <= 0:
                raise CacheUnavailable("deadline")
            vectors.update(zip(some, embedder.embed_many(some, left), strict=True))
        except CacheUnavailable:
            hint_vectors()
            break
    return vectors


def with_vector(entry: NewEntry, vector: Vector | None) -> NewEntry:
    if vector is None or not entry.matchable:
        return entry
    return replace(entry, vector=vector)


def hint_vectors() -> None:
    """Tell the default worker that entries wait for a vector; if it is not told, it looks each minute."""
    global _hinted_at
    now = time.monotonic()
    if now - _hinted_at >= HINT_PAUSE_SECONDS:
        _hinted_at = now
        hint_aside("cache_api.default.fill_vectors")


_hinted_at = float("-inf")


def _built(visit: Visit, fields: Any, *, unparsed: bool) -> NewEntry | Rejected:
    try:
        if not isinstance(fields, dict):
            raise Refused(400, "invalid_request", "an entry must be an object")
        visit.same_project(fields.get("project_id"))
        request, policy = request_of(visit, fields, unparsed=unparsed)
        refuse_unstorable(request, policy)
        answer, usage = answer_in(fields, request)
        return entry_of(request, policy, answer, now=datetime.now(UTC), usage=usage, source="put")
    except Refused as refused:
        if refused.status == 503:
            raise
        return Rejected(refused)
