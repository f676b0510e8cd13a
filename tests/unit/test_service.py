"""The flow of a call, with every part around it replaced by the smallest thing that keeps its promise."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from cache_api.dialects import openai_chat
from cache_api.dialects.errors import Refused
from cache_api.domain.decision import Hit, Reason
from cache_api.domain.policy import Policy
from cache_api.domain.request import Caller, Controls, Request
from cache_api.ports import Arriving, UpstreamUnreachable
from cache_api.service import CacheService, Reply
from tests.fakes import (
    FixedEmbedder,
    ListedTexts,
    ListLedger,
    LoneFlights,
    MemoryStore,
    NoLimits,
    NotedChecks,
    ScriptedProvider,
)
from tests.unit.builders import KEY, NOW, PROJECT, TENANT, entry_of, request_of

QUESTION = "How do I reset my password?"
REWORDED = "How can I reset my password?"
NOTHING_LISTED = Policy(blocklist="off")  # as a project's rules come where its blocklist is empty
BODY: dict[str, Any] = {
    "id": "c-1",
    "object": "chat.completion",
    "model": "demo-small",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Click."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}


def whole(body: Any = BODY, *, status: int = 200) -> Arriving:
    return Arriving(status, {"content-type": "application/json"}, iter([json.dumps(body).encode()]))


def streamed(*, breaks: bool = False, pieces: int = 3) -> Arriving:
    def chunks() -> Iterator[bytes]:
        for number in range(pieces):
            delta = {"index": 0, "delta": {"content": f"part {number} "}, "finish_reason": None}
            yield b"data: " + json.dumps({"id": "c", "model": "demo-small", "choices": [delta]}).encode() + b"\n\n"
        if breaks:
            raise UpstreamUnreachable
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield b"data: " + json.dumps({"id": "c", "choices": [end]}).encode() + b"\n\ndata: [DONE]\n\n"

    return Arriving(200, {"content-type": "text/event-stream"}, chunks())


class World:
    """A service and all it touches."""

    def __init__(self, *script: Any, near: Any = None) -> None:
        self.store, self.flights, self.ledger = MemoryStore(), LoneFlights(), ListLedger()
        self.blocklist, self.checks = ListedTexts(), NotedChecks()
        self.drawn = 0.0
        self.embedder = FixedEmbedder(near or {REWORDED: (QUESTION, 0.97)})
        self.provider = ScriptedProvider(*script)
        self.now = NOW
        self.errors: list[int] = []
        self.drained: list[Callable[[], None]] = []
        self.service = CacheService(
            store=self.store,
            blocklist=self.blocklist,
            embedder=self.embedder,  # type: ignore[arg-type]
            flights=self.flights,
            ledger=self.ledger,
            checks=self.checks,
            limits=NoLimits(),
            drain=self._drain,
            cost_of=lambda caller, provider, models, usage: Decimal("0.5"),
            note_error=lambda request, status: self.errors.append(status),
            now=lambda: self.now,
            chance=lambda: self.drawn,
        )

    def ask(self, request: Request, policy: Policy | None = None) -> Reply:
        return self.service.answer(request, policy or NOTHING_LISTED, openai_chat, self.provider.send)

    def _drain(self, read_on: Callable[[], None]) -> bool:
        self.drained.append(read_on)
        return True

    @property
    def decisions(self) -> list[tuple[str, str]]:
        return [(call.decision, call.reason) for call in self.ledger.calls]


def read(reply: Reply) -> bytes:
    return reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)


def test_a_question_asked_twice_is_bought_once() -> None:
    world = World(whole())

    first, second = world.ask(request_of(QUESTION)), world.ask(request_of(QUESTION))

    assert len(world.provider.bodies) == 1
    assert first.stored
    assert json.loads(read(second))["choices"] == BODY["choices"]
    assert world.decisions == [("miss", "no_candidate"), ("hit", "exact")]
    assert [call.entry_id for call in world.ledger.calls] == [next(iter(world.store.entries.values())).id] * 2


def test_a_hit_is_booked_under_the_name_that_was_bought() -> None:
    """An alias is served under a dated name: the books must not take hits and misses for two models."""
    world = World(whole(BODY | {"model": "demo-small-2026-08-07"}))
    world.ask(request_of(QUESTION))

    world.ask(request_of(QUESTION))

    assert [(call.model_asked, call.model_served) for call in world.ledger.calls] == [
        ("demo-small", "demo-small-2026-08-07")
    ] * 2


@pytest.mark.parametrize(("asked", "booked"), [("flex", "flex"), ("priority", "priority"), ("auto", ""), (None, "")])
def test_a_hit_saves_what_the_tier_that_was_asked_for_takes(asked: str | None, booked: str) -> None:
    world = World(whole())
    world.ask(request_of(QUESTION))

    world.ask(request_of(QUESTION, service_tier=asked))

    assert world.decisions[-1] == ("hit", "exact")
    assert world.ledger.calls[-1].service_tier == booked


def test_other_words_are_a_hit_and_say_how_near() -> None:
    world = World(whole())
    world.ask(request_of(QUESTION))

    reply = world.ask(request_of(REWORDED))

    assert world.decisions[-1] == ("hit", "similar")
    assert reply.signals.similarity == pytest.approx(0.97, abs=1e-3)
    assert reply.signals.saved_usd == "0.5"


def test_an_exact_hit_is_not_embedded() -> None:
    world = World(whole())
    world.ask(request_of(QUESTION))
    world.embedder.asked.clear()

    world.ask(request_of(QUESTION))

    assert world.embedder.asked == []


@pytest.mark.parametrize("part", ["find_exact", "search", "put"])
@pytest.mark.parametrize("fault", ["down", "broken"])
def test_law_1_the_cache_never_breaks_a_call(part: str, fault: str) -> None:
    world = World(whole(), whole())
    getattr(world.store, fault).add(part)

    reply = world.ask(request_of(QUESTION))

    assert reply.status == 200
    assert json.loads(read(reply))["choices"] == BODY["choices"]
    assert world.ledger.calls[0].status == 200


def test_without_an_embedder_exact_hits_go_on() -> None:
    world = World(whole())
    world.embedder.down = True

    world.ask(request_of(QUESTION))
    world.ask(request_of(QUESTION))

    assert world.decisions == [("bypass", "deadline"), ("hit", "exact")]
    assert next(iter(world.store.entries.values())).vector is None


@pytest.mark.parametrize(
    ("request_", "policy", "reason"),
    [
        (request_of(controls=Controls(use_cache=False)), Policy(), "caller"),
        (request_of(), Policy(mode="off"), "policy"),
        (request_of(), Policy(end_users="separate"), "policy"),
        (request_of(caller=Caller(TENANT, PROJECT, KEY, may_read=False)), Policy(), "key_scope"),
        (request_of(caller=Caller(TENANT, PROJECT, KEY, over_quota=True)), Policy(), "over_quota"),
        (request_of(n=2), Policy(), "sampling"),
        (request_of(temperature=1.5), Policy(), "sampling"),
        (request_of(tools=[{"type": "function"}]), Policy(tools="off"), "tools"),
        (request_of("x" * 32_001), Policy(), "too_long"),
        (request_of("What is the weather like right now?"), Policy(), "volatile"),
    ],
)
def test_what_is_not_cached_passes_through_and_says_why(request_: Request, policy: Policy, reason: str) -> None:
    world = World(whole())

    world.ask(request_, policy)

    assert world.decisions == [("bypass", reason)]
    assert world.store.entries == {}
    assert world.flights.landed == []


def test_a_key_that_may_not_write_is_served_and_stores_nothing() -> None:
    world = World(whole(), whole())
    reader = Caller(TENANT, PROJECT, KEY, may_write=False)

    world.ask(request_of(QUESTION, caller=reader))

    assert world.store.entries == {}
    world.ask(request_of(QUESTION))
    assert world.ask(request_of(QUESTION, caller=reader)).signals.decision == "hit"


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
def test_a_providers_error_is_relayed_whole_and_neither_stored_nor_booked(status: int) -> None:
    world = World(whole({"error": {"message": "no"}}, status=status))

    reply = world.ask(request_of(QUESTION))

    assert (reply.status, read(reply)) == (status, b'{"error": {"message": "no"}}')
    assert world.store.entries == {}
    assert world.ledger.calls == []
    assert world.errors == [status]
    assert world.flights.landed == [None]


def test_a_provider_out_of_reach_is_an_error_and_the_flight_ends() -> None:
    world = World(UpstreamUnreachable())

    with pytest.raises(UpstreamUnreachable):
        world.ask(request_of(QUESTION))

    assert world.flights.landed == [None]


def test_a_stream_is_relayed_stored_and_booked_before_it_ends() -> None:
    world = World(streamed())
    chunks = iter(world.ask(request_of(QUESTION, stream=True)).body)

    while not (chunk := next(chunks)).endswith(b"[DONE]\n\n"):
        assert world.ledger.calls == []

    assert chunk == b"data: [DONE]\n\n"
    assert world.decisions == [("miss", "no_candidate")]
    assert len(world.store.entries) == 1


def test_a_broken_stream_is_not_stored_and_booked_by_estimate() -> None:
    world = World(streamed(breaks=True))

    text = read(world.ask(request_of(QUESTION, stream=True)))

    assert b"upstream_stream_broken" in text
    assert world.store.entries == {}
    assert world.ledger.calls[0].usage.estimated
    assert world.flights.landed == [None]


def test_a_caller_who_hangs_up_is_read_on_for() -> None:
    world = World(streamed())
    chunks: Any = world.ask(request_of(QUESTION, stream=True)).body
    next(chunks)

    chunks.close()
    assert world.ledger.calls == []
    world.drained[0]()

    assert len(world.store.entries) == 1
    assert world.decisions == [("miss", "no_candidate")]


def test_past_the_cap_of_those_read_on_for_the_row_is_estimated_and_nothing_stored() -> None:
    world = World(streamed())
    world.service.drain = lambda _: False
    chunks: Any = world.ask(request_of(QUESTION, stream=True)).body
    next(chunks)

    chunks.close()

    assert [call.usage.estimated for call in world.ledger.calls] == [True]
    assert world.store.entries == {}


def test_what_another_process_bought_meanwhile_is_served() -> None:
    world = World()
    world.flights.elsewhere = Hit(entry_of(QUESTION), Reason.COALESCED)

    reply = world.ask(request_of(QUESTION))

    assert world.provider.bodies == []
    assert reply.signals.reason == "coalesced"


def test_only_if_cached_asks_nobody() -> None:
    world = World()

    with pytest.raises(Refused) as refused:
        world.ask(request_of(QUESTION, controls=Controls(only_if_cached=True)))

    assert (refused.value.status, refused.value.code) == (504, "not_cached")
    assert world.flights.landed == [None]


def test_an_expired_entry_is_bought_anew() -> None:
    world = World(whole(), whole())
    world.ask(request_of(QUESTION, controls=Controls(ttl_seconds=60)))
    world.now = NOW + timedelta(seconds=61)

    world.ask(request_of(QUESTION))

    assert world.decisions[-1] == ("miss", "expired")
    assert world.ask(request_of(QUESTION)).signals.decision == "hit"


@pytest.mark.parametrize("failure", [UpstreamUnreachable(), whole({"error": {}}, status=503)])
def test_an_expired_entry_stands_in_for_a_failing_provider_if_the_policy_allows(failure: Any) -> None:
    policy = Policy(stale_on_error_seconds=3600)
    world = World(whole(), failure)
    world.ask(request_of(QUESTION, controls=Controls(ttl_seconds=60)))
    world.now = NOW + timedelta(seconds=61)

    reply = world.ask(request_of(QUESTION), policy)

    assert (reply.status, reply.signals.reason) == (200, "stale_on_error")


def test_the_shortest_time_wins() -> None:
    world = World(whole())
    caller = Caller(TENANT, PROJECT, KEY, ttl_max_seconds=500)
    world.ask(request_of(QUESTION, caller=caller, controls=Controls(ttl_seconds=900)), Policy(ttl_seconds=700))

    stored = next(iter(world.store.entries.values()))

    assert stored.expires_at == NOW + timedelta(seconds=500)


def test_an_embedder_whose_cosines_nobody_has_judged_serves_exact_hits_only() -> None:
    world = World(whole(), whole())
    world.embedder.version = "another-model/mean/1"
    world.ask(request_of(QUESTION))

    world.ask(request_of(REWORDED))
    assert world.decisions[-1] == ("miss", "exact_only")

    world.ask(request_of(QUESTION))
    assert world.decisions[-1] == ("hit", "exact")


def test_a_caller_may_tighten_the_floor_and_never_loosen_it() -> None:
    world = World(whole(), whole(), near={REWORDED: (QUESTION, 0.69)})
    world.ask(request_of(QUESTION))

    world.ask(request_of(REWORDED, controls=Controls(threshold=0.1)))

    assert world.decisions[-1] == ("miss", "below_threshold")
