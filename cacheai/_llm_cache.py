"""What if a program keeps answers under keys of its own?

Then the key alone decides: nothing is compared by meaning. A cache out of reach costs its time limit, no answer.
"""

import inspect
import logging
import warnings
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Final, TypeVar, cast, get_type_hints

from ._asking import given
from ._call_key import Unserialisable, key_of
from ._client import AsyncClient, Client
from ._errors import CacheAIError, ConfigurationError, NotFoundError, ValidationError
from ._typed_json import (
    Stored,
    answer_of,
    is_async_stream,
    is_plain,
    is_stored_stream,
    is_stream,
    recorded,
    recorded_async,
    stored,
    stored_stream,
    stream_name,
    streamed,
)
from ._types import Entry, PurgeAnswer, Stats

log = logging.getLogger("cacheai")

# The program waits for it before it asks a model: longer than any healthy answer, and no second try.
WAIT_SECONDS: Final = 3.0

PAGE_ENTRIES: Final = 200
TAG_MAX: Final = 64

T = TypeVar("T")


class Nothing(Enum):
    MISS = "miss"
    OUT_OF_REACH = "out of reach"  # Then nothing is stored either: that would cost another wait.


@dataclass(frozen=True)
class Found:
    answer: Any


MISS: Final = Nothing.MISS
OUT_OF_REACH: Final = Nothing.OUT_OF_REACH


