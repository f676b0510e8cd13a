"""Does every wish work in every spelling, and does every answer say what became of it?"""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from tests.api.test_controls import age, told
from tests.api.test_entries import put
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

ASKED = "Who made it?"
REWORDED = "Who built it?"


def ask(api: Api, wish: Mapping[str, Any], question: str = ASKED) -> Answer:
    """A wish with a capital is a header; all others stand in the body's `cache`."""
    headers = {name: value for name, value in wish.items() if name.isupper()}
    inside = {name: value for name, value in wish.items() if not name.isupper()}
    return api.chat(question, headers=headers, **({"cache": inside} if inside else {}))


@pytest.mark.parametrize(
    "wish",
    [
        {"X_CACHEAI_ENABLE_CACHE": "false"},
        {"use-cache": False},
        {"X_CACHE_BYPASS": "true"},
        {"CF_AIG_SKIP_CACHE": "true"},
        {"HELICONE_CACHE_ENABLED": "false"},
        {"X_OPENROUTER_CACHE": "false"},
    ],
    ids=str,
)
def test_who_wants_no_cache_has_none(api: Api, wish: Mapping[str, Any]) -> None:
    assert told(ask(api, wish)) == ("bypass", "caller")
    assert told(ask(api, {})) == ("miss", "no_candidate")  # nothing was stored
    passed = ask(api, wish)
    assert told(passed) == ("bypass", "caller")
    assert passed.headers["cache-status"].startswith("CacheAI; fwd=request; detail=caller")


@pytest.mark.parametrize(
    "wish",
    [
        {"X_CACHEAI_REFRESH": "true"},
        {"no-cache": True},
        {"CACHE_CONTROL": "no-cache"},
        {"X_PORTKEY_CACHE_FORCE_REFRESH": "true"},
        {"X_OPENROUTER_CACHE_CLEAR": "true"},
    ],
    ids=str,
)
def test_who_wants_it_anew_gets_it_anew(api: Api, wish: Mapping[str, Any]) -> None:
    ask(api, {})
    refreshed = ask(api, wish)
    assert told(refreshed) == ("miss", "refresh")
    assert "fwd=request" in refreshed.headers["cache-status"]
    assert told(ask(api, {})) == ("hit", "exact")


@pytest.mark.parametrize(
    "wish",
    [
        {"X_CACHEAI_NO_STORE": "true"},
        {"no-store": True},
        {"CACHE_CONTROL": "no-store"},
        {"X_BF_CACHE_NO_STORE": "true"},
        {"X_CACHEAI_TTL": "0"},
        {"ttl": 0},
    ],
    ids=str,
)
def test_who_wants_nothing_kept_leaves_nothing(api: Api, wish: Mapping[str, Any]) -> None:
    bought = ask(api, wish)
    assert told(bought) == ("miss", "no_candidate")
    assert "stored" not in bought.headers["cache-status"]
    assert told(ask(api, {})) == ("miss", "no_candidate")


@pytest.mark.parametrize(
    "wish",
    [
        {"X_CACHEAI_TTL": "1m"},
        {"ttl": "60s"},
        {"CF_AIG_CACHE_TTL": "60"},
        {"X_BF_CACHE_TTL": "60s"},
        {"X_OPENROUTER_CACHE_TTL": "60"},
        {"HELICONE_CACHE_ENABLED": "true", "CACHE_CONTROL": "max-age=60"},
    ],
    ids=str,
)
def test_who_names_a_time_has_it_kept_so_long(api: Api, wish: Mapping[str, Any]) -> None:
    ask(api, wish)
    served = ask(api, {})
    assert told(served) == ("hit", "exact")
    assert 0 < int(served.headers["x-cacheai-ttl"]) <= 60


