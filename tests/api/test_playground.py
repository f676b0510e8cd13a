"""Does a member see both answers, and does it cost the tenant nothing but what the provider takes?"""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from dashboard.explanations import FLOOR_WORDS
from tenants.isolation import as_tenant
from tenants.models import Project, Tenant
from tests.api.conftest import Api, Rules
from tests.conftest import Cast
from tests.db.calls import query
from tests.fakes import FixedEmbedder

QUESTION = "How do I reset my password?"


@pytest.fixture
def ask(cast: Cast, owner: Client) -> Any:
    """The whole page as it comes back."""

    def send(question: str = QUESTION, *, model: str = "demo-small", **form: str) -> Any:
        asked = {"question": question, "model": model, "project_id": str(cast.owner.project_id), **form}
        return owner.post(reverse("playground", args=[cast.owner.tenant_id]), asked)

    return send


def decisions(page: Any) -> list[tuple[str, str]]:
    return [(side.told.signals.decision, side.told.signals.reason) for side in page.context["sides"]]


def test_a_question_is_answered_with_the_cache_and_without(ask: Any) -> None:
    first, second = ask(), ask()

    assert decisions(first) == [("miss", "no_candidate"), ("bypass", "caller")]
    assert decisions(second) == [("hit", "exact"), ("bypass", "caller")]
    assert b"choose \xe2\x80\x9cForgot password?\xe2\x80\x9d" in second.content
    assert b"The same question had been answered before." in second.content


def test_it_meets_what_callers_stored_and_says_which_rule_refused_it(
    ask: Any, api: Api, embedder: FixedEmbedder
) -> None:
    embedder.near["How do I cancel order 77?"] = ("How do I cancel order 76?", 0.97)
    api.chat("How do I cancel order 76?")

    page = ask("How do I cancel order 77?")

    assert decisions(page)[0] == ("miss", "guard")
    assert [(one.question, one.refused) for one in page.context["candidates"]] == [
        ("How do I cancel order 76?", "guard:number")
    ]


def test_where_nothing_is_near_both_pages_say_so(
    ask: Any, api: Api, owner: Client, cast: Cast, embedder: FixedEmbedder
) -> None:
    embedder.near["Who wrote Faust?"] = (QUESTION, 0.155)
    api.chat(QUESTION)

    page = ask("Who wrote Faust?")
    call = owner.get(reverse("calls-call", args=[cast.owner.tenant_id, page.context["sides"][0].call_id]))

    assert decisions(page)[0] == ("miss", "below_threshold")
    assert FLOOR_WORDS.encode() in page.content
    assert FLOOR_WORDS.encode() in call.content


def test_a_similar_question_is_answered_and_its_candidate_named(ask: Any, api: Api, embedder: FixedEmbedder) -> None:
    embedder.near["How can I reset my password?"] = (QUESTION, 0.99)
    api.chat(QUESTION)

    page = ask("How can I reset my password?")

    assert decisions(page)[0] == ("hit", "similar")
    assert [one.refused for one in page.context["candidates"]] == [None]


def test_it_is_nobodys_call_and_counts_against_no_plan(ask: Any, cast: Cast) -> None:
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.filter(id=cast.owner.tenant_id).update(requests_included=10, requests_hard=True)
    for number in range(12):
        ask(f"Is this question {number}?")

    assert decisions(ask("And this one?"))[0][0] == "miss"  # not past the cache, as over the plan
    assert query("SELECT DISTINCT origin, billable, key_id FROM call") == [("playground", False, None)]


def test_each_answer_leads_to_its_call(ask: Any, owner: Client, cast: Cast) -> None:
    for side in ask().context["sides"]:
        page = owner.get(reverse("calls-call", args=[cast.owner.tenant_id, side.call_id]))

        assert b"playground" in page.content


def test_what_keeps_it_from_an_answer_is_said_in_its_place(ask: Any, cast: Cast) -> None:
    page = ask(model="gpt-4o")

    providers = reverse("providers", args=[cast.owner.tenant_id])
    assert page.content.count(b"store it on the dashboard&#x27;s Providers page") == 2
    assert page.content.count(f'class="button small" href="{providers}"'.encode()) == 2
    assert page.content.count(b"No key for openai") == 2
    assert b'value="gpt-4o"' in page.content
    assert b"Nothing was compared" not in page.content


def test_a_suspended_tenant_asks_nobody(ask: Any, cast: Cast) -> None:
    from django.utils import timezone

    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.filter(id=cast.owner.tenant_id).update(suspended_at=timezone.now())

    assert b"This tenant is suspended." in ask().content
    assert query("SELECT count(*) FROM call") == [(0,)]


def test_too_many_in_a_minute_are_refused_like_a_callers(ask: Any, cast: Cast) -> None:
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.filter(id=cast.owner.tenant_id).update(rpm=1)

    refusals = [side.refusal for _ in range(3) for side in ask().context["sides"]]

    assert refusals[-1] == "This tenant's calls of this minute are used up."


def test_a_blocked_question_is_told_so(ask: Any, api: Api) -> None:
    assert api.post("/v1/cache/blocklist", {"query": "Who is the boss?", "reason": "gossip"}).status < 300

    assert b"Blocked" in ask("Who is the boss?").content


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"question": ""}, b"This field is required"),
        ({"question": "a\0b"}, b"Null characters are not allowed"),
        ({"question": "?" * 20_001}, b"at most 20000 characters"),
        ({"model": ""}, b"This field is required"),
        ({"project_id": "7"}, b"Select a valid choice"),
    ],
)
def test_what_cannot_be_asked_is_told_beside_the_field(form: dict[str, str], said: bytes, ask: Any) -> None:
    page = ask(**form)

    assert said in page.content
    assert "sides" not in page.context


def test_anothers_project_cannot_be_asked_in(ask: Any, cast: Cast) -> None:
    assert b"Select a valid choice" in ask(project_id=str(cast.outsider.project_id)).content


def test_hostile_text_is_text(ask: Any) -> None:
    page = ask("<script>alert(1)</script>")

    assert b"<script>alert" not in page.content
    assert b"&lt;script&gt;alert(1)" in page.content


def test_the_projects_own_model_is_asked_unless_another_is_typed(owner: Client, cast: Cast) -> None:
    with as_tenant(cast.owner.tenant_id):
        Project.objects.filter(id=cast.owner.project_id).update(default_model="demo-large")

    assert _model(owner, cast) == "demo-large"


def test_a_newcomer_finds_a_model_that_answers_filled_in_and_others_to_choose(owner: Client, cast: Cast) -> None:
    page = owner.get(reverse("playground", args=[cast.owner.tenant_id]))

    assert _model(owner, cast) == "demo-small"
    assert b'list="models"' in page.content
    assert b'<option value="demo-large">' in page.content


def _model(owner: Client, cast: Cast) -> str:
    form = owner.get(reverse("playground", args=[cast.owner.tenant_id])).context["form"]
    return str(form["model"].value())


def test_a_project_that_only_watches_is_told_what_it_would_have_been_served(ask: Any, rules: Rules) -> None:
    ask()
    rules(mode="shadow")

    assert decisions(ask())[0] == ("bypass", "policy")
