"""CacheAI: the answers you already paid for.

`Client` and `AsyncClient` are openai's own, answered by CacheAI; `client.cache` is the cache itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._client import AsyncClient, Client
    from ._config import __version__
    from ._decorators import cached_call, wrap_openai
    from ._errors import (
        APIError,
        AuthenticationError,
        CacheAIError,
        CacheError,
        ConfigurationError,
        ConnectionError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        TimeoutError,
        ValidationError,
    )
    from ._llm_cache import LLMCache
    from ._names import ChatCompletion, ChatCompletionChunk, ChatMessage, Completion, Model, ModelList
    from ._types import (
        BlockedQuestion,
        BlocklistAnswer,
        BlocklistMatch,
        Candidate,
        DeleteAnswer,
        Entry,
        EntryList,
        FalsePositiveAnswer,
        FeedbackAnswer,
        Job,
        JobError,
        LookupAnswer,
        ProviderStats,
        PurgeAnswer,
        PutAnswer,
        PutManyAnswer,
        PutResult,
        QueryAnswer,
        Signals,
        Stats,
        UpdateAnswer,
    )

__all__ = [
    "APIError",
    "AsyncClient",
    "AuthenticationError",
    "BlockedQuestion",
    "BlocklistAnswer",
    "BlocklistMatch",
    "CacheAIError",
    "CacheError",
    "Candidate",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatMessage",
    "Client",
    "Completion",
    "ConfigurationError",
    "ConnectionError",
    "DeleteAnswer",
    "Entry",
    "EntryList",
    "FalsePositiveAnswer",
    "FeedbackAnswer",
    "Job",
    "JobError",
    "LLMCache",
    "LookupAnswer",
    "Model",
    "ModelList",
    "NotFoundError",
    "PermissionDeniedError",
    "ProviderStats",
    "PurgeAnswer",
    "PutAnswer",
    "PutManyAnswer",
    "PutResult",
    "QueryAnswer",
    "RateLimitError",
    "Signals",
    "Stats",
    "TimeoutError",
    "UpdateAnswer",
    "ValidationError",
    "__version__",
    "cached_call",
    "wrap_openai",
]


def __getattr__(name: str) -> Any:
    """Load the SDK on first use.

    The server's processes import this package for their settings; openai's would cost each of them 40 MB and a
    second, for nothing.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    for home in ("._errors", "._config", "._names", "._types", "._client", "._llm_cache", "._decorators"):
        module = vars(import_module(home, __name__))
        for member in module.keys() & set(__all__):
            globals()[member] = module[member]
            # Tracebacks and pickles name a class where users import it. openai's own keep their home.
            if getattr(module[member], "__module__", "").startswith(f"{__name__}."):
                module[member].__module__ = __name__
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
