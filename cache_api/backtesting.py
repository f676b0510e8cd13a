"""How are past questions tried against the cache, without asking any provider?

Uploaded ones, a line of JSON each, or the project's own: those whose answers it stored, and their exact repeats.
Work for the default worker.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import orjson
from django.db.models import QuerySet

from cache_api import wiring
from cache_api.adapters.embedding_queue import BACKGROUND_BATCH
from cache_api.adapters.store import COLUMN
from cache_api.dialects import openai_chat
from cache_api.dialects.errors import Refused
from cache_api.domain.admission import bypass_reason, fuzzy
from cache_api.domain.backtest import FLOORS, PROMISES, Near, Past, borderline, outcome
from cache_api.domain.confidence import shipped
from cache_api.domain.decision import cut_of
from cache_api.domain.entry import Vector
from cache_api.domain.guard import mismatch
from cache_api.domain.policy import Policy
from cache_api.domain.request import Caller, Controls, Parsed, Request, Target
from cache_api.models import Call, Entry, Job
from tenants import vault
from tenants.isolation import as_tenant

QUESTIONS_MAX = 20_000
NEIGHBOURS = 8
NO_MODEL = "any"  # of a log that does not say
BLOCK = 512
NOBODY = UUID(int=0)
EMBED_SECONDS = 30.0
ENTRIES_AT_A_TIME = 500
ERRORS_SHOWN = 100
IMPORTED = "import"  # asked by nobody here; what a client put, it was asked
_FIELDS = ("question", "prompt", "query", "text")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    scope: str
    cost_usd: Decimal | None = None
    vector: bytes | None = None
    parsed: Parsed | None = None  # of a log that has the whole call: not all that was asked is ever looked up


class BadLine(ValueError):
    """No question is in this line: give question, prompt, text, or a body with messages."""


def question_in(line: bytes) -> Question:
    """Of our export, of a log of OpenAI calls, or of bare questions. Raises BadLine."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine("This is not JSON.") from error
    if not isinstance(row, Mapping):
        raise BadLine(BadLine.__doc__)
    cost = _cost(row.get("cost_usd"))
    for body in (row, row.get("body"), row.get("request"), _inside(row.get("request"), "body")):
        if isinstance(body, Mapping) and isinstance(body.get("messages"), list) and "question" not in row:
            try:
                parsed = openai_chat.parse({**body, "model": body.get("model") or NO_MODEL})
            except Refused as refused:
                raise BadLine(str(refused)) from refused
            if parsed.question is None:
                raise BadLine(BadLine.__doc__)
            kept = replace(parsed, body={}, context=None, texts=(), prompt_texts=())
            return Question(parsed.question, _digest(parsed.context), cost, parsed=kept)
    for name in _FIELDS:
        if isinstance(row.get(name), str) and row[name].strip():
            rest = {one: row.get(one) for one in ("scope", "model", "namespace", "context", "system")}
            return Question(row[name], _digest(rest), cost)
    raise BadLine(BadLine.__doc__)


def _numpy() -> Any:
    """Only the worker that tries questions pays for it: every web process can hand them in."""
    import numpy

    return numpy


