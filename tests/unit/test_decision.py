"""Which of the candidates is served, and what is said of the others."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cache_api.domain.admission import fuzzy
from cache_api.domain.confidence import shipped
from cache_api.domain.decision import Hit, Reason, decide, freshness_refusal, judge
from cache_api.domain.entry import Candidate
from cache_api.domain.policy import BadPolicy, Policy
from cache_api.domain.request import Controls, Request
from tests.unit.builders import NOW, candidate_of, entry_of, request_of

ASKED = "How do I open a savings account?"
SAME, OTHER_ACTION = "How can I create a savings account?", "How do I close a savings account?"
OTHER_NUMBER = "How do I open 3 savings accounts?"


def candidate(question: str, similarity: float) -> Candidate:
    return candidate_of(similarity, question)


def asked(question: str = ASKED) -> Request:
    return request_of(question)


def test_the_likeliest_is_served_not_the_nearest() -> None:
    spelt, nearer = candidate("Where is the acount page?", 0.92), candidate("Where is the account blog?", 0.93)
    decision = decide(asked("Where is the account page?"), [nearer, spelt], Policy(), NOW)
    assert isinstance(decision, Hit)
    assert (decision.entry, decision.similarity, decision.threshold) == (spelt.entry, 0.92, 0.7)


@pytest.mark.parametrize(
    ("stored", "similarity", "refused"),
    [
        ("How do I create the savings account?", 0.72, None),
        (SAME, 0.93, None),
        (SAME, 0.69, "floor"),
        (OTHER_ACTION, 0.89, "guard:negation"),
        ("How do I use a savings account?", 0.93, "probability"),
        ("Where do I pay into savings?", 0.75, "probability"),
    ],
)
def test_the_first_gate_that_refuses_is_named(stored: str, similarity: float, refused: str | None) -> None:
    said = judge(asked(), [candidate(stored, similarity)], Policy(), NOW)[0].refused
    assert said == refused if said is None or refused is None else said.startswith(refused)


def test_a_probability_is_shown_beside_the_cut_and_is_below_the_threshold() -> None:
    judgement = judge(asked(), [candidate("How do I use a savings account?", 0.9)], Policy(), NOW)[0]
    assert judgement.probability is not None
    assert judgement.refused == f"probability {judgement.probability:.4f} < {shipped().cut(0.02):.4f}"
    assert judgement.reason is Reason.BELOW_THRESHOLD


def test_what_is_known_to_be_wrong_is_not_served_however_likely() -> None:
    assert judge(asked(), [replace(candidate(SAME, 0.99), known_wrong=True)], Policy(), NOW)[0].refused == "known_wrong"


def test_a_stricter_promise_serves_less() -> None:
    near = [candidate("How would I open such a savings account?", 0.91)]
    assert decide(asked(), near, Policy(max_wrong_hit_rate=0.1), NOW).reason is Reason.SIMILAR
    assert decide(asked(), near, Policy(max_wrong_hit_rate=0.001), NOW).reason is Reason.BELOW_THRESHOLD


def test_a_project_s_own_floor_holds_beside_the_promise() -> None:
    near = [candidate(SAME, 0.93)]
    assert decide(asked(), near, Policy(), NOW).reason is Reason.SIMILAR
    assert decide(asked(), near, Policy(similarity_floor=0.95), NOW).reason is Reason.BELOW_THRESHOLD


def test_a_promise_of_no_wrong_hit_at_all_is_kept_by_the_exact_tier_alone() -> None:
    assert fuzzy(asked(), Policy())
    assert not fuzzy(asked(), Policy(max_wrong_hit_rate=0))


MOMENT = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("age", "left", "max_age_seconds", "refused"),
    [
        (timedelta(0), MOMENT, None, None),
        (timedelta(0), timedelta(0), None, Reason.EXPIRED),
        (timedelta(0), -MOMENT, None, Reason.EXPIRED),
        (timedelta(seconds=5), MOMENT, 5, None),
        (timedelta(seconds=5) + MOMENT, MOMENT, 5, Reason.TOO_OLD),
        (MOMENT, MOMENT, 0, Reason.TOO_OLD),
    ],
)
def test_an_end_is_an_end_to_the_moment(
    age: timedelta, left: timedelta, max_age_seconds: int | None, refused: Reason | None
) -> None:
    request = request_of(ASKED, controls=Controls(max_age_seconds=max_age_seconds))
    entry = entry_of(ASKED, age=age, expires_at=NOW + left)
    assert freshness_refusal(request, entry, NOW) is refused
    assert (entry.ttl_seconds(NOW) or 0) == (-1 if left < timedelta(0) else 0)


@pytest.mark.parametrize("rate", [0.0009, 0.11, -0.01, True, "2 %"])
def test_a_promise_that_cannot_be_kept_is_refused(rate: object) -> None:
    with pytest.raises(BadPolicy, match="max_wrong_hit_rate"):
        Policy.build({"max_wrong_hit_rate": rate})


def test_equals_are_served_by_nearness() -> None:
    twins = [candidate(ASKED, 0.97), candidate(ASKED, 0.97)]
    decision = decide(asked(), [replace(twins[0], similarity=0.96), twins[1]], Policy(), NOW)
    assert isinstance(decision, Hit)
    assert decision.entry is twins[1].entry
