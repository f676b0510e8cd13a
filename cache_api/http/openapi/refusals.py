"""What does a call hear that gets no answer, on each path in its own shape?"""

from collections.abc import Mapping

import orjson

from cache_api.dialects.errors import Refused, Shape
from cache_api.domain.budget import PERIODS
from cache_api.http.openapi.pieces import (
    JSON,
    SCHEMA_OF,
    Json,
    headers_named,
    maybe,
    number,
    one_of,
    phrase,
    ref,
    string,
    told,
    whole,
)

EXAMPLE_ID = "req_0198c1f2a7d07c3e9f0a1b2c3d4e5f60"

_SPENT: Json = {
    "current_usage": number("Dollars spent of the budget."),
    "monthly_limit": number("The budget in dollars, a daily one's too."),
    "period": one_of(*PERIODS, words="Which the budget is for, by UTC."),
}
SCHEMAS: Json = {
    "Error": told(
        {
            "error": told(
                {
                    "message": string("What to change."),
                    "type": string(),
                    "param": maybe(string("Which field or header is meant.")),
                    "code": maybe(string()),
                },
                sometimes={"blocklist_id": whole("Of the listed question, where the blocklist refused."), **_SPENT},
            )
        },
        words="As OpenAI words it.",
    ),
    "AnthropicError": told(
        {
            "type": {"const": "error"},
            "error": told(
                {"type": string(), "message": string("What to change.")}, sometimes={"blocklist_id": whole(), **_SPENT}
            ),
            "request_id": maybe(string()),
        },
        words="As Anthropic words it.",
    ),
    "VectorcacheError": told(
        {
            "detail": string("What to change; never a list."),
            "message": string("The same again."),
            "error": string("One word for it."),
        },
        sometimes={
            "retry_after": whole("Seconds.", minimum=1, maximum=10),
            "blocklist_id": whole("Of the listed question, where the blocklist refused."),
            **_SPENT,
        },
        words="As Vectorcache words it.",
    ),
}

# Of each status its codes, and one of them as an example. A provider's own error keeps status and body.
_CODES: Mapping[int, tuple[str, Refused]] = {
    400: (
        "`invalid_request`, `invalid_control`, `provider_key_missing`, `base_url_not_allowed`, `dialect_unsupported`, "
        "`bad_credential`",
        Refused(400, "invalid_request", "limit: Ensure this value is greater than or equal to 1.", "limit"),
    ),
    401: ("`invalid_api_key`", Refused(401, "invalid_api_key", "Invalid or missing API key")),
    403: (
        "`insufficient_scope`, `project_mismatch`, `model_not_allowed`, `limit_reached`, `not_in_plan`, `blocked`",
        Refused(403, "insufficient_scope", "This API key lacks the scope cache:read."),
    ),
    404: ("`not_found`", Refused(404, "not_found", "There is no entry under this cache key.", "cache_key")),
    409: ("`conflict`", Refused(409, "conflict", "There is a project named 'Support' already.", "name")),
    413: ("`request_too_large`", Refused(413, "request_too_large", "The body is larger than 32 MiB.")),
    415: (
        "`unsupported_encoding`",
        Refused(415, "unsupported_encoding", "Send the body uncompressed, without Content-Encoding."),
    ),
    422: (
        "`not_cacheable`: images, files, stream",
        Refused(422, "not_cacheable", "Streaming responses are not cacheable: use /v1/chat/completions"),
    ),
    429: (
        "`rate_limit_exceeded`, `budget_exceeded`; or the provider's",
        Refused(429, "rate_limit_exceeded", "Rate limit exceeded. Please try again later."),
    ),
    500: (
        "`internal_error`",
        Refused(500, "internal_error", "Internal server error. Please try again or contact support."),
    ),
    502: ("`upstream_unreachable`", Refused(502, "upstream_unreachable", "The provider could not be reached.")),
    503: ("`unavailable`", Refused(503, "unavailable", "Service temporarily unavailable")),
    504: ("`upstream_timeout`, `not_cached`", Refused(504, "upstream_timeout", "The provider did not answer in time.")),
}
_HEADERS = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "retry-after-ms", "X-CacheAI-Limited-By", "x-should-retry"),
    503: ("Retry-After",),
}


def responses() -> Json:
    return {f"{name}{status}": _response(shape, name, status) for shape, name in SCHEMA_OF.items() for status in _CODES}


def _response(shape: Shape, name: str, status: int) -> Json:
    codes, example = _CODES[status]
    return {
        "description": f"{phrase(status)}: {codes}.",
        "headers": headers_named("X-CacheAI-Request-Id", "Cache-Control", *_HEADERS.get(status, ())),
        "content": {JSON: {"schema": ref(name), "example": orjson.loads(shape(example, EXAMPLE_ID))}},
    }
