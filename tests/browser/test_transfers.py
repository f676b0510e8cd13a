"""Are entries brought in, taken along and thinned out by hand, with the progress seen as it goes?"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.api.conftest import Api
from tests.api.test_entries import put
from tests.api.test_export_import import work
from tests.browser.looking import looked_at
from tests.browser.test_cache import QUESTIONS as STORED
from tests.browser.test_cache import REWORDED
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

LINES = "\n".join(
    [
        json.dumps({"question": "What does it cost?", "answer": "Nothing.", "model": "demo-small"}),
        "{broken",
        json.dumps({"question": "<script>alert(1)</script>", "answer": "\u202eno \U0001f600", "model": "demo-small"}),
    ]
)


def test_a_file_is_imported_with_its_progress_and_exported_again(cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(reverse("cache", args=[cast.owner.tenant_id]))
        page.get_by_role("link", name="Import and export").click()
        looked_at(page, "cache-transfers-empty")
        page.get_by_label("File").set_input_files(
            {"name": "entries.jsonl", "mimeType": "application/x-ndjson", "buffer": LINES.encode()}
        )
        page.get_by_role("button", name="Import").click()
        expect(page.get_by_text("waiting for a worker")).to_be_visible()
        looked_at(page, "cache-transfers-under-way")
        work()
        expect(page.get_by_text("2 entries taken, 1 line not")).to_be_visible()
        page.get_by_text("The line that was not taken").click()
        expect(page.get_by_text("this is no JSON")).to_be_visible()
        page.get_by_role("button", name="Export").click()
        expect(page.get_by_role("button", name="Stop the export")).to_be_visible()
        work()
        looked_at(page, "cache-transfers-done")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        lines = download.value.path().read_text().splitlines()
        assert sorted(json.loads(line)["question"] for line in lines) == [
            "<script>alert(1)</script>",
            "What does it cost?",
        ]


def test_what_is_under_way_is_stopped_with_the_keyboard(cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(reverse("cache-transfers", args=[cast.owner.tenant_id]))
        page.get_by_role("button", name="Export").press("Enter")
        stop = page.get_by_role("button", name="Stop the export")
        stop.focus()
        with page.expect_response(lambda answer: "progress" in answer.url):
            pass
        page.evaluate("new Promise(requestAnimationFrame)")
        expect(stop).to_be_focused()  # although that part of the page came anew
        page.keyboard.press("Enter")
        expect(page.get_by_text("It is stopped.")).to_be_visible()


@pytest.fixture
def near(cast: Cast, embedder: FixedEmbedder) -> None:
    api = Api(cast.owner.api_key)
    embedder.near |= {REWORDED: (STORED[0], 0.985), "How do I cancel order 17?": ("How do I cancel order 16?", 0.99)}
    put(api, STORED[0], answer="In your account, under addresses.")
    put(api, REWORDED, answer="In your account, under addresses.")
    put(api, "How do I cancel order 16?", answer="Ask support.")
    put(api, "How do I cancel order 17?", answer="It is cancelled <b>already</b>.")


def test_near_duplicates_are_found_and_thinned_out(near: None, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(reverse("cache-duplicates", args=[cast.owner.tenant_id]))
        looked_at(page, "cache-duplicates-empty")
        page.get_by_role("button", name="Look").click()
        expect(page.get_by_text("Waiting for a worker")).to_be_visible()
        work()
        expect(page.get_by_role("heading", name="2 groups at 0.95 or more")).to_be_visible()
        looked_at(page, "cache-duplicates-found")
        group = page.locator("form", has_text="the same answer")
        group.get_by_role("button", name="Delete the chosen").press("Enter")
        page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
        expect(page.get_by_text("1 entry is gone.")).to_be_visible()
        expect(page.get_by_text("questions differ")).to_have_count(1)
        expect(page.get_by_text("the same answer")).to_have_count(0)
