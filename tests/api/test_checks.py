"""Were the served answers right? A judge looks, callers say, and the cache learns."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connections

from tests.api.conftest import Api, Rules
from tests.conftest import Cast
from tests.fakes import FixedEmbedder
from tests.judge import JudgeModel

STORED = "How do I change my delivery address?"
REWORDED = "How can I change my delivery address?"
DOUBTFUL = "Changing where my parcel goes, how?"
TINTS = ("red", "blue", "green", "grey", "white")
THINGS = ("carpet", "lamp", "curtain", "door", "window")


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, _service: None) -> Iterator[JudgeModel]:
    """The owner's own: at an address that may be dialled, with a key that is stored."""
    from cache_api import wiring

    with JudgeModel() as model:
        monkeypatch.setattr(settings, "UPSTREAM_ALLOWED", [model.address])
        wiring.allowed_addresses.cache_clear()
        parts = wiring._parts()
        parts.upstream.allowed = wiring.allowed_addresses()
        for pool in parts.upstream._pools.pool_classes_by_scheme.values():
            monkeypatch.setattr(pool.ConnectionCls, "allowed", parts.upstream.allowed)
        yield model


@pytest.fixture
def watched(judge: JudgeModel, cast: Cast, rules: Rules, embedder: FixedEmbedder) -> JudgeModel:
    """Every hit by similarity is looked at."""
    from tenants.provider_keys import provider_key_put

    provider_key_put(tenant_id=cast.owner.tenant_id, provider="custom", secret="judge-key-1", base_url=judge.base_url)
    embedder.near |= {REWORDED: (STORED, 0.985), DOUBTFUL: (STORED, 0.84)}
    rules(verify_model="judge-1", verify_provider="custom", verify_share=1.0)
    return judge


@pytest.fixture
def look(cast: Cast) -> Callable[..., int]:
    """Do what the worker does, until nothing is wanted any more that is due."""

    def work(*, later: timedelta = timedelta(), wanted: int = 1) -> int:
        from cache_api.models import CheckWanted
        from cache_api.verification import verify
        from tenants.isolation import as_owner
        from tests.waiting import wait_until

        def laid_down() -> bool:
            with as_owner():
                return CheckWanted.objects.count() >= wanted

        wait_until(laid_down, seconds=10, what="pairs to look at")
        return verify(datetime.now(UTC) + later)

    return work


def checks(cast: Cast) -> list[dict[str, Any]]:
    from cache_api.models import AnswerCheck
    from tenants.isolation import as_tenant

    with as_tenant(cast.owner.tenant_id):
        return list(AnswerCheck.objects.order_by("checked_at").values())


def layer(answer: Any) -> tuple[str, str]:
    return answer.headers["x-cacheai-decision"], answer.headers["x-cacheai-reason"]


def lookup(api: Api, question: str) -> tuple[str, str]:
    looked = api.post("/v1/cache/lookup", {"question": question, "model": "demo-small"}).json
    return looked["decision"], looked["reason"]


def test_a_hit_that_the_judge_finds_right_goes_on_being_served(
    api: Api, watched: JudgeModel, look: Any, cast: Cast
) -> None:
    api.chat(STORED)
    assert layer(api.chat(REWORDED)) == ("hit", "similar")
    assert look() == 1
    assert (watched.asked, watched.keys) == ([(REWORDED, STORED)], ["judge-key-1"])
    (check,) = checks(cast)
    assert (check["kind"], check["source"], check["correct"], check["chance"]) == ("hit", "judge", True, 1.0)
    assert layer(api.chat(REWORDED)) == ("hit", "similar")
    assert look() == 1


def test_a_hit_that_the_judge_finds_wrong_is_never_served_again(
    api: Api, watched: JudgeModel, look: Any, cast: Cast, embedder: FixedEmbedder
) -> None:
    watched.rule = lambda asked, stored: "No."
    embedder.near["How could I change my delivery address?"] = (STORED, 0.986)
    api.chat(STORED)
    api.chat(REWORDED)
    look()
    forget_policy(cast)
    for question in ("How could I change my delivery address?", REWORDED):
        assert lookup(api, question) == ("miss", "known_wrong")


