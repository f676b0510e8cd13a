"""How does a web process get the vector of a question? As a Celery task, shared by all who ask just then.

The answer does not come through Celery's result backend but as one element pushed to a Redis list that the
task names. Per trip this takes a push and a blocking pop; the backend takes a subscription, a look at the
result so far, the message and the unsubscription (measured: 1.6 times the time and 1.8 times the CPU of a
call), its consumer must not be shared by threads, and it keeps an object for each task that never answers.
"""

import base64
import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import redis
from celery import Celery
from kombu.exceptions import KombuError
from redis.backoff import NoBackoff
from redis.retry import Retry

from cache_api.adapters.breaker import Breaker
from cache_api.adapters.gathering import Gatherer, Overdue
from cache_api.ports import CacheUnavailable

logger = logging.getLogger(__name__)

TASK = "cache_api.embed"
QUEUE = "embed"
REPLY_PREFIX = "cacheai:embed:"
REPLY_KEPT_SECONDS = 10  # An answer nobody waits for any more.

BATCH = 32
BACKGROUND_BATCH = 4  # What a live call may find before it: some 15 ms of work on a CPU.
# A hanging Redis is given up after this time. Less would give up a busy machine as well; a dead Redis refuses
# at once, and the caller's own deadline holds whatever happens here.
SEND_SECONDS = 0.1
LISTEN_SECONDS = 0.15  # One blocking pop; a longer wait takes several.
REDIS_TICK_SECONDS = 0.1  # So much later Redis may end a blocking pop: it looks ten times a second.

Seal = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the worker answers to one task."""

    version: str
    backend: str
    vectors: tuple[bytes, ...]
    error: str = ""

    def to_bytes(self) -> bytes:
        """A line of JSON, then the vectors, all of one length."""
        head = [self.version, self.backend, len(self.vectors), self.error]
        return json.dumps(head).encode() + b"\n" + b"".join(self.vectors)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Reply":
        head, _, body = raw.partition(b"\n")
        version, backend, count, error = json.loads(head)
        width = len(body) // count if count else 0
        vectors = tuple(body[start : start + width] for start in range(0, width * count, width or 1))
        return cls(version, backend, vectors, error)


def sealed_texts(texts: Sequence[str], seal: Seal) -> str:
    # The standard library's JSON, as it carries half surrogate pairs both ways.
    return base64.b64encode(seal(json.dumps(list(texts)).encode())).decode()


def unsealed_texts(sealed: str, unseal: Seal) -> list[str]:
    texts: list[str] = json.loads(unseal(base64.b64decode(sealed)))
    return texts


@dataclass(frozen=True, slots=True)
class _Question:
    text: str
    due: float


def _first(client: object, **_: object) -> object:
    return client


class QueueEmbedder:
    """The Embedder port. One thread per process makes the trips; it alone holds the broker's connection."""

    def __init__(
        self,
        app: Celery,
        redis_url: str,
        *,
        seal: Seal,
        breaker: Breaker,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.version = ""  # the model's, as last answered: known when the first vector is
        self.backend = ""
        self._app = app
        self._seal = seal
        self._breaker = breaker
        self._now = now
        self._gatherer: Gatherer[_Question, bytes] = Gatherer(self._trip, max_batch=BATCH, now=now)
        self._producer: object = None
        self._producer_pid = 0
        self._replies = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=SEND_SECONDS,
            socket_timeout=LISTEN_SECONDS + REDIS_TICK_SECONDS + SEND_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def embed(self, text: str, deadline_seconds: float) -> bytes:
        """Unit vector as little-endian float32. Raises CacheUnavailable."""
        return self._embed([text], deadline_seconds)[0]

    def embed_many(self, texts: Sequence[str], deadline_seconds: float) -> list[bytes]:
        """As above, for work in the background: a few at a time, so that live calls get in between."""
        vectors: list[bytes] = []
        for start in range(0, len(texts), BACKGROUND_BATCH):
            vectors += self._embed(texts[start : start + BACKGROUND_BATCH], deadline_seconds)
        return vectors

    def _embed(self, texts: Sequence[str], deadline_seconds: float) -> list[bytes]:
        with self._breaker.watch():
            due = self._now() + deadline_seconds
            try:
                return self._gatherer.submit_all([_Question(text, due) for text in texts], deadline_seconds)
            except Overdue as error:
                raise CacheUnavailable("deadline") from error

    def _trip(self, questions: list[_Question]) -> Sequence[bytes]:
        due = max(question.due for question in questions)
        reply_id = uuid4().hex
        try:
            self._send([question.text for question in questions], reply_id, due)
            raw = self._listen(reply_id, due)
        # RuntimeError: kombu's word for a connection that was closed under it.
        except (redis.RedisError, KombuError, OSError, RuntimeError) as error:
            logger.warning("embed_trip_failed", extra={"error": type(error).__name__})
            self._producer = None
            raise CacheUnavailable from error

        reply = Reply.from_bytes(raw)
        if reply.error or len(reply.vectors) != len(questions):
            raise CacheUnavailable
        self.version, self.backend = reply.version, reply.backend
        return reply.vectors

    def _send(self, texts: list[str], reply_id: str, due: float) -> None:
        if self._producer is None or self._producer_pid != os.getpid():
            connection = self._app.connection_for_write(
                transport_options={
                    "socket_timeout": SEND_SECONDS,
                    "socket_connect_timeout": SEND_SECONDS,
                    "retry_on_timeout": False,
                }
            )
            channel = connection.default_channel
            # The transport makes a client for each message; this thread is alone with the channel and keeps one.
            channel._create_client = partial(_first, channel._create_client())
            self._producer = self._app.amqp.Producer(channel, auto_declare=False)
            self._producer_pid = os.getpid()
        self._app.send_task(
            TASK,
            args=(sealed_texts(texts, self._seal), reply_id),
            queue=QUEUE,
            expires=max(0.0, due - self._now()),
            ignore_result=True,
            retry=False,
            producer=self._producer,
            argsrepr="",  # a picture of the arguments for logs, which there is none of
            kwargsrepr="",
        )

    def _listen(self, reply_id: str, due: float) -> bytes:
        while (left := due - self._now()) > 0:
            wait_ms = math.ceil(min(left, LISTEN_SECONDS) * 1000)  # Never 0, which would mean for ever.
            popped: Any = self._replies.blpop(REPLY_PREFIX + reply_id, wait_ms / 1000)
            if popped:
                raw: bytes = popped[1]
                return raw
        raise CacheUnavailable("deadline")
