"""Which exceptions can a caller of the SDK meet?

openai's classes under our names, so that code written for either catches both:

    CacheAIError                  openai.OpenAIError
    ├─ ConnectionError            openai.APIConnectionError
    │  └─ TimeoutError            openai.APITimeoutError
    ├─ AuthenticationError        401
    ├─ PermissionDeniedError      403
    ├─ NotFoundError              404
    ├─ RateLimitError             429
    ├─ APIError                   openai.InternalServerError: any 5xx
    ├─ ValidationError            ours, a ValueError too: refused before anything was sent
    │  └─ ConfigurationError      ours
    └─ CacheError                 ours
"""

from openai import APIConnectionError as ConnectionError
from openai import APITimeoutError as TimeoutError
from openai import AuthenticationError, NotFoundError, PermissionDeniedError, RateLimitError
from openai import InternalServerError as APIError
from openai import OpenAIError as CacheAIError

__all__ = [
    "APIError",
    "AuthenticationError",
    "CacheAIError",
    "CacheError",
    "ConfigurationError",
    "ConnectionError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "TimeoutError",
    "ValidationError",
]


class ValidationError(CacheAIError, ValueError):
    """What was asked cannot be asked."""


class ConfigurationError(ValidationError):
    """An argument of the client, or its environment variable, cannot be used."""


class CacheError(CacheAIError):
    """What answered does not speak as CacheAI does: is `base_url` right?"""
