"""Why was a past call decided as it was, and what would become of it now?

The ledger has no text: what was asked is known where its answer was stored. Its candidates are those of now.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cache_api import wiring
from cache_api.adapters.catalogue import Place
from cache_api.adapters.store import Kept, entry_under
from cache_api.calls import call_in
from cache_api.domain.decision import Judgement, judge
from cache_api.domain.entry import Vector
from cache_api.domain.policy import Policy
from cache_api.domain.request import Caller, Controls, Parsed, Request, Target
from cache_api.models import Call, Entry
from tenants.isolation import as_tenant


@dataclass(frozen=True, slots=True)
class Explained:
    call: Call
    cache_key: str | None  # of the entry it was served from, or that it bought
    question: str | None  # what was asked; None: not known any more
    policy: Policy
    judged: list[Judgement]  # nearest first
    kept: Kept | None = None  # that entry, as it lies there now


def explain(place: Place, call_id: UUID, *, limit: int, now: datetime) -> Explained | None:
    """None: there is no such call. Raises DatabaseUnavailable or CacheUnavailable."""
    call = call_in(place.tenant_id, place.project_id, call_id)
    if call is None:
        return None
    entry_id = call.entry_id
    with as_tenant(place.tenant_id):
        mine = Entry.objects.filter(tenant_id=place.tenant_id, id__in=[] if entry_id is None else [entry_id])
        entry = mine.values("fingerprint", "vector", "embedder").first()
    policy = wiring.parts().policies.of(place.tenant_id, place.project_id)
    kept = entry_under(place.tenant_id, entry_id) if entry and entry_id else None
    if entry is None or kept is None:
        return Explained(call, None, None, policy, [])

    cache_key = bytes(entry["fingerprint"]).hex()
    if call.decision == "hit" and call.layer == "semantic":
        return Explained(call, cache_key, None, policy, [], kept)
    if entry["vector"] is None or kept.question is None:
        return Explained(call, cache_key, kept.question, policy, [], kept)
    request = _request(place, bytes(entry["fingerprint"]), kept)
    vector = Vector.of(entry["vector"], embedder=entry["embedder"])
    found = wiring.parts().store.search(request, vector, limit=limit + 1, checked=policy.checked)
    others = [candidate for candidate in found if candidate.entry.id != entry_id]
    return Explained(call, cache_key, kept.question, policy, judge(request, others[:limit], policy, now), kept)


def _request(place: Place, fingerprint: bytes, kept: Kept) -> Request:
    """As far as a candidate is judged by it."""
    return Request(
        caller=Caller(place.tenant_id, place.project_id, place.key_id or place.project_id),
        endpoint=kept.endpoint,
        target=Target("", "", ""),
        controls=Controls(),
        parsed=Parsed(model="", body={}, context=None, question=kept.question),
        fingerprint=fingerprint,
        scope=kept.scope,
    )
