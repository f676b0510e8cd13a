"""How is a function, or a client of openai's, cached without changing what calls it?"""

import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache as once
from functools import wraps
from types import ModuleType
from typing import Any, Final, TypeVar

import httpx2
from openai import (
    APIConnectionError,
    APITimeoutError,
    AsyncAzureOpenAI,
    AsyncOpenAI,
    AzureOpenAI,
    BadRequestError,
    InternalServerError,
    OpenAI,
    OpenAIError,
)
from openai._models import FinalRequestOptions

from ._call_key import Unserialisable, text_of
from ._client import AsyncClient, Client
from ._config import Settings
from ._errors import ValidationError
from ._llm_cache import Kept, LLMCache, returned

log = logging.getLogger("cacheai")

# They say how to ask, not what: the answer is the same.
NOT_ASKED: Final = frozenset({"api_key", "api_base", "organization", "timeout", "max_retries"})

# What an argument is that was not given, in the packages of the providers.
OMITTED: Final = frozenset({"Omit", "NotGiven"})

CACHED_PATHS: Final = frozenset({"/chat/completions", "/completions", "/responses", "/embeddings"})

# CacheAI's own troubles, in which the provider was not asked.
OWN_TROUBLES: Final = frozenset({"unavailable", "internal_error"})
NOT_DIALLED: Final = frozenset({"base_url_not_allowed", "dialect_unsupported"})

# What an address alone does not say: which protocols the provider speaks, and what it takes for a token.
PROVIDERS: Final = {
    "api.openai.com": "openai",
    "generativelanguage.googleapis.com": "google",
    "api.mistral.ai": "mistral",
    "api.groq.com": "groq",
    "api.together.xyz": "together",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "xai",
    "api.cohere.ai": "cohere",
    "openrouter.ai": "openrouter",
}

F = TypeVar("F", bound=Callable[..., Any])
Wrapped = TypeVar("Wrapped", OpenAI, AsyncOpenAI)


def cached_call(
    provider: str = "openai",
    model: str | None = None,
    params: Mapping[str, Any] | None = None,
    ttl_days: float | None = None,
    cache: LLMCache | None = None,
) -> Callable[[F], F]:
    """Ask a function once for each set of arguments; `params` are further things its answer depends on."""
    if callable(provider):
        raise ValidationError("write @cached_call(), with brackets")

    @once
    def answers() -> LLMCache:
        return cache if cache is not None else LLMCache()

    def decorate(function: F) -> F:
        annotation = returned(function)
        asked = inspect.unwrap(function)

        def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Kept] | None:
            """The text of its key and what is stored beside the answer; None: this call cannot be cached."""
            try:
                named = _named_arguments(function, args, kwargs)
                name = model or named.get("model")
                key = text_of(
                    function=_identity(function), provider=provider, model=name, params=params, arguments=named
                )
            except Unserialisable as error:
                answers().warn_once(f"{getattr(function, '__qualname__', 'a callable')}, called with {error}")
                return None
            shown = name if isinstance(name, str) and name else None
            return key, Kept(provider, shown, endpoint=_name(function), ttl_seconds=answers().ttl_seconds(ttl_days))

        @wraps(function)
        def cached(*args: Any, **kwargs: Any) -> Any:
            if (known := call(args, kwargs)) is None:
                return function(*args, **kwargs)
            key, kept = known
            return answers().answer(key, lambda: function(*args, **kwargs), kept, annotation=annotation)

        @wraps(function)
        async def cached_async(*args: Any, **kwargs: Any) -> Any:
            if (known := call(args, kwargs)) is None:
                return await function(*args, **kwargs)
            key, kept = known
            return await answers().answer_async(key, lambda: function(*args, **kwargs), kept, annotation=annotation)

        @wraps(function)
        async def cached_stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async def begun() -> Any:
                return function(*args, **kwargs)

            if (known := call(args, kwargs)) is None:
                items = function(*args, **kwargs)
            else:
                key, kept = known
                items = await answers().answer_async(key, begun, kept, annotation=annotation)
            async for item in items:
                yield item

        if inspect.isasyncgenfunction(asked):
            return cached_stream  # type: ignore[return-value]
        return cached_async if inspect.iscoroutinefunction(asked) else cached  # type: ignore[return-value]

    return decorate


@contextmanager
def wrap_openai(
    client: Wrapped, cache: LLMCache | Client | AsyncClient | None = None, ttl_days: float | None = None
) -> Iterator[Wrapped]:
    """Inside the block this very client's chat, completions, responses and embeddings go through CacheAI.

    Its own key and base URL go along, so that a miss is asked where it would have been without.
    """
    if isinstance(client, AzureOpenAI | AsyncAzureOpenAI):
        raise ValidationError(
            "give OpenAI with base_url https://RESOURCE.openai.azure.com/openai/v1 in place of Azure's"
        )
    if isinstance(client, Client | AsyncClient):
        raise ValidationError("this client is CacheAI's already")
    if client.workload_identity is not None or not (client.api_key or client._api_key_provider):
        raise ValidationError("this client signs its calls itself: it has no key that could go along")

    through = _through_cacheai(client, cache, ttl_days)
    straight = client.request
    around = vars(client).get("request")
    rerouted = _rerouted_async if isinstance(client, AsyncOpenAI) else _rerouted
    vars(client)["request"] = rerouted(client, through, straight)
    try:
        yield client
    finally:
        del vars(client)["request"]
        if around is not None:
            vars(client)["request"] = around


