"""What does the cache resource answer?

Fields the server adds later are kept and readable as attributes. A decision or a reason is a plain string: a
new word must not break a client of today.
"""

# No postponed annotations here: they would be looked up in `cacheai`, where these classes say they live.
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from openai import BaseModel
from pydantic import ConfigDict, PlainSerializer

# Written as it was read, never as 9.6E-7: an exported entry is known again by what it cost.
Dollars = Annotated[Decimal, PlainSerializer(lambda dollars: f"{dollars:f}", return_type=str, when_used="json")]


class Answer(BaseModel):
    """Frozen, open to new fields."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Signals(Answer):
    """What the cache decided, and why: `cacheai` in every answer."""

    decision: str
    layer: str | None = None
    reason: str | None = None
    similarity: float | None = None
    threshold: float | None = None
    cache_key: str | None = None
    age: int | None = None
    ttl: int | None = None
    saved_usd: Dollars | None = None
    provider: str | None = None
    request_id: str | None = None


class QueryAnswer(Answer):
    """The answer to a question, from the cache or from the provider."""

    cache_hit: bool
    response: str
    similarity_score: float | None = None
    cost_saved: float | None = None
    estimated_cost: float | None = None
    llm_provider: str | None = None
    response_time_ms: float | None = None
    tokens_used: int | None = None
    cache_entry_id: str | None = None
    query_id: str | None = None
    cacheai: Signals | None = None
    debug: dict[str, Any] | None = None


class Candidate(Answer):
    """An entry near the question, with its similarity."""

    cache_key: str
    question: str | None = None
    similarity: float | None = None
    accepted: bool | None = None
    reason: str | None = None
    age: int | None = None
    ttl: int | None = None


class LookupAnswer(Answer):
    """What the cache would decide. No provider was called, no hit counted."""

    decision: str
    layer: str | None = None
    reason: str | None = None
    similarity: float | None = None
    threshold: float | None = None
    cache_key: str | None = None
    answer: Any = None
    response: Any = None
    timings_ms: dict[str, float] | None = None
    candidates: list[Candidate] = []


class Entry(Answer):
    """A stored answer, its question, and its cost when it was bought. `answer` comes from `get` alone."""

    cache_key: str
    project_id: str | None = None
    namespace: str | None = None
    provider: str | None = None
    model: str | None = None
    endpoint: str | None = None
    question: str | None = None
    answer: Any = None
    context: str | None = None
    tags: list[str] | None = None
    depends_on: list[str] | None = None
    writer: str | None = None
    source: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    last_hit_at: datetime | None = None
    hits: int | None = None
    tokens: Any = None
    cost_usd: Dollars | None = None
    saved_usd: Dollars | None = None
    latency_ms: int | float | None = None
    metadata: dict[str, Any] | None = None
    # Names of 0.2.0.
    output: str | None = None
    model_id: str | None = None
    prompt: str | None = None


class EntryList(Answer):
    """A page of entries; hand `next_cursor` back as `cursor` for the next."""

    data: list[Entry] = []
    has_more: bool = False
    next_cursor: str | None = None


class PutAnswer(Answer):
    cache_key: str
    status: str


class PutResult(Answer):
    """What became of one of many entries."""

    index: int
    cache_key: str | None = None
    status: str
    reason: str | None = None


class PutManyAnswer(Answer):
    results: list[PutResult] = []


class UpdateAnswer(Answer):
    cache_key: str
    updated_fields: list[str] = []
    created: bool = False


class DeleteAnswer(Answer):
    cache_key: str
    deleted: bool


class FeedbackAnswer(Answer):
    evicted: bool
    pair_blocked: bool


class PurgeAnswer(Answer):
    """What went. A long purge answers with `job_id` instead, and goes on."""

    matched: int | None = None
    deleted: int | None = None
    dry_run: bool = False
    job_id: str | None = None


class JobError(Answer):
    """A line that was not taken, and why."""

    line: int
    reason: str


class Job(Answer):
    """Work that goes on after the answer. `status` is queued, running, done or failed."""

    status: str
    total: int | None = None
    done: int = 0
    rejected: int = 0
    errors: list[JobError] = []
    unindexed: int | None = None  # of an import: served to the same question already, to similar ones soon


class JobAnswer(Answer):
    job_id: str


class BlocklistAnswer(Answer):
    """`created` is false where the question was blocked already."""

    id: int
    created: bool


class BlockedQuestion(Answer):
    """A question that is not answered, nor are its rewordings."""

    id: int
    query: str
    reason: str | None = None
    category: str | None = None
    severity: int | None = None
    metadata: dict[str, Any] | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    hit_count: int | None = None
    false_positives: int | None = None


class BlocklistMatch(BlockedQuestion):
    """The blocked question that another one means."""

    similarity: float


class BlocklistCheck(Answer):
    match: BlocklistMatch | None = None


class BlocklistPage(Answer):
    data: list[BlockedQuestion] = []


class BlocklistRemoved(Answer):
    deleted: bool


class FalsePositiveAnswer(Answer):
    """`removed`: enough have said so, and the question is answered again."""

    id: int | None = None
    false_positives: int | None = None
    removed: bool | None = None


class ProviderStats(Answer):
    count: int | None = None
    total_cost: Dollars | None = None
    total_tokens: int | None = None


class Stats(Answer):
    hits: int
    misses: int
    total_lookups: int
    hit_rate: float
    entries: int | None = None
    populations: int | None = None
    embedder: str | None = None
    modality: str | None = None
    total_entries: int | None = None
    total_hits: int | None = None
    total_misses: int | None = None
    total_cost_saved_usd: Dollars | None = None
    total_tokens_saved: int | None = None
    oldest_entry: datetime | None = None
    newest_entry: datetime | None = None
    provider_stats: dict[str, ProviderStats] = {}
    model_stats: dict[str, Any] = {}
    decisions: dict[str, Any] = {}
    feedback: dict[str, int] = {}
    unpriced: int | None = None
