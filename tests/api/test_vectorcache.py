"""Does a client of Vectorcache find its six calls, in both spellings, with every field and every error string?"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Answer, Api, Rules
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

FRANCE = "What is the capital of France?"
FRANCE_TOO = "Which city is the capital of France?"
SPAIN = "What is the capital of Spain?"
STEPS = ["exact", "embed", "search", "decide", "llm", "store"]
FORBIDDEN = "API key does not have permission to access this project"


@pytest.fixture
def project(cast: Cast) -> str:
    return str(cast.owner.project_id)


@pytest.fixture
def others(cast: Cast) -> str:
    return str(cast.outsider.project_id)


def query(api: Api, prompt: str = FRANCE, **fields: Any) -> Answer:
    return api.post("/v1/cache/query", {"prompt": prompt, "model": "demo-small", **fields})


def tried(api: Api, project: str, prompt: str = FRANCE, **fields: Any) -> Answer:
    return api.post("/v1/cache/test", {"project_id": project, "prompt": prompt, "model": "demo-small", **fields})


def statuses(answer: Answer) -> dict[str, str]:
    return {step["name"]: step["status"] for step in answer.json["workflow_steps"]}


def age(cast: Cast, *, created: timedelta = timedelta(0), expired: bool = False) -> None:
    """Make the owner's entries look older, or past their end."""
    from cache_api.models import Entry
    from tenants.isolation import as_tenant

    now = datetime.now(UTC)
    columns: dict[str, Any] = {"created_at": now - created}
    if expired:
        columns["expires_at"] = now - timedelta(seconds=5)
    with as_tenant(cast.owner.tenant_id):
        Entry.objects.filter(tenant_id=cast.owner.tenant_id).update(**columns)


# -- test


def test_a_trial_shows_the_way_of_a_miss_and_what_it_cost(api: Api, project: str, demo: DemoProvider) -> None:
    answer = tried(api, project)

    body = answer.json
    assert (answer.status, body["cache_hit"], body["similarity_score"]) == (200, False, None)
    assert body["response"]
    assert body["response_time"] >= 0
    assert (body["cost_saved"], body["cost_spent"], body["unpriced"]) == (0, 0, True)
    assert body["similar_entries"] == []
    assert body["cache_entry_id"] == answer.headers["x-cacheai-cache-key"]
    assert answer.headers["x-cacheai-decision"] == "miss"
    assert [step["name"] for step in body["workflow_steps"]] == STEPS
    assert [step["id"] for step in body["workflow_steps"]] == [1, 2, 3, 4, 5, 6]
    assert set(statuses(answer).values()) == {"success"}
    for step in body["workflow_steps"]:
        assert set(step) == {"id", "name", "status", "duration", "details", "icon"}
        assert step["duration"] > 0
        assert step["details"]
        assert step["icon"]
    assert body["workflow_steps"][3]["details"] == "miss: no_candidate"
    assert len(demo.calls()) == 1


def test_a_trial_is_a_real_call_that_others_profit_from(api: Api, project: str, demo: DemoProvider) -> None:
    tried(api, project)
    assert query(api).json["cache_hit"] is True
    assert api.chat(FRANCE).headers["x-cacheai-decision"] == "hit"
    assert api.get(f"/v1/cache/projects/{project}/stats").json["total_hits"] == 2
    assert len(demo.calls()) == 1


def test_a_trial_of_the_same_question_needs_one_look(api: Api, project: str) -> None:
    first = query(api).json
    answer = tried(api, project)

    body = answer.json
    assert (body["cache_hit"], body["similarity_score"]) == (True, 1)
    assert body["response"] == first["response"]
    assert body["cache_entry_id"] == first["cache_entry_id"]
    found = statuses(answer)
    assert found["exact"] == "success"
    assert [found[name] for name in ("search", "decide", "llm", "store")] == ["skipped"] * 4
    (one,) = body["similar_entries"]
    assert (one["id"], one["original_query"], one["similarity"]) == (first["cache_entry_id"], FRANCE, 1)
    assert datetime.fromisoformat(one["created_at"]) <= datetime.now(UTC)


def test_a_trial_in_other_words_shows_who_was_near(api: Api, project: str, embedder: FixedEmbedder) -> None:
    embedder.near[FRANCE_TOO] = (FRANCE, 0.97)
    stored = [query(api, prompt).json["cache_entry_id"] for prompt in (FRANCE, SPAIN)]
    answer = tried(api, project, FRANCE_TOO)

    body = answer.json
    assert body["cache_hit"] is True
    assert body["similarity_score"] == pytest.approx(0.97, abs=0.001)
    assert [one["id"] for one in body["similar_entries"]] == stored
    assert body["similar_entries"][0]["similarity"] == pytest.approx(0.97, abs=0.001)
    assert statuses(answer) == dict(zip(STEPS, ["success"] * 4 + ["skipped"] * 2, strict=True))