def test_in_doubt_the_fresh_answer_shows_whether_the_stored_one_would_have_done(
    api: Api, watched: JudgeModel, look: Any, cast: Cast
) -> None:
    from cache_api.models import Entry
    from tenants.isolation import as_tenant

    api.chat(STORED)
    assert layer(api.chat(DOUBTFUL)) == ("miss", "below_threshold")
    look()
    (check,) = checks(cast)
    assert (check["kind"], check["correct"]) == ("doubt", True)
    with as_tenant(cast.owner.tenant_id):
        original, alias = Entry.objects.order_by("created_at")
    assert (alias.alias_of, alias.matchable) == (original.id, True)
    assert layer(api.chat(DOUBTFUL)) == ("hit", "exact")  # an alias is the very question's own answer


def test_a_judge_that_is_down_is_asked_again_and_then_let_be(
    api: Api, watched: JudgeModel, look: Any, cast: Cast
) -> None:
    from cache_api.models import CheckWanted
    from cache_api.verification import ATTEMPTS_MAX
    from tenants.isolation import as_owner

    watched.status = 503
    api.chat(STORED)
    api.chat(REWORDED)
    assert look() == 1
    assert look() == 0  # not yet
    for attempt in range(1, ATTEMPTS_MAX):
        assert look(later=timedelta(hours=attempt)) == 1
    with as_owner():
        assert CheckWanted.objects.count() == 0
    assert checks(cast) == []


