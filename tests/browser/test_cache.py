"""Are stored answers and the rules they are served by looked after with a keyboard, on any screen?"""

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.api.conftest import Api
from tests.api.test_export_import import work
from tests.browser.looking import looked_at
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

QUESTIONS = (
    "How do I change my delivery address?",
    "What does a semantic cache do?",
    "Can I return a gift without the receipt, and for how many days after I was given it?",
    "اشرح لي كيف أسترجع أموالي <script>alert(1)</script>",
)
REWORDED = "How can I change my delivery address?"


@pytest.fixture
def api(cast: Cast, embedder: FixedEmbedder) -> Api:
    """The owner's project, which has answered a few questions."""
    from cache_api import tending
    from cache_api.adapters.catalogue import Place
    from tenants.audit import SYSTEM

    embedder.near |= {REWORDED: (QUESTIONS[0], 0.985)}
    place = Place(cast.owner.tenant_id, cast.owner.project_id)
    caller = Api(cast.owner.api_key)
    for question in (*QUESTIONS, QUESTIONS[0]):
        caller.chat(question, headers={"x_cacheai_tags": "help,orders"})
    tending.policy_set(place, {"mode": "exact"}, actor=SYSTEM)  # else the one reworded would be served
    caller.chat(REWORDED, headers={"x_cacheai_tags": "help,orders"})
    tending.policy_set(place, {"mode": "on"}, actor=SYSTEM)
    return caller


def test_an_entry_is_found_by_meaning_tagged_and_deleted(api: Api, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(reverse("cache", args=[cast.owner.tenant_id]))
        looked_at(page, "cache-filled")
        page.get_by_label("Search questions and answers").fill(REWORDED)
        page.keyboard.press("Enter")
        page.get_by_role("link", name=QUESTIONS[0]).first.click()
        looked_at(page, "cache-entry")
        page.get_by_label("Tags").fill("moving")
        page.get_by_role("button", name="Save").press("Enter")
        expect(page.get_by_label("Tags")).to_have_value("moving")
        page.get_by_role("button", name="Delete").press("Enter")
        page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
        expect(page.get_by_text("The entry is gone.")).to_be_visible()


def test_without_scripts_a_dialog_lies_in_the_page(api: Api, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner, java_script_enabled=False) as page:
        page.goto(reverse("cache", args=[cast.owner.tenant_id]))
        page.get_by_role("link", name=QUESTIONS[0]).click()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("The entry is gone.")).to_be_visible()


def test_a_search_for_words_goes_on_until_all_is_looked_through(
    api: Api, cast: Cast, signed_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache_api.adapters import catalogue

    monkeypatch.setattr(catalogue, "LOOKED_THROUGH_MAX", 1)
    with signed_in(cast.owner) as page:
        page.goto(reverse("cache", args=[cast.owner.tenant_id]))
        page.get_by_label("Search questions and answers").fill("delivery address")
        page.get_by_label("Search by").select_option("words")
        page.keyboard.press("Enter")
        expect(page.get_by_text("2 with these words among 5 that were looked through.")).to_be_visible()
        expect(page.get_by_role("link", name="delivery address")).to_have_count(2)
        looked_at(page, "cache-words")


def test_a_purge_shows_its_count_and_asks_once_more(api: Api, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(reverse("cache-purge", args=[cast.owner.tenant_id]))
        page.get_by_label("Tag").fill("help")
        page.get_by_role("button", name="Count them").click()
        page.get_by_role("button", name="Remove 5").click()
        looked_at(page, "cache-purge-asked")
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_text("5 entries are gone.")).to_be_visible()


def test_a_question_is_blocked(cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(reverse("cache-blocklist", args=[cast.owner.tenant_id]))
        page.get_by_role("textbox", name="Question").fill(QUESTIONS[2])
        page.get_by_role("button", name="Block it").click()
        expect(page.get_by_text("It is on the list.")).to_be_visible()
        looked_at(page, "cache-blocklist-filled")


def test_rules_are_tried_on_past_questions_taken_and_saved(api: Api, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(reverse("policy", args=[cast.owner.tenant_id]))
        page.get_by_role("button", name="Try it on past questions").click()
        expect(page.get_by_text("Waiting for a worker")).to_be_visible()
        work()
        expect(page.get_by_text("would have been looked up")).to_be_visible()
        expect(page.locator("[data-curve] canvas")).to_be_visible()
        page.get_by_text("Pairs at the border").click()
        looked_at(page, "policy-tried")
        page.get_by_text("Each promise and floor as a table").click()
        page.get_by_role("link", name="Take 5.0 % at 0.80").click()
        expect(page.get_by_role("spinbutton", name="Similarity floor")).to_have_value("0.8")
        page.get_by_label("Judge").fill("judge-1")
        page.get_by_role("button", name="Save rules").click()
        expect(page.get_by_text("Choose the judge's provider")).to_be_visible()
        page.get_by_label("Judge").fill("")
        page.get_by_role("button", name="Save rules").click()
        expect(page.get_by_text("The rules are saved")).to_be_visible()
