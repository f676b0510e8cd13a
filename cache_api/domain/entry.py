"""What is stored of an answer?"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from math import floor
from typing import Any, Self
from uuid import UUID

from cache_api.domain.evidence import Check
from cache_api.domain.records import record
from cache_api.domain.usage import Usage

SYNTHESIZED = "synthesized"  # the source of an entry that was made of others
METADATA_MAX_BYTES = 16 * 1024


class Vector(bytes):
    """Of unit length, as little-endian float32. Only vectors of one embedder can be compared, so each names its own."""

    embedder: str  # its version

    def __new__(cls, numbers: bytes, *, embedder: str) -> Self:
        vector = super().__new__(cls, numbers)
        vector.embedder = embedder
        return vector

    @classmethod
    def of(cls, stored: Iterable[Any], *, embedder: str) -> Self:
        """As the database gives it: numbers of half the precision."""
        return cls(array("f", map(float, stored)).tobytes(), embedder=embedder)


@record(frozen=True, slots=True)
class Entry:
    """A stored answer, its question, its scope, its cost when it was bought."""

    id: UUID
    cache_key: str
    question: str | None
    answer: Mapping[str, Any]  # the whole non-stream body, as the provider sent it
    provider: str
    model: str
    usage: Usage
    cost_usd: Decimal | None
    latency_ms: int
    created_at: datetime
    expires_at: datetime | None
    matchable: bool = True
    synthesized: bool = False  # made of other entries

    def age_seconds(self, now: datetime) -> int:
        return max(0, int((now - self.created_at).total_seconds()))

    def ttl_seconds(self, now: datetime) -> int | None:
        """Whole seconds left; negative once expired, None for ever."""
        return None if self.expires_at is None else floor((self.expires_at - now).total_seconds())


@record(frozen=True, slots=True)
class NewEntry:
    """An answer about to be stored."""

    id: UUID
    tenant_id: UUID
    project_id: UUID
    fingerprint: bytes
    scope: bytes
    namespace: str
    provider: str
    model: str
    endpoint: str
    question: str | None
    request: Mapping[str, Any] | None  # the body that was asked, as far as it can change the answer
    answer: Mapping[str, Any]
    vector: Vector | None
    matchable: bool
    usage: Usage
    cost_usd: Decimal | None
    latency_ms: int
    writer_id: UUID | None
    source: str
    created_at: datetime
    expires_at: datetime | None
    caller_key: str = ""
    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def as_entry(self) -> Entry:
        """The Entry as a look-up would find it."""
        return Entry(
            id=self.id,
            cache_key=self.caller_key or self.fingerprint.hex(),
            question=self.question,
            answer=self.answer,
            provider=self.provider,
            model=self.model,
            usage=self.usage,
            cost_usd=self.cost_usd,
            latency_ms=self.latency_ms,
            created_at=self.created_at,
            expires_at=self.expires_at,
            matchable=self.matchable,
            synthesized=self.source == SYNTHESIZED,
        )


@record(frozen=True, slots=True)
class Candidate:
    """An entry near the question, with its similarity (cosine, -1 to 1)."""

    entry: Entry
    similarity: float
    known_wrong: bool = False  # somebody said that this entry does not answer this question
    checks: Sequence[Check] = ()  # of its answer, the newest first
