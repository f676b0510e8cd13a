"""When does a small model answer from stored answers, and what is it told?"""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cache_api.dialects.held_back import held_back
from cache_api.dialects.synthesis import asking_small_model, may_be_synthesized
from cache_api.domain.decision import Reason
from cache_api.domain.entry import Candidate
from cache_api.domain.policy import BadPolicy, Policy
from cache_api.domain.request import Caller, Controls, Request, Target
from cache_api.domain.synthesis import SOURCES_MAX_CHARACTERS, prompt_of, sources
from cache_api.ports import Arriving, UpstreamUnreachable
from tests.unit.builders import DEMO, KEY, NOW, PROJECT, TENANT, candidate_of, request_of
from tests.unit.test_service import BODY, World, read, streamed, whole

ASKED = "How do I reset my 2 passwords in the app?"
NEAR = "How do I reset my passwords?"
OTHER_NUMBER = "How do I reset my 3 passwords in the app?"
AUTO = Policy(blocklist="off", synthesis="auto", synthesis_model="demo-tiny")
ALWAYS = replace(AUTO, synthesis="always")
SMALL = replace(DEMO, model="demo-tiny")
ANSWER = {
    **BODY,
    "model": "demo-tiny",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Tap it."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 90, "completion_tokens": 3, "total_tokens": 93},
}


@pytest.mark.parametrize(
    ("candidate", "auto", "always"),
    [
        (candidate_of(0.85, NEAR), True, True),
        (candidate_of(0.80, NEAR), True, True),
        (candidate_of(0.79, NEAR), False, False),  # its floor is respected
        (candidate_of(0.85, OTHER_NUMBER), False, True),
        (candidate_of(0.97, OTHER_NUMBER), False, True),
        (replace(candidate_of(0.85, NEAR), known_wrong=True), False, False),
        (candidate_of(0.85, NEAR, synthesized=True), False, False),  # one synthesis feeds no other
        (candidate_of(0.85, NEAR, matchable=False), False, False),
        (candidate_of(0.85, NEAR, expires_at=NOW - timedelta(seconds=9)), False, False),
        (candidate_of(0.85, None), False, False),
    ],
)
def test_what_a_small_model_may_answer_from(candidate: Candidate, auto: bool, always: bool) -> None:
    request = request_of(ASKED)

    assert bool(sources(request, [candidate], AUTO, NOW)) is auto
    assert bool(sources(request, [candidate], ALWAYS, NOW)) is always


def test_a_caller_may_ask_for_nearer_sources_never_for_farther() -> None:
    near = [candidate_of(0.85, NEAR)]

    assert not sources(request_of(ASKED, controls=Controls(threshold=0.86)), near, AUTO, NOW)
    assert not sources(request_of(ASKED, controls=Controls(threshold=0.1)), [candidate_of(0.79, NEAR)], AUTO, NOW)
    assert not sources(request_of(ASKED, controls=Controls(max_age_seconds=5)), [_old(near[0])], AUTO, NOW)


def _old(candidate: Candidate) -> Candidate:
    return replace(candidate, entry=replace(candidate.entry, created_at=NOW - timedelta(minutes=1)))


def test_the_nearest_come_first() -> None:
    found = sources(request_of(ASKED), [candidate_of(0.82, NEAR), candidate_of(0.89, NEAR)], AUTO, NOW)

    assert [one.similarity for one in found] == [0.89, 0.82]


def test_the_prompt_holds_as_much_as_has_room_and_the_question_last() -> None:
    prompt = prompt_of("{What}?", [("One?", "1"), ("Two?", "x" * SOURCES_MAX_CHARACTERS), ("Three?", "3")])

    assert "One?" in prompt
    assert "Two?" not in prompt and "Three?" not in prompt
    assert prompt.endswith("\n{What}?")
    assert "Long?" in prompt_of("?", [("Long?", "x" * SOURCES_MAX_CHARACTERS)])


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"text": {"format": {"type": "json_schema"}}},
        {"output_config": {"format": {}}},
    ],
)
def test_what_a_program_reads_is_not_synthesized(body: Any) -> None:
    assert not may_be_synthesized(request_of(ASKED, **body))


