"""How often was it tried, by all processes together?

Django's cache in Redis, for the limits on signing in. Without Redis each process counts for itself: whoever guesses
passwords then has as many tries more as there are processes, and people still come in.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis import RedisError

T = TypeVar("T")

TIMEOUT_SECONDS = 0.5
PREFIX = "cacheai:people"

log = structlog.stdlib.get_logger(__name__)


class Json:
    """Not pickle: who can write to Redis must not run code here."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class SharedCache(RedisCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
        super().__init__(
            settings.REDIS_URL, {**params, "KEY_PREFIX": PREFIX, "OPTIONS": {"serializer": Json, **timeouts}}
        )
        self._alone = LocMemCache(PREFIX, params)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._try(super().add, self._alone.add, key, value, timeout, version)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._try(super().get, self._alone.get, key, default, version)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._try(super().set, self._alone.set, key, value, timeout, version)

    def delete(self, key: str, version: int | None = None) -> bool:
        return self._try(super().delete, self._alone.delete, key, version)

    def clear(self) -> None:
        """Redis would lose the queues with it."""
        raise NotImplementedError

    def _try(self, shared: Callable[..., T], alone: Callable[..., T], *arguments: Any) -> T:
        try:
            return shared(*arguments)
        except RedisError as error:
            log.warning("counting_alone", error=type(error).__name__)
            return alone(*arguments)
