"""How is a question asked and answered in Vectorcache's words?

Inside it is a chat call and shares its entries; only what goes in and what comes out is said differently.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from cache_api.dialects.bare_question import chat_body
from cache_api.dialects.errors import Refused, vectorcache_error
from cache_api.dialects.openai_chat import (
    ENDPOINT,
    SPEAKS,
    answer_of_text,
    answer_text,
    has_tool_calls,
    replay,
    tape,
    upstream_body,
    usage_as_sent,
)
from cache_api.domain.call import Timings
from cache_api.domain.signals import Signals
from cache_api.domain.usage import Usage

__all__ = [
    "ENDPOINT",
    "NAME",
    "SPEAKS",
    "answer_of_text",
    "answer_text",
    "error",
    "has_tool_calls",
    "replay",
    "tape",
    "upstream_body",
    "usage_as_sent",
]

Status = Literal["success", "error", "skipped"]  # nothing is pending or running once the answer is here

NAME = "vectorcache"
DEFAULT_THRESHOLD = 0.85

# Ours or Vectorcache's own; every other field is the provider's and is passed on.
_OWN = frozenset(
    {
        "prompt",
        "query",
        "question",
        "messages",
        "model",
        "context",
        "similarity_threshold",
        "metadata",
        "project_id",
        "include_debug",
        "cache",
        "stream",
    }
)
_KNOWN = _OWN | {"max_tokens", "expired_only", "older_than_hours"}
_ICONS = {"exact": "🎯", "embed": "🧭", "search": "🔍", "decide": "⚖️", "llm": "🤖", "store": "💾"}
_HUMP = re.compile(r"(?<=[a-z])[A-Z]")

error = vectorcache_error


def fields_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The known fields in snake_case, others as they came. Of two spellings snake_case counts, unless it is null."""
    fields: dict[str, Any] = {}
    for name, value in body.items():
        snake = _HUMP.sub(lambda hump: "_" + hump[0].lower(), name)
        known = snake if snake in _KNOWN else name
        if fields.get(known) is None or (known == name and value is not None):
            fields[known] = value
    return fields


def chat_of(fields: Mapping[str, Any], *, default_model: str) -> dict[str, Any]:
    """The chat body a query stands for. Raises Refused."""
    if fields.get("stream"):
        raise _not_cacheable("Streaming responses are not cacheable: use /v1/chat/completions")
    _expect(fields, "max_tokens", int)
    _expect(fields, "temperature", int | float)
    _expect(fields, "include_debug", bool)
    _expect(fields, "metadata", dict)
    params = {name: value for name, value in fields.items() if name not in _OWN and value is not None}
    asked = {name: value for name, value in fields.items() if name in _OWN}
    chat = chat_body({**asked, "params": params}, default_model=default_model, wanted="prompt")
    for message in chat["messages"]:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and not all(_is_text(part) for part in content):
            raise _not_cacheable("Images and files are not cacheable: use /v1/chat/completions")
    return chat


def threshold_of(fields: Mapping[str, Any]) -> float:
    """Raises Refused."""
    value = fields.get("similarity_threshold")
    if value is None:
        return DEFAULT_THRESHOLD
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        message = "similarity_threshold must be between 0 and 1"
        raise Refused(400, "invalid_request", message, "similarity_threshold")
    return float(value)


def answer(text: str, signals: Signals, *, usage: Usage, cost_usd: Decimal | None, milliseconds: int) -> dict[str, Any]:
    """`cost_usd` is what the tokens cost: spent on a miss, saved on a hit. Clients add the numbers up."""
    hit = signals.served
    cost = float(cost_usd or 0)
    body = {
        "cache_hit": hit,
        "is_cache_hit": hit,
        "response": text,
        "similarity_score": (1.0 if signals.similarity is None else signals.similarity) if hit else None,
        "cost_saved": cost if hit else 0.0,
        "estimated_cost": 0.0 if hit else cost,
        "llm_provider": "cache" if hit else signals.provider,
        "response_time_ms": milliseconds,
        "tokens_used": usage.total,
        "cache_entry_id": signals.cache_key,
        "query_id": signals.request_id,
        "cacheai": signals.body()["cacheai"],
    }
    if cost_usd is None:
        body["unpriced"] = True
    return body


def debug(signals: Signals, timings: Timings, *, entries: int) -> dict[str, Any]:
    return {
        "embedding_time_ms": timings.embed,
        "search_time_ms": timings.lookup,
        "total_time_ms": timings.total,
        "matched_cache_entry_id": signals.cache_key if signals.served else None,
        "cache_entry_count": entries,
    }


def trial(
    answered: Mapping[str, Any], similar: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """What `answer` gave, in the words of a test; without steps if nobody wants to see them."""
    body = {
        "cache_hit": answered["cache_hit"],
        "similarity_score": answered["similarity_score"],
        "response_time": answered["response_time_ms"],
        "cost_saved": answered["cost_saved"],
        "cost_spent": answered["estimated_cost"],
        "response": answered["response"],
        "cache_entry_id": answered["cache_entry_id"],
        "similar_entries": similar,
        "cacheai": answered["cacheai"],
    }
    if steps is not None:
        body["workflow_steps"] = steps
    if "unpriced" in answered:
        body["unpriced"] = True
    return body


def step(number: int, name: str, status: Status, *, seconds: float, details: str) -> dict[str, Any]:
    """One of a trial's steps; how long it took is in milliseconds."""
    duration = round(seconds * 1000, 3)
    icon = _ICONS[name]
    return {"id": number, "name": name, "status": status, "duration": duration, "details": details, "icon": icon}


def similar_entry(cache_key: str, question: str | None, similarity: float, created_at: datetime) -> dict[str, Any]:
    return {
        "id": cache_key,
        "original_query": question or "",
        "similarity": round(similarity, 4),
        "created_at": created_at,
    }


def _expect(fields: Mapping[str, Any], name: str, kind: Any) -> None:
    value = fields.get(name)
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return
    words = {int: "a whole number", bool: "true or false", dict: "an object"}
    raise Refused(400, "invalid_request", f"{name} must be {words.get(kind, 'a number')}", name)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"


def _not_cacheable(message: str) -> Refused:
    return Refused(422, "not_cacheable", message)
