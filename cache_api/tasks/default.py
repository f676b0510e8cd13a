"""Queue `default`: upkeep, and work too long for a call. Each task is a hint, and can be lost or come twice."""

from functools import partial
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from cache_api import calibrating, exports, jobs, maintenance, sealed, verification, webhook_sending, wiring
from cache_api.adapters.used import patient_redis
from tenants import erasure, webhooks


@shared_task(name="cache_api.default.expire")  # type: ignore[untyped-decorator]
def expire() -> int:
    return maintenance.expire(timezone.now()) + webhooks.remove_old(timezone.now())


@shared_task(name="cache_api.default.hold_to_limits")  # type: ignore[untyped-decorator]
def hold_to_limits() -> int:
    with patient_redis() as redis:
        return maintenance.hold_to_limits(redis, timezone.now())


@shared_task(name=webhooks.TASK)  # type: ignore[untyped-decorator]
def send_webhooks() -> int:
    return webhook_sending.send_due(wiring.parts().upstream, timezone.now)


@shared_task(name="cache_api.default.fill_vectors")  # type: ignore[untyped-decorator]
def fill_vectors() -> int:
    return maintenance.fill_vectors(wiring.parts().embedder, timezone.now(), others_wait=jobs.some_wait)


@shared_task(name="cache_api.default.run_job")  # type: ignore[untyped-decorator]
def run_job(tenant_id: str, job_id: str) -> None:
    if not jobs.run(UUID(tenant_id), UUID(job_id), call_next=partial(run_job.delay, tenant_id, job_id)):
        fill_vectors.delay()


@shared_task(name="cache_api.default.find_jobs")  # type: ignore[untyped-decorator]
def find_jobs() -> int:
    """Those whose hint was lost, or whose worker died."""
    found = jobs.unfinished(timezone.now())
    for tenant_id, job_id in found:
        run_job.delay(str(tenant_id), str(job_id))
    return len(found)


@shared_task(name="cache_api.default.erase_tenants")  # type: ignore[untyped-decorator]
def erase_tenants() -> int:
    return erasure.run_due(timezone.now())


@shared_task(name="cache_api.default.run_export")  # type: ignore[untyped-decorator]
def run_export(tenant_id: str, export_id: str) -> None:
    if exports.run(UUID(tenant_id), UUID(export_id)):
        run_export.delay(tenant_id, export_id)


@shared_task(name="cache_api.default.find_exports")  # type: ignore[untyped-decorator]
def find_exports() -> int:
    """Those whose hint was lost, or whose worker died; what is over goes."""
    found = exports.unfinished(timezone.now())
    for tenant_id, export_id in found:
        run_export.delay(str(tenant_id), str(export_id))
    return len(found)


@shared_task(name="cache_api.default.renew_keys")  # type: ignore[untyped-decorator]
def renew_keys() -> int:
    """A new text key a year, and what older ones sealed comes under it little by little."""
    sealed.rotate_old_keys(timezone.now())
    return sealed.reseal(timezone.now())


@shared_task(name="cache_api.default.verify")  # type: ignore[untyped-decorator]
def verify() -> int:
    return verification.verify(timezone.now())


@shared_task(name="cache_api.default.recalibrate")  # type: ignore[untyped-decorator]
def recalibrate() -> int:
    return calibrating.recalibrate(timezone.now())
