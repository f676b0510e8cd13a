"""What if the embedder becomes another while there are old vectors, calls under way, and half of all is embedded anew?

Only the embedder whose cosines were judged serves by similarity, so "an earlier one" stands for the other.
"""

from typing import Any

import pytest
from django.utils import timezone

from tests.api.conftest import Api
from tests.api.test_entries import put
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

EARLIER = "an-earlier-model/mean/1"
STORED = [f"How do I change the {what} of my account?" for what in ("name", "colour", "language", "photo", "signature")]
REWORDED = [question.replace("How do I", "How can I") for question in STORED]


@pytest.fixture(autouse=True)
def _near(embedder: FixedEmbedder) -> None:
    embedder.near |= {asked: (stored, 0.99) for asked, stored in zip(REWORDED, STORED, strict=True)}


@pytest.fixture
def present(embedder: FixedEmbedder) -> str:
    return embedder.version


def fill(embedder: FixedEmbedder) -> int:
    from cache_api import maintenance

    return maintenance.fill_vectors(embedder, timezone.now())


def looked_up(api: Api, questions: list[str]) -> list[tuple[str, str, int]]:
    """What would be decided, why, and among how many candidates."""
    answers = [api.post("/v1/cache/lookup", {"question": one, "model": "demo-small"}).json for one in questions]
    return [(told["decision"], told["reason"], len(told["candidates"])) for told in answers]


def versions(cast: Cast) -> dict[str, str]:
    from cache_api.models import Entry
    from tenants.isolation import as_owner

    with as_owner():
        rows = Entry.objects.exclude(vector=None).order_by("created_at").values_list("endpoint", "id", "embedder")
        return {str(entry_id): embedder for _, entry_id, embedder in rows}


def test_vectors_of_two_embedders_are_never_compared_and_exact_hits_go_on(
    api: Api, embedder: FixedEmbedder, present: str
) -> None:
    embedder.version = EARLIER
    for question in STORED:
        put(api, question)

    embedder.version = present
    assert looked_up(api, REWORDED) == [("miss", "no_candidate", 0)] * 5
    assert looked_up(api, STORED) == [("hit", "exact", 1)] * 5

    assert fill(embedder) == 5
    assert [told[:2] for told in looked_up(api, REWORDED)] == [("hit", "similar")] * 5


def test_half_way_each_entry_is_found_by_what_it_is_embedded_with(
    api: Api, embedder: FixedEmbedder, present: str, monkeypatch: pytest.MonkeyPatch, cast: Cast
) -> None:
    from cache_api import maintenance

    embedder.version = EARLIER
    for question in STORED:
        put(api, question)
    embedder.version = present
    monkeypatch.setattr(maintenance, "ENTRIES_OPENED_AT_A_TIME", 2)
    done = 0

    def breaking_off(questions: list[str], seconds: float) -> list[Any]:
        nonlocal done
        done += len(questions)
        embedder.down = done > 3  # "ready", and two questions
        return [embedder.embed(question, seconds) for question in questions]

    monkeypatch.setattr(embedder, "embed_many", breaking_off)
    assert fill(embedder) == 2
    embedder.down = False

    assert sorted(versions(cast).values()) == sorted([present] * 2 + [EARLIER] * 3)
    assert [decision for decision, _, _ in looked_up(api, REWORDED)].count("hit") == 2
    assert looked_up(api, STORED) == [("hit", "exact", 1)] * 5

    done = -100
    assert fill(embedder) == 3
    assert set(versions(cast).values()) == {present}
    assert [told[:2] for told in looked_up(api, REWORDED)] == [("hit", "similar")] * 5


def test_a_vector_keeps_the_name_of_its_embedder_though_another_answers_meanwhile(
    api: Api, embedder: FixedEmbedder, present: str, monkeypatch: pytest.MonkeyPatch, cast: Cast
) -> None:
    """The provider takes its time, and another call hears of the new embedder in between."""
    embed = embedder.embed

    def and_then_another(text: str, seconds: float) -> Any:
        vector = embed(text, seconds)
        embedder.version = EARLIER
        return vector

    monkeypatch.setattr(embedder, "embed", and_then_another)
    for question in STORED:
        embedder.version = present
        assert api.chat(question).headers["x-cacheai-decision"] == "miss"
        put(api, question.replace("account", "team"))  # made by the other

    assert sorted(versions(cast).values()) == sorted([present] * 5 + [EARLIER] * 5)
    embedder.version = present
    assert api.chat(REWORDED[0]).headers["x-cacheai-reason"] == "similar"
    embedder.version = EARLIER
    assert api.chat(REWORDED[1]).headers["x-cacheai-reason"] == "exact_only"


def test_an_embedder_whose_cosines_nobody_judged_serves_exact_hits_alone(
    api: Api, embedder: FixedEmbedder, present: str
) -> None:
    for question in STORED:
        put(api, question)
    embedder.version = "a-later-model/mean/1"

    assert [told[:2] for told in looked_up(api, REWORDED)] == [("miss", "exact_only")] * 5
    assert looked_up(api, STORED) == [("hit", "exact", 1)] * 5


def test_a_listed_question_is_blocked_by_its_text_until_it_is_embedded_anew(
    api: Api, embedder: FixedEmbedder, present: str
) -> None:
    embedder.version = EARLIER
    assert api.post("/v1/cache/blocklist", {"query": STORED[0], "reason": "no"}).status == 201
    embedder.version = present

    assert api.chat(REWORDED[0]).headers["x-cacheai-decision"] == "miss"
    assert api.chat(STORED[0]).status == 403

    assert fill(embedder) >= 1
    assert api.chat(REWORDED[0]).status == 403


def test_the_worker_that_embeds_anew_hears_of_a_change_though_nobody_asks(
    api: Api, embedder: FixedEmbedder, present: str, cast: Cast
) -> None:
    for question in STORED:
        put(api, question)
    assert fill(embedder) == 0

    embedder.version = "a-later-model/mean/1"

    assert fill(embedder) == 5
    assert set(versions(cast).values()) == {"a-later-model/mean/1"}


@pytest.mark.parametrize("judged_with", [EARLIER, None])
def test_a_verdict_is_told_of_rewordings_to_the_embedder_it_was_given_under_alone(
    api: Api, embedder: FixedEmbedder, present: str, cast: Cast, judged_with: str | None
) -> None:
    """Vectors of two embedders are near each other by chance alone."""
    from cache_api import wiring
    from cache_api.models import AnswerCheck
    from tenants.isolation import as_tenant

    embedder.near["How do I rename myself?"] = (STORED[0], 0.99)
    embedder.version = judged_with or present
    key = put(api, STORED[0])
    told = {"cache_key": key, "verdict": "wrong", "question": "How do I rename myself?", "evict": False}
    assert api.post("/v1/cache/feedback", told).json["pair_blocked"]
    embedder.version = present
    fill(embedder)
    with as_tenant(cast.owner.tenant_id):
        AnswerCheck.objects.all().delete()  # they shut the entry for whatever is as near
    wiring.parts().policies.forget(cast.owner.tenant_id, cast.owner.project_id)

    judged, reworded = looked_up(api, ["How do I rename myself?", REWORDED[0]])
    assert judged[:2] == ("miss", "known_wrong")  # the very pair, whoever embeds it
    assert reworded[:2] == (("hit", "similar") if judged_with else ("miss", "known_wrong"))
