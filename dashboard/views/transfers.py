"""How do entries come into a project and leave it, whatever their number?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase

from cache_api import tending
from cache_api.adapters import jobs as kept
from cache_api.adapters.catalogue import Place
from cache_api.dialects.errors import Refused
from cache_api.http import playground
from cache_api.models import Job
from dashboard.entry_forms import EntryFilters, ImportFile
from dashboard.one_project import one_project
from dashboard.people import Visit, done, page, show
from tenants.refusals import NotFound

SHOWN = 10  # the newest
KINDS: tuple[kept.Kind, ...] = ("import", "export", "purge")
KIND_WORDS: Mapping[str, str] = {"import": "Import", "export": "Export", "purge": "Purge"}
STATUS_WORDS: Mapping[str, str] = {
    "receiving": "being sent",
    "queued": "waiting for a worker",
    "running": "under way",
    "done": "done",
    "failed": "failed",
    "stopped": "stopped",
}


@dataclass(frozen=True, slots=True)
class Transfer:
    """A piece of long work as the page tells of it."""

    job: Job

    @property
    def words(self) -> str:
        return KIND_WORDS[self.job.kind]

    @property
    def status(self) -> str:
        is_stopped = self.job.status == "failed" and any(one["reason"] == "stopped" for one in self.job.errors)
        return "stopped" if is_stopped else self.job.status

    @property
    def said(self) -> str:
        return STATUS_WORDS[self.status]

    @property
    def is_under_way(self) -> bool:
        return self.job.finished_at is None

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Those that were not taken, by number."""
        return [one for one in self.job.errors if one["line"]]

    @property
    def unlisted(self) -> int:
        return int(self.job.rejected) - len(self.lines)

    @property
    def seen(self) -> int:
        return int(self.job.done + self.job.rejected)


@page(may="texts")
@one_project
def transfers(http: HttpRequest, visit: Visit, place: Place) -> HttpResponse:
    filters = EntryFilters(http.GET if any(name in http.GET for name in EntryFilters.base_fields) else None)
    return _shown(http, visit, place, ImportFile(), filters)


@page(may="texts")
@one_project
def progress(http: HttpRequest, visit: Visit, place: Place) -> HttpResponse:
    """The part of the page that tells how far they are, asked again while one is under way."""
    return show(http, visit, "parts/transfers.html", **_transfers(place))


@page(may="purge", methods=("POST",))
@one_project
def take(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    form = ImportFile(http.POST, http.FILES)
    if form.is_valid():
        file: UploadedFile[Any] = form.cleaned_data["file"]
        try:
            access = playground.access_of(visit.tenant, visit.project or visit.projects[0])
            tending.entries_import(
                place,
                access,
                form.headers,
                file.chunks(),
                job_id=form.cleaned_data["once"],
                now=datetime.now(UTC),
                actor=visit.actor,
            )
            return HttpResponseRedirect(visit.href("cache-transfers"))
        except Refused as refused_:
            form.add_error("file", str(refused_))
    return _shown(http, visit, place, form, EntryFilters())


@page(may="export", methods=("POST",))
@one_project
def give(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    form = EntryFilters(http.POST)
    if not form.is_valid():
        return _shown(http, visit, place, ImportFile(), form)
    now = datetime.now(UTC)
    tending.entries_export(place, form.filters(now=now), now=now, actor=visit.actor)
    return HttpResponseRedirect(visit.href("cache-transfers"))


@page(may="export", fresh=True)
@one_project
def file(http: HttpRequest, visit: Visit, place: Place, job_id: UUID) -> StreamingHttpResponse:
    lines = tending.export_opened(place, job_id, actor=visit.actor)
    if lines is None:
        raise Http404
    return StreamingHttpResponse(
        lines,
        content_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="entries.jsonl"'},
    )


@page(may="purge", methods=("POST",), back="cache-transfers")
@one_project
def stop(http: HttpRequest, visit: Visit, place: Place, job_id: UUID) -> HttpResponseBase:
    if not tending.job_stop(place, job_id, now=datetime.now(UTC), actor=visit.actor):
        raise NotFound("It is over already.")
    return done(http, visit, "It is stopped. What was done stays done.", "cache-transfers")


def _shown(
    http: HttpRequest, visit: Visit, place: Place, importing: ImportFile, exporting: EntryFilters
) -> HttpResponse:
    return show(http, visit, "cache_transfers.html", importing=importing, exporting=exporting, **_transfers(place))


def _transfers(place: Place) -> Mapping[str, Any]:
    found = [Transfer(job) for job in kept.recent(place, KINDS, limit=SHOWN)]
    return {"transfers": found, "under_way": any(one.is_under_way for one in found)}
