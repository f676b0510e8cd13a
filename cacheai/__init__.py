"""CacheAI: the answers you already paid for.

`Client` and `AsyncClient` are openai's own, answered by CacheAI; `client.cache` is the cache itself.
"""

from ._client import AsyncClient, Client
from ._config import __version__
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
from ._types import (
    Candidate,
    DeleteAnswer,
    Entry,
    EntryList,
    FeedbackAnswer,
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
    "CacheAIError",
    "CacheError",
    "Candidate",
    "Client",
    "ConfigurationError",
    "ConnectionError",
    "DeleteAnswer",
    "Entry",
    "EntryList",
    "FeedbackAnswer",
    "LookupAnswer",
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
]

# Tracebacks and pickles name a class where users import it. openai's own classes keep their home.
for _name in __all__:
    _member = globals()[_name]
    if getattr(_member, "__module__", "").startswith(f"{__name__}."):
        _member.__module__ = __name__
del _name, _member
