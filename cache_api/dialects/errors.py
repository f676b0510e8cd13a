"""What is a refusal called in each status, and which shape has it?"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    502: "proxy_error",
    504: "proxy_error",
}
SERVER_ERROR = "api_error"

# Older clients sleep it blindly.
RETRY_MIN_SECONDS, RETRY_MAX_SECONDS = 1.0, 10.0
_RETRY_SECONDS = {429: RETRY_MAX_SECONDS, 503: RETRY_MIN_SECONDS}


@dataclass(eq=False)
class Refused(Exception):
    """A call we answer with an error of our own."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_seconds: float | None = None
    extra: tuple[tuple[str, Any], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)  # what the answer carries beside the usual

    def __str__(self) -> str:
        return self.message

    @property
    def wait_seconds(self) -> float | None:
        """When to come again; None: that would not help, or nobody knows."""
        seconds = self.retry_after_seconds
        if seconds is None:
            return _RETRY_SECONDS.get(self.status)
        return min(RETRY_MAX_SECONDS, max(RETRY_MIN_SECONDS, seconds))


Shape = Callable[[Refused, str], bytes]  # of a refusal and the request's id


def openai_error(refused: Refused, request_id: str = "") -> bytes:
    error = {
        "message": refused.message,
        "type": _TYPES.get(refused.status, SERVER_ERROR),
        "param": refused.param,
        "code": refused.code,
        **dict(refused.extra),
    }
    return orjson.dumps({"error": error})


def anthropic_error(refused: Refused, request_id: str = "") -> bytes:
    kind = _TYPES.get(refused.status, SERVER_ERROR)
    if refused.status == 413:
        kind = "request_too_large"
    if kind == "proxy_error":
        kind = SERVER_ERROR
    error = {"type": kind, "message": refused.message, **dict(refused.extra)}
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})


def vectorcache_error(refused: Refused, request_id: str = "") -> bytes:
    text = _vectorcache_text(refused)
    body: dict[str, Any] = {"detail": text, "message": text, "error": refused.code, **dict(refused.extra)}
    if (seconds := refused.wait_seconds) is not None:
        body["retry_after"] = math.ceil(seconds)
    return orjson.dumps(body)


def _vectorcache_text(refused: Refused) -> str:
    """Clients look for its beginning."""
    if refused.code == "insufficient_scope":
        return f"API key does not have permission to access this project: {refused.message}"
    if refused.status == 503:
        return "Service temporarily unavailable"
    if refused.status in {502, 504}:
        return f"LLM provider error: {refused.message}"
    return refused.message
