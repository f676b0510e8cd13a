"""How is work handed in that is too long for a call, and how far is it?"""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import orjson
from django.http import HttpResponse

from cache_api import jobs
from cache_api.adapters import catalogue
from cache_api.adapters import jobs as kept
from cache_api.dialects.errors import Refused
from cache_api.http.bodies import pieces
from cache_api.http.questions import controls_in
from cache_api.http.serializers import BacktestSerializer, validated
from cache_api.http.visits import Visit, answer
from tenants.hints import hint_aside

KINDS = frozenset({"import", "purge", "backtest"})  # others are asked for, and looked at, on pages
LINES_OF_JSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


def imported(visit: Visit) -> HttpResponse:
    """Entries, each on a line of its own."""
    controls_in(visit.who.headers, {})  # what no line could be stored with is refused before any is taken
    read = pieces(visit.http, limit_bytes=jobs.BYTES_MAX)
    job_id = jobs.receive(visit.place, visit.access, visit.who.headers, _whole(visit, read), datetime.now(UTC))
    return accepted(visit, job_id)


def backtested(visit: Visit) -> HttpResponse:
    """Past questions: lines of JSON, or those of the project itself."""
    content_type = visit.http.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    now = datetime.now(UTC)
    if content_type in LINES_OF_JSON:
        read = pieces(visit.http, limit_bytes=jobs.BYTES_MAX)
        return accepted(visit, jobs.backtest(visit.place, _whole(visit, read), now))
    values = validated(BacktestSerializer, visit.fields())
    visit.same_project(values.get("project_id"))
    return accepted(visit, jobs.backtest_traffic(visit.place, days=values["days"], now=now))


def shown(visit: Visit, job_id: UUID) -> HttpResponse:
    job = kept.find(visit.place, job_id)
    if job is None or job.kind not in KINDS:
        raise Refused(404, "not_found", "There is no job under this id.", "job_id")
    result = kept.result_of(job)
    is_in = job.kind == "import" and job.status == "done"
    return answer(
        {
            **({} if result is None else {"result": orjson.loads(result)}),
            **({"unindexed": catalogue.unindexed_count(visit.place)} if is_in else {}),
            "job_id": str(job.id),
            "kind": job.kind,
            "status": job.status,
            "total": job.total,
            "done": job.done,
            "rejected": job.rejected,
            "errors": job.errors,
            "created_at": job.created_at,
            "finished_at": job.finished_at,
        }
    )


def accepted(visit: Visit, job_id: UUID) -> HttpResponse:
    """Tell the default worker; if it is not told, it looks for itself."""
    hint_aside("cache_api.default.run_job", str(visit.access.tenant_id), str(job_id))
    return answer({"job_id": str(job_id)}, status=202)


def _whole(visit: Visit, read: Iterator[bytes]) -> Iterator[bytes]:
    """Raises Refused if the caller left half-way."""
    size = 0
    for piece in read:
        size += len(piece)
        yield piece
    declared = visit.http.META.get("CONTENT_LENGTH") or ""
    if declared.isdigit() and size < int(declared):
        raise Refused(400, "invalid_request", "The body ended before its Content-Length.")
