"""How does each protocol say no?"""

from dataclasses import dataclass
from typing import Any

# The words each protocol has for a status; anything else is the provider's own fault.
OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "invalid_request_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "requests",
}
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


@dataclass(eq=False)
class Refusal(Exception):
    """The call is not answered."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None


class ToldToFail(Refusal):
    """The call would have been answered."""


def openai_refusal(refusal: Refusal) -> dict[str, Any]:
    kind = OPENAI_TYPES.get(refusal.status, "server_error")
    code = refusal.code or OPENAI_CODES.get(refusal.status)
    return {"error": {"message": refusal.message, "type": kind, "param": refusal.param, "code": code}}


def anthropic_refusal(refusal: Refusal, request_id: str) -> dict[str, Any]:
    kind = ANTHROPIC_TYPES.get(refusal.status, "api_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": refusal.message},
        "request_id": request_id,
    }
