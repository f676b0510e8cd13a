"""Queue `embed`: texts to vectors."""

from contextlib import suppress
from functools import cache
from typing import Any

from celery import shared_task
from celery.signals import celeryd_after_setup
from django.conf import settings

from cache_api.adapters.embedding_model import EmbeddingFailed
from cache_api.adapters.embedding_queue import QUEUE, TASK, unsealed_texts
from cache_api.adapters.embedding_worker import EmbeddingWorker, ModelSettings
from tenants import vault


@shared_task(name=TASK, acks_late=False, reject_on_worker_lost=False, ignore_result=True)  # type: ignore[untyped-decorator]
def embed(sealed: str, reply_id: str, due: float) -> None:
    _worker().answer(unsealed_texts(sealed, vault.transport_unseal), reply_id, due=due)


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