def test_while_a_judge_thinks_calls_are_served_as_ever(
    api: Api, watched: JudgeModel, look: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker waits for the judge, and nobody for the worker. One that takes too long is asked again later."""
    served: list[tuple[str, str]] = []

    def slowly(asked: str, stored: str) -> str:
        served.append(layer(api.chat(REWORDED)))
        connections.close_all()  # this thread's
        return "yes"

    watched.rule = slowly
    api.chat(STORED)
    api.chat(REWORDED)
    look()
    assert served == [("hit", "similar")]
    assert [check["correct"] for check in checks(cast)] == [True]

    never = Event()
    watched.rule = lambda asked, stored: "yes" if never.wait(30) else "no"
    with monkeypatch.context() as patched:
        patched.setattr("cache_api.verification.JUDGE_SECONDS", 0.2)
        look()  # at what was served meanwhile
    assert len(checks(cast)) == 1
    assert layer(api.chat(REWORDED)) == ("hit", "similar")
    never.set()
    watched.rule = lambda asked, stored: "yes"
    look(later=timedelta(hours=1), wanted=2)
    assert [check["correct"] for check in checks(cast)] == [True] * 3


def test_a_judge_that_lies_one_time_in_five_costs_hits_and_lets_one_wrong_answer_in_five_pass(
    api: Api, watched: JudgeModel, look: Any, cast: Cast, embedder: FixedEmbedder
) -> None:
    """Of 25 served answers 5 are wrong. It finds 4 of them, calls 4 of the other 20 wrong, and rings the alarm."""
    from cache_api.domain.confidence import shipped

    stored = [f"How do I change the {tint} {thing} of my room?" for tint in TINTS for thing in THINGS]
    asked = {question.replace("How do I", "How can I"): question for question in stored}
    embedder.near |= {reworded: (question, 0.985) for reworded, question in asked.items()}
    wrong = {reworded for place, reworded in enumerate(asked) if place % 5 == 0}
    lies = {reworded for place, reworded in enumerate(asked) if place < 5}
    watched.rule = lambda reworded, question: "no" if (reworded in wrong) != (reworded in lies) else "yes"
    for reworded, question in asked.items():
        api.chat(question)
        assert layer(api.chat(reworded)) == ("hit", "similar")
    while look(wanted=0):
        pass

    told = api.get("/v1/cache/stats").json["wrong_hits"]
    assert (told["checked"], told["wrong"]) == (25, 8)
    assert calibrated(cast).state == "alarm"
    assert policy_of(cast).learnt_cut == shipped().cut(0.02 / 4)
    again = {reworded: layer(api.chat(reworded)) for reworded in asked}
    served = {reworded for reworded, decision in again.items() if decision == ("hit", "similar")}
    assert {decision for reworded, decision in again.items() if reworded not in served} == {("miss", "known_wrong")}
    assert (len(served - wrong), len(served & wrong)) == (16, 1)


def test_a_judge_that_talks_is_no_verdict(api: Api, watched: JudgeModel, look: Any, cast: Cast) -> None:
    watched.rule = lambda asked, stored: "yes and no"
    api.chat(STORED)
    api.chat(REWORDED)
    look()
    assert checks(cast) == []


def test_over_the_budget_nobody_is_asked(api: Api, watched: JudgeModel, look: Any, rules: Rules, cast: Cast) -> None:
    rules(verify_budget_usd=0)
    api.chat(STORED)
    api.chat(REWORDED)
    look()
    assert (watched.asked, checks(cast)) == ([], [])


def test_what_the_judge_takes_is_in_the_books_and_not_billed(
    api: Api, watched: JudgeModel, look: Any, cast: Cast
) -> None:
    from cache_api.models import Call
    from tenants.isolation import as_tenant

    api.chat(STORED)
    served = api.chat(REWORDED)
    look()
    with as_tenant(cast.owner.tenant_id):
        (row,) = Call.objects.filter(origin="shadow")
    assert (row.in_total, row.out_total, row.billable) == (100, 1, False)
    assert f"req_{row.parent_id.hex}" == served.headers["x-cacheai-request-id"]


def test_a_judge_that_the_members_contradict_is_not_believed(
    api: Api, watched: JudgeModel, look: Any, cast: Cast
) -> None:
    for place in range(20):
        audited(cast, judge=True, member=place >= 6)  # it differs in 6 of 20
    api.chat(STORED)
    api.chat(REWORDED)
    look()
    assert watched.asked == []


def test_a_project_that_only_watches_is_served_nothing(
    api: Api, watched: JudgeModel, look: Any, rules: Rules, cast: Cast
) -> None:
    rules(mode="shadow")
    assert layer(api.chat(STORED)) == ("miss", "no_candidate")
    for question in (STORED, REWORDED):
        assert layer(api.chat(question)) == ("bypass", "policy")
    look()
    (check,) = checks(cast)
    assert (check["kind"], check["correct"]) == ("shadow", True)
    assert api.get("/v1/cache/stats").json["shadow"] == {"exact": 1, "semantic": 1}


def test_a_project_that_only_watches_counts_the_hits_it_would_have_had(
    api: Api, watched: JudgeModel, look: Any, rules: Rules, cast: Cast
) -> None:
    """A wrong answer that is often asked for counts as often, and not as an exact hit on what was bought instead."""
    rules(mode="shadow")
    asked = (STORED, REWORDED, REWORDED, REWORDED)
    watching = [layer(api.chat(question)) for question in asked]
    assert watching == [("miss", "no_candidate"), *[("bypass", "policy")] * 3]
    assert api.get("/v1/cache/stats").json["shadow"] == {"exact": 0, "semantic": 3}
    look(wanted=3)
    assert [check["kind"] for check in checks(cast)] == ["shadow"] * 3

    rules(mode="on")
    assert layer(api.chat(REWORDED)) == ("hit", "similar")


# -- callers


def test_a_wrong_verdict_by_request_id_blocks_the_pair_and_takes_back_what_was_saved(
    api: Api, embedder: FixedEmbedder, cast: Cast
) -> None:
    embedder.near |= {REWORDED: (STORED, 0.985)}
    api.chat(STORED)
    served = api.chat(REWORDED)
    told = {"cache_key": served.headers["x-cacheai-cache-key"], "request_id": served.headers["x-cacheai-request-id"]}
    judged = api.post("/v1/cache/feedback", {**told, "verdict": "wrong", "evict": False})
    assert judged.json == {"evicted": False, "pair_blocked": True}
    forget_policy(cast)
    assert layer(api.chat(REWORDED)) == ("miss", "known_wrong")
    (check,) = checks(cast)
    assert (check["source"], check["trust"], check["correct"]) == ("caller", 0.5, False)
    assert corrections(cast) == 1


def test_a_flood_of_verdicts_from_one_key_counts_as_four(api: Api, embedder: FixedEmbedder, cast: Cast) -> None:
    embedder.near |= {f"{REWORDED} {n}": (STORED, 0.9) for n in range(12)}
    key = api.chat(STORED).headers["x-cacheai-cache-key"]
    for n in range(12):
        told = {"cache_key": key, "verdict": "right", "question": f"{REWORDED} {n}"}
        assert api.post("/v1/cache/feedback", told).status == 200
    assert len(checks(cast)) == 4
    assert api.get("/v1/cache/stats").json["feedback"] == {"right": 12, "wrong": 0}


def test_a_wrong_verdict_on_one_question_shuts_the_entry_for_those_as_near(
    api: Api, embedder: FixedEmbedder, cast: Cast
) -> None:
    embedder.near |= {REWORDED: (STORED, 0.985), "How may I change my delivery address?": (STORED, 0.986)}
    key = api.chat(STORED).headers["x-cacheai-cache-key"]
    told = {"cache_key": key, "verdict": "wrong", "question": REWORDED, "evict": False}
    api.post("/v1/cache/feedback", told)
    forget_policy(cast)
    assert lookup(api, "How may I change my delivery address?") in {
        ("miss", "below_threshold"),
        ("miss", "known_wrong"),
    }


# -- the promise


def test_a_project_with_checks_learns_its_own_cut(cast: Cast, api: Api) -> None:
    for _ in range(100):
        checked(cast, probability=0.9, correct=True)
    calibration = calibrated(cast)
    assert (calibration.state, calibration.cut, calibration.checked) == ("kept", 0.9, 100)
    assert policy_of(cast).learnt_cut == 0.9


def test_a_drift_tightens_the_cut_and_tells(cast: Cast, api: Api) -> None:
    from cache_api.domain.confidence import shipped

    for place in range(100):
        checked(cast, probability=0.99, correct=place % 10 > 0)
    calibration = calibrated(cast)
    assert calibration.state == "alarm"
    assert policy_of(cast).learnt_cut == shipped().cut(0.02 / 4) > shipped().cut(0.02)
    assert policy_of(cast).alarmed


def test_another_promise_is_not_kept_by_this_ones_cut(cast: Cast, api: Api, rules: Rules) -> None:
    for _ in range(100):
        checked(cast, probability=0.9, correct=True)
    calibrated(cast)
    rules(max_wrong_hit_rate=0.01)
    assert policy_of(cast).learnt_cut is None


def test_the_realised_rate_is_told_with_its_interval_once_it_is_measured(cast: Cast, api: Api) -> None:
    for place in range(99):
        checked(cast, probability=0.99, correct=place > 0)
    told = api.get("/v1/cache/stats").json["wrong_hits"]
    assert (told["checked"], told["wrong"], told["rate"]) == (99, 1, None)
    assert told["predicted"] == pytest.approx(0.01)
    checked(cast, probability=0.99, correct=True)
    told = api.get("/v1/cache/stats").json["wrong_hits"]
    assert (told["checked"], told["wrong"], told["rate"]) == (100, 1, 0.01)
    assert (told["low"], told["high"]) == (pytest.approx(0.000253, abs=1e-6), pytest.approx(0.054459, abs=1e-6))
    assert told["promised"] == 0.02


# -- hands


def forget_policy(cast: Cast) -> None:
    from cache_api import wiring

    wiring.parts().policies.forget(cast.owner.tenant_id, cast.owner.project_id)


def policy_of(cast: Cast) -> Any:
    from cache_api import wiring

    forget_policy(cast)
    return wiring.parts().policies.of(cast.owner.tenant_id, cast.owner.project_id)


def checked(cast: Cast, *, probability: float, correct: bool, **more: Any) -> None:
    from cache_api.models import AnswerCheck
    from tenants.isolation import as_tenant

    owner = cast.owner
    row = {"kind": "hit", "source": "judge", "similarity": 0.9, "chance": 1.0, "trust": 1.0, "call_id": uuid4(), **more}
    with as_tenant(owner.tenant_id):
        AnswerCheck.objects.create(
            tenant_id=owner.tenant_id,
            project_id=owner.project_id,
            entry_id=uuid4(),
            probability=probability,
            correct=correct,
            **row,
        )


def audited(cast: Cast, *, judge: bool, member: bool) -> None:
    call = uuid4()
    checked(cast, probability=0.99, correct=judge, call_id=call)
    checked(cast, probability=0.99, correct=member, source="member", kind="feedback", call_id=call)


def calibrated(cast: Cast) -> Any:
    from cache_api.adapters.checks import calibration_of
    from cache_api.calibrating import recalibrate

    assert recalibrate(datetime.now(UTC)) >= 1
    return calibration_of(cast.owner.tenant_id, cast.owner.project_id)


def corrections(cast: Cast) -> int:
    from cache_api.models import Call
    from tenants.isolation import as_tenant

    with as_tenant(cast.owner.tenant_id):
        return Call.objects.filter(origin="adjust").count()
