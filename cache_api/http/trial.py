"""Which way did a question go through the cache, and how long did each step take?

It is asked like any other, so that what is shown is what happens; only the parts note how they were called.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, TypeVar, cast

import orjson
from django.http.response import HttpResponseBase

from cache_api import wiring
from cache_api.dialects import vectorcache
from cache_api.dialects.vectorcache import Status
from cache_api.domain.decision import Reason, judge
from cache_api.domain.entry import Candidate, Entry
from cache_api.http.answering import respond
from cache_api.http.query import Asked, read, translated
from cache_api.http.visits import Visit
from cache_api.ports import CacheUnavailable
from cache_api.service import Reply

SIMILAR_MAX = 5

Part = TypeVar("Part")
Step = tuple[Status, float, str]  # what came of it, seconds, details


@dataclass(frozen=True, slots=True)
class Lap:
    """One call of a part: how long, and what came of it."""

    seconds: float
    result: Any = None
    error: Exception | None = None


def watched(part: Part, laps: dict[str, Lap]) -> Part:
    """The part, whose calls leave a Lap under their name; the last one of a name stays."""
    return cast(Part, _Watched(part, laps))


class _Watched:
    def __init__(self, part: Any, laps: dict[str, Lap]) -> None:
        self._part = part
        self._laps = laps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        return partial(self._call, name, found) if callable(found) else found

    def _call(self, name: str, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        began = perf_counter()
        try:
            result = call(*args, **named)
        except Exception as error:
            self._laps[name] = Lap(perf_counter() - began, error=error)
            raise
        self._laps[name] = Lap(perf_counter() - began, result)
        return result


def trial(visit: Visit) -> HttpResponseBase:
    began = perf_counter()
    asked = read(visit, required=("project_id",))
    parts = wiring.parts()
    laps: dict[str, Lap] = {}
    service = copy(parts.service)
    service.store = watched(parts.service.store, laps)
    service.embedder = watched(parts.service.embedder, laps)
    reply = service.answer(asked.request, asked.policy, vectorcache, watched(parts.upstream, laps).send)
    answered = translated(asked, reply, began=began)
    similar = [
        vectorcache.similar_entry(one.entry.cache_key, one.entry.question, one.similarity, one.entry.created_at)
        for one in _similar(asked, laps, reply)
    ]
    wanted = asked.fields.get("include_debug") is not False
    steps = list(_steps(asked, laps, reply)) if wanted else None
    return respond(replace(reply, body=orjson.dumps(vectorcache.trial(answered, similar, steps))), visit.who.rate)


def _steps(asked: Asked, laps: Mapping[str, Lap], reply: Reply) -> Iterator[dict[str, Any]]:
    steps = (
        ("exact", _looked(laps.get("find_exact"), _same)),
        ("embed", _looked(laps.get("embed"), lambda vector: f"{len(vector) // 4} dimensions")),
        ("search", _looked(laps.get("search"), _candidates)),
        ("decide", _decided(asked, laps, reply)),
        ("llm", _bought(asked, laps, reply)),
        ("store", _looked(laps.get("put"), lambda _: f"under {asked.request.cache_key}")),
    )
    for number, (name, (status, seconds, details)) in enumerate(steps, start=1):
        yield vectorcache.step(number, name, status, seconds=seconds, details=details)


def _looked(lap: Lap | None, describe: Callable[[Any], str]) -> Step:
    if lap is None:
        return "skipped", 0.0, "not needed"
    if lap.error is not None:
        # Another's message may hold what was asked.
        reason = lap.error.reason if isinstance(lap.error, CacheUnavailable) else "internal_error"
        return "error", lap.seconds, reason
    return "success", lap.seconds, describe(lap.result)


def _same(entry: Entry | None) -> str:
    return "no entry for the same question" if entry is None else f"entry {entry.cache_key}"


def _candidates(found: list[Candidate]) -> str:
    return f"{len(found)} near enough to be judged" if found else "no candidate"


def _decided(asked: Asked, laps: Mapping[str, Lap], reply: Reply) -> Step:
    """Judged once more, to time it: the same candidates come to the same."""
    details = f"{reply.signals.decision}: {reply.signals.reason}"
    search = laps.get("search")
    if search is None or search.error is not None:
        return "skipped", 0.0, details
    began = perf_counter()
    judge(asked.request, search.result, asked.policy, wiring.parts().service.now())
    return "success", perf_counter() - began, details


def _bought(asked: Asked, laps: Mapping[str, Lap], reply: Reply) -> Step:
    send, target = laps.get("send"), asked.request.target
    if send is None:
        return "skipped", 0.0, "served from the cache"
    if reply.signals.reason == Reason.STALE_ON_ERROR:
        return "error", send.seconds, f"{target.provider} failed: a stored answer stands in"
    seconds = max(send.seconds, reply.timings.upstream / 1000)  # to the last byte, in whole milliseconds
    return "success", seconds, f"{target.provider}: {target.model}"


def _similar(asked: Asked, laps: Mapping[str, Lap], reply: Reply) -> list[Candidate]:
    """The nearest in Scope, whether or not near enough; without what this very call stored."""
    same = laps.get("find_exact")
    if same is not None and same.result is not None and same.result.cache_key == reply.signals.cache_key:
        return [Candidate(same.result, 1.0)]
    vector = laps.get("embed")
    if vector is None or vector.error is not None:
        return []
    try:
        near = wiring.parts().store.search(asked.request, vector.result, limit=SIMILAR_MAX + 1)
    except CacheUnavailable:  # the answer stands by itself
        return []
    return [one for one in near if one.entry.cache_key != asked.request.cache_key][:SIMILAR_MAX]
