"""Which entries of a project are nearly the same question as another?

The most used ones are compared with all that may be served in the same Scope, a page of vectors at a time: what it
takes grows with the one and the other, 2,000 of 100,000 are some seconds, and never more than a page is held. Around
each entry stand the nearest to it that stand around none more used: so nobody is in two groups, and a chain of small
steps makes no large one. Work for the default worker.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cache_api.adapters import catalogue
from cache_api.adapters.catalogue import Place, Vectored
from cache_api.models import Job

COMPARED_MAX = 2_000  # the most used: they are what a wrong merge, or none, costs most
LOOKED_AT_MAX = 100_000  # the newest
GROUPS_MAX = 200
MEMBERS_MAX = 20  # around one; more are counted

Progress = Callable[[int, int], None]
Within = tuple[bytes, str]  # a Scope and an embedder: cosines mean something inside both


@dataclass(slots=True)
class Around:
    """What is near an entry: the nearest, by fingerprint, and how many there are in all."""

    entry: Vectored
    near: list[tuple[float, bytes]] = field(default_factory=list)
    count: int = 0

    def add(self, cosines: Sequence[float], fingerprints: Sequence[bytes], count: int) -> None:
        self.near = sorted([*self.near, *zip(cosines, fingerprints, strict=True)], reverse=True)[:MEMBERS_MAX]
        self.count += count


def work(job: Job, reached: Progress) -> Mapping[str, Any]:
    """Fingerprints and cosines; of texts nothing is kept."""
    place = Place(job.tenant_id, job.project_id)
    asked_at, at_least = datetime.fromisoformat(job.settings["asked_at"]), float(job.settings["at_least"])
    most_used = [Around(one) for one in catalogue.most_used(place, now=asked_at, limit=COMPARED_MAX)]
    by_scope: dict[Within, list[Around]] = defaultdict(list)
    for one in most_used:
        by_scope[_within(one.entry)].append(one)
    looked_at = 0
    total = min(catalogue.comparable_count(place, now=asked_at), LOOKED_AT_MAX)
    for page in catalogue.vectors(place, now=asked_at, limit=LOOKED_AT_MAX):
        for within, entries in _by_scope(page):
            if within in by_scope:
                _compare(by_scope[within], entries, at_least)
        looked_at += len(page)
        reached(looked_at, max(total, looked_at))
    return {
        "at_least": at_least,
        "compared": len(most_used),
        "looked_at": looked_at,
        "groups": groups_of(most_used),
    }


def groups_of(most_used: Sequence[Around]) -> list[dict[str, Any]]:
    """The most used first; in each the entry all others are near to comes first."""
    taken: set[bytes] = set()
    groups: list[dict[str, Any]] = []
    for one in most_used:
        free = [(cosine, name) for cosine, name in one.near if name not in taken]
        if one.entry.fingerprint in taken or not free:
            continue
        members = [(1.0, one.entry.fingerprint), *free]
        taken |= {name for _, name in members}
        groups.append(
            {
                "entries": [{"fingerprint": name.hex(), "similarity": round(cosine, 4)} for cosine, name in members],
                "more": max(0, one.count - len(one.near)),
            }
        )
        if len(groups) == GROUPS_MAX:
            break
    return groups


def _compare(probes: Sequence[Around], entries: Sequence[Vectored], at_least: float) -> None:
    import numpy as np  # only the worker that compares pays for it

    def matrix(of: Sequence[Vectored]) -> Any:
        halves = np.frombuffer(b"".join(one.vector for one in of), dtype="<f2").reshape(len(of), -1)
        return halves.astype("<f4")

    cosines = matrix([probe.entry for probe in probes]) @ matrix(entries).T
    place_of = {one.id: place for place, one in enumerate(entries)}
    for probe, row in zip(probes, cosines, strict=True):
        if (itself := place_of.get(probe.entry.id)) is not None:
            row[itself] = -1.0
        (near,) = np.nonzero(row >= at_least)
        if not len(near):
            continue
        nearest = near[np.argsort(-row[near])[:MEMBERS_MAX]]
        probe.add(row[nearest].tolist(), [entries[place].fingerprint for place in nearest.tolist()], len(near))


def _by_scope(page: Sequence[Vectored]) -> Iterator[tuple[Within, list[Vectored]]]:
    found: dict[Within, list[Vectored]] = defaultdict(list)
    for one in page:
        found[_within(one)].append(one)
    yield from found.items()


def _within(one: Vectored) -> Within:
    return one.scope, one.embedder