def test_a_trial_that_misses_shows_who_was_not_near_enough_but_not_itself(
    api: Api, project: str, embedder: FixedEmbedder
) -> None:
    embedder.near[FRANCE_TOO] = (FRANCE, 0.7)
    stored = query(api).json["cache_entry_id"]
    body = tried(api, project, FRANCE_TOO).json

    assert (body["cache_hit"], body["similarity_score"]) == (False, None)
    assert [(one["id"], one["original_query"]) for one in body["similar_entries"]] == [(stored, FRANCE)]
    assert body["workflow_steps"][3]["details"] == "miss: below_threshold"


def test_a_trial_with_a_broken_part_says_which_one_and_is_answered_all_the_same(
    api: Api, project: str, embedder: FixedEmbedder
) -> None:
    embedder.down = True
    answer = tried(api, project)

    assert answer.status == 200
    assert answer.json["response"]
    found = statuses(answer)
    assert [found[name] for name in STEPS] == ["success", "error", "skipped", "skipped", "success", "success"]
    assert answer.json["workflow_steps"][1]["details"] == "deadline"
    assert answer.json["workflow_steps"][3]["details"] == "bypass: deadline"


def test_a_trial_whose_answer_cannot_be_stored_says_so(api: Api, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api import wiring
    from cache_api.ports import CacheUnavailable

    class Full(type(wiring.parts().store)):  # type: ignore[misc]
        def put(self, entry: Any) -> Any:
            raise CacheUnavailable("deadline")

    monkeypatch.setattr(wiring.parts().store, "__class__", Full)
    found = statuses(tried(api, project))
    assert (found["llm"], found["store"]) == ("success", "error")


def test_a_trial_of_what_must_not_be_cached_skips_the_cache(api: Api, project: str) -> None:
    answer = tried(api, project, cache={"use-cache": False})
    assert [statuses(answer)[name] for name in STEPS] == ["skipped"] * 4 + ["success", "skipped"]
    assert answer.json["workflow_steps"][3]["details"] == "bypass: caller"


def test_a_trial_in_camel_case_is_the_same_and_can_leave_the_steps_out(api: Api, project: str) -> None:
    sent = {"projectId": project, "prompt": FRANCE, "model": "demo-small", "similarityThreshold": 0.9}
    first = api.post("/v1/cache/test", {**sent, "includeDebug": False, "context": "You are a teacher."})
    assert first.status == 200
    assert "workflow_steps" not in first.json
    assert tried(api, project, context="You are a teacher.").json["cache_hit"] is True
    assert tried(api, project, context="You are a pirate.").json["cache_hit"] is False


def test_a_trial_s_provider_failing_is_said_as_in_a_query(api: Api, project: str, demo: DemoProvider) -> None:
    demo.control(fail_status=500)
    answer = tried(api, project)
    assert answer.status == 502
    assert answer.json["message"].startswith("LLM provider error: ")
    assert answer.headers["x-cacheai-decision"] == "miss"


def test_what_a_small_model_made_of_stored_answers_was_bought(
    api: Api, project: str, demo: DemoProvider, embedder: FixedEmbedder, rules: Rules
) -> None:
    rules(synthesis="auto", synthesis_model="demo-small")
    embedder.near |= {FRANCE_TOO: (FRANCE, 0.86), SPAIN: (FRANCE, 0.86)}
    query(api, model="demo-large")
    asked, body = query(api, FRANCE_TOO, model="demo-large").json, tried(api, project, SPAIN, model="demo-large").json

    for answer in (asked, body):
        assert (answer["cacheai"]["layer"], answer["cache_hit"], answer["similarity_score"]) == (
            "synthesized",
            False,
            None,
        )
    assert asked["llm_provider"] == "demo"
    assert {step["name"]: step["status"] for step in body["workflow_steps"]}["llm"] == "success"
    assert [call["model"] for call in demo.calls()] == ["demo-large", "demo-small", "demo-small"]


def test_a_trial_shows_that_a_stored_answer_stands_in_for_a_provider_that_fails(
    api: Api, cast: Cast, project: str, demo: DemoProvider, rules: Rules
) -> None:
    rules(stale_on_error_seconds=3600)
    api.post("/v1/cache/entries", {"prompt": FRANCE, "model": "demo-small", "answer": "Paris, as stored."})
    age(cast, expired=True)
    demo.control(fail_status=500)
    answer = tried(api, project)

    assert (answer.status, answer.json["response"], answer.json["cache_hit"]) == (200, "Paris, as stored.", True)
    assert answer.headers["x-cacheai-reason"] == "stale_on_error"
    assert statuses(answer)["llm"] == "error"
    assert statuses(answer)["store"] == "skipped"


# -- clear


def test_clear_removes_everything_and_says_how_much(api: Api, outsider: Api, cast: Cast, project: str) -> None:
    for prompt in FRANCE, SPAIN:
        query(api, prompt)
    query(outsider)
    size = api.get(f"/v1/cache/projects/{project}/stats").json["cache_size_mb"]
    answer = api.post("/v1/cache/clear", {})

    assert answer.status == 200
    assert set(answer.json) == {"entries_cleared", "space_freed_mb", "operation_time_ms"}
    assert answer.json["entries_cleared"] == 2
    assert answer.json["space_freed_mb"] == pytest.approx(size, rel=0.05)
    assert size > 0
    assert answer.json["operation_time_ms"] >= 0
    assert query(api).json["cache_hit"] is False
    assert query(outsider).json["cache_hit"] is True
    assert api.post("/v1/cache/clear", {"project_id": project}).json["entries_cleared"] == 1


@pytest.mark.parametrize(
    ("selector", "cleared"),
    [
        ({"expired_only": True}, 1),
        ({"expiredOnly": True}, 1),
        ({"expired_only": False}, 2),
        ({"older_than_hours": 24}, 1),
        ({"olderThanHours": 24.0}, 1),
        ({"older_than_hours": 72}, 0),
        ({"expired_only": True, "older_than_hours": 72}, 0),
        ({"expired_only": True, "older_than_hours": 24}, 1),
        ({"project_id": None, "expired_only": None, "older_than_hours": None}, 2),
    ],
)
def test_clear_takes_what_its_selectors_name(api: Api, cast: Cast, selector: Any, cleared: int) -> None:
    query(api)
    age(cast, created=timedelta(hours=48), expired=True)
    query(api, SPAIN)

    answer = api.post("/v1/cache/clear", selector).json
    assert answer["entries_cleared"] == cleared
    assert (answer["space_freed_mb"] > 0) is (cleared > 0)


def test_clear_reaches_no_other_project(api: Api, sibling: Api, outsider: Api) -> None:
    query(api)
    for other in sibling, outsider:
        assert other.post("/v1/cache/clear", {}).json["entries_cleared"] == 0
    assert query(api).json["cache_hit"] is True


# -- stats


def test_statistics_are_numbers_from_the_first_moment(api: Api, project: str) -> None:
    answer = api.get(f"/v1/cache/projects/{project}/stats")
    assert answer.status == 200
    assert answer.json == {
        "project_id": project,
        "total_entries": 0,
        "active_entries": 0,
        "expired_entries": 0,
        "total_hits": 0,
        "total_tokens_saved": 0,
        "total_cost_saved": 0,
        "avg_similarity_score": 0,
        "cache_size_mb": 0,
    }


def test_statistics_count_what_happened(api: Api, cast: Cast, project: str, embedder: FixedEmbedder) -> None:
    embedder.near[FRANCE_TOO] = (FRANCE, 0.96)
    query(api, SPAIN)
    age(cast, expired=True)
    tokens = query(api, FRANCE).json["tokens_used"]
    for prompt in FRANCE, FRANCE_TOO:
        query(api, prompt)

    body = api.get(f"/v1/cache/projects/{project}/stats").json
    assert (body["total_entries"], body["active_entries"], body["expired_entries"]) == (2, 1, 1)
    assert body["total_hits"] == 2
    assert body["total_tokens_saved"] == 2 * tokens > 0
    assert body["avg_similarity_score"] == pytest.approx(0.98, abs=0.001)
    assert body["cache_size_mb"] > 0
    assert all(isinstance(value, int | float) for name, value in body.items() if name != "project_id")


# -- similar


def test_similar_finds_the_nearest_by_meaning(api: Api, outsider: Api, project: str, embedder: FixedEmbedder) -> None:
    embedder.near[FRANCE_TOO] = (FRANCE, 0.8)
    france = query(api, context="You are a teacher.").json["cache_entry_id"]
    query(api, SPAIN)
    query(outsider)

    answer = api.get(f"/v1/cache/projects/{project}/similar", query="query=Which+city+is+the+capital+of+France%3F")
    body = answer.json
    assert (answer.status, body["query"], body["total_found"]) == (200, FRANCE_TOO, 2)
    first, second = body["similar_entries"]
    assert (first["id"], first["original_query"]) == (france, FRANCE)
    assert first["similarity"] == pytest.approx(0.8, abs=0.001)
    assert second["original_query"] == SPAIN
    assert datetime.fromisoformat(first["created_at"]) <= datetime.now(UTC)

    one = api.get(f"/v1/cache/projects/{project}/similar", query="query=What&limit=1").json
    assert (one["total_found"], len(one["similar_entries"])) == (1, 1)


def test_similar_leaves_out_what_has_expired(api: Api, cast: Cast, project: str) -> None:
    query(api)
    age(cast, expired=True)
    body = api.get(f"/v1/cache/projects/{project}/similar", query="query=What").json
    assert (body["similar_entries"], body["total_found"]) == ([], 0)


def test_similar_without_an_embedder_asks_to_come_again(api: Api, project: str, embedder: FixedEmbedder) -> None:
    embedder.down = True
    answer = api.get(f"/v1/cache/projects/{project}/similar", query="query=What")
    assert_says(answer, 503, "unavailable", "Service temporarily unavailable")
    assert (answer.headers["retry-after"], answer.json["retry_after"]) == ("1", 1)


# -- errors


def assert_says(answer: Answer, status: int, code: str, text: str) -> None:
    assert (answer.status, answer.json["error"]) == (status, code)
    assert answer.json["message"] == answer.json["detail"] == text
    assert answer.headers["x-cacheai-request-id"]


CALLS = [
    ("POST", "/v1/cache/query", {"prompt": FRANCE, "model": "demo-small"}, ""),
    ("POST", "/v1/cache/test", {"project_id": "{project}", "prompt": FRANCE, "model": "demo-small"}, ""),
    ("POST", "/v1/cache/clear", {}, ""),
    ("GET", "/v1/cache/projects/{project}/stats", None, ""),
    ("GET", "/v1/cache/projects/{project}/similar", None, "query=What"),
]
SCOPES = ["proxy", "proxy", "cache:purge", "stats:read", "cache:read"]


def sent(api: Api, call: Any, project: str, **body: Any) -> Answer:
    method, path, given, query_string = call
    filled = None if given is None else {**given, **({"project_id": project} if "project_id" in given else {}), **body}
    return api(method, path.format(project=project), filled, query=query_string)


@pytest.mark.parametrize("call", CALLS)
def test_each_call_takes_a_key_in_either_header(api: Api, project: str, call: Any) -> None:
    method, path, given, query_string = call
    filled = {**(given or {}), "project_id": project} if method == "POST" else None
    for headers in ({"x_api_key": api.key}, {"authorization": f"bearer {api.key}"}):
        answer = Api("")(method, path.format(project=project), filled, query=query_string, **headers)
        assert answer.status == 200


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["", "ca-nobody"])
def test_without_a_good_key_each_says_so(project: str, call: Any, key: str) -> None:
    assert_says(sent(Api(key), call, project), 401, "invalid_api_key", "Invalid or missing API key")


