"""What does a caller see of a stored entry?"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cache_api.adapters.catalogue import Described
from cache_api.dialects.bare_question import context_of
from cache_api.dialects.spoken import dialect_at

VALUE = "value"  # where an entry under a caller's own key keeps what was put


def described(one: Described, now: datetime, *, with_answer: bool = False) -> dict[str, Any]:
    entry, text = one.entry, one.text or {}
    shown: dict[str, Any] = {
        "cache_key": entry.caller_key or bytes(entry.fingerprint).hex(),
        "project_id": str(entry.project_id),
        "namespace": entry.namespace,
        "provider": entry.provider,
        "model": entry.model,
        "endpoint": entry.endpoint,
        "question": text.get("question"),
        "context": context_of(text.get("request")),
        "tags": sorted(one.tags),
        "depends_on": one.depends_on,
        "writer": None if entry.writer_id is None else str(entry.writer_id),
        "source": entry.source,
        "status": _status(one, now),
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "last_hit_at": entry.last_hit_at,
        "hits": entry.hits,
        "tokens": _tokens(entry.usage),
        "cost_usd": None if entry.cost_usd is None else f"{entry.cost_usd:f}",
        "saved_usd": f"{entry.saved_usd:f}",
        "latency_ms": entry.latency_ms,
        "metadata": entry.metadata,
    }
    if one.similarity is not None:
        shown["similarity"] = one.similarity
    if with_answer:
        stored = text.get("answer") or {}
        shown["answer"] = answer_in(stored, entry.endpoint)
        if VALUE not in stored:
            shown["response"] = stored
    return shown


def full(one: Described, now: datetime) -> dict[str, Any]:
    """With the answer, and what cacheai 0.2.0 called it."""
    shown = described(one, now, with_answer=True)
    stored = (one.text or {}).get("answer") or {}
    output = shown["answer"]
    return {
        **shown,
        "output": output if isinstance(output, str) else None,
        "model_id": stored.get("model") or one.entry.model,
        "prompt": shown["question"],
    }


def answer_in(stored: Mapping[str, Any], endpoint: str) -> Any:
    """The text of an answer, or whatever was put under a caller's own key."""
    return stored[VALUE] if VALUE in stored else dialect_at(endpoint).answer_text(stored)


def _status(one: Described, now: datetime) -> str:
    entry = one.entry
    if entry.quarantined or one.text is None:
        return "quarantined"
    return "expired" if entry.expires_at is not None and entry.expires_at <= now else "live"


def _tokens(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "input": usage.get("in_total", 0),
        "output": usage.get("out_total", 0),
        "total": usage.get("in_total", 0) + usage.get("out_total", 0),
        "estimated": usage.get("estimated", False),
    }
