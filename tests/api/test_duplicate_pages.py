"""Is a team shown which stored questions are nearly the same, whether their answers agree, and may it thin them out?"""

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.api.conftest import Api
from tests.api.people import signed_in
from tests.api.test_cache_pages import Go, go, keys_in, told
from tests.api.test_entries import put
from tests.api.test_export_import import work
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

__all__ = ["go"]

ADDRESS = "How do I change my delivery address?"
REWORDED = "How can I change my delivery address?"
TWICE = "How do I change my delivery address twice?"
FAR = "What does a semantic cache do?"

Sought = Callable[..., Any]


@pytest.fixture
def near(embedder: FixedEmbedder, api: Api) -> None:
    embedder.near |= {REWORDED: (ADDRESS, 0.985), TWICE: (ADDRESS, 0.96)}
    put(api, ADDRESS, answer="In your account.")
    put(api, REWORDED, answer="In  your account. ")
    put(api, TWICE, answer="You cannot.")
    put(api, FAR, answer="It remembers.")
    from cache_api import accounting

    api.chat(ADDRESS)  # a hit: once it is priced, the entry is the one used most
    accounting.price_calls(timezone.now())


@pytest.fixture
def sought(go: Go) -> Sought:
    def seek(**form: str) -> Any:
        assert b"Waiting for a worker" in go("cache-duplicates-seek", form={"at_least": "0.95", **form}).content
        work()
        return go("cache-duplicates")

    return seek


def questions(page: Any) -> list[list[str]]:
    return [[one.entry["question"] for one in group.members] for group in page.context["groups"]]


def test_nothing_is_looked_for_unasked(go: Go) -> None:
    page = go("cache-duplicates").content

    assert b"Look for them" in page
    assert b"No near duplicates" not in page


def test_near_questions_stand_together_and_their_answers_are_compared(near: None, sought: Sought) -> None:
    page = sought()

    assert questions(page) == [[ADDRESS, REWORDED, TWICE]]
    (group,) = page.context["groups"]
    told_of = {one.entry["question"]: one for one in group.members}
    assert group.state == "conflict"
    assert told_of[ADDRESS].says_the_same == told_of[REWORDED].says_the_same
    assert b"answers differ" in page.content
    assert FAR not in page.content.decode()


def test_a_higher_bar_finds_fewer(near: None, sought: Sought) -> None:
    assert questions(sought(at_least="0.98")) == [[ADDRESS, REWORDED]]


def test_of_another_scope_nothing_is_near(near: None, api: Api, sought: Sought, embedder: FixedEmbedder) -> None:
    put(api, ADDRESS, namespace="another", answer="Elsewhere.")
    put(api, ADDRESS, model="demo-large", answer="Elsewhere.")

    assert questions(sought()) == [[ADDRESS, REWORDED, TWICE]]


def test_what_a_guard_tells_apart_is_said_and_not_chosen(api: Api, sought: Sought, embedder: FixedEmbedder) -> None:
    embedder.near |= {"Cancel order 17": ("Cancel order 16", 0.99)}
    put(api, "Cancel order 16", answer="Done.")
    put(api, "Cancel order 17", answer="Done.")

    page = sought()
    (group,) = page.context["groups"]
    assert group.others[0].difference.startswith("differs in")
    assert group.state == "apart"
    assert b" checked" not in page.content


def test_the_chosen_go_on_the_record_and_the_group_with_them(near: None, go: Go, sought: Sought, cast: Cast) -> None:
    page = sought(at_least="0.98")
    (group,) = page.context["groups"]
    (other,) = group.others
    assert group.state == "same"
    assert page.content.decode().count(" checked") == 1

    page = go("cache-duplicates-delete", form={"entry": [other.fingerprint]})

    assert b"1 entry is gone." in page.content
    assert questions(page) == []
    assert len(keys_in(go("cache"))) == 3
    assert [action for action, _ in told(cast)] == ["entry.delete"]
    assert b"0 entries are gone" in go("cache-duplicates-delete", form={"entry": [other.fingerprint]}).content
    assert b"Choose which" in go("cache-duplicates-delete", form={"entry": ["nonsense"]}).content


def test_the_part_that_tells_how_far_it_is_loads_the_page_anew(near: None, go: Go, cast: Cast) -> None:
    page = go("cache-duplicates-seek", form={"at_least": "0.95"})
    job_id = page.context["running"].id
    assert go("cache-duplicates-seek", form={"at_least": "0.9"}).context["running"].id == job_id
    at = signed_in(cast.owner)
    progress = reverse("cache-duplicates-progress", args=[cast.owner.tenant_id, job_id])

    assert b"Waiting for a worker" in at.get(progress).content
    work()
    assert at.get(progress)["HX-Refresh"] == "true"


def test_hostile_text_is_shown_as_text(api: Api, sought: Sought, embedder: FixedEmbedder) -> None:
    hostile = "<script>alert(1)</script> \u202egnirts \U0001f600 " + "long " * 200
    embedder.near |= {f"{hostile}?": (hostile, 0.99)}
    for question in (hostile, f"{hostile}?"):
        put(api, question, answer=f"<img src=x onerror=alert(1)> {question}")

    page = sought()
    assert len(page.context["groups"]) == 1
    assert b"<script>alert" not in page.content
    assert b"<img src=x" not in page.content


def test_another_tenants_groups_are_not_there(near: None, sought: Sought, cast: Cast) -> None:
    sought()
    theirs = signed_in(cast.outsider).get(reverse("cache-duplicates", args=[cast.outsider.tenant_id]))

    assert theirs.context["groups"] == []
    assert b"Look for them" in theirs.content
