"""Which stored questions are nearly the same, do their answers agree, and which may go?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from cache_api import jobs, tending
from cache_api.adapters import catalogue
from cache_api.adapters import jobs as kept
from cache_api.adapters.catalogue import Described, Place
from cache_api.described import described
from cache_api.domain.guard import mismatch
from cache_api.http.entries import is_fingerprint
from cache_api.models import Job
from dashboard.entry_forms import DuplicateSearch
from dashboard.explanations import refusal_words
from dashboard.one_project import one_project
from dashboard.people import Visit, done, page, show
from tenants.refusals import BadValue

PAGE_GROUPS = 10


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of a group, beside the one all others are near to."""

    fingerprint: str
    entry: Mapping[str, Any]
    saved: Any
    similarity: float
    says_the_same: bool
    difference: str  # what tells the questions apart, in words; empty: no guard sees any


@dataclass(frozen=True, slots=True)
class Group:
    first: Member
    others: Sequence[Member]
    more: int

    @property
    def members(self) -> Sequence[Member]:
        return [self.first, *self.others]

    @property
    def state(self) -> Literal["same", "conflict", "apart"]:
        """Of those that no guard tells apart: may one stand for all, or do they contradict each other?"""
        alike = [one for one in self.others if not one.difference]
        if not alike:
            return "apart"
        return "same" if all(one.says_the_same for one in alike) else "conflict"


@page(may="texts")
@one_project
def duplicates(http: HttpRequest, visit: Visit, place: Place) -> HttpResponse:
    running, last = kept.under_way(place, "duplicates"), kept.latest(place, "duplicates")
    found = _result(last)
    shown = Paginator(found["groups"], PAGE_GROUPS).get_page(http.GET.get("page"))
    return show(
        http,
        visit,
        "cache_duplicates.html",
        form=DuplicateSearch(initial={"at_least": str(found["at_least"])} if last else None),
        running=running,
        running_href=visit.href("cache-duplicates-progress", running.id) if running else "",
        last=last,
        found=found,
        shown=shown,
        groups=_groups(place, list(shown)),
    )


@page(may="texts", methods=("POST",), back="cache-duplicates")
@one_project
def seek(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    form = DuplicateSearch(http.POST)
    if not form.is_valid():
        raise BadValue("Choose how similar they have to be.")
    job_id = jobs.duplicates_later(place, at_least=form.cleaned_data["at_least"], now=datetime.now(UTC))
    tending.job_hint(place, job_id)
    return HttpResponseRedirect(visit.href("cache-duplicates"))


@page(may="texts")
@one_project
def progress(http: HttpRequest, visit: Visit, place: Place, job_id: UUID) -> HttpResponse:
    """How far a search is; when it has ended the page is loaded anew, with what was found."""
    job = kept.find(place, job_id)
    if job is None or job.kind != "duplicates":
        raise Http404
    if job.finished_at is not None:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return show(
        http,
        visit,
        "parts/progress.html",
        job=job,
        words="Comparing questions",
        href=visit.href("cache-duplicates-progress", job.id),
    )


@page(may="purge", methods=("POST",), back="cache-duplicates")
@one_project
def delete(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    """Those that were chosen, of a group."""
    chosen = {bytes.fromhex(one) for one in http.POST.getlist("entry") if is_fingerprint(one)}
    if not chosen:
        raise BadValue("Choose which entries are to go.")
    gone = tending.entries_delete(place, chosen, actor=visit.actor)
    said = "1 entry is gone." if gone == 1 else f"{gone} entries are gone."
    return done(http, visit, said, "cache-duplicates")


def _result(job: Job | None) -> Mapping[str, Any]:
    written = None if job is None else kept.result_of(job)
    nothing: Mapping[str, Any] = {"groups": [], "at_least": None, "compared": 0, "looked_at": 0}
    return nothing if written is None else orjson.loads(written)


def _groups(place: Place, told: Sequence[Mapping[str, Any]]) -> list[Group]:
    """With what is still there of each."""
    names = [bytes.fromhex(one["fingerprint"]) for group in told for one in group["entries"]]
    there = catalogue.some(place, names)
    groups = []
    for group in told:
        members = [
            (found, one["similarity"])
            for one in group["entries"]
            if (found := there.get(bytes.fromhex(one["fingerprint"]))) is not None
        ]
        if len(members) < 2:
            continue
        first, *others = _members(members)
        groups.append(Group(first, others, group["more"]))
    return groups


def _members(found: Sequence[tuple[Described, float]]) -> list[Member]:
    now = datetime.now(UTC)
    told = [described(one, now, with_answer=True) for one, _ in found]
    asked, answered = told[0]["question"] or "", told[0]["answer"]
    members = []
    for (one, similarity), entry in zip(found, told, strict=True):
        guard = mismatch(asked, entry["question"] or "")
        members.append(
            Member(
                fingerprint=bytes(one.entry.fingerprint).hex(),
                entry=entry,
                saved=one.entry.saved_usd,
                similarity=similarity,
                says_the_same=_said(entry["answer"]) == _said(answered),
                difference="" if guard is None else refusal_words(f"guard:{guard}"),
            )
        )
    return members


def _said(answer: Any) -> Any:
    """Without what a reader does not see."""
    return " ".join(answer.split()) if isinstance(answer, str) else answer
