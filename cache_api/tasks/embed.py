"""Queue `embed`: texts to vectors."""

from contextlib import suppress
from functools import cache
from typing import Any

import redis
from celery import shared_task
from celery.signals import celeryd_after_setup
from django.conf import settings

from cache_api.adapters.embedding_model import EmbeddingFailed
from cache_api.adapters.embedding_queue import QUEUE, TASK, unsealed_texts
from cache_api.adapters.embedding_worker import REDIS_SECONDS, EmbeddingWorker, ModelSettings
from cache_api.adapters.shared_clock import SharedClock
from tenants import vault


@shared_task(name=TASK, acks_late=False, reject_on_worker_lost=False, ignore_result=True)  # type: ignore[untyped-decorator]
def embed(sealed: str, reply_id: str, due: float) -> None:
    seconds_left = due - _clock().earliest()
    if seconds_left > 0:  # else nobody listens any more
        _worker().answer(unsealed_texts(sealed, vault.transport_unseal), reply_id, seconds_left=seconds_left)


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


@cache
def _clock() -> SharedClock:
    return SharedClock(redis.Redis.from_url(settings.REDIS_URL, socket_timeout=REDIS_SECONDS).time)