def questions_of_project(job: Job, *, since: datetime) -> list[Question]:
    """Whose answers were stored, and each exact repeat of one: the newest that there is room for, in order of time."""
    version = wiring.parts().embedder.version
    with as_tenant(job.tenant_id):
        stored = Entry.objects.filter(
            tenant_id=job.tenant_id, project_id=job.project_id, created_at__gte=since, quarantined=False
        ).exclude(source=IMPORTED)
        first = [*stored.order_by("-created_at").values_list("created_at", "id")[:QUESTIONS_MAX]]
        repeated = _hits(job, since).filter(layer="exact", entry_id__isnull=False)
        again = [*repeated.order_by("-at").values_list("at", "entry_id")[:QUESTIONS_MAX]]
    asked = sorted((*first, *again), reverse=True)[:QUESTIONS_MAX][::-1]
    ids = list({entry_id for _, entry_id in asked if entry_id is not None})
    known: dict[UUID, Question] = {}
    for start in range(0, len(ids), ENTRIES_AT_A_TIME):
        with as_tenant(job.tenant_id):
            some = Entry.objects.filter(
                tenant_id=job.tenant_id,
                project_id=job.project_id,
                id__in=ids[start : start + ENTRIES_AT_A_TIME],
                quarantined=False,
            )
            rows = list(some.values_list("id", "body", "scope", "cost_usd", "vector", "embedder"))
        for entry_id, body, scope, cost, vector, embedder in rows:
            text = orjson.loads(vault.unseal(job.tenant_id, bytes(body), column=COLUMN, row_id=entry_id))
            if text["question"] is not None:
                raw = None
                if vector is not None and embedder == version:
                    raw = Vector.of(vector, embedder=embedder)
                known[entry_id] = Question(text["question"], bytes(scope).hex(), cost, raw)
    return [known[entry_id] for _, entry_id in asked if entry_id in known]


def reworded_of_project(job: Job, *, since: datetime) -> int:
    """Hits in other words than what is stored: what was asked then is not kept, so that it cannot be tried again."""
    with as_tenant(job.tenant_id):
        return _hits(job, since).exclude(layer="exact").count()


def _hits(job: Job, since: datetime) -> QuerySet[Call]:
    return Call.objects.filter(
        tenant_id=job.tenant_id, project_id=job.project_id, at__gte=since, decision="hit", origin="client"
    )


def tried(questions: Sequence[Question], policy: Policy, now: datetime, progress: Progress) -> dict[str, Any]:
    """What they come to at each setting. Raises CacheUnavailable where no vectors are to be had."""
    past = _past(questions, policy, progress)
    own = cut_of(policy)
    settings = [
        outcome(
            past,
            promise=promise,
            floor=floor,
            cut=own if promise == policy.max_wrong_hit_rate else shipped().cut(promise),
        )
        for promise in sorted({*PROMISES, policy.max_wrong_hit_rate} - {0})
        for floor in sorted({*FLOORS, policy.similarity_floor})
    ]
    looked_up = sum(one.looked_up for one in past)
    return {
        "questions": len(past),
        "looked_up": looked_up,
        "unpriced": sum(one.cost_usd is None for one in past),
        "max_wrong_hit_rate": policy.max_wrong_hit_rate,
        "similarity_floor": policy.similarity_floor,
        "settings": [
            {
                "max_wrong_hit_rate": one.max_wrong_hit_rate,
                "similarity_floor": one.similarity_floor,
                "exact_hits": one.exact_hits,
                "similar_hits": one.similar_hits,
                "hit_rate": round((one.exact_hits + one.similar_hits) / looked_up, 6) if looked_up else 0.0,
                "expected_wrong": round(one.expected_wrong, 2),
                "expected_wrong_low": round(one.low, 2),
                "expected_wrong_high": round(one.high, 2),
                "saved_usd": f"{one.saved_usd.normalize():f}" if one.saved_usd else "0",
            }
            for one in settings
        ],
        "borderline": [
            {
                "asked": questions[pair.asked].text,
                "stored": questions[pair.near.place].text,
                "similarity": round(pair.near.similarity, 4),
                "probability": round(pair.near.probability, 4),
            }
            for pair in borderline(past, own)
        ],
    }


def work(job: Job, read: Callable[[], Iterator[tuple[int, bytes]]], progress: Progress) -> tuple[dict[str, Any], int]:
    """The job's result, and how many lines held no question. Raises CacheUnavailable."""
    policy = wiring.parts().policies.of(job.tenant_id, job.project_id)
    asked_at = datetime.fromisoformat(job.settings["asked_at"])
    questions: list[Question] = []
    bad: list[dict[str, Any]] = []
    reworded = 0
    if (days := job.settings.get("days")) is not None:
        since = asked_at - timedelta(days=days)
        questions, reworded = questions_of_project(job, since=since), reworded_of_project(job, since=since)
    else:
        for number, line in read():
            try:
                questions.append(question_in(line))
            except BadLine as error:
                bad.append({"line": number, "reason": str(error)})
    found = tried(questions[:QUESTIONS_MAX], policy, asked_at, progress)
    return {**found, "reworded": reworded, "errors": bad[:ERRORS_SHOWN]}, len(bad)


