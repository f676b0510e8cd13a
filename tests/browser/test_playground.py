"""Is a question asked in the playground as a person does it, on a small screen too?"""

from collections.abc import Callable
from typing import Any

from django.urls import reverse
from playwright.sync_api import expect

from tests.api.conftest import Api
from tests.browser.looking import looked_at
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

STORED = "How do I reset my password?"


def test_both_answers_stand_side_by_side_with_how_it_was_decided(
    cast: Cast, signed_in: Callable[..., Any], embedder: FixedEmbedder
) -> None:
    embedder.near["How can I reset my password?"] = (STORED, 0.99)
    Api(cast.owner.api_key).chat(STORED)
    with signed_in(cast.owner) as page:
        page.goto(reverse("playground", args=[cast.owner.tenant_id]))
        page.get_by_label("Question").fill("How can I reset my password?")
        page.get_by_label("Model").fill("demo-small")
        page.keyboard.press("Enter")
        expect(page.get_by_text("With the cache")).to_be_visible()
        expect(page.get_by_text("would be served")).to_be_visible()
        looked_at(page, "playground-asked")

        page.get_by_role("link", name="Open the call").first.click()

        expect(page.get_by_role("heading", name="Answered as")).to_be_visible()
