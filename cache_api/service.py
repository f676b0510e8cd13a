"""What happens to a call, from the question to the row in the ledger?

    decide ──► Blocked      say so
           ├─► Hit          replay the entry
           ├─► Synthesized  ask a small model what the entries near the question come to, relay, store
           ├─► Miss         ask the provider once for all who ask the same, relay, store
           └─► Bypass       ask the provider, relay

The cache never breaks a call: CacheUnavailable is caught here and nowhere else.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from random import random
from time import perf_counter
from typing import Any, cast
from uuid import UUID

from cache_api.dialects import Answering, Relaying
from cache_api.dialects.errors import Refused
from cache_api.dialects.held_back import held_back
from cache_api.dialects.synthesis import asking_small_model, may_be_synthesized
from cache_api.dialects.tape import Tape
from cache_api.domain.call import Call, Timings, new_id
from cache_api.domain.checking import Kind, Wanted, chance_of_doubt, chance_of_hit
from cache_api.domain.decision import (
    Blocked,
    Bypass,
    Decision,
    Hit,
    Miss,
    Reason,
    Synthesized,
)
from cache_api.domain.entry import SYNTHESIZED, NewEntry
from cache_api.domain.keeping import new_entry
from cache_api.domain.policy import Policy
from cache_api.domain.request import Caller, Request
from cache_api.domain.signals import Signals, signals_of
from cache_api.domain.synthesis import floor_of, prompt_of
from cache_api.domain.usage import Usage, estimated_usage
from cache_api.looking import (
    Looked,
    Stopwatch,
    look_for_same,
    look_for_similar,
    look_in_blocklist,
    milliseconds_since,
)
from cache_api.ports import (
    Arriving,
    Blocklist,
    CacheUnavailable,
    Checks,
    Embedder,
    Flights,
    Ledger,
    Limits,
    Store,
    UpstreamError,
    UpstreamUnreachable,
)

DRAIN_SECONDS = 30  # how long an answer is read on for a caller who left
FOLLOW_SECONDS = 30  # how long an identical call waits for the first one's answer

TIERS_OF_THEIR_PRICE = ("flex", "priority")  # "auto" and "default" are what a provider makes of them

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reply:
    """The answer to a call: whole, or as chunks whose last waits for the ledger row."""

    status: int
    signals: Signals
    body: bytes | Iterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)  # the provider's own
    stored: bool = False
    timings: Timings = field(default_factory=Timings)  # of a whole body


class CacheService:
    def __init__(
        self,
        *,
        store: Store,
        blocklist: Blocklist,
        embedder: Embedder,
        flights: Flights,
        ledger: Ledger,
        checks: Checks,
        limits: Limits,
        drain: Callable[[Callable[[], None]], bool],
        cost_of: Callable[[Caller, str, tuple[str, ...], Usage], Decimal | None],
        note_error: Callable[[Request, int], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random,
    ) -> None:
        self.store = store
        self.blocklist = blocklist
        self.embedder = embedder
        self.flights = flights
        self.ledger = ledger
        self.checks = checks
        self.limits = limits
        self.drain = drain
        self.cost_of = cost_of
        self.note_error = note_error
        self.now = now
        self.chance = chance

    def answer(
        self, request: Request, policy: Policy, dialect: Answering, send: Callable[[Request, bytes], Arriving]
    ) -> Reply:
        """Raises UpstreamError where no answer can be had, and Refused for `only-if-cached`."""
        request = self.limits.enter(request)
        call = _CallInProgress(request, request, policy, dialect, new_id(self.now()), Stopwatch())
        looked = Looked()
        look_in_blocklist(self.blocklist, self.embedder, request, policy, call.watch, looked, counted=True)
        if isinstance(looked.decision, Blocked):
            return self._block(call, looked.decision)
        look_for_same(self.store, request, policy, call.watch, looked, self.now())
        if isinstance(looked.decision, Hit):
            return self._replay(call, looked.decision)

        if looked.storable and not looked.asked_anew and policy.mode != "shadow":
            flight = self.flights.enter(request, seconds=FOLLOW_SECONDS)
            if flight.landed is not None:
                return self._replay(call, flight.landed)
            call.depart, call.land = flight.depart, flight.land
        try:
            look_for_similar(self.store, self.embedder, request, policy, call.watch, looked, self.now())
            if isinstance(looked.decision, Hit):
                call.land(looked.decision)
                return self._replay(call, looked.decision)
            if request.controls.only_if_cached:
                message = "No stored answer may be served, and nothing else was asked for."
                raise Refused(504, "not_cached", message, headers={"x-should-retry": "false"})
            if (bought := call.depart()) is not None:
                call.land(bought)
                return self._replay(call, bought)
            call.tokens = self.limits.buy(request)
            if (reply := self._synthesize(call, looked, send)) is not None:
                return reply
            return self._ask(call, looked, looked.decision or Bypass(Reason.CACHE_UNAVAILABLE), send)
        except BaseException:
            call.land(None)
            self._note(call, None)
            raise

    def relay(
        self, request: Request, policy: Policy, dialect: Relaying, send: Callable[[Request, bytes], Arriving]
    ) -> Reply:
        """Pass on what is never looked up. Raises UpstreamError."""
        answering = cast(Answering, dialect)  # nothing is kept, so nothing will be replayed
        call = _CallInProgress(request, request, policy, answering, new_id(self.now()), Stopwatch())
        decision = Bypass(Reason.ENDPOINT)
        call.tokens = self.limits.buy(request)
        return self._ask(call, Looked(decision), decision, send)

    def over(self, store: Store) -> "CacheService":
        """The same service over another store."""
        other = copy(self)
        other.store = store
        return other

    def look_up(self, request: Request, policy: Policy, watch: Stopwatch) -> Looked:
        """What would be served, without asking anybody else."""
        looked = Looked()
        look_in_blocklist(self.blocklist, self.embedder, request, policy, watch, looked, counted=False)
        look_for_same(self.store, request, policy, watch, looked, self.now())
        look_for_similar(self.store, self.embedder, request, policy, watch, looked, self.now())
        return looked

    # -- the ways to answer

    def _replay(self, call: "_CallInProgress", hit: Hit) -> Reply:
        entry = hit.entry
        self._want_check("hit", call, hit)
        # Under the name that was bought: the books keep hits and misses of a model together, and an alias or a
        # deployment has no price of its own. What a small model answered would not have cost what the asked one takes.
        served = entry.answer.get("model")
        model = served if isinstance(served, str) and served else entry.model
        # The tier is no part of a Fingerprint: what is saved is what this caller would have paid.
        asked_tier = call.request.parsed.body.get("service_tier")
        record = partial(
            self._record,
            call,
            hit,
            entry.usage,
            200,
            provider=entry.provider,
            model=model,
            entry_id=entry.id,
            service_tier=asked_tier if asked_tier in TIERS_OF_THEIR_PRICE else "",
        )
        return self._tell(call, hit, entry.answer, record)

    def _block(self, call: "_CallInProgress", decision: Blocked) -> Reply:
        request, policy, dialect = call.request, call.policy, call.dialect
        record = partial(self._record, call, decision, Usage(), provider=request.target.provider, model="")
        if policy.blocklist == "skip" and dialect.SPEAKS != "E":  # no vector says that it was held back
            answer = dialect.answer_of_text(policy.blocklist_text, request.parsed.model)
            answer["usage"] = dialect.usage_as_sent(Usage())
            return self._tell(call, decision, held_back(answer), partial(record, 200))

        message = f"Blocked (similarity {decision.similarity:.4f}): {decision.why}"
        refused = Refused(403, "blocked", message, extra=(("blocklist_id", decision.blocklist_id),))
        signals = signals_of(request, decision, call.id, self.now())
        record(403)
        return Reply(403, signals, dialect.error(refused, signals.request_id), timings=call.watch.timings())

    def _tell(
        self, call: "_CallInProgress", decision: Decision, answer: Mapping[str, Any], record: Callable[[], None]
    ) -> Reply:
        """An answer that is here already, in the form asked for."""
        now = self.now()
        signals = signals_of(call.request, decision, call.id, now)
        body = call.dialect.replay(call.request, answer, signals.body(), now)
        if isinstance(body, bytes):
            record()
            reply = Reply(200, signals, body)
            reply.timings = call.watch.timings()
            return reply
        return Reply(200, signals, _recorded_before_last(body, record))

    def _synthesize(
        self, call: "_CallInProgress", looked: Looked, send: Callable[[Request, bytes], Arriving]
    ) -> Reply | None:
        """Ask the small model. None: there is nothing to answer from, or it failed before the caller heard anything."""
        request, dialect = call.request, call.dialect
        used, looked.sources = looked.sources, ()  # they are large, and what is asked now may take minutes
        # What cannot be stored would be synthesized time and again.
        if not used or request.small_model is None or not looked.storable or not may_be_synthesized(request):
            return None

        answered = ((one.entry.question or "", dialect.answer_text(one.entry.answer)) for one in used)
        prompt = prompt_of(request.question or "", answered)
        small = replace(call, sent=asking_small_model(request, request.small_model, prompt))
        decision = Synthesized(used[0].similarity, floor_of(request, call.policy))
        began = perf_counter()
        try:
            arriving = send(small.sent, dialect.upstream_body(small.sent))
            if arriving.status < 300:
                return self._pass_on(small, looked, decision, arriving, began)
            arriving.close()
            log.warning("synthesis_failed", extra={"status": arriving.status})
        except UpstreamError as error:
            log.warning("synthesis_failed", extra={"reason": error.code})
        return None

    def _ask(
        self,
        call: "_CallInProgress",
        looked: Looked,
        decision: Decision,
        send: Callable[[Request, bytes], Arriving],
    ) -> Reply:
        request, policy = call.request, call.policy
        began = perf_counter()
        try:
            arriving = send(request, call.dialect.upstream_body(request))
        except UpstreamError as error:
            if (hit := self._stale_hit(policy, looked)) is not None:
                call.land(None)
                return self._replay(call, hit)
            error.signals = signals_of(request, decision, call.id, self.now())
            raise
        if arriving.status >= 500 and (hit := self._stale_hit(policy, looked)) is not None:
            arriving.close()
            call.land(None)
            return self._replay(call, hit)
        return self._pass_on(call, looked, decision, arriving, began)

    def _pass_on(
        self, call: "_CallInProgress", looked: Looked, decision: Decision, arriving: Arriving, began: float
    ) -> Reply:
        """Hand on what arrives, whole or as a stream. Raises UpstreamUnreachable if a whole body breaks off."""
        request, dialect = call.request, call.dialect
        call.watch.first_byte = milliseconds_since(call.watch.started)
        signals = signals_of(call.sent, decision, call.id, self.now())
        streamed = "text/event-stream" in arriving.headers.get("content-type", "")
        tape = dialect.tape(request, status=arriving.status, streamed=streamed, signals=signals.body())
        settle = partial(self._settle, call, looked, decision, tape, arriving, began)
        reply = Reply(arriving.status, signals, b"", arriving.headers)
        if streamed or (request.parsed.stream and arriving.status < 400):
            reply.body = self._relay(arriving, tape, settle)
            return reply

        relayed = self._relay(arriving, tape, settle)
        first = next(relayed)  # a whole body is held until it is settled, so this is all of it
        if tape.heard.broken and tape.closing is first:
            raise UpstreamUnreachable("The provider's answer broke off.")
        if tape.closing is first:
            reply.stored = call.stored
            reply.timings = call.watch.timings()
            reply.body = first
        else:
            reply.body = _first_then(first, relayed)
        return reply

    def _relay(self, arriving: Arriving, tape: Tape, settle: Callable[..., None]) -> Iterator[bytes]:
        """Hand each chunk on as it comes; the tape keeps the closing part until the row is written."""
        complete = False
        try:
            try:
                for chunk in arriving.chunks:
                    if out := tape.take(chunk):
                        yield out
                complete = True
            except UpstreamError:
                log.warning("upstream_stream_broken")
            tape.end(complete=complete)
        except GeneratorExit:  # The caller hung up: what was bought is read to its end, then settled.
            if not self.drain(partial(_drained, arriving, tape, settle)):
                arriving.close()
                tape.end(complete=False)
                settle()
            raise
        settle()
        if not complete and not tape.closing:  # else a half would look whole
            raise UpstreamUnreachable("The provider's answer broke off.")
        yield tape.closing

    def _stale_hit(self, policy: Policy, looked: Looked) -> Hit | None:
        entry = looked.stale
        if entry is None or not policy.stale_on_error_seconds:
            return None
        left = entry.ttl_seconds(self.now())
        if left is None or -left > policy.stale_on_error_seconds:
            return None
        return Hit(entry, Reason.STALE_ON_ERROR)

    # -- afterwards

    def _settle(
        self,
        call: "_CallInProgress",
        looked: Looked,
        decision: Decision,
        tape: Tape,
        arriving: Arriving,
        began: float,
    ) -> None:
        """Store, land the flight, write the row. Nothing here may fail the call."""
        call.watch.upstream = milliseconds_since(began)
        heard = tape.heard
        stored: NewEntry | None = None
        usage = heard.usage or estimated_usage(list(call.sent.parsed.prompt_texts), heard.text)
        if heard.answer is not None and arriving.status < 300 and looked.storable:
            source = SYNTHESIZED if isinstance(decision, Synthesized) else "proxied"
            stored = self._remember(call, looked, heard.answer, usage, source=source)
        call.stored = stored is not None
        if arriving.status < 300:
            self._check_unserved(call, decision, stored)
        call.land(Hit(stored.as_entry(), Reason.COALESCED) if stored else None)
        if arriving.status >= 400:
            self.note_error(call.request, arriving.status)
        delivered = call.request.parsed.stream or not heard.broken
        if arriving.status < 400 and delivered:
            self._record(
                call,
                decision,
                usage,
                arriving.status,
                provider=call.sent.target.provider,
                model=heard.model or call.sent.target.model,
                entry_id=stored.id if stored else None,
                service_tier=heard.service_tier,
                in_served=heard.in_served,
            )
        else:
            self._note(call, None)

    def _check_unserved(self, call: "_CallInProgress", decision: Decision, stored: NewEntry | None) -> None:
        """Would a stored answer have done? In doubt one sees it best beside what was bought."""
        if isinstance(decision, Bypass) and decision.unserved is not None:
            self._want_check("shadow", call, decision.unserved)
        if stored is not None and isinstance(decision, Miss) and (doubtful := decision.doubtful) is not None:
            candidate = doubtful.candidate
            hit = Hit(candidate.entry, Reason.SIMILAR, candidate.similarity, None, doubtful.probability)
            self._want_check("doubt", call, hit, bought=stored)

    def _want_check(self, kind: Kind, call: "_CallInProgress", hit: Hit, *, bought: NewEntry | None = None) -> None:
        request, policy = call.request, call.policy
        if not policy.verify_model or hit.probability is None or hit.similarity is None or request.question is None:
            return
        chance = chance_of_doubt(policy, hit.probability) if kind == "doubt" else chance_of_hit(policy)
        if self.chance() >= chance:
            return
        wanted = Wanted(
            kind=kind,
            tenant_id=request.caller.tenant_id,
            project_id=request.caller.project_id,
            call_id=call.id,
            asked=request.question,
            entry_id=hit.entry.id,
            similarity=hit.similarity,
            probability=hit.probability,
            chance=chance,
            bought_id=bought.id if bought else None,
        )
        self.checks.want(wanted)

    def _remember(
        self, call: "_CallInProgress", looked: Looked, answer: Mapping[str, Any], usage: Usage, *, source: str
    ) -> NewEntry | None:
        request, now = replace(call.request, target=call.sent.target), self.now()
        served = answer.get("model")
        names = (served if isinstance(served, str) else "", request.target.model)
        entry = new_entry(
            request,
            call.policy,
            answer,
            now=now,
            usage=usage,
            vector=looked.vector if looked.matchable else None,
            matchable=looked.matchable and not call.dialect.has_tool_calls(answer),
            cost_usd=self.cost_of(request.caller, request.target.provider, names, usage),
            latency_ms=call.watch.upstream,
            source=source,
        )
        try:
            self.store.put(entry)
        except CacheUnavailable as error:
            log.warning("entry_not_stored", extra={"reason": error.reason})
            return None
        except Exception:  # The answer is on its way already: see _bypassing.
            log.exception("entry_not_stored")
            return None
        return entry

    def _record(
        self,
        call: "_CallInProgress",
        decision: Decision,
        usage: Usage,
        status: int,
        *,
        provider: str,
        model: str,
        entry_id: UUID | None = None,
        service_tier: str = "",
        in_served: int = 0,
    ) -> None:
        request = call.request
        found = (decision.unserved if isinstance(decision, Bypass) else None) or decision
        row = Call(
            id=call.id,
            tenant_id=request.caller.tenant_id,
            project_id=request.caller.project_id,
            key_id=request.caller.key_id,
            dialect=call.dialect.NAME,
            provider=provider,
            model_asked=request.parsed.model,
            model_served=model,
            stream=request.parsed.stream,
            status=status,
            decision=decision.name,
            layer=found.layer,
            reason=decision.reason.value,
            usage=usage,
            timings=call.watch.timings(),
            service_tier=service_tier,
            similarity=found.similarity,
            entry_id=entry_id,
            task=request.controls.task,
            retry=request.retry,
            fingerprint=request.fingerprint,
            end_user=request.end_user,
            in_served=in_served,
        )
        self.ledger.record(row)
        self._note(call, row)

    def _note(self, call: "_CallInProgress", row: Call | None) -> None:
        if not call.noted:
            call.noted = True
            self.limits.note(call.request, row, tokens=call.tokens)


@dataclass(slots=True)
class _CallInProgress:
    request: Request
    sent: Request  # what the provider is asked: the request itself, or a small model's
    policy: Policy
    dialect: Answering
    id: UUID
    watch: Stopwatch
    depart: Callable[[], Hit | None] = lambda: None
    land: Callable[[Hit | None], None] = lambda hit: None
    stored: bool = False
    tokens: int = 0  # of this minute's, taken for it
    noted: bool = False


def _drained(arriving: Arriving, tape: Tape, settle: Callable[[], None]) -> None:
    """Read on for a caller who left."""
    complete = False
    ends = perf_counter() + DRAIN_SECONDS
    try:
        for chunk in arriving.chunks:
            tape.take(chunk)
            if perf_counter() > ends:
                arriving.close()
                break
        else:
            complete = True
    except UpstreamError:
        log.info("drain_broken")
    tape.end(complete=complete)
    settle()


def _recorded_before_last(chunks: Iterator[bytes], record: Callable[[], None]) -> Iterator[bytes]:
    held: bytes | None = None
    try:
        for chunk in chunks:
            if held is not None:
                yield held
            held = chunk
    finally:
        record()  # also for a caller who left: it was answered
    if held is not None:
        yield held


def _first_then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield first
        yield from rest
    finally:
        rest.close()  # type: ignore[attr-defined]
