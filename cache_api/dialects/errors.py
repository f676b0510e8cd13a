"""What is a refusal called in each status, and which shape has it?"""

from dataclasses import dataclass
from typing import Any

import orjson

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    502: "proxy_error",
    504: "proxy_error",
}
SERVER_ERROR = "api_error"


@dataclass(eq=False)
class Refused(Exception):
    """A call we answer with an error of our own."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_seconds: float | None = None
    extra: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return self.message


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
    error = {"type": kind, "message": refused.message}
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})


def vectorcache_error(refused: Refused, request_id: str = "") -> bytes:
    text = refused.message
    if refused.status in {502, 504}:
        text = f"LLM provider error: {text}"
    body: dict[str, Any] = {"detail": text, "message": text, "error": refused.code, **dict(refused.extra)}
    if refused.retry_after_seconds is not None:
        body["retry_after"] = max(1, round(refused.retry_after_seconds))
    return orjson.dumps(body)
