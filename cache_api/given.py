"""What entry does an answer become that did not come through us?"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from cache_api import wiring
from cache_api.dialects import Dialect
from cache_api.dialects.errors import Refused
from cache_api.dialects.spoken import dialect_at
from cache_api.dialects.tape import ANSWER_MAX_BYTES
from cache_api.domain.admission import bypass_reason, fuzzy, may_store
from cache_api.domain.entry import NewEntry
from cache_api.domain.keeping import new_entry
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.usage import Usage, estimated_usage, usage_as_kept


def entry_of(
    request: Request,
    policy: Policy,
    answer: Mapping[str, Any],
    *,
    now: datetime,
    usage: Usage,
    source: str,
    entry_id: UUID | None = None,
) -> NewEntry:
    """The entry of a whole answer, without its vector. Raises Refused."""
    if len(orjson.dumps(answer)) > ANSWER_MAX_BYTES:
        raise Refused(413, "request_too_large", f"Answers over {ANSWER_MAX_BYTES // 2**20} MiB are not stored.")
    return new_entry(
        request,
        policy,
        answer,
        now=now,
        usage=usage,
        vector=None,
        matchable=fuzzy(request, policy) and not dialect_at(request.endpoint).has_tool_calls(answer),
        cost_usd=wiring.parts().service.cost_of(
            request.caller, request.target.provider, (request.target.model,), usage
        ),
        source=source,
        entry_id=entry_id,
    )


def finished(endpoint: str, text: str, model: str, usage: Usage) -> dict[str, Any]:
    """A finished message of a text, with usage whole as clients expect it."""
    dialect = dialect_at(endpoint)
    return {**dialect.answer_of_text(text, model), "usage": dialect.usage_as_sent(usage)}


def refuse_unstorable(request: Request, policy: Policy) -> None:
    """An entry that no call could ever be served is not worth keeping."""
    caller = request.caller
    asked_by_reader = request if caller.may_read else replace(request, caller=replace(caller, may_read=True))
    if reason := bypass_reason(asked_by_reader, policy):
        raise Refused(400, "invalid_request", f"This call would bypass the cache: {reason.value}.")
    if not may_store(request):
        raise Refused(400, "invalid_request", "Nothing may be stored: no-store was asked for, or the plan is full.")


def answer_in(fields: Mapping[str, Any], request: Request) -> tuple[Mapping[str, Any], Usage]:
    """A provider's whole body, a text, or any JSON as its text. Raises Refused."""
    given = [name for name in ("answer", "response") if fields.get(name) is not None]
    if len(given) != 1:
        raise Refused(400, "invalid_request", "Field required: answer, or response with a whole body", "answer")
    value = fields[given[0]]
    dialect = dialect_at(request.endpoint)
    counted = _counted(dialect, fields.get("usage"))
    if isinstance(value, dict) and (heard := dialect.read_answer(value)).recognised:
        if heard.answer is None:
            message = f"{given[0]} must be one finished answer, neither refused nor empty"
            raise Refused(400, "invalid_request", message, given[0])
        return heard.answer, counted or heard.usage or _estimated(request, heard.text)

    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if not text.strip():
        raise Refused(400, "invalid_request", f"{given[0]} must not be empty", given[0])
    usage = counted or _estimated(request, text)
    return finished(request.endpoint, text, request.parsed.model, usage), usage


def _counted(dialect: Dialect, usage: Any) -> Usage | None:
    """In the provider's words, or in ours, as an export has it."""
    return (usage_as_kept(usage) or dialect.read_answer({"usage": usage}).usage) if usage else None


def _estimated(request: Request, text: str) -> Usage:
    return estimated_usage(list(request.parsed.prompt_texts), text)
