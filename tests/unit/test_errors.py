"""Is a refusal said in the words each protocol's clients look for?"""

from typing import Any

import orjson
import pytest

from cache_api.dialects.errors import Refused, anthropic_error, openai_error, vectorcache_error
from cache_api.http.shapes import shape_of

LACKS = "This API key lacks the scope stats:read."
FORBIDDEN = "API key does not have permission to access this project"

# status, code, message of ours; openai's type, anthropic's type, Vectorcache's string
REFUSALS = [
    (400, "invalid_request", "Invalid JSON format", "invalid_request_error", "invalid_request_error", ""),
    (400, "provider_key_missing", "Send a key.", "invalid_request_error", "invalid_request_error", ""),
    (401, "invalid_api_key", "Invalid or missing API key", "authentication_error", "authentication_error", ""),
    (403, "project_mismatch", FORBIDDEN, "permission_error", "permission_error", ""),
    (403, "insufficient_scope", LACKS, "permission_error", "permission_error", f"{FORBIDDEN}: {LACKS}"),
    (403, "blocked", "Blocked (similarity 0.9731): no", "permission_error", "permission_error", ""),
    (404, "not_found", "There is nothing here.", "not_found_error", "not_found_error", ""),
    (413, "request_too_large", "The body is too large.", "invalid_request_error", "request_too_large", ""),
    (415, "unsupported_encoding", "Uncompressed, please.", "invalid_request_error", "invalid_request_error", ""),
    (422, "not_cacheable", "Images are not cacheable", "invalid_request_error", "invalid_request_error", ""),
    (429, "rate_limit_exceeded", "Rate limit exceeded.", "rate_limit_error", "rate_limit_error", ""),
    (429, "budget_exceeded", "Monthly limit reached", "rate_limit_error", "rate_limit_error", ""),
    (500, "internal_error", "Internal server error.", "api_error", "api_error", ""),
    (502, "upstream_unreachable", "It broke off.", "proxy_error", "api_error", "LLM provider error: It broke off."),
    (503, "unavailable", "Too many calls.", "api_error", "api_error", "Service temporarily unavailable"),
    (504, "upstream_timeout", "No answer.", "proxy_error", "api_error", "LLM provider error: No answer."),
    (504, "not_cached", "Nothing stored.", "proxy_error", "api_error", "LLM provider error: Nothing stored."),
]


@pytest.mark.parametrize(("status", "code", "message", "openai", "anthropic", "vectorcache"), REFUSALS)
def test_each_shape_says_it_in_its_own_words(
    status: int, code: str, message: str, openai: str, anthropic: str, vectorcache: str
) -> None:
    refused = Refused(status, code, message, "a_field")

    assert orjson.loads(openai_error(refused))["error"] == {
        "message": message,
        "type": openai,
        "param": "a_field",
        "code": code,
    }
    assert orjson.loads(anthropic_error(refused, "req_1")) == {
        "type": "error",
        "error": {"type": anthropic, "message": message},
        "request_id": "req_1",
    }
    said = orjson.loads(vectorcache_error(refused))
    assert said["detail"] == said["message"] == (vectorcache or message)
    assert said["error"] == code


def test_what_is_said_beside_stands_where_clients_look() -> None:
    refused = Refused(
        429, "budget_exceeded", "Monthly limit reached", extra=(("current_usage", 7), ("monthly_limit", 5))
    )
    for said in (orjson.loads(vectorcache_error(refused)), orjson.loads(openai_error(refused))["error"]):
        assert (said["current_usage"], said["monthly_limit"]) == (7, 5)


@pytest.mark.parametrize(
    ("status", "wished", "wait", "told"),
    [
        (429, 0.2, 1.0, 1),
        (429, 3.4, 3.4, 4),
        (429, 55.0, 10.0, 10),
        (429, None, 10.0, 10),
        (503, None, 1.0, 1),
        (502, 7.0, 7.0, 7),
        (502, 3600.0, 10.0, 10),
        (502, None, None, None),
        (400, None, None, None),
        (500, None, None, None),
    ],
)
def test_a_wait_is_short_enough_to_be_slept_blindly(
    status: int, wished: float | None, wait: float | None, told: Any
) -> None:
    refused = Refused(status, "a_code", "A message.", retry_after_seconds=wished)
    assert refused.wait_seconds == wait
    assert orjson.loads(vectorcache_error(refused)).get("retry_after") == told


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/cache/query", vectorcache_error),
        ("/v1/cache/test", vectorcache_error),
        ("/v1/cache/clear", vectorcache_error),
        ("/v1/cache/projects/p/stats", vectorcache_error),
        ("/v1/cache/projects/p/similar", vectorcache_error),
        ("/v1/cache/queryish", openai_error),
        ("/v1/cache/stats", openai_error),
        ("/v1/messages", anthropic_error),
        ("/messages/count_tokens", anthropic_error),
        ("/v1/chat/completions", openai_error),
        ("/nothing", openai_error),
    ],
)
def test_the_path_says_which_shape(path: str, shape: Any) -> None:
    assert shape_of(path) is shape
