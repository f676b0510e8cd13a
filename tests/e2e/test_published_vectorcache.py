"""Do the calls that Vectorcache's clients make work unchanged against the running stack?

Its Python users send snake_case and a bearer key with requests, as its guide shows; programs in JavaScript send
camelCase where they follow the guide, snake_case where they follow the client's types, and an X-API-Key.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from .conftest import Stack

MODEL = "demo-small"
RESET = "How do I reset my password?"
RESET_TOO = "How can I reset my password?"
TIMEOUT_SECONDS = 60
STEPS = ["exact", "embed", "search", "decide", "llm", "store"]


class Failed(Exception):
    """What a client makes of an error: its message, its status, and when to come again."""

    def __init__(self, response: requests.Response) -> None:
        body = response.json()
        super().__init__(body.get("message") or body.get("detail"))
        self.status = response.status_code
        self.body = body
        after = response.headers.get("Retry-After")
        self.retry_after = None if after is None else int(after)


@dataclass
class Client:
    """One of Vectorcache's clients: how it sends its key, and how it spells its fields."""

    host: str
    key_header: dict[str, str]
    camel: bool
    session: requests.Session = field(default_factory=requests.Session)
    last: requests.Response | None = None

    def call(self, method: str, path: str, **fields: Any) -> Any:
        body = {self.spelt(name): value for name, value in fields.items()} or None
        headers = {**self.key_header, "Content-Type": "application/json", "User-Agent": "vectorcache-js/0.1.0"}
        self.last = self.session.request(method, self.host + path, json=body, headers=headers, timeout=TIMEOUT_SECONDS)
        if not self.last.ok:
            raise Failed(self.last)
        return self.last.json()

    def query(self, prompt: str, **fields: Any) -> Any:
        return self.call("POST", "/v1/cache/query", prompt=prompt, model=MODEL, **fields)

    def spelt(self, name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(part.capitalize() for part in rest) if self.camel else name


@dataclass(frozen=True)
class Team:
    tenant_id: str
    project_id: str
    api_key: str


def made(stack: Stack, *arguments: str) -> dict[str, str]:
    words = stack.manage(*arguments).split()
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.fixture(scope="module")
def team(stack: Stack) -> Team:
    """Whose cache nobody else fills."""
    tenant = made(stack, "create_tenant", "--name", secrets.token_hex(8))
    key = made(stack, "create_key", "--tenant", tenant["tenant"])
    return Team(tenant["tenant"], tenant["project"], key["key"])


@pytest.fixture(params=["python", "javascript"])
def client(request: pytest.FixtureRequest, stack: Stack, team: Team) -> Iterator[Client]:
    python = request.param == "python"
    key = {"Authorization": f"Bearer {team.api_key}"} if python else {"X-API-Key": team.api_key}
    one = Client(stack.root, key, camel=not python)
    yield one
    one.session.close()


@pytest.fixture
def context() -> str:
    """What sets a test's entries apart from those of the others."""
    return f"You help the customers of {secrets.token_hex(8)}."


def test_a_question_is_bought_once_and_then_served_to_all_who_mean_it(client: Client, context: str) -> None:
    first = client.query(RESET, context=context, similarity_threshold=0.85)
    again = client.query(RESET, context=context, similarity_threshold=0.85)
    reworded = client.query(RESET_TOO, context=context, similarity_threshold=0.85, include_debug=True)
    elsewhere = client.query(RESET, context=f"{context} Be brief.")

    assert (first["cache_hit"], first["similarity_score"], first["llm_provider"]) == (False, None, "demo")
    assert (again["cache_hit"], again["is_cache_hit"], again["llm_provider"]) == (True, True, "cache")
    assert (reworded["cache_hit"], elsewhere["cache_hit"]) == (True, False)
    assert again["similarity_score"] > 0.9
    assert 0.9 < reworded["similarity_score"] < 1
    assert first["response"] == again["response"] == reworded["response"] != ""
    assert "debug" not in again
    assert reworded["debug"]["matched_cache_entry_id"] == first["cache_entry_id"]
    assert reworded["debug"]["cache_entry_count"] >= 1
    for answer in (first, again, reworded):
        # Clients add these up and cut them to four digits.
        assert all(isinstance(answer[name], int | float) for name in ("cost_saved", "estimated_cost", "tokens_used"))
        assert isinstance(answer["response_time_ms"], int)
        assert answer["query_id"]


def test_a_higher_threshold_asks_for_a_nearer_question(client: Client, context: str) -> None:
    client.query(RESET, context=context)
    assert client.query(RESET_TOO, context=context, similarity_threshold=0.999)["cache_hit"] is False


def test_the_query_of_the_client_s_types_works_too(client: Client, context: str) -> None:
    fields = {"query": RESET, "context": context, "model": MODEL, "max_tokens": 150, "temperature": 0.0}
    answers = [client.call("POST", "/v1/cache/query", metadata={"of": "a test"}, **fields) for _ in range(2)]
    assert [answer["is_cache_hit"] for answer in answers] == [False, True]


def test_all_six_calls_of_a_program(client: Client, team: Team, context: str) -> None:
    project = {"project_id": team.project_id}
    health = client.call("GET", "/health")
    before = client.call("GET", f"/v1/cache/projects/{team.project_id}/stats")
    missed = client.query(RESET, context=context)
    test = client.call(
        "POST", "/v1/cache/test", prompt=RESET_TOO, context=context, similarity_threshold=0.8, model=MODEL, **project
    )
    stats = client.call("GET", f"/v1/cache/projects/{team.project_id}/stats")
    similar = client.call("GET", f"/v1/cache/projects/{team.project_id}/similar?query=reset%20a%20password&limit=3")
    cleared = client.call("POST", "/v1/cache/clear", **project)

    assert health["status"] == "ok"
    assert datetime.fromisoformat(health["timestamp"]) <= datetime.now(UTC)

    assert (test["cache_hit"], test["cache_entry_id"]) == (True, missed["cache_entry_id"])
    assert test["similarity_score"] > 0.9
    assert test["response_time"] >= 0
    assert test["response"] == missed["response"]
    assert isinstance(test["cost_saved"], int | float)
    assert isinstance(test["cost_spent"], int | float)
    assert test["similar_entries"][0]["original_query"] == RESET
    assert [step["name"] for step in test["workflow_steps"]] == STEPS
    assert [step["status"] for step in test["workflow_steps"]] == ["success"] * 4 + ["skipped"] * 2
    assert all(step["duration"] > 0 for step in test["workflow_steps"][:4])

    assert stats["total_hits"] == before["total_hits"] + 1
    assert stats["total_entries"] == before["total_entries"] + 1
    assert stats["total_tokens_saved"] > before["total_tokens_saved"]
    numbers = [value for name, value in stats.items() if name != "project_id"]
    assert all(isinstance(value, int | float) for value in numbers)

    assert 1 <= similar["total_found"] == len(similar["similar_entries"]) <= 3
    nearest = similar["similar_entries"][0]
    assert nearest["original_query"] in {RESET, RESET_TOO}
    assert 0.5 < nearest["similarity"] <= 1
    assert nearest["id"]
    assert datetime.fromisoformat(nearest["created_at"]) <= datetime.now(UTC)

    assert cleared["entries_cleared"] == stats["total_entries"]
    assert cleared["space_freed_mb"] > 0
    assert cleared["operation_time_ms"] >= 0
    assert client.query(RESET, context=context)["cache_hit"] is False


def test_clearing_what_is_old_or_expired_spares_the_rest(client: Client, context: str) -> None:
    client.query(RESET, context=context)
    for selector in ({"older_than_hours": 24}, {"expired_only": True}):
        assert client.call("POST", "/v1/cache/clear", **selector)["entries_cleared"] == 0
    assert client.query(RESET, context=context)["cache_hit"] is True


def test_a_mistake_is_one_sentence_with_its_status(client: Client, stack: Stack, team: Team) -> None:
    other = made(stack, "create_tenant", "--name", secrets.token_hex(8))["project"]
    forbidden = "API key does not have permission to access this project"

    def refused(method: str, path: str, **fields: Any) -> tuple[int, str]:
        with pytest.raises(Failed) as failed:
            client.call(method, path, **fields)
        assert failed.value.body["detail"] == failed.value.body["message"]
        return failed.value.status, str(failed.value)

    assert refused("POST", "/v1/cache/query", model=MODEL) == (400, "Field required: prompt")
    assert refused("POST", "/v1/cache/query", prompt="Hi", model=MODEL, similarity_threshold=1.5) == (
        400,
        "similarity_threshold must be between 0 and 1",
    )
    for project in (other, "made-up"):
        assert refused("GET", f"/v1/cache/projects/{project}/stats") == (403, forbidden)
        assert refused("GET", f"/v1/cache/projects/{project}/similar?query=Hi") == (403, forbidden)
        assert refused("POST", "/v1/cache/clear", project_id=project) == (403, forbidden)
        assert refused("POST", "/v1/cache/test", project_id=project, prompt="Hi") == (403, forbidden)
    stack.control(fail_status=500)
    status, message = refused("POST", "/v1/cache/query", prompt=secrets.token_hex(8), model=MODEL)
    assert (status, message.startswith("LLM provider error: ")) == (502, True)
    client.key_header = {"X-API-Key": "vc_wrong"}
    assert refused("POST", "/v1/cache/query", prompt="Hi", model=MODEL) == (401, "Invalid or missing API key")


def test_who_calls_too_often_is_told_when_to_come_again(client: Client, stack: Stack, team: Team) -> None:
    key = made(stack, "create_key", "--tenant", team.tenant_id, "--rpm", "1")["key"]
    client.key_header = {name: value.replace(team.api_key, key) for name, value in client.key_header.items()}
    path = f"/v1/cache/projects/{team.project_id}/stats"
    client.call("GET", path)
    assert client.last is not None
    assert client.last.headers["X-RateLimit-Limit"] == "1"
    assert int(client.last.headers["X-RateLimit-Reset"]) >= time.time() - 1

    with pytest.raises(Failed, match=r"^Rate limit exceeded\. Please try again later\.$") as limited:
        for _ in range(3):
            client.call("GET", path)
    assert limited.value.status == 429
    assert 1 <= (limited.value.retry_after or 0) <= 10
    assert limited.value.body["retry_after"] == limited.value.retry_after
    assert client.last.headers["X-RateLimit-Remaining"] == "0"
