"""What may people do with what a project keeps, and does the audit trail tell of it?

A purge, long work, and a question that is blocked, are written in transactions of their own: the row of the trail
stands beside them, not in them. Of a purge it comes first: a deletion that nobody told of is the worse of the two.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cache_api import jobs, services, wiring
from cache_api.adapters import blocklist, catalogue
from cache_api.adapters import jobs as kept
from cache_api.adapters.blocklist import NewQuestion
from cache_api.adapters.catalogue import Described, Filters, Place
from cache_api.domain.blocklist import Match
from cache_api.domain.entry import Vector
from cache_api.domain.request import Caller
from cache_api.models import Job
from cache_api.ports import CacheUnavailable
from tenants.audit import Actor
from tenants.authentication import Access
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
    _tell(place, actor, "entry.purge", {"matched": matched, **_chosen(filters)})
    if matched > PURGED_AT_ONCE:
        job_hint(place, jobs.purge_later(place, filters, total=matched, now=now))
        return matched, False
    return catalogue.purge(place, filters, now=now)[0], True


def entries_delete(place: Place, fingerprints: Iterable[bytes], *, actor: Actor) -> int:
    """How many of them are gone now that were there."""
    return sum(catalogue.delete(place, one, actor=actor) for one in fingerprints)


def entries_import(
    place: Place,
    access: Access,
    headers: Mapping[str, str],
    pieces: Iterable[bytes],
    *,
    job_id: UUID,
    now: datetime,
    actor: Actor,
) -> UUID:
    """Lines of JSON; what is sent twice under one id is imported once. Raises Refused."""
    try:
        jobs.receive(replace(place, key_id=access.key_id), access, headers, pieces, now, job_id=job_id)
    except kept.Known:
        return job_id
    _tell(place, actor, "entry.import", {"job": str(job_id), **headers})
    job_hint(place, job_id)
    return job_id


def entries_export(place: Place, filters: Filters, *, now: datetime, actor: Actor) -> UUID:
    """As lines that an import takes, written by a worker; the one that is under way, if there is one."""
    matched = catalogue.matching(place, filters, now=now)
    job_id = jobs.export_later(place, filters, total=matched, now=now)
    _tell(place, actor, "entry.export", {"job": str(job_id), "matched": matched, **_chosen(filters)})
    job_hint(place, job_id)
    return job_id


def export_opened(place: Place, job_id: UUID, *, actor: Actor) -> Iterator[bytes] | None:
    """The lines that were written, for whoever may have them; None if there are none."""
    job: Job | None = kept.find(place, job_id)
    if job is None or (job.kind, job.status) != ("export", "done"):
        return None
    _tell(place, actor, "entry.export_opened", {"job": str(job_id)})
    return kept.pieces(job)


def job_stop(place: Place, job_id: UUID, *, now: datetime, actor: Actor) -> bool:
    """What was done stays done. False if it is over."""
    stopped = kept.stop(place, job_id, now)
    if stopped:
        _tell(place, actor, "job.stop", {"job": str(job_id)})
    return stopped


def job_hint(place: Place, job_id: UUID) -> None:
    """Tell the default worker; if it is not told, it looks for itself."""
    hint_aside("cache_api.default.run_job", str(place.tenant_id), str(job_id))


def question_block(place: Place, question: NewQuestion, *, actor: Actor) -> bool:
    """False if one like it is on the list already. Raises blocklist.Full."""
    parts = wiring.parts()
    vector: Vector | None = None
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


def question_met(place: Place, query: str) -> Match | None:
    """What of the list a call that asks this would meet; nothing is counted. Raises CacheUnavailable."""
    parts = wiring.parts()
    vector = parts.embedder.embed(query, EMBED_SECONDS)  # nobody is told "none" who cannot be told for sure
    return parts.blocklist.match(Caller(place.tenant_id, place.project_id, place.project_id), [query], vector)


def question_unblock(place: Place, number: int, *, actor: Actor) -> bool:
    """False if it is not on the list."""
    removed = blocklist.remove(place, number, actor=actor)
    wiring.parts().policies.forget(place.tenant_id, place.project_id)
    return removed


def policy_set(place: Place, changes: Mapping[str, Any], *, actor: Actor) -> None:
    """Known to this process at once. Raises BadPolicy."""
    services.policy_change(tenant_id=place.tenant_id, project_id=place.project_id, changes=changes, actor=actor)
    wiring.parts().policies.forget(place.tenant_id, place.project_id)


def _chosen(filters: Filters) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(filters).items() if value is not None}


def _tell(place: Place, actor: Actor, action: str, diff: Mapping[str, Any]) -> None:
    with catalogue.reading(place):
        catalogue.tell(place, actor, action, target=str(place.project_id), diff=diff)