class LLMCache:
    """Answers under keys of your own, shared by all who use the same CacheAI project.

    With an `AsyncClient` only `get_or_set_async` can be called; with a `Client` everything.
    """

    def __init__(
        self,
        client: Client | AsyncClient | None = None,
        *,
        default_ttl_days: float | None = None,
        backend: str | None = None,
        database_url: str | None = None,
        database_path: str | None = None,
        enable_compression: bool | None = None,
        enable_encryption: bool | None = None,
        encryption_key: str | None = None,
        pricing_table: object = None,
    ) -> None:
        """What is given after `default_ttl_days` has no effect here: CacheAI itself compresses, seals and prices."""
        if client is not None and not isinstance(client, Client | AsyncClient):
            raise ConfigurationError("client must be a cacheai Client or AsyncClient")
        ignored = {
            "backend": backend,
            "database_url": database_url,
            "database_path": database_path,
            "enable_compression": enable_compression,
            "enable_encryption": enable_encryption,
            "encryption_key": encryption_key,
            "pricing_table": pricing_table,
        }
        if without_effect := [name for name, value in ignored.items() if value is not None]:
            warnings.warn(f"CacheAI ignores {', '.join(without_effect)}", stacklevel=2)

        self.client = client if client is not None else Client()
        self._quick = self.client.with_options(timeout=WAIT_SECONDS, max_retries=0)
        self._default_ttl_days = default_ttl_days
        self._warned: set[str] = set()

    def get_or_set(
        self,
        key: str,
        fetch_func: Callable[[], T],
        provider: str,
        model: str | None,
        endpoint: str,
        request_data: Mapping[str, Any] | None = None,
        ttl_days: float | None = None,
        stream: bool = False,
    ) -> T:
        """The answer under the key, else what `fetch_func` gives, which is stored."""
        kept = Kept(provider, model, endpoint, request_data, self.ttl_seconds(ttl_days))
        return self.answer(key, fetch_func, kept, annotation=returned(fetch_func), stream=stream)

    async def get_or_set_async(
        self,
        key: str,
        fetch_func: Callable[[], Awaitable[T]],
        provider: str,
        model: str | None,
        endpoint: str,
        request_data: Mapping[str, Any] | None = None,
        ttl_days: float | None = None,
        stream: bool = False,
    ) -> T:
        """The answer under the key, else what `fetch_func` gives, which is stored."""
        kept = Kept(provider, model, endpoint, request_data, self.ttl_seconds(ttl_days))
        return await self.answer_async(key, fetch_func, kept, annotation=returned(fetch_func), stream=stream)

    def get(self, key: str) -> Entry | None:
        """What is under the key, its answer as `answer` and as `response_data`; None if nothing is."""
        try:
            entry = self._sync().cache.get(key_of(key))
            return _shown(entry) if _is_live(entry) else None
        except (NotFoundError, Unserialisable):
            return None

    def set(
        self,
        key: str,
        provider: str,
        model: str | None,
        endpoint: str,
        request_data: Mapping[str, Any] | None = None,
        response_data: Any = None,
        ttl_days: float | None = None,
        stream: bool = False,
    ) -> None:
        """Store an answer; with `stream` a list of chunks, which will be replayed. Raises ValidationError."""
        try:
            value = stored_stream("generator", list(response_data)) if stream else stored(response_data)
        except Unserialisable as error:
            raise ValidationError(f"{error} cannot be stored") from error
        kept = Kept(provider, model, endpoint, request_data, self.ttl_seconds(ttl_days))
        self._sync().cache.update(key_of(key), **self._fields(value, kept))

    def delete(self, key: str) -> bool:
        try:
            return self._sync().cache.delete(key_of(key)).deleted
        except NotFoundError:
            return False

    def list_entries(
        self,
        limit: int | None = None,
        offset: int = 0,
        provider: str | None = None,
        model: str | None = None,
        query: str | None = None,
    ) -> list[Entry]:
        """Entries under keys of one's own, the newest first.

        `query` goes by the meaning of a question, which those do not have: it finds entries of the other kind.
        """
        client, found, cursor = self._sync(), list[Entry](), None
        while limit is None or len(found) < limit:
            page = client.cache.list(
                q=query,
                source="keyed" if query is None else None,
                limit=min(PAGE_ENTRIES, PAGE_ENTRIES if limit is None else limit - len(found)),
                cursor=cursor,
                offset=None if cursor else offset or None,
                model=model,
                tag=_tag(provider) if query is None else None,
                provider=None if query is None else provider,
            )
            found += page.data
            cursor = page.next_cursor
            if not page.has_more:
                break
        return found

    def purge_expired(self) -> int:
        """How many went."""
        return _gone(self._sync().cache.purge(expired=True))

    def purge_older_than(self, days: float) -> int:
        """How many went."""
        return _gone(self._sync().cache.purge(older_than_days=days))

    def get_stats(self) -> Stats:
        return self._sync().cache.stats()

    def close(self) -> None:
        self._sync().close()

    def answer(
        self, key: str, fetch: Callable[[], T], kept: "Kept", *, annotation: Any = None, stream: bool | None = None
    ) -> T:
        """As `get_or_set`; `stream` None: whatever `fetch` gives is what was asked for."""
        found = self.find(key, annotation=annotation, stream=stream)
        if isinstance(found, Found):
            return cast(T, found.answer)

        answer = fetch()
        if found is OUT_OF_REACH:
            return answer
        answer = streamed(answer) if stream else answer
        if is_stream(answer):
            name = stream_name(answer)
            return cast(
                T, recorded(answer, lambda items: self.keep(key, lambda: stored_stream(name, items, annotation), kept))
            )
        self.keep(key, lambda: stored(answer, annotation), kept)
        return answer

    async def answer_async(
        self,
        key: str,
        fetch: Callable[[], Awaitable[T]],
        kept: "Kept",
        *,
        annotation: Any = None,
        stream: bool | None = None,
    ) -> T:
        found = await self.find_async(key, annotation=annotation, stream=stream)
        if isinstance(found, Found):
            return cast(T, found.answer)

        answer = await fetch()
        if found is OUT_OF_REACH:
            return answer
        answer = streamed(answer) if stream else answer
        if is_async_stream(answer):
            name = stream_name(answer)
            return cast(
                T,
                recorded_async(
                    answer, lambda items: self.keep_async(key, lambda: stored_stream(name, items, annotation), kept)
                ),
            )
        await self.keep_async(key, lambda: stored(answer, annotation), kept)
        return answer

    def find(self, key: str, *, annotation: Any = None, stream: bool | None = None) -> "Found | Nothing":
        cache = self._sync(quick=True).cache
        try:
            return _read(cache.get(key_of(key)), annotation, stream)
        except CacheAIError as error:
            return _not_read(error)

    async def find_async(self, key: str, *, annotation: Any = None, stream: bool | None = None) -> "Found | Nothing":
        try:
            return _read(await awaited(self._quick.cache.get, key_of(key)), annotation, stream)
        except CacheAIError as error:
            return _not_read(error)

    def keep(self, key: str, write: Callable[[], Stored], kept: "Kept") -> None:
        cache = self._sync(quick=True).cache
        if fields := self._writable(write, kept):
            try:
                cache.update(key_of(key), **fields)
            except CacheAIError as error:
                log_not_stored(error)

    async def keep_async(self, key: str, write: Callable[[], Stored], kept: "Kept") -> None:
        if fields := self._writable(write, kept):
            try:
                await awaited(self._quick.cache.update, key_of(key), **fields)
            except CacheAIError as error:
                log_not_stored(error)

    def warn_once(self, what: str, *, stacklevel: int = 4) -> None:
        """Say what stays uncached, not at each call."""
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(f"not cached: {what}", stacklevel=stacklevel)

    def _writable(self, write: Callable[[], Stored], kept: "Kept") -> dict[str, Any] | None:
        try:
            return self._fields(write(), kept)
        except Unserialisable as error:
            self.warn_once(str(error), stacklevel=6)  # whoever called `get_or_set`, or the decorated function
            return None

    def _fields(self, value: Stored, kept: "Kept") -> dict[str, Any]:
        if is_plain(kept.request_data):
            value = {**value, "request": kept.request_data}
        return given(
            value=value,
            model=kept.model,
            provider=kept.provider,
            endpoint=kept.endpoint,
            tags=[_tag(kept.provider)] if kept.provider else None,
            ttl=kept.ttl_seconds,
        )

    def ttl_seconds(self, ttl_days: float | None) -> int | None:
        days = ttl_days if ttl_days is not None else self._default_ttl_days
        return None if days is None else round(timedelta(days=days).total_seconds())

    def _sync(self, *, quick: bool = False) -> Client:
        client = self._quick if quick else self.client
        if not isinstance(client, Client):
            raise ValidationError("this call is not async: give LLMCache a Client")
        return client