@pytest.mark.parametrize("wish", [{"CACHE_CONTROL": "max-age=60"}, {"s-maxage": 60}], ids=str)
def test_who_names_an_age_gets_nothing_older(api: Api, cast: Cast, wish: Mapping[str, Any]) -> None:
    put(api, ASKED)
    assert told(ask(api, wish)) == ("hit", "exact")
    age(cast, seconds=100)
    assert told(ask(api, {})) == ("hit", "exact")
    assert told(ask(api, wish)) == ("miss", "too_old")


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"X_CACHEAI_SIMILARITY_THRESHOLD": "0.99"}, "below_threshold"),
        ({"similarity_threshold": 0.99}, "below_threshold"),
        ({"X_BF_CACHE_THRESHOLD": "0.99"}, "below_threshold"),
        ({"X_BF_CACHE_TYPE": "direct"}, "exact_only"),
        ({"similarity_threshold": 1}, "exact_only"),
    ],
    ids=str,
)
def test_who_names_a_floor_gets_nothing_below(
    api: Api, embedder: FixedEmbedder, wish: Mapping[str, Any], reason: str
) -> None:
    embedder.near[REWORDED] = (ASKED, 0.98)
    ask(api, {})
    refused = ask(api, {**wish, "X_CACHEAI_NO_STORE": "true"}, REWORDED)
    assert told(refused) == ("miss", reason)
    served = ask(api, {}, REWORDED)
    assert told(served) == ("hit", "similar")
    assert "detail=similar" in served.headers["cache-status"]
    assert float(served.headers["x-cacheai-similarity"]) > float(served.headers["x-cacheai-threshold"])


@pytest.mark.parametrize(
    "wish",
    [
        {"X_CACHEAI_NAMESPACE": "a"},
        {"namespace": "a"},
        {"HELICONE_CACHE_SEED": "a"},
        {"X_PORTKEY_CACHE_NAMESPACE": "a"},
        {"X_BF_CACHE_KEY": "a"},
        {"CF_AIG_CACHE_KEY": "a"},
        {"X_CACHEAI_END_USER": "ann"},
        {"end_user": "ann"},
        {"X_CACHEAI_DEPENDS_ON": "doc:42@7"},
        {"depends_on": ["doc:42@7"]},
    ],
    ids=str,
)
def test_what_divides_divides(api: Api, embedder: FixedEmbedder, wish: Mapping[str, Any]) -> None:
    embedder.near[REWORDED] = (ASKED, 0.98)
    ask(api, {})
    assert told(ask(api, wish)) == ("miss", "no_candidate")
    assert told(ask(api, wish)) == ("hit", "exact")
    assert told(ask(api, wish, REWORDED)) == ("hit", "similar")


@pytest.mark.parametrize(
    "wish",
    [
        {"HELICONE_CACHE_IGNORE_KEYS": "messages"},
        {"HELICONE_CACHE_BUCKET_MAX_SIZE": "10"},
        {"HELICONE_CACHE_ENABLED": "true"},
        {"X_OPENROUTER_CACHE": "true"},
        {"CACHE_CONTROL": "max-stale=3600"},
        {"X_BF_CACHE_THRESHOLD": "much"},  # a bad value of another's name
        {"CF_AIG_CACHE_TTL": "soon"},
    ],
    ids=str,
)
def test_what_would_loosen_or_cannot_be_read_in_another_s_name_is_ignored(api: Api, wish: Mapping[str, Any]) -> None:
    assert told(ask(api, wish)) == ("miss", "no_candidate")
    assert told(ask(api, {})) == told(ask(api, wish)) == ("hit", "exact")


@pytest.mark.parametrize(
    "wish",
    [
        {"X_CACHEAI_TTL": "soon"},
        {"ttl": -1},
        {"X_CACHEAI_REFRESH": "perhaps"},
        {"X_CACHEAI_ENABLE_CACHE": "maybe"},
        {"X_CACHEAI_SIMILARITY_THRESHOLD": "1.1"},
        {"X_CACHEAI_NAMESPACE": "n" * 129},
        {"X_CACHEAI_TAGS": ",".join(f"t{number}" for number in range(17))},
        {"tags": [1]},
        {"depends_on": {"doc": 42}},
        {"s-maxage": "x"},
        {"only-if-cached": "yes"},
    ],
    ids=str,
)
def test_a_bad_value_in_our_own_name_is_refused_with_the_name(api: Api, wish: Mapping[str, Any]) -> None:
    refused = ask(api, wish)
    assert (refused.status, refused.json["error"]["code"]) == (400, "invalid_control")
    (name,) = wish
    param = refused.json["error"]["param"].lower().removeprefix("x-cacheai-").removeprefix("cache.")
    assert param == name.lower().removeprefix("x_cacheai_").replace("_", "-") or param == name


