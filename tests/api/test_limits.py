"""Does every answer to a known caller say how many calls are left, and every refusal when to come again?"""

import json
from typing import Any

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Answer, Api
from tests.conftest import Cast

CHAT = {"model": "demo-small", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
QUERY = {"model": "demo-small", "prompt": "What is the capital of France?"}
HEADERS = (
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)

# method, path, body, query: answers and refusals of every kind of endpoint.
CALLS = [
    ("POST", "/v1/chat/completions", CHAT, ""),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}, ""),
    ("POST", "/v1/chat/completions", {}, ""),
    ("POST", "/chat/completions", CHAT, ""),
    ("GET", "/v1/models", None, ""),
    ("POST", "/v1/cache/query", QUERY, ""),
    ("POST", "/v1/cache/query", {}, ""),
    ("POST", "/v1/cache/query", {**QUERY, "project_id": "other"}, ""),
    ("POST", "/v1/completions", {"model": "demo-small", "prompt": "Hi"}, ""),
    ("POST", "/v1/responses", {"model": "demo-small", "input": "Hi"}, ""),
    ("POST", "/v1/responses", {}, ""),
    ("POST", "/v1/messages", {**CHAT, "max_tokens": 50}, ""),
    ("POST", "/v1/messages", {**CHAT, "max_tokens": 50, "stream": True}, ""),
    ("POST", "/v1/messages", {}, ""),
    ("POST", "/v1/embeddings", {"model": "demo-embed", "input": "Hi"}, ""),
    ("POST", "/v1/cache/test", QUERY, ""),
    ("POST", "/v1/cache/clear", {}, ""),
    ("GET", "/v1/cache/projects/other/stats", None, ""),
    ("POST", "/v1/cache/lookup", QUERY, ""),
    ("GET", "/v1/cache/entries", None, ""),
    ("GET", "/v1/cache/entries", None, "limit=x"),
    ("GET", "/v1/cache/nothing", None, ""),
    ("GET", "/v1/cache/stats", None, ""),
    ("GET", "/v1/cache/blocklist", None, ""),
    ("GET", "/v1/usage", None, ""),
    ("GET", "/v1/pricing", None, ""),
    ("GET", "/metrics", None, ""),
    ("GET", "/health", None, ""),
]


@pytest.fixture
def twice_a_minute(cast: Cast) -> Api:
    """A caller whose key may make two calls, then none for most of a minute."""
    from tenants import api_keys

    owner = cast.owner
    made = api_keys.key_create(tenant_id=owner.tenant_id, project_id=owner.project_id, name="slow", rpm=1)
    return Api(made.secret)


def assert_tells_the_limits(answer: Answer) -> None:
    assert [name for name in HEADERS if name not in answer.headers] == []
    assert int(answer.headers["x-ratelimit-limit"]) == int(answer.headers["x-ratelimit-limit-requests"]) > 0
    assert answer.headers["x-ratelimit-remaining"] == answer.headers["x-ratelimit-remaining-requests"]
    assert int(answer.headers["x-ratelimit-reset"]) > 1_700_000_000
    assert answer.headers["x-ratelimit-reset-requests"].endswith("s")


@pytest.mark.parametrize(("method", "path", "body", "query"), CALLS)
def test_an_answer_tells_the_limits(api: Api, method: str, path: str, body: Any, query: str) -> None:
    for _ in range(2):  # a miss, then a hit
        assert_tells_the_limits(api(method, path, body, query=query))


def test_a_provider_s_error_tells_them_too(api: Api, demo: DemoProvider) -> None:
    demo.control(fail_status=429)
    for path, body in (("/v1/chat/completions", CHAT), ("/v1/cache/query", QUERY)):
        assert_tells_the_limits(api.post(path, body))


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/cache/query", QUERY)])
def test_a_key_without_the_scope_hears_them_too(key_with: Any, path: str, body: Any) -> None:
    answer = key_with("cache:read").post(path, body)
    assert answer.status == 403
    assert_tells_the_limits(answer)


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/cache/query", QUERY)])
def test_who_calls_too_often_hears_when_to_come_again(twice_a_minute: Api, path: str, body: Any) -> None:
    statuses = [twice_a_minute.post(path, body).status for _ in range(2)]
    refused = twice_a_minute.post(path, body)

    assert statuses == [200, 200]
    assert refused.status == 429
    assert_tells_the_limits(refused)
    assert (refused.headers["x-ratelimit-limit"], refused.headers["x-ratelimit-remaining"]) == ("1", "0")
    assert refused.headers["x-cacheai-limited-by"] == "cacheai"
    # The permit is most of a minute away, but older clients sleep this blindly.
    assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("10", "10000")
    assert "x-should-retry" not in refused.headers


def test_health_needs_no_scope_and_shows_figures_to_those_who_may_read_them(api: Api, key_with: Any) -> None:
    narrow = key_with("proxy").get("/health")
    assert (narrow.status, narrow.json["status"]) == (200, "ok")
    assert "entries" not in narrow.json["cache"]
    assert "entries" in api.get("/health").json["cache"]


def test_a_spent_budget_is_not_worth_another_try() -> None:
    from cache_api.dialects.errors import Refused, vectorcache_error
    from cache_api.http.answering import refusal

    spent = (("current_usage", 12.5), ("monthly_limit", 10.0))
    answer = refusal(Refused(429, "budget_exceeded", "Monthly limit reached", extra=spent), vectorcache_error, {})
    assert (answer.headers["x-should-retry"], answer.headers["retry-after"]) == ("false", "10")
    assert json.loads(answer.content) == {
        "detail": "Monthly limit reached",
        "message": "Monthly limit reached",
        "error": "budget_exceeded",
        "retry_after": 10,
        **dict(spent),
    }
