"""What does the cache know of a question? Cheapest look first; a broken part of ours is a bypass, never an error."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter

from cache_api.domain.admission import bypass_reason, fuzzy, may_store
from cache_api.domain.blocklist import TEXT_MAX_CHARACTERS, blocked, texts_of
from cache_api.domain.call import Timings
from cache_api.domain.confidence import shipped
from cache_api.domain.decision import Bypass, Decision, Hit, Miss, Reason, decide, freshness_refusal, threshold_of
from cache_api.domain.entry import Candidate, Entry, Vector
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.synthesis import floor_of, sources
from cache_api.ports import Blocklist, CacheUnavailable, Embedder, Store

CANDIDATES = 5
CACHE_BUDGET_SECONDS = 0.25  # all parts of ours together, per call
EMBED_DEADLINE_SECONDS = 0.15

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stopwatch:
    """Milliseconds since the call came in, and what its parts took."""

    started: float = field(default_factory=perf_counter)
    embed: int = 0
    lookup: int = 0
    upstream: int = 0
    first_byte: int = 0

    def timings(self) -> Timings:
        total = milliseconds_since(self.started)
        return Timings(total, self.embed, self.lookup, self.upstream, self.first_byte or total)


@dataclass(slots=True)
class Looked:
    """What the look-up came to, and what storing will need."""

    decision: Decision | None = None  # None: not decided yet
    refused: Reason | None = None  # why the same question's own entry may not be served
    vector: Vector | None = None
    sources: Sequence[Candidate] = ()  # what a small model may answer from
    matchable: bool = False
    stale: Entry | None = None  # past its end, yet better than a provider's error
    storable: bool = False

    @property
    def asked_anew(self) -> bool:
        """A caller who wants an answer of now does not get one that another call is waiting for."""
        return self.refused in {Reason.REFRESH, Reason.TOO_OLD}


def look_in_blocklist(
    blocklist: Blocklist,
    embedder: Embedder,
    request: Request,
    policy: Policy,
    watch: Stopwatch,
    looked: Looked,
    *,
    counted: bool,
) -> None:
    """What is broken of ours blocks nobody; without a vector the very text still does."""
    if policy.blocklist == "off" or request.caller.over_quota:
        return
    if not request.fingerprint or not (texts := texts_of(request.parsed)):
        return
    try:
        if len(texts[0]) <= TEXT_MAX_CHARACTERS:
            with suppress(CacheUnavailable):
                looked.vector = _timed_embed(embedder, texts[0], EMBED_DEADLINE_SECONDS, watch)
        match = blocklist.match(request.caller, texts, looked.vector)
    except CacheUnavailable as error:
        log.warning("blocklist_unavailable", extra={"reason": error.reason})
        return
    except Exception:
        log.exception("blocklist_failed")
        return
    if match is not None:
        if counted:
            blocklist.count(request.caller, match)
        looked.decision = blocked(match, policy)


def look_for_same(
    store: Store, request: Request, policy: Policy, watch: Stopwatch, looked: Looked, now: datetime
) -> None:
    """Decide by Fingerprint, unless it is decided already."""
    if looked.decision is not None:
        return
    if reason := bypass_reason(request, policy):
        looked.decision = Bypass(reason)
        return

    looked.storable, looked.matchable = may_store(request), fuzzy(request, policy)
    if request.controls.refresh:
        looked.refused = Reason.REFRESH
        return
    with _bypassing(looked):
        if entry := _timed_exact(store, request, watch):
            looked.refused = freshness_refusal(request, entry, now)
            if looked.refused is None:
                _come_to(looked, Hit(entry, Reason.EXACT), policy)
            if policy.mode != "shadow":
                looked.stale = entry


def look_for_similar(
    store: Store,
    embedder: Embedder,
    request: Request,
    policy: Policy,
    watch: Stopwatch,
    looked: Looked,
    now: datetime,
) -> None:
    """Decide by similarity, unless it is decided already."""
    if looked.decision is not None:
        return
    if not looked.matchable or request.question is None:
        looked.decision = Miss(looked.refused or Reason.EXACT_ONLY)
        return

    with _bypassing(looked):
        left = CACHE_BUDGET_SECONDS - (perf_counter() - watch.started)
        if looked.vector is None:
            looked.vector = _timed_embed(embedder, request.question, min(EMBED_DEADLINE_SECONDS, left), watch)
        if looked.refused is not None:
            looked.decision = Miss(looked.refused, threshold=threshold_of(request, policy))
            return
        if looked.vector.embedder != shipped().embedder:  # of its cosines nobody knows how often they are right
            looked.decision = Miss(Reason.EXACT_ONLY)
            return
        began = perf_counter()
        at_least = threshold_of(request, policy)
        if policy.synthesis != "off":
            at_least = min(at_least, floor_of(request, policy))
        candidates = store.search(request, looked.vector, limit=CANDIDATES, at_least=at_least, checked=policy.checked)
        watch.lookup += milliseconds_since(began)
        _come_to(looked, decide(request, candidates, policy, now), policy)
        if policy.synthesis != "off" and policy.mode != "shadow":
            looked.sources = sources(request, candidates, policy, now)


def _come_to(looked: Looked, decision: Hit | Miss, policy: Policy) -> None:
    """A project that only watches is served nothing, and stores only what it would have bought.

    Else a question's second hit by similarity would count as an exact one, on an answer that nobody would have had.
    """
    looked.decision = decision
    if policy.mode == "shadow" and isinstance(decision, Hit):
        looked.decision = Bypass(Reason.POLICY, unserved=decision)
        looked.storable = False


@contextmanager
def _bypassing(looked: Looked) -> Iterator[None]:
    try:
        yield
    except CacheUnavailable as error:
        looked.decision = Bypass(Reason(error.reason))
    except Exception:  # A mistake of ours is a broken part of ours: the call goes on.
        log.exception("look_up_failed")
        looked.decision = Bypass(Reason.CACHE_UNAVAILABLE)


def _timed_exact(store: Store, request: Request, watch: Stopwatch) -> Entry | None:
    began = perf_counter()
    try:
        return store.find_exact(request)
    finally:
        watch.lookup += milliseconds_since(began)


def _timed_embed(embedder: Embedder, question: str, seconds: float, watch: Stopwatch) -> Vector:
    began = perf_counter()
    try:
        return embedder.embed(question, seconds)
    finally:
        watch.embed += milliseconds_since(began)


def milliseconds_since(began: float) -> int:
    return round((perf_counter() - began) * 1000)
