"""How does a program talk to CacheAI? As it talks to OpenAI, with a few arguments more."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

from openai import APIStatusError, AsyncOpenAI, Omit, OpenAI, RequestOptions, Timeout
from openai._base_client import BaseClient

from ._baseline import awaited_under, is_refused, own_model
from ._cache import AsyncCache, Cache
from ._config import (
    DEFAULT_BASE_URL,
    DEFAULT_MAX_RETRIES,
    DEFAULT_TIMEOUT_SECONDS,
    Settings,
    __version__,
    require_header_text,
    require_web_address,
    switch_or_variable,
    text_or_variable,
)
from ._errors import CacheAIError, ConfigurationError
from ._types import UpdateAnswer

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("cacheai")

# The caller waits for it with the answer in hand: long enough for a slow line, and no second try.
STORE_TIMEOUT_SECONDS: Final = 5.0

FROM_OPENAI_VARIABLES: Final = ("admin_api_key", "organization", "project", "webhook_secret")
OURS: Final = frozenset(field.name for field in fields(Settings))


class _CachedClient(BaseClient[Any, Any]):
    """What both clients add to openai's."""

    _settings: Settings

    def __init__(
        self,
        *,
        api_key: str | Callable[[], str] | Callable[[], Awaitable[str]] | None = None,
        base_url: "str | httpx2.URL | None" = None,
        timeout: float | Timeout | None = DEFAULT_TIMEOUT_SECONDS,
        max_retries: int = DEFAULT_MAX_RETRIES,
        enable_cache: bool | None = None,
        backend_provider: str | None = None,
        backend_api_key: str | None = None,
        backend_base_url: str | None = None,
        baseline_model_provider: str | None = None,
        baseline_model: str | None = None,
        baseline_model_api_key: str | None = None,
        baseline_model_base_url: str | None = None,
        namespace: str | None = None,
        ttl: int | str | timedelta | None = None,
        similarity_threshold: float | None = None,
        tags: str | Iterable[str] | None = None,
        end_user: str | None = None,
        task: str | None = None,
        **openai_options: Any,
    ) -> None:
        """What is not given down to `baseline_model_base_url`, but for numbers, is read from `CACHEAI_…`."""
        # A copy hands its original's settings on: the environment may have changed since.
        settings: Settings | None = openai_options.pop("_settings", None)
        self._settings = settings or Settings(
            enable_cache=switch_or_variable("enable_cache", enable_cache, default=True),
            backend_provider=text_or_variable("backend_provider", backend_provider),
            backend_api_key=text_or_variable("backend_api_key", backend_api_key),
            backend_base_url=text_or_variable("backend_base_url", backend_base_url),
            baseline_model_provider=text_or_variable("baseline_model_provider", baseline_model_provider),
            baseline_model=text_or_variable("baseline_model", baseline_model),
            baseline_model_api_key=text_or_variable("baseline_model_api_key", baseline_model_api_key),
            baseline_model_base_url=text_or_variable("baseline_model_base_url", baseline_model_base_url),
            namespace=namespace,
            ttl=ttl,
            similarity_threshold=similarity_threshold,
            tags=tags,
            end_user=end_user,
            task=task,
        )
        base_url = base_url or text_or_variable("base_url", None) or DEFAULT_BASE_URL
        require_web_address("base_url", str(base_url))
        options = openai_options | {
            "api_key": _required_key(api_key),
            "base_url": base_url,
            "timeout": timeout,
            "max_retries": max_retries,
        }
        super().__init__(**options)
        # openai fills these from its own variables, which belong to another service: what was not given is
        # taken back. One of them, OPENAI_CUSTOM_HEADERS, could even replace our key.
        for name in FROM_OPENAI_VARIABLES:
            setattr(self, name, openai_options.get(name))
        self._custom_headers = openai_options.get("default_headers") or {}

    @property
    def user_agent(self) -> str:
        return f"cacheai-python/{__version__}"

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        return {**self._settings.headers(), **super().default_headers}

    def _make_status_error(self, err_msg: str, *, body: object, response: "httpx2.Response") -> APIStatusError:
        """Errors of `cache.query` have a flat shape: make it openai's, so that `code` can be read."""
        if isinstance(body, Mapping) and isinstance(body.get("error"), str) and "message" in body:
            err_msg = f"{err_msg} - {body['message']}"
            body = {"error": {**body, "code": body["error"]}}
        return super()._make_status_error(err_msg, body=body, response=response)

    def _copied(self, options: dict[str, Any]) -> dict[str, Any]:
        """The arguments of openai's `copy()`, which builds the new client from them."""
        ours = {name: options.pop(name) for name in OURS & options.keys()}
        extra = {"_settings": replace(self._settings, **ours), **options.pop("_extra_kwargs", {})}
        return {**options, "_extra_kwargs": extra}


