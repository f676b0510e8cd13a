"""How many tokens did an answer take, in one form for every provider?"""

from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from cache_api.domain.usage import Usage, estimated_tokens, estimated_usage, usage_of_anthropic, usage_of_openai

CHAT: list[tuple[str, str, dict[str, Any]]] = [
    ("openai", "gpt-5", {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}),
    ("openai", "gpt-5", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
    (
        "openai",
        "gpt-5",
        {
            "prompt_tokens": 1200,
            "completion_tokens": 300,
            "total_tokens": 1500,
            "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 192, "audio_tokens": 0, "accepted_prediction_tokens": 0},
        },
    ),
    (
        "openai",
        "gpt-4o-audio-preview",
        {
            "prompt_tokens": 500,
            "completion_tokens": 200,
            "prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 300},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 150},
        },
    ),
    ("openai", "gpt-5", {"prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": None}),
    ("mistral", "mistral-large-latest", {"prompt_tokens": 40, "completion_tokens": 8, "total_tokens": 48}),
    (
        "deepseek",
        "deepseek-chat",
        {"prompt_tokens": 90, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 64}},
    ),
    ("google", "gemini-2.5-pro", {"prompt_tokens": 12, "completion_tokens": 400, "total_tokens": 412}),
    (
        "x-ai",
        "grok-4",
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "prompt_tokens_details": {"cached_tokens": 6},
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
    ),
    ("groq", "llama-3.3-70b-versatile", {"prompt_tokens": 21, "completion_tokens": 9, "queue_time": 0.03}),
    ("anthropic", "claude-sonnet-4-5", {"prompt_tokens": 21, "completion_tokens": 9, "cached_tokens": 4}),
]
RESPONSES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "openai",
        "gpt-5",
        {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 12},
            "output_tokens": 87,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 123,
        },
    ),
    (
        "openai",
        "gpt-5",
        {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 10},
            "output_tokens": 8,
        },
    ),
]
MESSAGES: list[tuple[str, str, dict[str, Any]]] = [
    ("anthropic", "claude-sonnet-4-5", {"input_tokens": 12, "output_tokens": 6}),
    (
        "anthropic",
        "claude-sonnet-4-5",
        {
            "input_tokens": 100,
            "cache_read_input_tokens": 2000,
            "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
            "output_tokens": 300,
            "service_tier": "standard",
        },
    ),
    (
        "anthropic",
        "claude-sonnet-4-5",
        {
            "input_tokens": 1,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "cache_creation": None,
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 5},
        },
    ),
]


def flavor_of(provider: str, wanted: str) -> str:
    extractors = next(known for known in get_snapshot().providers if known.id == provider).extractors or ()
    return wanted if wanted in {extractor.api_flavor for extractor in extractors} else "default"


@pytest.mark.parametrize(
    ("flavor", "provider", "model", "raw"),
    [("chat", *case) for case in CHAT]
    + [("responses", *case) for case in RESPONSES]
    + [("default", *case) for case in MESSAGES],
)
def test_our_counts_are_the_price_lists(flavor: str, provider: str, model: str, raw: dict[str, Any]) -> None:
    body = {"model": model, "usage": raw}
    found = genai_prices.extract_usage(body, provider_id=provider, api_flavor=flavor_of(provider, flavor)).usage
    ours = usage_of_anthropic(raw) if flavor == "default" else usage_of_openai(raw)

    assert ours is not None
    assert {
        "input_tokens": ours.in_total,
        "cache_read_tokens": ours.in_cached,
        "cache_write_tokens": ours.in_write_5m + ours.in_write_1h,
        "cache_write_1h_tokens": ours.in_write_1h,
        "input_audio_tokens": ours.in_audio,
        "output_tokens": ours.out_total,
        "output_reasoning_tokens": ours.out_reasoning,
        "output_audio_tokens": ours.out_audio,
    } == {
        name: found.reported_value(name)
        for name in (
            "input_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "cache_write_1h_tokens",
            "input_audio_tokens",
            "output_tokens",
            "output_reasoning_tokens",
            "output_audio_tokens",
        )
    }


def test_an_embedding_has_input_alone() -> None:
    assert usage_of_openai({"prompt_tokens": 8, "total_tokens": 8}) == Usage(in_total=8)


def test_zero_is_a_count_and_absence_is_none() -> None:
    assert usage_of_openai({"prompt_tokens": 0, "completion_tokens": 0}) == Usage()
    assert usage_of_anthropic({"input_tokens": 0, "output_tokens": 0}) == Usage()


@pytest.mark.parametrize(
    "raw", [None, [], "12", 12, {}, {"prompt_tokens": None}, {"prompt_tokens": "12"}, {"prompt_tokens": True}]
)
def test_what_counts_nothing_is_no_usage(raw: Any) -> None:
    assert usage_of_openai(raw) is None
    assert usage_of_anthropic(raw) is None


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 15}},
            Usage(in_total=10, in_cached=10, out_total=1),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 5},
            },
            Usage(in_total=10, in_cached=8, in_audio=2, out_total=1),
        ),
        ({"prompt_tokens": -4, "completion_tokens": 1}, Usage(out_total=1)),
    ],
)
def test_a_part_is_never_more_than_its_whole(raw: dict[str, Any], usage: Usage) -> None:
    assert usage_of_openai(raw) == usage


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("hello world", 3), ("1234567890", 4), ("{}[]:,", 4), ("привет", 2), ("你好世界", 3)],
)
def test_a_text_nobody_counted_is_estimated(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


def test_an_estimate_says_so() -> None:
    usage = estimated_usage(["hello world"], "")

    assert (usage.in_total, usage.out_total, usage.estimated) == (6, 3, True)
