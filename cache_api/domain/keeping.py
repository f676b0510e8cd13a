"""Which Entry does an answer become?"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cache_api.domain.admission import ttl_seconds
from cache_api.domain.call import new_id
from cache_api.domain.entry import NewEntry, Vector
from cache_api.domain.policy import Policy
from cache_api.domain.request import Parsed, Request
from cache_api.domain.scope import IGNORED_FIELDS
from cache_api.domain.usage import Usage


def new_entry(
    request: Request,
    policy: Policy,
    answer: Mapping[str, Any],
    *,
    now: datetime,
    usage: Usage,
    vector: Vector | None,
    matchable: bool,
    cost_usd: Any = None,
    latency_ms: int = 0,
    source: str = "proxied",
    metadata: Mapping[str, Any] | None = None,
    entry_id: UUID | None = None,
) -> NewEntry:
    """The Entry an answer to this Request becomes."""
    seconds = ttl_seconds(request, policy)
    return NewEntry(
        id=entry_id or new_id(now),
        tenant_id=request.caller.tenant_id,
        project_id=request.caller.project_id,
        fingerprint=request.fingerprint,
        scope=request.scope,
        namespace=request.controls.namespace,
        provider=request.target.provider,
        model=request.parsed.model,
        endpoint=request.endpoint,
        question=request.question if request.question is not None else "\n\n".join(request.parsed.texts) or None,
        request=asked_of(request.parsed),
        answer=answer,
        vector=vector,
        matchable=matchable,
        usage=usage,
        cost_usd=cost_usd,
        latency_ms=latency_ms,
        writer_id=request.caller.key_id,
        source=source,
        created_at=now,
        expires_at=None if seconds is None else now + timedelta(seconds=seconds),
        tags=request.controls.tags,
        depends_on=request.controls.depends_on,
        metadata=metadata or {},
    )


def asked_of(parsed: Parsed) -> dict[str, Any]:
    return {**{name: value for name, value in parsed.body.items() if name not in IGNORED_FIELDS}, "model": parsed.model}
