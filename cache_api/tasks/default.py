"""Queue `default`: upkeep, and work too long for a call. Each task is a hint, and can be lost or come twice."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from cache_api import jobs, maintenance, wiring


@shared_task(name="cache_api.default.expire")  # type: ignore[untyped-decorator]
def expire() -> int:
    return maintenance.expire(timezone.now())


@shared_task(name="cache_api.default.fill_vectors")  # type: ignore[untyped-decorator]
def fill_vectors() -> int:
    return maintenance.fill_vectors(wiring.parts().embedder, timezone.now())


@shared_task(name="cache_api.default.run_job")  # type: ignore[untyped-decorator]
def run_job(tenant_id: str, job_id: str) -> None:
    if jobs.run(UUID(tenant_id), UUID(job_id)):
        run_job.delay(tenant_id, job_id)
    else:
        fill_vectors.delay()


@shared_task(name="cache_api.default.find_jobs")  # type: ignore[untyped-decorator]
def find_jobs() -> int:
    """Those whose hint was lost, or whose worker died."""
    found = jobs.unfinished(timezone.now())
    for tenant_id, job_id in found:
        run_job.delay(str(tenant_id), str(job_id))
    return len(found)
