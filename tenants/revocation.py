"""How is a revoked key forgotten everywhere at once?

By a message in Redis. Losing it costs the five seconds a verified key is kept at most, so nothing here is retried.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import redis
import structlog
from django.conf import settings

CHANNEL = "cacheai:revoked"
PUBLISH_TIMEOUT_SECONDS = 0.5
CONNECT_TIMEOUT_SECONDS = 1
RECONNECT_SECONDS = 1
# A dead line is noticed after this; Redis answers a ping in between.
SILENCE_SECONDS = 15

log = structlog.stdlib.get_logger(__name__)

_thread: threading.Thread | None = None


def publish(key_id: UUID) -> None:
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=PUBLISH_TIMEOUT_SECONDS,
        socket_connect_timeout=PUBLISH_TIMEOUT_SECONDS,
    )
    with client:
        try:
            client.publish(CHANNEL, str(key_id))
        except redis.RedisError as error:
            log.warning("revocation_not_published", key_id=str(key_id), error=type(error).__name__)


def listen(forget: Callable[[UUID], None]) -> None:
    """Call `forget` with each revoked key, from a thread of this process. Starts it once."""
    global _thread
    if _thread is None:
        _thread = threading.Thread(target=_listen_forever, args=(forget,), name="revocations", daemon=True)
        _thread.start()


def _listen_forever(forget: Callable[[UUID], None]) -> None:
    heard = True
    while True:
        try:
            for key_id in _revoked():
                heard = True
                if key_id is not None:
                    forget(key_id)
        except redis.RedisError as error:
            if heard:  # Once an outage, not once a second.
                log.warning("revocations_not_heard", error=type(error).__name__)
            heard = False
        time.sleep(RECONNECT_SECONDS)


def _revoked() -> Iterator[UUID | None]:
    """Keys as they are revoked; None now and then, while the line is good."""
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=SILENCE_SECONDS,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        health_check_interval=SILENCE_SECONDS,
    )
    pubsub: Any = client.pubsub  # Untyped in redis-py.
    with client, pubsub(ignore_subscribe_messages=True) as messages:
        messages.subscribe(CHANNEL)
        yield None
        while True:
            message = messages.get_message(timeout=SILENCE_SECONDS)
            if message is None:
                messages.ping()
                yield None
                continue
            try:
                yield UUID(message["data"].decode())
            except ValueError:  # Not one of ours.
                continue


def _forget_thread() -> None:
    global _thread
    _thread = None


os.register_at_fork(after_in_child=_forget_thread)
