"""Are a project's rules shown, changed on the record, and tried on past questions before they are?"""

import re
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from cache_api.domain.policy import LEARNT, Policy
from cache_api.services import policy_of
from tenants.isolation import as_tenant
from tenants.models import Member
from tests.api.conftest import Api
from tests.api.people import signed_in
from tests.api.test_cache_pages import told
from tests.api.test_export_import import work
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

QUESTION = "How do I change my delivery address?"
REWORDED = "How can I change my delivery address?"

Go = Callable[..., Any]


def rules_of(cast: Cast) -> Policy:
    return policy_of(tenant_id=cast.owner.tenant_id, project_id=cast.owner.project_id)


def typed(page: HttpResponse, **others: str) -> dict[str, str]:
    """The form as a browser would send it back, but for what is typed anew."""
    form = page.context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: str(value) for name, value in values.items() if value not in (None, False)} | others


@pytest.fixture
def at(cast: Cast) -> Client:
    return signed_in(cast.owner)


@pytest.fixture
def go(at: Client, cast: Cast) -> Go:
    def to(name: str, *args: Any, form: dict[str, Any] | None = None, **query: str) -> HttpResponse:
        address = reverse(name, args=[cast.owner.tenant_id, *args])
        return at.get(address, query, follow=True) if form is None else at.post(address, form, follow=True)

    return to


def as_role(cast: Cast, role: str) -> Client:
    with as_tenant(cast.teammate.tenant_id):
        Member.objects.filter(user_id=cast.teammate.user_id).update(role=role)
    return signed_in(cast.teammate)


def test_every_rule_is_in_the_form_with_a_sentence(go: Go) -> None:
    form = go("policy").context["form"]

    assert set(form.fields) == {one.name for one in fields(Policy)} - LEARNT
    assert {rule.name for _, _, rules in form.parts for rule in rules} == set(form.fields)
    assert [name for name, field in form.fields.items() if not field.help_text] == []


def test_a_form_sent_back_as_it_came_changes_nothing(go: Go, cast: Cast) -> None:
    assert b"Nothing was changed" in go("policy-change", form=typed(go("policy"))).content
    assert told(cast) == []


def test_a_rule_is_changed_on_the_record_and_holds_at_once(go: Go, api: Api, cast: Cast) -> None:
    api.chat(QUESTION)
    form = typed(go("policy"), mode="off", similarity_floor="0.8", ttl_seconds="12h")

    assert b"The rules are saved" in go("policy-change", form=form).content
    assert (rules_of(cast).mode, rules_of(cast).similarity_floor, rules_of(cast).ttl_seconds) == ("off", 0.8, 43_200)
    assert api.chat(QUESTION).headers["x-cacheai-decision"] == "bypass"
    ((action, diff),) = told(cast)
    assert action == "policy.change"
    assert diff == {"mode": [None, "off"], "similarity_floor": [None, 0.8], "ttl_seconds": [None, 43_200]}


def test_an_empty_number_is_the_default_again(go: Go, cast: Cast) -> None:
    go("policy-change", form=typed(go("policy"), similarity_floor="0.9"))
    go("policy-change", form=typed(go("policy"), similarity_floor=""))

    assert rules_of(cast) == Policy()


@pytest.mark.parametrize(
    ("rule", "value", "said"),
    [
        ("max_wrong_hit_rate", "0.5", "“Wrong hits, at most” must be 0 or a number from 0.001 to 0.1"),
        ("similarity_floor", "2", "“Similarity floor” must be a number from 0 to 1"),
        ("similarity_floor", "nan", "Enter a number"),
        ("ttl_seconds", "0s", "must be a number from 1"),
        ("ttl_seconds", "a week", "Write a number and s, m, h or d"),
        ("mode", "loud", "Select a valid choice"),
        ("synthesis", "auto", "Name a small model"),
        ("verify_model", "judge-1", "Choose the judge&#x27;s provider."),
    ],
)
def test_a_bad_rule_is_said_beside_its_field_and_nothing_is_saved(
    go: Go, cast: Cast, rule: str, value: str, said: str
) -> None:
    page = go("policy-change", form=typed(go("policy"), **{rule: value}))
    errors = page.context["form"].errors

    assert said in str(errors)
    assert "__all__" not in errors
    assert value in page.content.decode()
    assert (rules_of(cast), told(cast)) == (Policy(), [])


