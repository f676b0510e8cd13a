"""What would past questions have come to? Uploaded, or the project's own."""

import json
from typing import Any

import pytest

from tests.api.conftest import Api, Rules
from tests.api.test_export_import import LINES, imported, work
from tests.fakes import FixedEmbedder

QUESTION = "How do I change my delivery address?"
REWORDED = "How can I change my delivery address?"
OTHER = "What does a semantic cache do?"
PATH = "/v1/backtest"


def tried(api: Api, *lines: Any, **body: Any) -> Any:
    if lines:
        raw = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode()
        sent = api("POST", PATH, raw=raw, content_type=LINES)
    else:
        sent = api.post(PATH, body)
    assert sent.status == 202, sent.body
    work()
    return api.get(f"/v1/cache/jobs/{sent.json['job_id']}").json


def setting(result: Any, promise: float = 0.02, floor: float = 0.7) -> Any:
    (found,) = [
        one for one in result["settings"] if (one["max_wrong_hit_rate"], one["similarity_floor"]) == (promise, floor)
    ]
    return found


@pytest.fixture(autouse=True)
def _near(embedder: FixedEmbedder) -> None:
    embedder.near |= {REWORDED: (QUESTION, 0.985)}


def test_uploaded_questions_come_to_hits_dollars_and_expected_wrong_ones(api: Api) -> None:
    job = tried(
        api,
        {"question": QUESTION, "cost_usd": "0.01"},
        {"question": QUESTION, "cost_usd": "0.01"},
        {"question": REWORDED, "cost_usd": "0.02"},
        {"question": OTHER},
    )
    assert (job["kind"], job["status"], job["rejected"]) == ("backtest", "done", 0)
    result = job["result"]
    assert (result["questions"], result["looked_up"], result["unpriced"]) == (4, 4, 1)
    found = setting(result)
    assert (found["exact_hits"], found["similar_hits"], found["hit_rate"]) == (1, 1, 0.5)
    assert found["saved_usd"] == "0.03"
    assert 0 < found["expected_wrong"] + 0.01 <= 0.03
    assert setting(result, floor=0.9)["similar_hits"] == 1
    (pair,) = result["borderline"]
    assert (pair["asked"], pair["stored"]) == (REWORDED, QUESTION)


def test_broken_lines_are_told_by_number_and_the_others_are_tried(api: Api) -> None:
    job = tried(api, {"question": QUESTION}, "{", {"no": "question"}, {"question": OTHER})
    assert (job["status"], job["rejected"], job["result"]["questions"]) == ("done", 2, 2)
    assert [error["line"] for error in job["result"]["errors"]] == [2, 3]


def test_what_is_never_kept_is_not_looked_up(api: Api) -> None:
    result = tried(api, {"question": "What is the weather today?"}, {"question": "What is the weather today?"})[
        "result"
    ]
    assert (result["questions"], result["looked_up"]) == (2, 0)
    assert setting(result)["hit_rate"] == 0


def test_the_projects_own_traffic_is_tried_from_what_it_stored(api: Api, outsider: Api, rules: Rules) -> None:
    rules(mode="exact")
    outsider.chat(QUESTION)
    for question in (QUESTION, REWORDED, OTHER):
        api.chat(question)
    result = tried(api, days=1)["result"]
    assert (result["questions"], result["looked_up"]) == (3, 3)
    assert setting(result)["similar_hits"] == 0  # this project's rule is exact, whatever the promise
    rules(mode="on")
    assert setting(tried(api, days=1)["result"])["similar_hits"] == 1


def test_exact_repeats_are_tried_again_and_reworded_ones_are_told_of(api: Api) -> None:
    for question in (QUESTION, QUESTION, QUESTION, OTHER, REWORDED):
        api.chat(question)
    result = tried(api, days=1)["result"]
    assert (result["questions"], result["looked_up"], result["reworded"]) == (4, 4, 1)
    found = setting(result)
    assert (found["exact_hits"], found["similar_hits"], found["hit_rate"]) == (2, 0, 0.5)


def test_what_was_imported_was_asked_by_nobody(api: Api) -> None:
    api.post("/v1/cache/entries", {"question": OTHER, "model": "demo-small", "answer": "It answers again."})
    imported(api, {"question": QUESTION, "model": "demo-small", "answer": "It answers."})
    assert tried(api, days=1)["result"]["questions"] == 1


def test_too_many_questions_are_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api import jobs

    monkeypatch.setattr(jobs, "QUESTIONS_MAX", 1)
    refused = api("POST", PATH, raw=b'{"question": "a"}\n{"question": "b"}\n', content_type=LINES)
    assert refused.status == 413


@pytest.mark.parametrize("body", [{"days": 0}, {"days": "many"}, {"days": 1e9}])
def test_a_bad_number_of_days_is_refused(api: Api, body: Any) -> None:
    assert api.post(PATH, body).status == 400


def test_another_tenant_sees_no_result(api: Api, outsider: Api) -> None:
    sent = api.post(PATH, {"days": 1})
    work()
    assert outsider.get(f"/v1/cache/jobs/{sent.json['job_id']}").status == 404
