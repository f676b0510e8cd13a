"""Do the probes tell a process that works from one that does not?"""

from collections.abc import Iterator
from typing import Any

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Api
from tests.fakes import FixedEmbedder

NOBODY = Api("")


@pytest.fixture(autouse=True)
def _fresh_probes() -> Iterator[None]:
    from cache_api.http import operation

    yield
    operation.draining.clear()
    for probe in operation._parts.values():
        probe._asked_at = float("-inf")


def test_health_without_a_key_shows_nothing_of_anybody(api: Api) -> None:
    api.put("/v1/cache/mine", {"value": 1})
    health = NOBODY.get("/health").json
    assert (health["status"], health["synthesis"], health["cache_backend"]) == ("ok", "off", "postgresql")
    assert health["timestamp"].endswith("+00:00")
    assert "entries" not in health["cache"]
    assert api.get("/health").json["cache"]["entries"] == 1
    assert Api("ca-bad").get("/health").status == 401


def test_a_process_is_alive_and_ready(api: Api) -> None:
    assert NOBODY.get("/healthz").status == 200
    for path in "/readyz", "/health/ready":
        assert NOBODY.get(path).json == {"status": "ready", "degraded": []}


def test_a_lost_part_degrades(embedder: FixedEmbedder) -> None:
    embedder.down = True
    assert NOBODY.get("/readyz").json == {"status": "ready", "degraded": ["embedder"]}


def test_a_draining_process_wants_no_calls() -> None:
    from cache_api.http import operation

    operation.draining.set()
    assert NOBODY.get("/readyz").status == 503


def test_what_is_not_there_is_said_in_json(api: Api) -> None:
    answer = api.get("/nothing")
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    assert api.get("/v1/cache/projects/x").json["error"] == "not_found"


TWICE, SLASH = "leave one out of the client's base URL.", "base URL end in one?"


@pytest.mark.parametrize(
    ("path", "shape", "said"),
    [
        ("//v1/chat/completions", ["error"], SLASH),
        ("/v1//chat/completions", ["error"], SLASH),
        ("//v1/cache/query", ["detail", "error", "message"], SLASH),
        ("/v1/v1/chat/completions", ["error"], TWICE),
        ("/v1/v1/messages", ["error", "request_id", "type"], TWICE),
        ("/v1/v1/cache/query", ["detail", "error", "message"], TWICE),
        ("/api/chat/completions", ["error"], "begin with /v1/."),
        ("/v1/cache/nothing/here", ["error"], "There is nothing here."),
    ],
)
def test_a_base_url_that_is_wrong_is_told_in_the_shape_its_client_reads(
    api: Api, demo: DemoProvider, path: str, shape: list[str], said: str
) -> None:
    """And no provider is asked: it would not know an address that nobody gave it."""
    answer = api.post(path, {"model": "demo-small", "messages": [{"role": "user", "content": "Why?"}]})
    assert (answer.status, sorted(answer.json)) == (404, shape)
    message = answer.json["message"] if "message" in shape else answer.json["error"]["message"]
    assert message.endswith(said)
    assert demo.calls() == []


@pytest.mark.parametrize(("path", "shape"), [("/v1/cache/stats", "error"), ("/v1/cache/query", "message")])
def test_a_mistake_of_ours_is_one_sentence(api: Api, monkeypatch: pytest.MonkeyPatch, path: str, shape: str) -> None:
    import cacheai.wsgi  # noqa: F401  (it builds the parts when it is first loaded)
    from cache_api import wiring

    def broken() -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(wiring, "_parts", broken)
    answer = api.get(path) if shape == "error" else api.post(path, {"prompt": "a", "model": "demo-small"})
    assert answer.status == 500
    code = answer.json["error"]["code"] if shape == "error" else answer.json["error"]
    assert code == "internal_error"


def test_statistics_are_numbers_from_the_start(api: Api) -> None:
    empty = api.get("/v1/cache/stats").json
    assert (empty["hits"], empty["misses"], empty["hit_rate"], empty["total_cost_saved_usd"]) == (0, 0, 0, "0")
    api.chat("Who made it?")
    api.chat("Who made it?")
    told = api.get("/v1/cache/stats").json
    assert (told["hits"], told["misses"], told["total_lookups"], told["hit_rate"]) == (1, 1, 2, 0.5)
    assert (told["total_hits"], told["total_misses"]) == (1, 1)
    assert (told["entries"], told["total_entries"], told["populations"]) == (1, 1, 1)
    assert told["decisions"] == {"hit": 1, "miss": 1, "bypass": 0, "blocked": 0}
    assert told["provider_stats"]["demo"]["count"] == 2
    assert api.get("/v1/cache/stats", "since=2099-01-01T00:00:00Z").json["hits"] == 0
    assert api.get("/v1/cache/stats", "since=then").status == 400


def test_every_answer_has_limits_and_a_request_id(api: Api) -> None:
    for answer in api.get("/v1/cache/stats"), api.get("/v1/cache/mine"), api.post("/v1/cache/purge", {}):
        assert answer.headers["x-cacheai-request-id"].startswith("req_")
        assert answer.headers["cache-control"] == "no-store"
        assert int(answer.headers["x-ratelimit-limit"]) > 0
    assert api.delete("/v1/cache/stats").headers["allow"] == "GET"


def test_without_the_database_the_management_side_says_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    from tenants import isolation

    api.get("/v1/cache/mine")  # The key is known.

    def away(tenant_id: Any) -> Any:
        raise OperationalError

    monkeypatch.setattr(isolation, "as_tenant", away)
    answer = api.get("/v1/cache/entries")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json["error"]["code"] == "unavailable"