# -- who is asked


@pytest.mark.parametrize(
    "header", ["X_CACHEAI_BACKEND_PROVIDER", "X_CACHEAI_BASELINE_MODEL_PROVIDER", "X_LLM_PROVIDER"]
)
def test_a_provider_is_named_by_header(api: Api, header: str) -> None:
    answer = api.chat(ASKED, model="anything", headers={header: "demo"})
    assert (answer.status, answer.json["cacheai"]["provider"]) == (200, "demo")


def test_another_model_is_named_by_header(api: Api) -> None:
    answer = api.chat(ASKED, model="demo-small", headers={"X_CACHEAI_BASELINE_MODEL": "demo-large"})
    assert answer.json["model"] == "demo-large"


def test_nothing_is_translated_between_dialects(api: Api) -> None:
    headers = {"X_CACHEAI_BACKEND_PROVIDER": "deepseek", "X_CACHEAI_BACKEND_API_KEY": "sk-x"}
    refused = api.post("/v1/completions", {"model": "m", "prompt": ASKED}, **headers)
    assert (refused.status, refused.json["error"]["code"]) == (400, "dialect_unsupported")
    assert "/v1/chat/completions" in refused.json["error"]["message"]


# -- what an answer says


def test_a_hit_tells_its_age_its_time_left_and_its_key_in_every_tongue(api: Api, cast: Cast) -> None:
    bought = api.chat(ASKED)
    assert bought.headers["cache-status"].startswith("CacheAI; fwd=uri-miss")
    assert "stored" in bought.headers["cache-status"]
    age(cast, seconds=100)
    served = api.chat(ASKED).headers
    key = bought.headers["x-cacheai-cache-key"]
    assert served["x-cacheai-cache-key"] == served["x-litellm-cache-key"] == key
    assert 100 <= int(served["x-cacheai-age"]) < 200
    assert served["cache-status"].startswith(f'CacheAI; hit; ttl={served["x-cacheai-ttl"]}; key="{key}"')
    assert (served["x-cache-hit"], served["x-cacheback-hit"], served["x-cacheback-synthesized"]) == (
        "true",
        "true",
        "false",
    )
    assert served["x-request-id"] == served["x-cacheai-request-id"]
    assert "x-cacheai-similarity" not in served


def test_an_old_answer_is_told_as_stale(api: Api, cast: Cast) -> None:
    put(api, ASKED)
    age(cast, seconds=8 * 86_400)
    bought = api.chat(ASKED)
    assert told(bought) == ("miss", "expired")
    assert "fwd=stale" in bought.headers["cache-status"]


@pytest.mark.parametrize("asked", ["miss", "hit"])
def test_a_stream_is_held_by_no_proxy(api: Api, asked: str) -> None:
    for _ in range(2 if asked == "hit" else 1):
        answer = api.chat(ASKED, stream=True)
    assert answer.headers["x-cacheai-decision"] == asked
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["x-accel-buffering"], answer.headers["cache-control"]) == ("no", "no-store")


def test_a_key_that_may_not_read_is_told_why_it_is_served_nothing(api: Api, key_with: Any) -> None:
    api.chat(ASKED)
    assert told(key_with("proxy", "cache:write").chat(ASKED)) == ("bypass", "key_scope")


def test_a_question_of_a_book_s_length_passes(api: Api) -> None:
    assert told(api.chat("word " * 6_500)) == ("bypass", "too_long")


def test_our_own_failure_is_told_in_the_words_of_each_door() -> None:
    """In no tongue does it say more than that it was ours."""
    from django.test import RequestFactory

    from cache_api.http.operation import server_error

    words = "Internal server error. Please try again or contact support."
    vectorcache = json.loads(server_error(RequestFactory().post("/v1/cache/query")).content)
    assert vectorcache == {"detail": words, "message": words, "error": "internal_error"}
    openai = json.loads(server_error(RequestFactory().post("/v1/chat/completions")).content)["error"]
    assert (openai["message"], openai["type"], openai["code"]) == (words, "api_error", "internal_error")
    anthropic = json.loads(server_error(RequestFactory().post("/v1/messages")).content)
    assert (anthropic["type"], anthropic["error"]) == ("error", {"type": "api_error", "message": words})
