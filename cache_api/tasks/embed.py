"""Queue `embed`: texts to vectors."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

from celery import Task, shared_task
from celery.signals import celeryd_after_setup
from django.conf import settings

from cache_api.adapters.embedding_model import EmbeddingFailed
from cache_api.adapters.embedding_queue import QUEUE, TASK, unsealed_texts
from cache_api.adapters.embedding_worker import EmbeddingWorker, ModelSettings
from tenants import vault

PATIENT_SECONDS = 60.0  # For a task without `expires`, which none of ours is.


@shared_task(name=TASK, bind=True, acks_late=False, reject_on_worker_lost=False, ignore_result=True)  # type: ignore[untyped-decorator]
def embed(self: Task, sealed: str, reply_id: str) -> None:
    _worker().answer(
        unsealed_texts(sealed, vault.transport_unseal), reply_id, seconds_left=_seconds_left(self.request.expires)
    )


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def load_model(instance: Any, **_: object) -> None:
    """Before the first task is taken, in the worker of this queue alone. A failed load is tried again."""
    if QUEUE in instance.app.amqp.queues.consume_from:
        with suppress(EmbeddingFailed):
            _worker().load()


@cache
def _worker() -> EmbeddingWorker:
    wanted = ModelSettings(settings.EMBEDDING_MODEL, settings.MODELS, settings.EMBEDDING_THREADS)
    return EmbeddingWorker(wanted, settings.REDIS_URL)


def _seconds_left(expires: str | datetime | None) -> float:
    if expires is None:
        return PATIENT_SECONDS
    if isinstance(expires, str):
        expires = datetime.fromisoformat(expires)
    return (expires - datetime.now(UTC)).total_seconds()
