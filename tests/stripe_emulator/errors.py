"""What does Stripe say when it refuses?

Refusal
├── InvalidRequest    400, or 404 for what is not there
│   └── NoSuch
├── CardDeclined      402
├── IdempotencyClash  400, the key came with other parameters; 409 while its first request runs
├── Unauthorized      401
├── TooManyRequests   429
└── Broken            500
"""

from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Refusal(Exception):
    message: str
    code: str | None = None
    param: str | None = None
    decline_code: str | None = None
    status: int = 400
    type: str = "invalid_request_error"

    def body(self, request_id: str) -> dict[str, Any]:
        told = {
            "code": self.code,
            "decline_code": self.decline_code,
            "message": self.message,
            "param": self.param,
            "request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}",
            "type": self.type,
        }
        return {"error": {name: value for name, value in told.items() if value is not None}}


@dataclass(eq=False)
class InvalidRequest(Refusal):
    """Wrong parameters, or a step that the object's state does not allow."""


@dataclass(eq=False)
class CardDeclined(Refusal):
    message: str = "Your card was declined."
    code: str | None = "card_declined"
    decline_code: str | None = "generic_decline"
    status: int = 402
    type: str = "card_error"


@dataclass(eq=False)
class IdempotencyClash(Refusal):
    type: str = "idempotency_error"


@dataclass(eq=False)
class Unauthorized(Refusal):
    status: int = 401


@dataclass(eq=False)
class TooManyRequests(Refusal):
    message: str = "Request rate limit exceeded."
    code: str | None = "rate_limit"
    status: int = 429


@dataclass(eq=False)
class Broken(Refusal):
    message: str = "An unexpected error occurred."
    status: int = 500
    type: str = "api_error"


def no_such(noun: str, object_id: str, param: str = "id", *, in_path: bool = False) -> InvalidRequest:
    return InvalidRequest(
        f"No such {noun}: '{object_id}'", code="resource_missing", param=param, status=404 if in_path else 400
    )
