"""Is what comes in Vectorcache's words understood, and is what goes out said in them?"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from cache_api.dialects import vectorcache
from cache_api.dialects.errors import Refused
from cache_api.domain.signals import Signals
from cache_api.domain.usage import Usage


def signals(decision: str, *, similarity: float | None = None) -> Signals:
    return Signals(
        decision=decision,
        reason="a_reason",
        provider="demo",
        request_id="req_1",
        similarity=similarity,
        threshold=0.9,
        cache_key="a-key",
    )


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"projectId": "p"}, {"project_id": "p"}),
        ({"project_id": "p"}, {"project_id": "p"}),
        ({"projectId": "camel", "project_id": "snake"}, {"project_id": "snake"}),
        ({"project_id": "snake", "projectId": "camel"}, {"project_id": "snake"}),
        ({"project_id": None, "projectId": "camel"}, {"project_id": "camel"}),
        ({"projectId": "camel", "project_id": None}, {"project_id": "camel"}),
        ({"similarityThreshold": 0}, {"similarity_threshold": 0}),
        ({"includeDebug": False}, {"include_debug": False}),
        ({"maxTokens": 5}, {"max_tokens": 5}),
        ({"expiredOnly": True, "olderThanHours": 2}, {"expired_only": True, "older_than_hours": 2}),
        ({"topP": 1, "logitBias": {}}, {"topP": 1, "logitBias": {}}),
    ],
)
def test_both_spellings_are_one_field(sent: dict[str, Any], read: dict[str, Any]) -> None:
    assert vectorcache.fields_of(sent) == read


@pytest.mark.parametrize(
    ("fields", "chat"),
    [
        ({"prompt": "Hi"}, [{"role": "user", "content": "Hi"}]),
        ({"query": "Hi"}, [{"role": "user", "content": "Hi"}]),
        ({"messages": [{"role": "user", "content": "Hi"}]}, [{"role": "user", "content": "Hi"}]),
        (
            {"prompt": "Hi", "context": "Be brief."},
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        ),
    ],
)
def test_a_query_stands_for_a_chat_call(fields: dict[str, Any], chat: Any) -> None:
    body = vectorcache.chat_of({**fields, "max_tokens": 9, "metadata": {"a": 1}}, default_model="m")
    assert body == {"model": "m", "messages": chat, "max_tokens": 9}


@pytest.mark.parametrize(
    ("threshold", "read"),
    [(None, 0.85), (0, 0.0), (1, 1.0), (0.9, 0.9)],
)
def test_a_threshold_lies_between_0_and_1(threshold: Any, read: float) -> None:
    assert vectorcache.threshold_of({"similarity_threshold": threshold}) == read


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "0.9", True, [], float("nan")])
def test_any_other_threshold_is_refused(threshold: Any) -> None:
    with pytest.raises(Refused, match=r"^similarity_threshold must be between 0 and 1$"):
        vectorcache.threshold_of({"similarity_threshold": threshold})


@pytest.mark.parametrize(
    ("decision", "similarity", "cost", "told"),
    [
        ("miss", None, Decimal("0.25"), (False, None, 0.0, 0.25, "demo")),
        ("miss", 0.7, None, (False, None, 0.0, 0.0, "demo")),
        ("bypass", None, Decimal("0.25"), (False, None, 0.0, 0.25, "demo")),
        ("hit", None, Decimal("0.25"), (True, 1.0, 0.25, 0.0, "cache")),
        ("hit", 0.97, None, (True, 0.97, 0.0, 0.0, "cache")),
    ],
)
def test_what_was_spent_or_saved_is_a_number(
    decision: str, similarity: float | None, cost: Decimal | None, told: tuple[Any, ...]
) -> None:
    answered = vectorcache.answer(
        "Paris", signals(decision, similarity=similarity), usage=Usage(), cost_usd=cost, milliseconds=12
    )
    names = ("cache_hit", "similarity_score", "cost_saved", "estimated_cost", "llm_provider")
    assert tuple(answered[name] for name in names) == told
    assert answered["is_cache_hit"] is answered["cache_hit"]
    assert answered.get("unpriced", False) is (cost is None)

    trial = vectorcache.trial(answered, [], None)
    assert (trial["cost_saved"], trial["cost_spent"], trial["response_time"]) == (told[2], told[3], 12)
    assert trial.get("unpriced", False) is (cost is None)
    assert "workflow_steps" not in trial


def test_a_step_and_a_similar_entry_have_every_field() -> None:
    assert vectorcache.step(5, "llm", "success", seconds=0.0123456, details="demo") == {
        "id": 5,
        "name": "llm",
        "status": "success",
        "duration": 12.346,
        "details": "demo",
        "icon": "🤖",
    }
    now = datetime.now(UTC)
    assert vectorcache.similar_entry("a-key", None, 0.912345, now) == {
        "id": "a-key",
        "original_query": "",
        "similarity": 0.9123,
        "created_at": now,
    }