def _past(questions: Sequence[Question], policy: Policy, progress: Progress) -> list[Past]:
    looked_up = [bypass_reason(_request(one), policy) is None for one in questions]
    matchable = [sought and fuzzy(_request(one), policy) for one, sought in zip(questions, looked_up, strict=True)]
    first: dict[tuple[str, str], int] = {}
    same: list[int | None] = []
    for place, one in enumerate(questions):
        before = first.setdefault((one.scope, one.text), place)
        same.append(None if before == place else before)
    needed = [place for place, _ in enumerate(questions) if matchable[place] and same[place] is None]
    vectors = _vectors([questions[place] for place in needed], progress)
    near = dict(_neighbours(questions, needed, vectors, policy, progress))
    return [
        Past(one.cost_usd, same[place], near.get(place, ()), looked_up[place]) for place, one in enumerate(questions)
    ]


def _vectors(questions: Sequence[Question], progress: Progress) -> Any:
    rows: list[bytes] = []
    waiting: list[int] = []
    for place, one in enumerate(questions):
        rows.append(one.vector or b"")
        if one.vector is None:
            waiting.append(place)
    embedder = wiring.parts().embedder
    for start in range(0, len(waiting), BACKGROUND_BATCH):
        some = waiting[start : start + BACKGROUND_BATCH]
        made = embedder.embed_many([questions[place].text for place in some], EMBED_SECONDS)
        for place, vector in zip(some, made, strict=True):
            rows[place] = vector
        progress(start + len(some), len(waiting))
    np = _numpy()
    if not rows:
        return np.zeros((0, 1), dtype="<f4")
    return np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), -1)


def _neighbours(
    questions: Sequence[Question],
    needed: Sequence[int],
    vectors: Any,
    policy: Policy,
    progress: Progress,
) -> Iterator[tuple[int, list[Near]]]:
    """Of each question the nearest before it in its scope, as far as they may be served at all."""
    scopes: dict[str, list[int]] = {}
    for row, place in enumerate(needed):
        scopes.setdefault(questions[place].scope, []).append(row)
    least = min(*FLOORS, policy.similarity_floor)
    done, np = 0, _numpy()
    for rows in scopes.values():
        inside = vectors[rows]
        for start in range(0, len(rows), BLOCK):
            block = inside[start : start + BLOCK] @ inside[: start + BLOCK].T
            for offset in range(len(block)):
                at = start + offset
                earlier = block[offset, :at]
                nearest = np.argsort(-earlier)[:NEIGHBOURS] if len(earlier) <= NEIGHBOURS else _top(earlier)
                asked = questions[needed[rows[at]]].text
                yield (
                    needed[rows[at]],
                    [
                        Near(needed[rows[other]], similarity, shipped().probability(asked, stored, similarity))
                        for other in nearest.tolist()
                        if (similarity := float(earlier[other])) >= least
                        and mismatch(asked, stored := questions[needed[rows[other]]].text) is None
                    ],
                )
            done += len(block)
            progress(done, len(needed))


def _top(cosines: Any) -> Any:
    np = _numpy()
    some = np.argpartition(-cosines, NEIGHBOURS)[:NEIGHBOURS]
    return some[np.argsort(-cosines[some])]


def _request(question: Question) -> Request:
    """As far as it is asked whether it may be looked up."""
    nobody = Caller(NOBODY, NOBODY, NOBODY)
    parsed = question.parsed or Parsed(model="", body={}, context=None, question=question.text)
    return Request(nobody, "", Target("", "", ""), Controls(), parsed, fingerprint=b"\0", scope=b"\0")


def _cost(value: Any) -> Decimal | None:
    try:
        cost = None if value is None or isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        return None
    return cost if cost is not None and cost.is_finite() and cost >= 0 else None


def _inside(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()