@pytest.mark.parametrize("body", [{}, {"response_format": {"type": "text"}}, {"text": {"format": {"type": "text"}}}])
def test_prose_may_be_synthesized(body: Any) -> None:
    assert may_be_synthesized(request_of(ASKED, **body))


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASKED, "name": "a"}]},
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "P", "name": "a"}]},
        ),
        ({"input": ASKED}, {"input": "P"}),
        ({"input": [{"role": "user", "content": ASKED}]}, {"input": [{"role": "user", "content": "P"}]}),
        ({"prompt": ASKED}, {"prompt": "P"}),
    ],
)
def test_the_prompt_takes_the_place_of_the_question_in_every_dialect(body: Any, asked: Any) -> None:
    request = request_of(ASKED)
    request = replace(
        request, parsed=replace(request.parsed, body={**body, "max_tokens": 9, "reasoning_effort": "low"})
    )

    sent = asking_small_model(request, SMALL, "P")

    assert sent.parsed.body == {**asked, "max_tokens": 9, "model": "demo-tiny"} == json.loads(sent.raw)
    assert (sent.fingerprint, sent.scope) == (request.fingerprint, request.scope)


def test_another_provider_does_not_get_the_callers_headers() -> None:
    request = replace(request_of(ASKED), headers={"openai-organization": "org"})

    assert asking_small_model(request, SMALL, "P").headers == request.headers
    assert asking_small_model(request, replace(SMALL, provider="groq"), "P").headers == {}


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"finish_reason": "stop"}]},
        {"stop_reason": "end_turn", "content": []},
        {"output": [], "status": "completed"},
    ],
)
def test_an_answer_that_was_held_back_says_so(answer: Any) -> None:
    told = json.dumps(held_back(answer))

    assert any(word in told for word in ("content_filter", "refusal"))
    assert "end_turn" not in told and "completed" not in told


# -- the flow


def world(*script: Any, cosine: float = 0.85, stored: str = NEAR) -> World:
    """A question is stored, and ASKED is as near to it as said; the script is what happens then."""
    made = World(whole(), *script, near={ASKED: (stored, cosine)})
    made.ask(request_of(stored))
    return made


def asked(question: str = ASKED, small: Target | None = SMALL, **fields: Any) -> Request:
    return replace(request_of(question, **fields), small_model=small)


def test_near_the_threshold_the_small_model_answers_and_is_billed() -> None:
    there = world(whole(ANSWER))

    reply = there.ask(asked(), AUTO)

    sent = json.loads(there.provider.bodies[-1])
    assert sent["model"] == "demo-tiny"
    assert all(text in sent["messages"][-1]["content"] for text in (NEAR, "Click.", ASKED))
    told = json.loads(read(reply))
    assert told["choices"][0]["message"]["content"] == "Tap it."
    assert (told["cacheback_hit"], told["cacheback_synthesized"]) == (False, True)
    signals = reply.signals
    assert (signals.decision, signals.layer, signals.reason) == ("hit", "synthesized", "synthesized")
    assert (signals.similarity, signals.threshold, signals.saved_usd) == (pytest.approx(0.85, abs=1e-3), 0.8, None)
    call = there.ledger.calls[-1]
    assert (call.decision, call.layer, call.reason) == ("hit", "synthesized", "synthesized")
    assert (call.model_asked, call.model_served, call.usage.in_total) == ("demo-small", "demo-tiny", 90)


def test_every_source_in_the_band_is_handed_over() -> None:
    there = world(whole(), whole(ANSWER))
    there.embedder.near["How are passwords reset?"] = (NEAR, 0.99)
    there.ask(request_of("How are passwords reset?"), Policy(blocklist="off", mode="exact"))
    there.embedder.near["How are passwords reset?"] = (NEAR, 0.99)
    entry = there.store.entries[request_of("How are passwords reset?").fingerprint]
    vector = there.embedder.embed("How are passwords reset?", 1)
    there.store.entries[entry.fingerprint] = replace(entry, vector=vector, matchable=True)

    there.ask(asked(), AUTO)

    sent = json.loads(there.provider.bodies[-1])["messages"][-1]["content"]
    assert NEAR in sent and "How are passwords reset?" in sent


def test_the_same_question_is_synthesized_once_and_feeds_no_other() -> None:
    there = world(whole(ANSWER), whole())
    there.embedder.near["And in the app?"] = (ASKED, 0.85)
    there.ask(asked(), AUTO)

    again = there.ask(asked(), AUTO)
    there.ask(asked("And in the app?"), AUTO)

    assert (again.signals.layer, again.signals.reason) == ("exact", "exact")
    assert there.decisions[-2:] == [("hit", "exact"), ("miss", "below_threshold")]
    hit = there.ledger.calls[-2]
    assert (hit.model_asked, hit.model_served) == ("demo-small", "demo-tiny")
    entry = there.store.entries[asked().fingerprint]
    assert (entry.source, entry.model, entry.question) == ("synthesized", "demo-small", ASKED)
    assert NEAR not in json.dumps(entry.request)


