"""What is compared with a listed question, and what happens when it is met?"""

import json
from dataclasses import replace
from typing import Any

import pytest

from cache_api.domain.blocklist import FLOOR, Match, blocked, digest_of, texts_of
from cache_api.domain.decision import Blocked, Reason
from cache_api.domain.policy import BadPolicy, Policy
from cache_api.domain.request import Controls
from cache_api.looking import Stopwatch
from cache_api.ports import CacheUnavailable
from tests.unit.builders import DIGEST_KEY, request_of
from tests.unit.test_service import QUESTION, REWORDED, World, read, whole

LISTED = Match(7, QUESTION, "not for us", "general", 1, 0.9731, 0)
REFUSING = Policy()


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("One?", ("One?",)),
        ([{"type": "text", "text": "One?"}], ("One?",)),
        ([{"type": "text", "text": "One?"}, {"type": "text", "text": "Two?"}], ("One?\n\nTwo?", "One?", "Two?")),
        ([{"type": "text", "text": "One?"}, {"type": "image_url", "image_url": {"url": "data:,"}}], ("One?",)),
        (" \n", ()),
        ([], ()),
    ],
)
def test_all_that_is_said_is_compared_and_each_of_its_parts(content: Any, texts: tuple[str, ...]) -> None:
    raw = json.dumps({"model": "demo-small", "messages": [{"role": "user", "content": content}]}).encode()

    assert texts_of(request_of(raw=raw).parsed) == texts


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("How?", " how? \n", True),
        ("Where is\nthe moon?", "where IS the  moon?", True),
        ("Straße", "STRASSE", True),
        ("How?", "How", False),
        ("é", "é", True),
    ],
)
def test_case_and_blanks_make_no_other_text(one: str, other: str, same: bool) -> None:
    assert (digest_of(DIGEST_KEY, one) == digest_of(DIGEST_KEY, other)) is same
    assert digest_of(b"o" * 32, one) != digest_of(DIGEST_KEY, one)


@pytest.mark.parametrize("way", ["refuse", "skip"])
def test_a_match_blocks_and_says_why(way: Any) -> None:
    assert blocked(LISTED, Policy(blocklist=way)) == Blocked(7, "not for us", 0.9731, FLOOR)
    assert blocked(replace(LISTED, reason=""), Policy(blocklist=way)) == Blocked(7, "general", 0.9731, FLOOR)


def test_a_project_that_observes_blocks_nothing() -> None:
    assert blocked(LISTED, Policy(blocklist="observe")) is None


@pytest.mark.parametrize("bad", [{"blocklist": "maybe"}, {"blocklist_text": 7}, {"blocklist_text": "x" * 10_001}])
def test_a_policy_says_what_becomes_of_it(bad: Any) -> None:
    with pytest.raises(BadPolicy):
        Policy.build(bad)


# -- the flow


def listing(*script: Any) -> World:
    world = World(*script)
    world.blocklist.listed.append((QUESTION, world.embedder.embed(QUESTION, 1)))
    world.embedder.asked.clear()
    return world


@pytest.mark.parametrize("question", [QUESTION, REWORDED])
def test_a_block_has_its_row_costs_nothing_and_asks_nobody(question: str) -> None:
    world = listing()

    reply = world.ask(request_of(question), REFUSING)

    (call,) = world.ledger.calls
    assert (call.status, call.decision, call.layer, call.reason) == (403, "blocked", "", "blocklist")
    assert (call.usage.total, call.billable, call.entry_id) == (0, True, None)
    assert (reply.status, reply.signals.cache_key) == (403, None)
    assert json.loads(read(reply))["error"]["blocklist_id"] == 1
    assert world.provider.bodies == []
    assert world.flights.landed == []
    assert world.blocklist.counted == [1]


@pytest.mark.parametrize("controls", [Controls(use_cache=False), Controls(refresh=True), Controls(only_if_cached=True)])
def test_no_wish_of_a_caller_goes_round_it(controls: Controls) -> None:
    assert listing().ask(request_of(QUESTION, controls=controls), REFUSING).status == 403


@pytest.mark.parametrize("failure", [CacheUnavailable(), KeyError("a mistake of ours")])
def test_a_broken_blocklist_blocks_nobody(failure: Exception) -> None:
    world = listing(whole())
    world.blocklist.broken = failure

    assert world.ask(request_of(QUESTION), REFUSING).status == 200
    assert world.decisions == [("miss", "no_candidate")]


def test_without_the_embedder_the_very_text_is_blocked_and_nothing_else() -> None:
    world = listing(whole())
    world.embedder.down = True

    assert world.ask(request_of(QUESTION), REFUSING).status == 403
    assert world.ask(request_of(REWORDED), REFUSING).status == 200


def test_a_skipped_question_is_answered_without_the_provider() -> None:
    world = listing()

    reply = world.ask(request_of(QUESTION, stream=True), Policy(blocklist="skip", blocklist_text="Not here."))

    told = read(reply)
    assert b'"content":"Not here."' in told and b'"finish_reason":"content_filter"' in told
    (call,) = world.ledger.calls
    assert (call.status, call.decision, call.stream) == (200, "blocked", True)
    assert world.provider.bodies == []


def test_observed_it_is_answered_and_counted() -> None:
    world = listing(whole())

    assert world.ask(request_of(QUESTION), Policy(blocklist="observe")).status == 200
    assert world.blocklist.counted == [1]
    assert world.embedder.asked == [QUESTION]  # once, for the list and for the look-up


def test_where_nothing_is_listed_nobody_looks() -> None:
    world = World(whole())
    world.blocklist.broken = KeyError("asked")

    world.ask(request_of(QUESTION))
    world.embedder.asked.clear()
    world.ask(request_of(QUESTION))

    assert (world.decisions[-1], world.embedder.asked) == (("hit", "exact"), [])


def test_what_is_too_long_to_embed_is_compared_by_its_text() -> None:
    world = World(whole())
    long = "long " * 8_000
    world.blocklist.listed.append((long, world.embedder.embed("another", 1)))
    world.embedder.asked.clear()

    assert world.ask(request_of(long), REFUSING).status == 403
    assert world.embedder.asked == []


def test_looking_up_tells_of_it_and_counts_nothing() -> None:
    world = listing()

    looked = world.service.look_up(request_of(QUESTION), REFUSING, Stopwatch())

    assert looked.decision is not None and looked.decision.reason is Reason.BLOCKLIST
    assert world.blocklist.counted == []