@pytest.mark.parametrize(("call", "scope"), list(zip(CALLS, SCOPES, strict=True)))
def test_each_takes_one_scope(project: str, key_with: Any, call: Any, scope: str) -> None:
    assert sent(key_with(scope), call, project).status == 200

    every = {"proxy", "cache:read", "cache:write", "cache:purge", "stats:read", "keys:manage"}
    text = f"{FORBIDDEN}: This API key lacks the scope {scope}."
    assert_says(sent(key_with(*every - {scope}), call, project), 403, "insufficient_scope", text)


@pytest.mark.parametrize("call", CALLS)
def test_another_project_is_refused_alike_real_or_not(api: Api, others: str, call: Any) -> None:
    method = call[0]
    refused = []
    for named in (others, str(uuid4()), "nonsense", *([""] if method == "POST" else [])):
        answer = sent(api, call, named, **({"project_id": named} if method == "POST" else {}))
        assert_says(answer, 403, "project_mismatch", FORBIDDEN)
        refused.append(answer.body)
    assert len(set(refused)) == 1
    if method == "POST":
        assert_says(sent(api, call, others, projectId=others, project_id=None), 403, "project_mismatch", FORBIDDEN)


@pytest.mark.parametrize("path", ["/v1/cache/query", "/v1/cache/test", "/v1/cache/clear"])
@pytest.mark.parametrize("raw", [b"", b"{", b"nothing", b'{"prompt": }'])
def test_what_is_no_json_is_called_so(api: Api, path: str, raw: bytes) -> None:
    assert_says(api("POST", path, raw=raw), 400, "invalid_request", "Invalid JSON format")


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("query", {"model": "demo-small"}, "Field required: prompt"),
        ("query", {"prompt": FRANCE}, "Field required: model"),
        ("test", {"prompt": FRANCE, "model": "demo-small"}, "Field required: project_id"),
        ("test", {"project_id": "{project}", "model": "demo-small"}, "Field required: prompt"),
        ("query", {"prompt": FRANCE, "similarity_threshold": 1.5}, "similarity_threshold must be between 0 and 1"),
        ("query", {"prompt": FRANCE, "similarityThreshold": -1}, "similarity_threshold must be between 0 and 1"),
        (
            "test",
            {"project_id": "{project}", "prompt": FRANCE, "model": "demo-small", "similarity_threshold": "high"},
            "similarity_threshold must be between 0 and 1",
        ),
        ("clear", {"older_than": 5}, "older_than: There is no such selector."),
        ("clear", {"olderThanDays": 5}, "olderThanDays: There is no such selector."),
        ("clear", {"older_than_hours": "old"}, "older_than_hours: A valid number is required."),
        ("clear", {"expired_only": "perhaps"}, "expired_only: Must be a valid boolean."),
    ],
)
def test_a_bad_field_is_named(api: Api, project: str, path: str, body: dict[str, Any], text: str) -> None:
    filled = {name: project if value == "{project}" else value for name, value in body.items()}
    if "similarity_threshold" in body or "similarityThreshold" in body:
        filled = {"model": "demo-small", **filled}
    assert_says(api.post(f"/v1/cache/{path}", filled), 400, "invalid_request", text)


