"""Does a client of Vectorcache find what it knows?"""

from typing import Any

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Api
from tests.fakes import FixedEmbedder

ALWAYS = (
    "cache_hit",
    "is_cache_hit",
    "response",
    "similarity_score",
    "cost_saved",
    "estimated_cost",
    "llm_provider",
    "response_time_ms",
    "tokens_used",
    "cache_entry_id",
    "query_id",
    "cacheai",
)
FRANCE = "What is the capital of France?"
FRANCE_TOO = "Which city is the capital of France?"


def ask(api: Api, **fields: Any) -> Any:
    return api.post("/v1/cache/query", {"model": "demo-small", **fields})


def test_a_question_asked_twice_is_a_hit_with_every_field(api: Api, demo: DemoProvider) -> None:
    first, second = ask(api, prompt=FRANCE), ask(api, prompt=FRANCE)

    assert (first.status, first.json["cache_hit"], first.json["similarity_score"]) == (200, False, None)
    assert (second.json["cache_hit"], second.json["is_cache_hit"], second.json["similarity_score"]) == (True, True, 1)
    assert second.json["response"] == first.json["response"] != ""
    assert (first.json["llm_provider"], second.json["llm_provider"]) == ("demo", "cache")
    assert all(name in answer.json for name in ALWAYS for answer in (first, second))
    assert second.json["cacheai"]["reason"] == "exact"
    assert second.headers["x-cacheai-decision"] == "hit"
    assert second.json["query_id"] == second.headers["x-cacheai-request-id"]
    assert len(demo.calls()) == 1


def test_the_same_in_other_words_is_a_hit_that_says_how_near(api: Api, embedder: FixedEmbedder) -> None:
    embedder.near[FRANCE_TOO] = (FRANCE, 0.97)
    ask(api, prompt=FRANCE)
    assert ask(api, prompt=FRANCE_TOO).json["similarity_score"] == pytest.approx(0.97, abs=0.001)


def test_a_model_s_name_with_half_a_character_breaks_nothing(api: Api) -> None:
    answer = api.post("/v1/cache/query", {"prompt": FRANCE, "model": "demo\ud800"}, x_cacheai_backend_provider="demo")

    assert (answer.status, answer.json["unpriced"]) == (200, True)


def test_another_context_is_a_miss(api: Api) -> None:
    ask(api, prompt=FRANCE, context="You are a teacher.")
    assert ask(api, prompt=FRANCE, context="You are a pirate.").json["cache_hit"] is False
    assert ask(api, prompt=FRANCE, context="You are a teacher.").json["cache_hit"] is True


def test_it_shares_its_entries_with_the_chat_endpoint(api: Api) -> None:
    ask(api, query=FRANCE)
    assert api.chat(FRANCE).headers["x-cacheai-decision"] == "hit"


def test_camel_case_and_snake_case_are_one_request(api: Api) -> None:
    ask(api, prompt=FRANCE, maxTokens=50, similarityThreshold=0.9)
    assert ask(api, prompt=FRANCE, max_tokens=50, similarity_threshold=0.9).json["cache_hit"] is True


def test_costs_are_numbers_even_where_nothing_is_priced(api: Api) -> None:
    answer = ask(api, prompt=FRANCE).json
    assert answer["cost_saved"] == 0
    assert answer["estimated_cost"] == 0
    assert answer["unpriced"] is True


def test_debug_tells_where_the_time_went(api: Api) -> None:
    assert "debug" not in ask(api, prompt=FRANCE).json
    debug = ask(api, prompt=FRANCE, includeDebug=True).json["debug"]
    assert debug["matched_cache_entry_id"]
    assert debug["cache_entry_count"] == 1
    assert all(debug[name] >= 0 for name in ("embedding_time_ms", "search_time_ms", "total_time_ms"))


def test_a_provider_s_error_is_one_sentence(api: Api, demo: DemoProvider) -> None:
    demo.control(fail_status=500)
    answer = ask(api, prompt=FRANCE)
    assert answer.status == 502
    assert answer.json["message"].startswith("LLM provider error: ")
    assert answer.json["detail"] == answer.json["message"]


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        ({}, 400, "invalid_request", "Field required: prompt"),
        ({"prompt": ""}, 400, "invalid_request", "Field required: prompt"),
        ({"prompt": ["a"]}, 400, "invalid_request", "prompt must be a string"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, 400, "invalid_request", "not both"),
        ({"messages": {"a": 1}}, 400, "invalid_request", "messages must be an array"),
        ({"messages": ["a"]}, 400, "invalid_request", "must be an object"),
        ({"prompt": "a", "model": None}, 400, "invalid_request", "Field required: model"),
        ({"prompt": "a", "model": 7}, 400, "invalid_request", "model must be a string"),
        ({"prompt": "a", "model": "demo-\0"}, 400, "invalid_control", "NUL"),
        ({"prompt": "a", "similarity_threshold": 2}, 400, "invalid_request", "must be between 0 and 1"),
        ({"prompt": "a", "similarityThreshold": "x"}, 400, "invalid_request", "must be between 0 and 1"),
        ({"prompt": "a", "maxTokens": "many"}, 400, "invalid_request", "max_tokens must be a whole number"),
        ({"prompt": "a", "context": 5}, 400, "invalid_request", "context must be a string"),
        ({"prompt": "a", "stream": True}, 422, "not_cacheable", "Streaming"),
        ({"messages": IMAGE}, 422, "not_cacheable", "Images"),
        ({"prompt": "a", "project_id": "no-such"}, 403, "project_mismatch", "does not have permission"),
        ({"prompt": "a", "projectId": 5}, 403, "project_mismatch", "does not have permission"),
    ],
)
def test_a_bad_query_is_refused_in_vectorcache_s_shape(
    api: Api, body: Any, status: int, code: str, message: str
) -> None:
    answer = ask(api, **body)
    assert (answer.status, answer.json["error"]) == (status, code)
    assert message in answer.json["message"]
    assert answer.json["detail"] == answer.json["message"]
    assert answer.headers["x-cacheai-request-id"]


def test_what_is_no_json_and_who_has_no_key_hear_so(api: Api) -> None:
    broken = api("POST", "/v1/cache/query", raw=b"{")
    assert (broken.status, broken.json["message"]) == (400, "Invalid JSON format")
    unknown = Api("ca-nobody").post("/v1/cache/query", {"prompt": "a"})
    assert (unknown.status, unknown.json["message"]) == (401, "Invalid or missing API key")


def test_half_a_surrogate_pair_passes_uncached(api: Api) -> None:
    answer = api("POST", "/v1/cache/query", raw=b'{"model":"demo-small","prompt":"a \\ud83d"}')
    assert (answer.status, answer.json["cacheai"]["reason"]) == (200, "unparsed")
