"""How lists of texts are taken apart, bought in part and put together again."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from cache_api.dialects import openai_embeddings
from cache_api.dialects.errors import Refused
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.scope import fingerprint_of
from cache_api.embedding_list import EmbeddingList, _shares
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
from tests.unit.builders import DIGEST_KEY, NOW, call_of

POLICY = Policy(blocklist="off", stale_on_error_seconds=3600)


def request_of(asked: Any, **body: Any) -> Request:
    return call_of(openai_embeddings, orjson.dumps({"model": "demo-small", "input": asked, **body}))


def vector(text: str, index: int) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": [float(len(text)), 0.5]}


def body_of(*texts: str, tokens: int | None = 9, **said: Any) -> dict[str, Any]:
    body = {
        "object": "list",
        "model": "demo-embed-1",
        "data": [vector(text, place) for place, text in enumerate(texts)],
    }
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return {**body, **usage, **said}


def whole(body: Any, *, status: int = 200) -> Arriving:
    return Arriving(status, {"content-type": "application/json"}, iter([json.dumps(body).encode()]))


class World:
    """A service and all it touches."""

    def __init__(self, *script: Any) -> None:
        self.store, self.ledger, self.provider = MemoryStore(), ListLedger(), ScriptedProvider(*script)
        self.now = NOW
        self.service = CacheService(
            store=self.store,
            blocklist=ListedTexts(),
            embedder=FixedEmbedder(),
            flights=LoneFlights(),
            ledger=self.ledger,
            checks=NotedChecks(),
            limits=NoLimits(),
            drain=lambda read_on: True,
            cost_of=lambda caller, provider, models, usage: Decimal(usage.in_total) / 1000,
            note_error=lambda request, status: None,
            now=lambda: self.now,
        )

    def ask(self, asked: Any, **body: Any) -> Reply:
        request = request_of(asked, **body)
        items = [
            fingerprint_of(DIGEST_KEY, request.scope, replace(request.parsed, texts=(text,)))
            for text in request.parsed.texts
        ]
        many = EmbeddingList(self.store, items, self.now)
        return self.service.over(many).answer(request, POLICY, many, self.provider.send)

    @property
    def sent(self) -> list[Any]:
        return [json.loads(body)["input"] for body in self.provider.bodies]

    @property
    def rows(self) -> list[tuple[str, int]]:
        return [(call.decision, call.usage.in_total) for call in self.ledger.calls]


def told(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)


# -- what is asked


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ("one", ("one",)),
        (["one"], ("one",)),
        (["one", "", "two"], ("one", "", "two")),
        ([1, 2], ("1 2",)),
        ([[1, 2], [3]], ("1 2", "3")),
        ([], ()),
        (None, ()),
        (["one", [1]], ()),
        ([[1], []], ()),
        ([[1.5]], ()),
        ([True], ()),
        ([{"type": "image_url"}], ()),
        (["x"] * 2049, ()),
    ],
)
def test_each_text_or_list_of_tokens_is_an_item(asked: Any, texts: Any) -> None:
    parsed = request_of(asked).parsed
    assert parsed.texts == texts
    assert parsed.unsupported is not bool(texts)
    assert parsed.question is None


def test_tokens_and_the_text_that_shows_them_are_two_things() -> None:
    asked = ["1 2", [1, 2], ["1 2", "3"], "one", [12]]
    assert len({request_of(one).fingerprint for one in asked}) == len(asked)
    assert request_of("one").fingerprint == request_of(["one"]).fingerprint
    assert request_of("one", dimensions=8).scope != request_of("one").scope == request_of("two", user="u").scope


def test_a_text_is_no_vector() -> None:
    with pytest.raises(Refused):
        openai_embeddings.answer_of_text("words", "demo-embed")


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        (body_of("one"), True),
        (body_of("one", tokens=None), True),
        ({**body_of("one"), "data": [{"index": 0, "embedding": "AAAA"}]}, True),
        (body_of("one", "two"), False),
        ({**body_of("one"), "data": [vector("one", 1)]}, False),
        ({**body_of("one"), "data": [{"index": 0, "embedding": []}]}, False),
        ({**body_of("one"), "data": ["one"]}, False),
        ({**body_of("one"), "error": {"message": "m"}}, False),
    ],
)
def test_only_a_vector_in_its_place_is_stored(body: Any, stored: bool) -> None:
    assert (openai_embeddings.read_answer(body).answer is not None) is stored


# -- what is bought


def test_the_missing_items_alone_are_bought_and_put_where_they_belong() -> None:
    world = World(whole(body_of("one", "three", tokens=8)), whole(body_of("fifth", tokens=2)))

    world.ask(["one", "three"])
    partly = told(world.ask(["three", "fifth", "one", "fifth"]))
    hit = world.ask(["fifth", "one"])

    assert world.sent == [["one", "three"], ["fifth"]]
    assert partly["data"] == [vector("three", 0), vector("fifth", 1), vector("one", 2), vector("fifth", 3)]
    assert partly["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    assert told(hit)["data"] == [vector("fifth", 0), vector("one", 1)]
    assert hit.signals.decision == "hit"
    assert world.rows[:2] == [("miss", 8), ("miss", 2)]
    assert world.rows[2] == ("hit", told(hit)["usage"]["prompt_tokens"])


def test_the_shares_of_a_list_come_to_what_was_billed() -> None:
    world = World(whole(body_of("one", "a much longer text", "x", tokens=11)))
    world.ask(["one", "a much longer text", "x"])

    entries = list(world.store.entries.values())
    assert sum(entry.usage.in_total for entry in entries) == 11
    assert sum(entry.cost_usd or 0 for entry in entries) == Decimal("0.011")
    assert [entry.question for entry in entries] == ["one", "a much longer text", "x"]
    assert [(entry.request or {})["input"] for entry in entries] == ["one", "a much longer text", "x"]
    assert [entry.answer["data"] for entry in entries] == [[vector(entry.question or "", 0)] for entry in entries]
    again = world.ask(["one", "a much longer text", "x"])
    assert told(again)["usage"]["prompt_tokens"] == 11
    assert again.signals.saved_usd == "0.011"


@pytest.mark.parametrize(("total", "weights"), [(10, [1, 1, 1]), (0, [5, 5]), (7, [100, 1]), (2, [1] * 9)])
def test_shares_are_whole_and_lose_nothing(total: int, weights: list[int]) -> None:
    shares = _shares(total, weights)
    assert sum(shares) == total
    assert len(shares) == len(weights)
    assert min(shares) >= 0


def test_where_nobody_counted_it_is_estimated_and_says_so() -> None:
    world = World(whole(body_of("one", "two", tokens=None)))
    world.ask(["one", "two"])
    (call,) = world.ledger.calls
    assert call.usage.estimated
    assert call.usage.in_total > 0
    assert "usage" not in told(World(whole(body_of("one", tokens=None))).ask("one"))


def test_own_bytes_go_on_where_all_is_missing() -> None:
    world = World(whole(body_of("one", "two")), whole(body_of("one", "two")))
    raw = orjson.dumps({"model": "demo-small", "input": ["one", "two"]})
    answer = world.ask(["one", "two"])
    assert world.provider.bodies == [raw]
    assert answer.body == json.dumps(body_of("one", "two")).encode()


@pytest.mark.parametrize(
    "data",
    [
        [vector("two", 0)],
        [vector("two", 1), vector("three", 0)],
        [vector("two", 0), vector("three", 1), vector("four", 2)],
        [vector("two", 0), {"index": 1}],
        [],
    ],
)
def test_too_few_or_misplaced_vectors_pass_but_are_not_stored(data: Any) -> None:
    body = {**body_of(), "data": data}
    world = World(whole(body))
    assert told(world.ask(["two", "three"])) == body
    assert world.store.entries == {}


def test_what_came_for_a_part_is_placed_by_its_index_and_what_did_not_is_left_out() -> None:
    swapped = {**body_of(), "data": [vector("three", 1), vector("two", 0)]}
    world = World(whole(body_of("one")), whole(swapped), whole({**body_of(), "data": [vector("two", 0)]}))
    world.ask("one")

    assert told(world.ask(["one", "two", "three"]))["data"] == [vector("one", 0), vector("two", 1), vector("three", 2)]
    assert told(world.ask(["three", "two", "one"]))["data"] == [vector("two", 0), vector("one", 2)]
    assert len(world.store.entries) == 1


@pytest.mark.parametrize("data", [[], [{"embedding": [1.0]}], [vector("x", 7)], [{"index": 0}], None, "none"])
def test_what_cannot_be_placed_is_no_answer(data: Any) -> None:
    world = World(whole(body_of("one")), whole({**body_of(), "data": data}))
    world.ask("one")
    with pytest.raises(UpstreamUnreachable):
        world.ask(["one", "two"])
    assert len(world.ledger.calls) == 1


def test_an_error_for_a_part_is_passed_on() -> None:
    world = World(whole(body_of("one")), whole({"error": {"message": "empty"}}, status=400))
    world.ask("one")
    reply = world.ask(["one", ""])
    assert (reply.status, told(reply)) == (400, {"error": {"message": "empty"}})


def test_an_item_past_its_end_is_bought_anew_and_the_others_are_not() -> None:
    world = World(whole(body_of("one")), whole(body_of("two")), whole(body_of("one")))
    world.ask("one", cache={"ttl": 60})
    world.ask("two")
    for key, entry in world.store.entries.items():
        if entry.question == "one":
            world.store.entries[key] = replace(entry, expires_at=NOW - timedelta(seconds=9))

    reply = world.ask(["two", "one"])
    assert reply.signals.reason == "expired"
    assert world.sent[-1] == ["one"]
    assert told(reply)["data"] == [vector("two", 0), vector("one", 1)]


def test_items_past_their_end_stand_in_for_a_failing_provider_if_the_policy_allows() -> None:
    world = World(whole(body_of("one", "two")), UpstreamUnreachable("away"))
    world.ask(["one", "two"])
    for key, entry in world.store.entries.items():
        world.store.entries[key] = replace(entry, expires_at=NOW - timedelta(seconds=9))
    reply = world.ask(["two", "one"])
    assert (reply.status, reply.signals.reason) == (200, "stale_on_error")
    assert told(reply)["data"] == [vector("two", 0), vector("one", 1)]


@pytest.mark.parametrize("fault", ["down", "broken"])
def test_a_store_out_of_order_is_passed_by(fault: str) -> None:
    world = World(whole(body_of("one", "one")))
    getattr(world.store, fault).update({"find_many", "put_many"})
    reply = world.ask(["one", "one"])
    assert (reply.status, reply.signals.decision, reply.signals.reason) == (200, "bypass", "cache_unavailable")
    assert world.sent == [["one", "one"]]


def test_a_vector_too_large_to_be_kept_does_not_keep_others_out() -> None:
    large = {**vector("one", 0), "embedding": "A" * 1_100_000}
    body = {**body_of(), "data": [large, vector("two", 1)]}
    world = World(whole(body), whole(body))
    world.ask(["one", "two"])
    assert [entry.question for entry in world.store.entries.values()] == ["two"]


def test_what_is_too_large_to_be_held_passes_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_embeddings, "HELD_MAX_BYTES", 100)

    def chunks() -> Iterator[bytes]:
        yield b"x" * 101
        yield b"y"

    world = World(Arriving(200, {}, chunks()))
    reply = world.ask(["one", "two"])
    assert not isinstance(reply.body, bytes)
    assert list(reply.body) == [b"x" * 101, b"y", b""]
    assert [call.decision for call in world.ledger.calls] == ["miss"]


def test_a_list_whose_other_part_could_not_be_held_is_bought_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache_api.embedding_list.HELD_MAX_BYTES", 100)
    world = World(whole(body_of("one")), whole(body_of("one", "two")))
    world.ask("one")
    world.ask(["one", "two"])
    assert world.sent[-1] == ["one", "two"]