def test_a_misspelt_selector_clears_nothing(api: Api) -> None:
    query(api)
    api.post("/v1/cache/clear", {"older_then_hours": 24})
    assert query(api).json["cache_hit"] is True


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ("", "Field required: query"),
        ("query=", "Field required: query"),
        ("query=What&limit=0", "limit: Ensure this value is greater than or equal to 1."),
        ("query=What&limit=many", "limit: A valid integer is required."),
    ],
)
def test_a_bad_search_is_named(api: Api, project: str, parameters: str, text: str) -> None:
    answer = api.get(f"/v1/cache/projects/{project}/similar", query=parameters)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert answer.json["message"].startswith(text)


def test_a_stream_is_refused_where_nothing_can_be_streamed(api: Api, project: str) -> None:
    for answer in (query(api, stream=True), tried(api, project, stream=True)):
        assert_says(answer, 422, "not_cacheable", "Streaming responses are not cacheable: use /v1/chat/completions")


def test_who_calls_too_often_hears_it_in_the_body_too(cast: Cast, project: str) -> None:
    from tenants import api_keys

    owner = cast.owner
    made = api_keys.key_create(tenant_id=owner.tenant_id, project_id=owner.project_id, name="slow", rpm=1)
    slow = Api(made.secret)
    for _ in range(2):
        assert slow.get(f"/v1/cache/projects/{project}/stats").status == 200
    refused = slow.get(f"/v1/cache/projects/{project}/stats")
    assert_says(refused, 429, "rate_limit_exceeded", "Rate limit exceeded. Please try again later.")
    assert refused.json["retry_after"] == int(refused.headers["retry-after"]) == 10
    assert refused.headers["x-ratelimit-remaining"] == "0"


def test_a_provider_s_wish_to_wait_is_handed_on(api: Api, demo: DemoProvider) -> None:
    demo.control(fail_status=429, retry_after=7)
    answer = query(api)
    assert answer.status == 502
    assert (answer.headers["retry-after"], answer.json["retry_after"]) == ("7", 7)


def test_another_method_is_refused_in_the_same_shape(api: Api, project: str) -> None:
    for method, path, allowed in (
        ("GET", "/v1/cache/test", "POST"),
        ("GET", "/v1/cache/clear", "POST"),
        ("POST", f"/v1/cache/projects/{project}/stats", "GET"),
        ("DELETE", f"/v1/cache/projects/{project}/similar", "GET"),
    ):
        answer = api(method, path)
        assert_says(answer, 405, "method_not_allowed", f"Use {allowed} here.")
        assert answer.headers["allow"] == allowed


def test_there_is_nothing_else_of_a_project(api: Api, project: str) -> None:
    assert_says(api.get(f"/v1/cache/projects/{project}/more"), 404, "not_found", "There is nothing here.")
