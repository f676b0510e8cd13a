"""Queue `default`: upkeep."""

from celery import shared_task
from django.utils import timezone

from cache_api import maintenance, wiring


@shared_task(name="cache_api.default.expire")  # type: ignore[untyped-decorator]
def expire() -> int:
    return maintenance.expire(timezone.now())


@shared_task(name="cache_api.default.fill_vectors")  # type: ignore[untyped-decorator]
def fill_vectors() -> int:
    return maintenance.fill_vectors(wiring.parts().embedder, timezone.now())
