"""Queue `default`: upkeep."""

from celery import shared_task
from django.utils import timezone

from cache_api import maintenance


@shared_task(name="cache_api.default.expire")  # type: ignore[untyped-decorator]
def expire() -> int:
    return maintenance.expire(timezone.now())
