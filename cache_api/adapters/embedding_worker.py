"""How does the embed worker answer a task? The other end of `embedding_queue`."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import redis

from cache_api.adapters import embedding_model
from cache_api.adapters.embedding_model import DEFAULT_MODEL, EmbeddingFailed, EmbeddingModel
from cache_api.adapters.embedding_queue import REPLY_KEPT_SECONDS, REPLY_PREFIX, Reply
from cache_api.adapters.gathering import Gatherer, Overdue
from cache_api.adapters.shared_clock import SharedClock

logger = logging.getLogger(__name__)

RELOAD_SECONDS = 30.0  # Between two tries while the model cannot be loaded.
REDIS_SECONDS = 5.0  # A worker may wait for Redis: its callers do not wait for it.


@dataclass(frozen=True, slots=True)
class ModelSettings:
    model: str
    folder: Path
    threads: int


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: EmbeddingModel
    gatherer: Gatherer[list[str], list[bytes]]


class EmbeddingWorker:
    """Holds the model. The worker's threads hand their tasks in, one thread embeds."""

    def __init__(self, settings: ModelSettings, redis_url: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._failed_at = float("-inf")
        self._replies = redis.Redis.from_url(redis_url, socket_timeout=REDIS_SECONDS)
        self._clock = SharedClock(self._replies.time, now=now)

    def load(self) -> _Loaded:
        """Raises EmbeddingFailed, and for some time again without another try."""
        with self._lock:
            if self._loaded is not None:
                return self._loaded
            if self._now() - self._failed_at < RELOAD_SECONDS:
                raise EmbeddingFailed("The model could not be loaded a moment ago")

            wanted, started = self._settings, self._now()
            logger.info("embedding_model_load", extra={"model": wanted.model or DEFAULT_MODEL})
            try:
                model = embedding_model.load(wanted.model, folder=wanted.folder, threads=wanted.threads)
            except EmbeddingFailed as error:
                self._failed_at = self._now()
                logger.exception("embedding_model_missing", extra={"error": str(error)})
                raise
            taken_ms = round((self._now() - started) * 1000)
            logger.info(
                "embedding_model_ready",
                extra={"version": model.version, "backend": model.backend, "ms": taken_ms},
            )
            self._loaded = _Loaded(
                model, Gatherer(partial(_embed_tasks, model), max_batch=model.max_batch, now=self._now)
            )
            return self._loaded

    def answer(self, texts: list[str], reply_id: str, *, due: float) -> None:
        """Embed, and push the reply to the list that the caller listens to until it is due, by the shared clock."""
        seconds_left = due - self._clock.earliest()
        if seconds_left <= 0:
            return  # Nobody listens any more.
        try:
            reply = self._reply(texts, seconds_left)
        except Overdue:
            return

        key = REPLY_PREFIX + reply_id
        with self._replies.pipeline(transaction=False) as pipe:
            pipe.rpush(key, reply.to_bytes())
            pipe.expire(key, REPLY_KEPT_SECONDS)
            pipe.execute()

    def _reply(self, texts: list[str], seconds_left: float) -> Reply:
        try:
            loaded = self.load()
            vectors = loaded.gatherer.submit(texts, seconds_left)
        except EmbeddingFailed as error:
            return Reply("", "", (), error=type(error).__name__)
        return Reply(loaded.model.version, loaded.model.backend, tuple(vectors))


def _embed_tasks(model: EmbeddingModel, tasks: list[list[str]]) -> Sequence[list[bytes]]:
    vectors = iter(model.embed([text for texts in tasks for text in texts]))
    return [list(islice(vectors, len(texts))) for texts in tasks]
