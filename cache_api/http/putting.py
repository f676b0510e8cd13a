"""How does an answer that did not come through us become an entry?"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from celery import current_app
from kombu.exceptions import OperationalError as BrokerError

from cache_api import wiring
from cache_api.adapters import catalogue
from cache_api.adapters.embedding_queue import BACKGROUND_BATCH
from cache_api.dialects.errors import Refused
from cache_api.dialects.spoken import dialect_at
from cache_api.dialects.tape import ANSWER_MAX_BYTES
from cache_api.domain.admission import bypass_reason, fuzzy, may_store
from cache_api.domain.entry import NewEntry
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.usage import Usage, estimated_usage
from cache_api.http.questions import request_of
from cache_api.http.visits import Visit, unavailable
from cache_api.ports import CacheUnavailable
from cache_api.service import new_entry

EMBED_SECONDS = 2.0  # for all of a call's entries; what is not embedded then is soon afterwards
HINT_PAUSE_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    cache_key: str
    status: str

    def as_dict(self) -> dict[str, Any]:
        return {"cache_key": self.cache_key, "status": self.status, "reason": None}


@dataclass(frozen=True, slots=True)
class Rejected:
    refused: Refused

    def as_dict(self) -> dict[str, Any]:
        return {"cache_key": None, "status": "rejected", "reason": str(self.refused)}


def put(visit: Visit, given: Sequence[Any], *, unparsed: bool) -> list[Stored | Rejected]:
    """Store each that can be stored; the others say why not."""
    built = [_built(visit, fields, unparsed=unparsed) for fields in given]
    entries = [entry for entry in built if isinstance(entry, NewEntry)]
    known = catalogue.known(visit.place, [entry.fingerprint for entry in entries]) if entries else set()
    vectors = vectors_of(entries)
    results: list[Stored | Rejected] = []
    for entry in built:
        if isinstance(entry, Rejected):
            results.append(entry)
            continue
        status = "updated" if entry.fingerprint in known else "created"
        known.add(entry.fingerprint)
        try:
            wiring.parts().store.put(with_vector(entry, vectors.get(entry.question)))
        except CacheUnavailable:
            results.append(Rejected(unavailable()))
        else:
            results.append(Stored(entry.fingerprint.hex(), status))
    return results


def entry_of(request: Request, policy: Policy, answer: Mapping[str, Any], *, usage: Usage, source: str) -> NewEntry:
    """The entry of a whole answer, without its vector. Raises Refused."""
    if len(orjson.dumps(answer)) > ANSWER_MAX_BYTES:
        raise Refused(413, "request_too_large", f"Answers over {ANSWER_MAX_BYTES // 2**20} MiB are not stored.")
    return new_entry(
        request,
        policy,
        answer,
        now=datetime.now(UTC),
        usage=usage,
        vector=None,
        embedder="",
        matchable=fuzzy(request, policy) and not dialect_at(request.endpoint).has_tool_calls(answer),
        cost_usd=wiring.parts().service.cost_of(
            request.caller, request.target.provider, (request.target.model,), usage
        ),
        source=source,
    )


def finished(endpoint: str, text: str, model: str, usage: Usage) -> dict[str, Any]:
    """A finished message of a text, with usage whole as clients expect it."""
    dialect = dialect_at(endpoint)
    return {**dialect.answer_of_text(text, model), "usage": dialect.usage_as_sent(usage)}


def vectors_of(entries: Sequence[NewEntry]) -> dict[str | None, bytes]:
    """The vectors of questions, as many as there is time for; live calls go in between."""
    embedder = wiring.parts().embedder
    questions = list(dict.fromkeys(entry.question for entry in entries if entry.matchable and entry.question))
    vectors: dict[str | None, bytes] = {}
    ends = time.monotonic() + EMBED_SECONDS
    for start in range(0, len(questions), BACKGROUND_BATCH):
        some = questions[start : start + BACKGROUND_BATCH]
        left = ends - time.monotonic()
        try:
            if left <= 0:
                raise CacheUnavailable("deadline")
            vectors.update(zip(some, embedder.embed_many(some, left), strict=True))
        except CacheUnavailable:
            hint_vectors()
            break
    return vectors


def with_vector(entry: NewEntry, vector: bytes | None) -> NewEntry:
    if vector is None or not entry.matchable:
        return entry
    return replace(entry, vector=vector, embedder=wiring.parts().embedder.version)


def hint_vectors() -> None:
    """Tell the default worker that entries wait for a vector; if it is not told, it looks each minute."""
    global _hinted_at
    now = time.monotonic()
    if now - _hinted_at >= HINT_PAUSE_SECONDS:
        _hinted_at = now
        threading.Thread(target=_hint, name="hint", daemon=True).start()


_hinted_at = float("-inf")


def _hint() -> None:
    try:
        current_app.send_task("cache_api.default.fill_vectors", ignore_result=True, retry=False)
    except (BrokerError, OSError) as error:
        log.info("hint_lost", extra={"reason": type(error).__name__})


def _built(visit: Visit, fields: Any, *, unparsed: bool) -> NewEntry | Rejected:
    try:
        if not isinstance(fields, dict):
            raise Refused(400, "invalid_request", "an entry must be an object")
        visit.same_project(fields.get("project_id"))
        request, policy = request_of(visit, fields, unparsed=unparsed)
        _refuse_unstorable(request, policy)
        answer, usage = _answer_in(fields, request)
        return entry_of(request, policy, answer, usage=usage, source="put")
    except Refused as refused:
        if refused.status == 503:
            raise
        return Rejected(refused)


def _refuse_unstorable(request: Request, policy: Policy) -> None:
    """An entry that no call could ever be served is not worth keeping."""
    asked_by_reader = replace(request, caller=replace(request.caller, may_read=True))
    if reason := bypass_reason(asked_by_reader, policy):
        raise Refused(400, "invalid_request", f"This call would bypass the cache: {reason.value}.")
    if not may_store(request):
        raise Refused(400, "invalid_request", "Nothing may be stored: no-store was asked for, or the plan is full.")


def _answer_in(fields: Mapping[str, Any], request: Request) -> tuple[Mapping[str, Any], Usage]:
    """A provider's whole body, a text, or any JSON as its text. Raises Refused."""
    given = [name for name in ("answer", "response") if fields.get(name) is not None]
    if len(given) != 1:
        raise Refused(400, "invalid_request", "Field required: answer, or response with a whole body", "answer")
    value = fields[given[0]]
    dialect = dialect_at(request.endpoint)
    counted = dialect.read_answer({"usage": fields.get("usage")}).usage
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


def _estimated(request: Request, text: str) -> Usage:
    return estimated_usage(list(request.parsed.prompt_texts), text)