def _through_cacheai(
    client: OpenAI | AsyncOpenAI, cache: LLMCache | Client | AsyncClient | None, ttl_days: float | None
) -> Any:
    """A client of CacheAI that sends as this client does: by its connections, in its time, with its headers."""
    ours = cache.client if isinstance(cache, LLMCache) else cache if cache is not None else Client()
    settings = Settings(
        enable_cache=ours._settings.enable_cache,
        backend_provider=ours._settings.backend_provider or PROVIDERS.get(client.base_url.host),
        backend_base_url=str(client.base_url),
        namespace=ours._settings.namespace,
        ttl=ours._settings.ttl if ttl_days is None else timedelta(days=ttl_days),
        similarity_threshold=ours._settings.similarity_threshold,
        tags=ours._settings.tags,
        end_user=ours._settings.end_user,
        task=ours._settings.task,
    )
    kind = AsyncClient if isinstance(client, AsyncOpenAI) else Client
    return kind(
        api_key=ours._api_key_provider or ours.api_key,
        base_url=ours.base_url,
        timeout=client.timeout,
        max_retries=client.max_retries,
        organization=client.organization,
        project=client.project,
        default_headers={k: v for k, v in client._custom_headers.items() if k.lower() != "authorization"},
        default_query=client._custom_query,
        http_client=client._client,
        _settings=settings,
    )


def _rerouted(client: Any, through: Any, straight: Callable[..., Any]) -> Callable[..., Any]:
    def request(cast_to: Any, options: FinalRequestOptions, **kwargs: Any) -> Any:
        if not _is_cached(options):
            return straight(cast_to, options, **kwargs)
        try:
            return through.request(cast_to, _with_key(options, client._refresh_api_key()), **kwargs)
        except OpenAIError as error:
            if not _is_out_of_reach(error):
                raise
        return straight(cast_to, options, **kwargs)

    return request


def _rerouted_async(client: Any, through: Any, straight: Callable[..., Any]) -> Callable[..., Any]:
    async def request(cast_to: Any, options: FinalRequestOptions, **kwargs: Any) -> Any:
        if not _is_cached(options):
            return await straight(cast_to, options, **kwargs)
        try:
            return await through.request(cast_to, _with_key(options, await client._refresh_api_key()), **kwargs)
        except OpenAIError as error:
            if not _is_out_of_reach(error):
                raise
        return await straight(cast_to, options, **kwargs)

    return request


def _is_cached(options: FinalRequestOptions) -> bool:
    return options.method.lower() == "post" and options.url in CACHED_PATHS


def _with_key(options: FinalRequestOptions, api_key: str) -> FinalRequestOptions:
    headers = options.headers if isinstance(options.headers, Mapping) else {}
    return options.model_copy(update={"headers": {**headers, "X-CacheAI-Backend-API-Key": api_key}})


def _is_out_of_reach(error: OpenAIError) -> bool:
    """Whether CacheAI could not ask the provider. What the provider itself said is the caller's to know."""
    if isinstance(error, APITimeoutError):
        out = isinstance(error.__cause__, httpx2.ConnectTimeout)  # Of any other the provider may know already.
    elif isinstance(error, InternalServerError):
        out = error.code in OWN_TROUBLES or "x-cacheai-request-id" not in error.response.headers
    elif isinstance(error, BadRequestError):
        out = error.code in NOT_DIALLED
    else:
        out = isinstance(error, APIConnectionError)
    if out:
        log.warning("Called without the cache: %s", error)
    return out


def _named_arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        gathered = bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        named |= value if gathered else {name: value}
    return {
        name: value for name, value in named.items() if name not in NOT_ASKED and type(value).__name__ not in OMITTED
    }


def _identity(function: Callable[..., Any]) -> dict[str, Any]:
    """Raises Unserialisable for a method of an object that may answer as no other does."""
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, type | ModuleType):
        return {"name": _name(function)}
    address = getattr(getattr(owner, "_client", None), "base_url", None)  # as openai's and Anthropic's resources
    if address is None:
        raise Unserialisable(f"a method of {type(owner).__qualname__}")
    return {"name": _name(function), "base_url": str(address)}


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", None)
    if name is None:
        raise Unserialisable(f"a {type(function).__qualname__} in place of a function")
    return f"{function.__module__}.{name}"
