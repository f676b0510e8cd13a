"""What may people do with what a project keeps, and does the audit trail tell of it?

A purge, and a question that is blocked, are written in transactions of their own: the row of the trail stands beside
them, not in them. Of a purge it comes first: a deletion that nobody told of would be the worse of the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cache_api import jobs, services, wiring
from cache_api.adapters import blocklist, catalogue
from cache_api.adapters.blocklist import NewQuestion
from cache_api.adapters.catalogue import Described, Filters, Place
from cache_api.ports import CacheUnavailable
from tenants.audit import Actor
from tenants.hints import hint_aside

PURGED_AT_ONCE = 10_000  # in a second or two; more is a job
EMBED_SECONDS = 2.0  # a person waits


def entry_change(
    place: Place, one: Described, *, tags: Sequence[str], lives: timedelta | None, now: datetime, actor: Actor
) -> bool:
    """Its tags, and how much longer it lives; None: as long as before. False if it is gone."""
    columns = {}
    if lives is not None:
        longest = services.policy_of(tenant_id=place.tenant_id, project_id=place.project_id).ttl_seconds
        columns["expires_at"] = now + min(lives, timedelta(seconds=longest) if longest else lives)
    return catalogue.change(place, one, text=None, tags=tags, actor=actor, **columns)


def entries_purge(place: Place, filters: Filters, *, now: datetime, actor: Actor) -> tuple[int, bool]:
    """How many go, of those that were there at `now`, and whether they are gone already."""
    matched = catalogue.matching(place, filters, now=now)
    chosen = {name: str(value) for name, value in asdict(filters).items() if value is not None}
    with catalogue.reading(place):
        diff = {"matched": matched, **chosen}
        catalogue.tell(place, actor, "entry.purge", target=str(place.project_id), diff=diff)
    if matched > PURGED_AT_ONCE:
        job_hint(place, jobs.purge_later(place, filters, total=matched, now=now))
        return matched, False
    return catalogue.purge(place, filters, now=now)[0], True


def job_hint(place: Place, job_id: UUID) -> None:
    """Tell the default worker; if it is not told, it looks for itself."""
    hint_aside("cache_api.default.run_job", str(place.tenant_id), str(job_id))


def question_block(place: Place, question: NewQuestion, *, actor: Actor) -> bool:
    """False if one like it is on the list already. Raises blocklist.Full."""
    parts = wiring.parts()
    vector: bytes | None = None
    try:
        vector = parts.embedder.embed(question.query, EMBED_SECONDS)
    except CacheUnavailable:  # its very text is blocked at once, what is near as soon as it has a vector
        hint_aside("cache_api.default.fill_vectors")
    number, created = parts.blocklist.add(place, question, vector)
    if created:
        with catalogue.reading(place):
            catalogue.tell(place, actor, "blocklist.add", target=str(number), diff={"category": question.category})
    parts.policies.forget(place.tenant_id, place.project_id)
    return created


def question_unblock(place: Place, number: int, *, actor: Actor) -> bool:
    """False if it is not on the list."""
    removed = blocklist.remove(place, number, actor=actor)
    wiring.parts().policies.forget(place.tenant_id, place.project_id)
    return removed


def policy_set(place: Place, changes: Mapping[str, Any], *, actor: Actor) -> None:
    """Known to this process at once. Raises BadPolicy."""
    services.policy_change(tenant_id=place.tenant_id, project_id=place.project_id, changes=changes, actor=actor)
    wiring.parts().policies.forget(place.tenant_id, place.project_id)