def test_what_is_not_measured_is_not_told_as_a_figure(go: Go) -> None:
    page = go("policy").content.decode()

    assert "Not yet" in page
    assert "0 of 100 checks" in page


def test_a_viewer_reads_the_rules_and_changes_none(cast: Cast) -> None:
    viewer = as_role(cast, "viewer")

    page = viewer.get(reverse("policy", args=[cast.owner.tenant_id])).content.decode()

    assert "disabled" in page
    assert "Save rules" not in page
    assert "Try it on past questions" not in page


def test_past_questions_are_tried_and_texts_are_for_those_who_may_read_them(
    go: Go, at: Client, api: Api, cast: Cast, embedder: FixedEmbedder, rules: Callable[..., None]
) -> None:
    embedder.near |= {REWORDED: (QUESTION, 0.985)}
    rules(mode="exact")  # so that both are stored
    for question in (QUESTION, REWORDED):
        api.chat(question)
    rules(mode="on")

    waiting = go("policy-try", form={})
    (trial,) = re.findall(r"trials/([0-9a-f-]{36})", waiting.content.decode())
    progress = reverse("policy-trial", args=[cast.owner.tenant_id, trial])
    assert b"Waiting for a worker" in at.get(progress).content
    work()
    assert at.get(progress)["HX-Refresh"] == "true"

    page = go("policy", trial=trial)
    assert "2 questions" in page.content.decode()
    assert REWORDED in page.content.decode()
    curve = page.context["curve"]
    assert curve["promises"] == [0.005, 0.01, 0.02, 0.05]
    assert curve["floors"] == [0.7, 0.8, 0.9]
    assert max(point["rate"] for floor in curve["curves"] for point in floor) == 0.5
    of_viewer = as_role(cast, "viewer").get(f"{reverse('policy', args=[cast.owner.tenant_id])}?trial={trial}").content
    assert b"2 questions" in of_viewer
    assert REWORDED.encode() not in of_viewer


def test_a_setting_of_a_trial_is_taken_into_the_form_but_not_saved(go: Go, cast: Cast) -> None:
    page = go("policy", max_wrong_hit_rate="0.05", similarity_floor="0.8")

    assert (page.context["form"]["max_wrong_hit_rate"].value(), b"once you save" in page.content) == ("0.05", True)
    assert rules_of(cast) == Policy()


@pytest.mark.parametrize(("mode", "said"), [("shadow", "Shadow mode:"), ("off", "The cache is off."), ("on", "")])
def test_a_project_that_serves_nothing_says_so_and_what_it_would_have(
    go: Go, api: Api, rules: Callable[..., None], mode: str, said: str
) -> None:
    api.chat(QUESTION)
    rules(mode=mode)
    for _ in range(2):
        api.chat(QUESTION)

    page = go("policy").content.decode()

    assert said in page
    assert ("Shadow mode:" in page, "The cache is off." in page) == (mode == "shadow", mode == "off")
    if mode == "shadow":
        assert "2 would have been exact hits and 0 semantic" in page


def test_asked_twice_there_is_one_trial(go: Go) -> None:
    trials = [re.findall(r"trials/([0-9a-f-]{36})", go("policy-try", form={}).content.decode()) for _ in range(2)]

    assert trials[0] == trials[1]


def test_another_tenants_trial_is_not_there(go: Go, cast: Cast) -> None:
    from cache_api import jobs
    from cache_api.adapters.catalogue import Place

    theirs = jobs.backtest_traffic(
        Place(cast.outsider.tenant_id, cast.outsider.project_id), days=30, now=datetime.now(UTC)
    )

    assert go("policy-trial", theirs).status_code == 404
    assert b"trials/" not in go("policy", trial=str(theirs)).content
    assert go("policy", trial="nonsense").status_code == 200
    assert go("policy-trial", uuid4()).status_code == 404
