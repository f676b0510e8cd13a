"""Every spelling of a wish, and what a bad one does."""

from typing import Any

import pytest

from cache_api.domain.controls import InvalidControl, controls_of
from cache_api.domain.request import Controls


def test_no_wish_is_the_plain_cache() -> None:
    assert controls_of({"user-agent": "x", "accept": "*/*"}) == Controls()


@pytest.mark.parametrize(
    ("headers", "cache", "field", "wanted"),
    [
        ({"x-cacheai-enable-cache": "false"}, None, "use_cache", False),
        ({}, {"use-cache": False}, "use_cache", False),
        ({"x-cacheai-enable-cache": "true"}, {"use-cache": False}, "use_cache", False),
        ({"x-cache-bypass": "true"}, None, "use_cache", False),
        ({"cf-aig-skip-cache": "true"}, None, "use_cache", False),
        ({"helicone-cache-enabled": "false"}, None, "use_cache", False),
        ({"x-openrouter-cache": "false"}, None, "use_cache", False),
        ({"x-cacheai-refresh": "true"}, None, "refresh", True),
        ({}, {"no-cache": True}, "refresh", True),
        ({"cache-control": "no-cache"}, None, "refresh", True),
        ({"x-portkey-cache-force-refresh": "true"}, None, "refresh", True),
        ({"x-openrouter-cache-clear": "true"}, None, "refresh", True),
        ({"x-cacheai-no-store": "true"}, None, "no_store", True),
        ({}, {"no-store": True}, "no_store", True),
        ({"cache-control": "max-age=5, no-store"}, None, "no_store", True),
        ({"x-bf-cache-no-store": "true"}, None, "no_store", True),
        ({"x-cacheai-ttl": "0"}, None, "no_store", True),
        ({"x-cacheai-only-if-cached": "true"}, None, "only_if_cached", True),
        ({"cache-control": "only-if-cached"}, None, "only_if_cached", True),
        ({"x-cacheai-ttl": "30"}, None, "ttl_seconds", 30),
        ({"x-cacheai-ttl": "5m"}, {"ttl": 20}, "ttl_seconds", 20),
        ({"x-cacheai-ttl": "2h"}, None, "ttl_seconds", 7200),
        ({}, {"ttl": "7d"}, "ttl_seconds", 604_800),
        ({"cf-aig-cache-ttl": "60"}, None, "ttl_seconds", 60),
        ({"x-bf-cache-ttl": "30s"}, None, "ttl_seconds", 30),
        ({"helicone-cache-enabled": "true", "cache-control": "max-age=99"}, None, "ttl_seconds", 99),
        ({"helicone-cache-enabled": "true", "cache-control": "max-age=99"}, None, "max_age_seconds", None),
        ({"cache-control": "max-age=99"}, None, "max_age_seconds", 99),
        ({"cache-control": "max-stale=9"}, None, "max_age_seconds", None),
        ({}, {"s-maxage": 50}, "max_age_seconds", 50),
        ({"x-cacheai-similarity-threshold": "0.9"}, {"similarity_threshold": 0.95}, "threshold", 0.95),
        ({"x-bf-cache-threshold": "0.8"}, None, "threshold", 0.8),
        ({"x-bf-cache-type": "direct"}, None, "threshold", 1.0),
        ({"x-cacheai-namespace": "own", "helicone-cache-seed": "peer"}, {"namespace": "body"}, "namespace", "own"),
        ({"helicone-cache-seed": "peer"}, {"namespace": "body"}, "namespace", "body"),
        ({"cf-aig-cache-key": "peer"}, None, "namespace", "peer"),
        ({"x-cacheai-end-user": "u"}, None, "end_user", "u"),
        ({"x-cacheai-tags": "a, b"}, {"tags": ["b", "c"]}, "tags", ("a", "b", "c")),
        ({"x-cacheai-depends-on": "b@2,a"}, None, "depends_on", ("a", "b@2")),
        ({"x-cacheai-task": "nightly: mail"}, None, "task", "nightly: mail"),
        ({"x-cacheai-task": "x" * 65}, None, "task", ""),
        ({"x-cacheai-backend-provider": "OpenAI"}, None, "provider", "openai"),
        ({"x-cacheai-baseline-model-provider": "groq"}, None, "provider", "groq"),
        ({"x-llm-provider": "groq"}, None, "provider", "groq"),
        ({"x-cacheai-backend-api-key": "sk"}, None, "provider_key", "sk"),
        ({"x-cacheai-backend-base-url": "https://a.example/v1/"}, None, "base_url", "https://a.example/v1"),
        ({"x-cacheai-baseline-model": "m"}, None, "model", "m"),
    ],
)
def test_each_spelling_says_the_same(headers: dict[str, str], cache: Any, field: str, wanted: Any) -> None:
    assert getattr(controls_of(headers, cache), field) == wanted


@pytest.mark.parametrize(
    ("headers", "cache"),
    [
        ({"x-cacheai-enable-cache": "perhaps"}, None),
        ({"x-cacheai-ttl": "soon"}, None),
        ({"x-cacheai-ttl": "-1"}, None),
        ({"x-cacheai-similarity-threshold": "1.5"}, None),
        ({"x-cacheai-similarity-threshold": "nan"}, None),
        ({"x-cacheai-namespace": "x" * 129}, None),
        ({"x-cacheai-namespace": "a\x00b"}, None),
        ({"x-cacheai-tags": ",".join(str(number) for number in range(17))}, None),
        ({"x-cacheai-tags": "x" * 65}, None),
        ({}, {"ttl": True}),
        ({}, {"ttl": [5]}),
        ({}, {"use-cache": "yes"}),
        ({}, {"similarity_threshold": "high"}),
        ({}, {"similarity_threshold": {}}),
        ({}, {"namespace": 5}),
        ({}, {"tags": [1]}),
        ({}, {"depends_on": 1}),
        ({}, []),
        ({}, "off"),
    ],
)
def test_a_bad_value_in_our_own_spelling_is_an_error(headers: dict[str, str], cache: Any) -> None:
    with pytest.raises(InvalidControl):
        controls_of(headers, cache)


@pytest.mark.parametrize(
    "headers",
    [
        {"cf-aig-cache-ttl": "soon"},
        {"x-bf-cache-threshold": "high"},
        {"helicone-cache-seed": "x" * 129},
        {"cache-control": "max-age=many, ,="},
        {"x-openrouter-cache": "perhaps"},
    ],
)
def test_a_bad_value_in_anothers_spelling_is_ignored(headers: dict[str, str]) -> None:
    assert controls_of(headers) == Controls()


def test_only_all_three_of_the_old_names_start_the_old_protocol() -> None:
    old = {f"x-cacheai-baseline-model-{name}": "https://x" for name in ("provider", "api-key", "base-url")}

    assert controls_of(old).baseline_protocol
    assert not controls_of({**old, "x-cacheai-backend-api-key": "sk"}).baseline_protocol
    assert not controls_of({name: old[name] for name in list(old)[:2]}).baseline_protocol
