"""How does a web process get the vector of a question? As a Celery task, shared by all who ask just then.

The answer does not come through Celery's result backend but as one element pushed to a Redis list that the
task names. Per trip this takes a push and a blocking pop; the backend takes a subscription, a look at the
result so far, the message and the unsubscription (measured: 1.6 times the time and 1.8 times the CPU of a
call), its consumer must not be shared by threads, and it keeps an object for each task that never answers.
"""

import base64
import json
import logging
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
from cache_api.adapters.shared_clock import SharedClock
from cache_api.domain.entry import Vector
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
    """The Embedder port. One trip at a time in a process, over one connection to the broker and one for replies."""

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
        self._gatherer: Gatherer[_Question, Vector] = Gatherer(self._trip, max_batch=BATCH, now=now)
        self._producer: Any = None
        self._pid = 0
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=SEND_SECONDS,
            socket_timeout=SEND_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._replies: Any = None

    def embed(self, text: str, deadline_seconds: float) -> Vector:
        """Raises CacheUnavailable."""
        return self._embed([text], deadline_seconds)[0]

    def embed_many(self, texts: Sequence[str], deadline_seconds: float) -> list[Vector]:
        """As above, for work in the background: a few at a time, so that live calls get in between."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), BACKGROUND_BATCH):
            vectors += self._embed(texts[start : start + BACKGROUND_BATCH], deadline_seconds)
        return vectors

    def _embed(self, texts: Sequence[str], deadline_seconds: float) -> list[Vector]:
        with self._breaker.watch():
            due = self._now() + deadline_seconds
            try:
                return self._gatherer.submit_all([_Question(text, due) for text in texts], deadline_seconds)
            except Overdue as error:
                raise CacheUnavailable("deadline") from error

    def _trip(self, questions: list[_Question]) -> Sequence[Vector]:
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
        return [Vector(vector, embedder=reply.version) for vector in reply.vectors]

    def _send(self, texts: list[str], reply_id: str, due: float) -> None:
        if self._producer is None or self._pid != os.getpid():
            connection = self._app.connection_for_write(
                transport_options={
                    "socket_timeout": SEND_SECONDS,
                    "socket_connect_timeout": SEND_SECONDS,
                    "retry_on_timeout": False,
                    "max_retries": 0,  # A caller waits here, and goes on without a vector: the next one tries again.
                }
            )
            channel = connection.default_channel
            # The transport makes a client for each message; trips are alone with the channel and keep one.
            channel._create_client = partial(_first, channel._create_client())
            self._producer = self._app.amqp.Producer(channel, auto_declare=False)
            self._replies = self._redis.connection_pool.make_connection()
            self._clock = SharedClock(self._redis.time, now=self._now)
            self._pid = os.getpid()
        # What send_task does beside this, signals and routing that nobody asked for, takes longer than all of this.
        message = self._app.amqp.create_task_message(
            uuid4().hex,
            TASK,
            # By the shared clock: `expires` would be of this machine's, and a worker elsewhere may have another.
            (sealed_texts(texts, self._seal), reply_id, self._clock.latest() + due - self._now()),
            {},
            ignore_result=True,
            argsrepr="",  # a picture of the arguments for logs, which there is none of
            kwargsrepr="",
        )
        self._producer.publish(
            message.body,
            headers=message.headers,
            exchange="",
            routing_key=QUEUE,
            serializer="json",
            retry=False,
            **message.properties,
        )

    def _listen(self, reply_id: str, due: float) -> bytes:
        if (left := due - self._now()) <= 0:
            raise CacheUnavailable("deadline")

        replies = self._replies
        # Redis ends a blocking pop when it next looks, up to a tenth of a second late: nobody waits for that.
        replies.send_command("BLPOP", REPLY_PREFIX + reply_id, max(left, 0.001))
        if not replies.can_read(left):
            replies.disconnect()  # What comes now would be taken for the next trip's answer.
            raise CacheUnavailable("deadline")
        popped: Any = replies.read_response()
        if not popped:
            raise CacheUnavailable("deadline")
        raw: bytes = popped[1]
        return raw