@dataclass(frozen=True)
class Kept:
    """What is stored beside an answer."""

    provider: str | None = None
    model: str | None = None
    endpoint: str | None = None
    request_data: Mapping[str, Any] | None = field(default=None, repr=False)
    ttl_seconds: int | None = None


def returned(function: Callable[..., Any]) -> Any:
    """The annotation of what a function returns; None if there is none, or it cannot be resolved."""
    try:
        return get_type_hints(inspect.unwrap(function)).get("return")
    except (NameError, TypeError, AttributeError):
        return None


def _read(entry: Entry, annotation: Any, stream: bool | None) -> Found | Nothing:
    if not _is_live(entry) or (stream is not None and stream != is_stored_stream(entry.answer)):
        return MISS
    try:
        return Found(answer_of(entry.answer, annotation))
    except Unserialisable:
        return MISS  # Asked for anew, and stored as it is now.


def _not_read(error: CacheAIError) -> Nothing:
    if isinstance(error, NotFoundError):
        return MISS
    log.warning("Called without the cache, which is out of reach: %s", error)
    return OUT_OF_REACH


def log_not_stored(error: Exception) -> None:
    log.warning("The answer was not stored: %s", error)


async def awaited(ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The answer of either client; the one that blocks is asked beside the event loop."""
    if inspect.iscoroutinefunction(ask):
        return await ask(*args, **kwargs)
    return await to_thread(ask, *args, **kwargs)


def _shown(entry: Entry) -> Entry:
    answer = answer_of(entry.answer)
    told = {name: value for name, value in (entry.metadata or {}).items() if name in ("provider", "endpoint")}
    request = entry.answer.get("request")
    return entry.model_copy(update={"answer": answer, "response_data": answer, "request_data": request, **told})


def _is_live(entry: Entry) -> bool:
    return entry.status in (None, "live")


def _gone(purge: PurgeAnswer) -> int:
    return purge.deleted or 0


def _tag(provider: str | None) -> str | None:
    """Entries of one's own have no provider at the server; by this they are found."""
    return None if provider is None else f"provider:{provider}"[:TAG_MAX]
