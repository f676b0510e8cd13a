"""What a test needs to have asked or stored, with everything else left plain."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from cache_api.dialects import Dialect, openai_chat
from cache_api.domain.entry import Candidate, Entry
from cache_api.domain.request import Caller, Controls, Request, Target
from cache_api.domain.scope import fingerprint_of, scope_of
from cache_api.domain.usage import Usage

TENANT, PROJECT, KEY = UUID(int=1), UUID(int=2), UUID(int=3)
DIGEST_KEY = b"k" * 32
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DEMO = Target("demo", "http://127.0.0.1:9/v1", "demo-small")


def request_of(
    question: str = "Where is the moon?",
    *,
    raw: bytes | None = None,
    target: Target = DEMO,
    controls: Controls = Controls(),  # noqa: B008 (frozen)
    caller: Caller = Caller(TENANT, PROJECT, KEY),  # noqa: B008 (frozen)
    **body: Any,
) -> Request:
    """A chat call; `body` are further fields of it."""
    whole = {"model": "demo-small", "messages": [{"role": "user", "content": question}], **body}
    raw = orjson.dumps(whole) if raw is None else raw
    return call_of(openai_chat, raw, target=target, controls=controls, caller=caller)


def call_of(
    dialect: Dialect,
    raw: bytes,
    *,
    target: Target = DEMO,
    controls: Controls = Controls(),  # noqa: B008 (frozen)
    caller: Caller = Caller(TENANT, PROJECT, KEY),  # noqa: B008 (frozen)
) -> Request:
    """A call in any dialect."""
    parsed = dialect.parse(orjson.loads(raw))
    scope = scope_of(DIGEST_KEY, caller.project_id, dialect.ENDPOINT, target, controls, parsed)
    return Request(
        caller=caller,
        endpoint=dialect.ENDPOINT,
        target=target,
        controls=controls,
        parsed=parsed,
        fingerprint=fingerprint_of(DIGEST_KEY, scope, parsed),
        scope=scope,
        raw=raw,
    )


def entry_of(question: str | None = "Where is the moon?", *, age: timedelta = timedelta(0), **fields: Any) -> Entry:
    return Entry(
        **{  # type: ignore[arg-type]
            "id": UUID(int=9),
            "cache_key": "00" * 32,
            "question": question,
            "answer": openai_chat.answer_of_text("Up there.", "demo-small"),
            "provider": "demo",
            "model": "demo-small",
            "usage": Usage(in_total=5, out_total=3),
            "cost_usd": None,
            "latency_ms": 900,
            "created_at": NOW - age,
            "expires_at": NOW + timedelta(hours=1),
            **fields,
        }
    )


def candidate_of(similarity: float, question: str | None = "Where is the moon?", **fields: Any) -> Candidate:
    return Candidate(entry_of(question, **fields), similarity)
