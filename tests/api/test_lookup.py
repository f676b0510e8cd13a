"""Does a look-up say what the cache would do, and why?"""

from typing import Any

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Api
from tests.fakes import FixedEmbedder

ASKED = "How do I install version 3?"
OTHER_NUMBER = "How do I install version 2?"
FAR = "How do I remove it?"
SAME = "How can I install version 3?"


def lookup(api: Api, **fields: Any) -> Any:
    answer = api.post("/v1/cache/lookup", {"model": "demo-small", **fields})
    assert answer.status == 200, answer.body
    return answer.json


@pytest.fixture
def stored(api: Api, embedder: FixedEmbedder) -> None:
    embedder.near.update({SAME: (ASKED, 0.96), OTHER_NUMBER: (ASKED, 0.98), FAR: (ASKED, 0.5)})
    for question in SAME, OTHER_NUMBER, FAR:
        api.post("/v1/cache/entries", {"question": question, "answer": question.upper(), "model": "demo-small"})


def test_every_candidate_says_why_it_was_refused(api: Api, stored: None) -> None:
    found = lookup(api, question=ASKED, include_answer=True)
    assert (found["decision"], found["layer"], found["reason"]) == ("hit", "semantic", "similar")
    assert found["similarity"] == pytest.approx(0.96, abs=0.001)
    assert found["answer"] == SAME.upper()
    assert [(one["question"], one["accepted"]) for one in found["candidates"]] == [
        (OTHER_NUMBER, False),
        (SAME, True),
        (FAR, False),
    ]
    reasons = [one["reason"] for one in found["candidates"]]
    assert reasons[0].startswith("guard:")
    assert reasons[1:] == [None, "floor"]
    assert all(one["ttl"] > one["age"] >= 0 for one in found["candidates"])
    assert found["timings_ms"].keys() == {"embed", "lookup", "total"}


def test_the_provider_is_not_asked_and_no_hit_is_counted(api: Api, stored: None, demo: DemoProvider) -> None:
    lookup(api, question="Something else?")
    lookup(api, question=SAME)
    assert demo.calls() == []
    assert api.get("/v1/cache/stats").json["total_lookups"] == 0


def test_an_exact_one_is_its_own_candidate(api: Api, stored: None) -> None:
    found = lookup(api, question=SAME)
    assert (found["layer"], found["reason"], len(found["candidates"])) == ("exact", "exact", 1)
    assert "answer" not in found


def test_a_caller_may_ask_for_more_likeness_never_for_less(api: Api, stored: None) -> None:
    assert lookup(api, question=ASKED, similarity_threshold=0.97)["reason"] in {"guard", "below_threshold"}
    assert lookup(api, question=ASKED, similarity_threshold=0.97)["decision"] == "miss"
    assert lookup(api, question=FAR.replace("it", "that"), similarity_threshold=0.1)["threshold"] == 0.7


@pytest.mark.parametrize(
    "fields",
    [
        {"question": SAME, "system": "Be brief."},
        {"question": SAME, "context": "You are a pirate."},
        {"question": SAME, "params": {"temperature": 0}},
        {"question": SAME, "namespace": "elsewhere"},
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "user", "content": SAME}]},
        {"request": {"model": "demo-large", "messages": [{"role": "user", "content": SAME}]}},
    ],
)
def test_another_scope_has_no_candidate(api: Api, stored: None, fields: Any) -> None:
    found = lookup(api, **fields)
    assert (found["decision"], found["candidates"]) == ("miss", [])


def test_all_spellings_of_a_question_are_one(api: Api, stored: None) -> None:
    request = {"model": "demo-small", "messages": [{"role": "user", "content": SAME}]}
    for fields in (
        {"question": SAME},
        {"prompt": SAME},
        {"query": SAME},
        {"messages": request["messages"]},
        {"request": request, "endpoint": "/v1/chat/completions"},
    ):
        assert lookup(api, **fields)["reason"] == "exact"


def test_a_bypass_is_told_as_one(api: Api) -> None:
    assert lookup(api, question="What is the weather today?")["reason"] == "volatile"
    assert lookup(api, question="a", params={"n": 2})["reason"] == "sampling"


def test_the_provider_needs_no_key_for_a_look_up(api: Api) -> None:
    found = lookup(api, question="Why?", model="gpt-4o")
    assert (found["decision"], found["cache_key"] is not None) == ("miss", True)


# -- past calls


def test_a_past_miss_says_what_was_near_and_what_would_have_served_it(
    api: Api, stored: None, embedder: FixedEmbedder
) -> None:
    embedder.near["Version 3, how do I set it up?"] = (ASKED, 0.9)
    missed = api.chat("Version 3, how do I set it up?").headers
    assert missed["x-cacheai-decision"] == "miss"
    found = lookup(api, request_id=missed["x-cacheai-request-id"])
    assert (found["decision"], found["reason"]) == ("miss", missed["x-cacheai-reason"])
    assert found["question"] == "Version 3, how do I set it up?"
    assert found["cache_key"] == missed["x-cacheai-cache-key"]
    reasons = {one["question"]: one["reason"] for one in found["candidates"]}
    assert reasons[OTHER_NUMBER] == "guard:version"
    (doubted,) = [one for one in found["candidates"] if one["question"] == SAME]
    assert doubted["reason"].startswith("probability")
    assert 0 < doubted["probability"] < doubted["cut"]
    assert doubted["would_hit_at"] is None or doubted["would_hit_at"] > 0.02


def test_a_past_hit_names_the_entry_it_was_served_from(api: Api) -> None:
    stored = api.chat(ASKED).headers
    hit = api.chat(ASKED).headers
    found = lookup(api, request_id=hit["x-cacheai-request-id"])
    assert (found["decision"], found["reason"], found["cache_key"]) == ("hit", "exact", stored["x-cacheai-cache-key"])


@pytest.mark.parametrize("request_id", [7, {}, [], False])
def test_a_request_id_of_another_type_is_bad(api: Api, request_id: Any) -> None:
    refused = api.post("/v1/cache/lookup", {"request_id": request_id})
    assert (refused.status, refused.json["error"]["param"]) == (400, "request_id")


@pytest.mark.parametrize("request_id", ["req_0", "", "\0", f"req_{'0' * 32}"])
def test_a_call_that_is_not_there_is_said_so(api: Api, request_id: Any) -> None:
    assert api.post("/v1/cache/lookup", {"request_id": request_id}).status == 404


def test_another_tenants_call_is_not_there(api: Api, outsider: Api) -> None:
    theirs = outsider.chat(ASKED).headers["x-cacheai-request-id"]
    assert api.post("/v1/cache/lookup", {"request_id": theirs}).status == 404
