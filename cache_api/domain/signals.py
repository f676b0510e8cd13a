"""What is the caller told of a decision?"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cache_api.domain.decision import Blocked, Bypass, Decision, Hit
from cache_api.domain.request import Request

REQUEST_ID_PREFIX = "req_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """The same facts for headers and for the body's `cacheai` object; None: not known, or not compared."""

    decision: str
    reason: str
    provider: str
    request_id: str
    layer: str | None = None
    similarity: float | None = None
    threshold: float | None = None
    cache_key: str | None = None
    age_seconds: int | None = None
    ttl_seconds: int | None = None
    saved_usd: str | None = None

    @property
    def served(self) -> bool:
        """From the cache: nobody was asked. A synthesized answer is a hit, but was bought."""
        return self.decision == "hit" and self.layer != "synthesized"

    def body(self) -> dict[str, Any]:
        """The members that are put into an answer's body."""
        return {
            "cacheai": {
                "decision": self.decision,
                "layer": self.layer,
                "reason": self.reason,
                "similarity": self.similarity,
                "threshold": self.threshold,
                "cache_key": self.cache_key,
                "age": self.age_seconds,
                "ttl": self.ttl_seconds,
                "saved_usd": self.saved_usd,
                "provider": self.provider,
                "request_id": self.request_id,
            },
            "cacheback_hit": self.served,
            "cacheback_synthesized": self.layer == "synthesized",
        }


def request_id_of(call_id: UUID) -> str:
    return f"{REQUEST_ID_PREFIX}{call_id.hex}"


def call_id_of(request_id: str) -> UUID | None:
    """None: it is none of ours."""
    try:
        return UUID(request_id.removeprefix(REQUEST_ID_PREFIX))
    except ValueError:
        return None


def signals_of(request: Request, decision: Decision, call_id: UUID, now: datetime) -> Signals:
    entry = decision.entry if isinstance(decision, Hit) else None
    if entry is not None:
        cache_key: str | None = entry.cache_key
    else:
        cache_key = None if isinstance(decision, Bypass | Blocked) else request.cache_key
    left = entry.ttl_seconds(now) if entry else None
    return Signals(
        decision=decision.name,
        layer=decision.layer or None,
        reason=decision.reason.value,
        similarity=None if decision.similarity is None else round(decision.similarity, 4),
        threshold=decision.threshold,
        cache_key=cache_key,
        age_seconds=entry.age_seconds(now) if entry else None,
        ttl_seconds=None if left is None else max(0, left),
        saved_usd=f"{entry.cost_usd.normalize():f}" if entry and entry.cost_usd is not None else None,
        provider=request.target.provider,
        request_id=request_id_of(call_id),
    )