class Client(_CachedClient, OpenAI):
    """openai's `OpenAI`, answered by CacheAI."""

    @cached_property
    def cache(self) -> Cache:
        return Cache(self)

    def copy(self, **options: Any) -> Self:
        """A client like this one but for the options given: any of the constructor's."""
        return super().copy(**self._copied(options))

    with_options = copy

    def _send_request(self, request: "httpx2.Request", *, stream: bool, **kwargs: Any) -> "httpx2.Response":
        own = own_model(request)
        if own is None:
            return super()._send_request(request, stream=stream, **kwargs)

        cache_key = None
        if not own.goes_straight:
            response = super()._send_request(request, stream=stream, **kwargs)
            if own.is_never_awaited and response.is_success:
                return response
            response.read()
            cache_key = awaited_under(response)
            if cache_key is None and not (own.is_never_awaited and is_refused(response)):
                return response

        answer = super()._send_request(self._client.build_request(**own.request(request)), stream=stream, **kwargs)
        if cache_key is not None:
            answer.read()
            if entry := own.entry(answer):
                self._store(cache_key, entry)
        return answer

    def _store(self, cache_key: str, entry: Mapping[str, str]) -> None:
        try:
            self.put(f"/cache/{cache_key}", cast_to=UpdateAnswer, options=_stored_with(entry))
        except CacheAIError as error:
            _log_not_stored(cache_key, error)


class AsyncClient(_CachedClient, AsyncOpenAI):
    """openai's `AsyncOpenAI`, answered by CacheAI."""

    @cached_property
    def cache(self) -> AsyncCache:
        return AsyncCache(self)

    def copy(self, **options: Any) -> Self:
        """A client like this one but for the options given: any of the constructor's."""
        return super().copy(**self._copied(options))

    with_options = copy

    async def _send_request(self, request: "httpx2.Request", *, stream: bool, **kwargs: Any) -> "httpx2.Response":
        own = own_model(request)
        if own is None:
            return await super()._send_request(request, stream=stream, **kwargs)

        cache_key = None
        if not own.goes_straight:
            response = await super()._send_request(request, stream=stream, **kwargs)
            if own.is_never_awaited and response.is_success:
                return response
            await response.aread()
            cache_key = awaited_under(response)
            if cache_key is None and not (own.is_never_awaited and is_refused(response)):
                return response

        answer = await super()._send_request(
            self._client.build_request(**own.request(request)), stream=stream, **kwargs
        )
        if cache_key is not None:
            await answer.aread()
            if entry := own.entry(answer):
                await self._store(cache_key, entry)
        return answer

    async def _store(self, cache_key: str, entry: Mapping[str, str]) -> None:
        try:
            await self.put(f"/cache/{cache_key}", cast_to=UpdateAnswer, options=_stored_with(entry))
        except CacheAIError as error:
            _log_not_stored(cache_key, error)


def _required_key(given: str | Callable[..., Any] | None) -> str | Callable[..., Any]:
    key = given if callable(given) else text_or_variable("api_key", given)
    if key is None:
        raise ConfigurationError("no API key: give api_key, or set CACHEAI_API_KEY")
    if isinstance(key, str):
        require_header_text("api_key", key)
    return key


def _stored_with(entry: Mapping[str, str]) -> RequestOptions:
    return {"extra_json": entry, "max_retries": 0, "timeout": STORE_TIMEOUT_SECONDS}


def _log_not_stored(cache_key: str, error: CacheAIError) -> None:
    log.warning("The model's answer was not stored under %s: %s", cache_key, error)