def test_what_is_synthesized_may_serve_the_same_question_in_other_words() -> None:
    there = world(whole(ANSWER))
    there.ask(asked(), AUTO)
    there.embedder.near["How do I reset my 2 passwords in your app?"] = (ASKED, 1.0)
    there.embedder.near[ASKED] = (ASKED, 1.0)
    entry = there.store.entries[asked().fingerprint]
    vector = there.embedder.embed(ASKED, 1)
    there.store.entries[asked().fingerprint] = replace(entry, vector=vector)

    assert there.ask(asked("How do I reset my 2 passwords in your app?"), AUTO).signals.reason == "similar"


def test_streamed_it_is_a_stream_and_stored() -> None:
    there = world(streamed())

    reply = there.ask(asked(stream=True), AUTO)

    assert read(reply).endswith(b"data: [DONE]\n\n")
    assert there.ledger.calls[-1].layer == "synthesized"
    assert there.store.entries[asked().fingerprint].source == "synthesized"
    assert json.loads(there.provider.bodies[-1])["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamUnreachable("gone"),
        whole({"error": {"message": "no such model"}}, status=404),
        whole({"error": {"message": "overloaded"}}, status=503),
        Arriving(200, {"content-type": "application/json"}, iter(())),
    ],
)
def test_a_failing_synthesis_falls_back_to_the_provider(failure: Any) -> None:
    if isinstance(failure, Arriving) and failure.status == 200:
        failure = Arriving(200, {"content-type": "application/json"}, _broken())
    there = world(failure, whole())

    reply = there.ask(asked(), AUTO)

    assert json.loads(read(reply))["choices"] == BODY["choices"]
    assert there.decisions[-1] == ("miss", "below_threshold")
    assert len(there.ledger.calls) == 2
    assert json.loads(there.provider.bodies[-1])["model"] == "demo-small"
    assert there.store.entries[asked().fingerprint].source == "proxied"


def _broken() -> Any:
    yield b'{"choices": ['
    raise UpstreamUnreachable("gone")


@pytest.mark.parametrize(
    ("policy", "request_", "stored", "cosine"),
    [
        (Policy(blocklist="off"), asked(), NEAR, 0.85),
        (AUTO, asked(), NEAR, 0.79),
        (AUTO, asked(), OTHER_NUMBER, 0.85),
        (AUTO, asked(small=None), NEAR, 0.85),
        (AUTO, asked(controls=Controls(no_store=True)), NEAR, 0.85),
        (AUTO, asked(controls=Controls(refresh=True)), NEAR, 0.85),
        (AUTO, asked(controls=Controls(threshold=0.9)), NEAR, 0.85),
        (AUTO, asked(caller=Caller(TENANT, PROJECT, KEY, may_write=False)), NEAR, 0.85),
        (replace(AUTO, mode="exact"), asked(), NEAR, 0.85),
    ],
)
def test_otherwise_the_provider_is_asked(policy: Policy, request_: Request, stored: str, cosine: float) -> None:
    there = world(whole(), stored=stored, cosine=cosine)

    there.ask(request_, policy)

    assert json.loads(there.provider.bodies[-1])["model"] == "demo-small"
    assert there.ledger.calls[-1].decision == "miss"


def test_always_asks_the_small_model_where_a_guard_says_no() -> None:
    there = world(whole(ANSWER), stored=OTHER_NUMBER, cosine=0.97)

    assert there.ask(asked(), ALWAYS).signals.reason is not None
    assert there.decisions[-1] == ("hit", "synthesized")


def test_a_hit_is_served_and_nothing_is_synthesized() -> None:
    there = world(cosine=0.97, stored="How can I reset my 2 passwords in the app?")

    assert there.ask(asked(), ALWAYS).signals.reason == Reason.SIMILAR


def test_tools_are_never_synthesized() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    there = World(whole(), whole(), near={ASKED: (NEAR, 0.85)})
    there.ask(request_of(NEAR, tools=tools), replace(AUTO, tools="similar"))

    there.ask(asked(tools=tools), replace(AUTO, tools="similar"))

    assert there.decisions[-1] == ("miss", "below_threshold")


@pytest.mark.parametrize("wish", [{"synthesis": "auto"}, {"synthesis": "maybe", "synthesis_model": "x"}])
def test_a_policy_names_its_small_model(wish: Any) -> None:
    with pytest.raises(BadPolicy):
        Policy.build(wish)
