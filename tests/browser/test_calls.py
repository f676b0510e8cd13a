"""Are calls read, opened and judged as a person does it, and do new ones come by themselves?"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.urls import reverse
from playwright.sync_api import Page, expect

from cache_api.domain.signals import call_id_of
from tests.api.conftest import Api
from tests.browser.conftest import PATIENCE_MS
from tests.browser.looking import looked_at
from tests.conftest import Cast
from tests.db.calls import call_of, write
from tests.fakes import FixedEmbedder


def test_a_new_call_comes_into_the_list_by_itself(cast: Cast, owner: Page) -> None:
    owner.goto(reverse("calls", args=[cast.owner.tenant_id]))
    expect(owner.get_by_text("No calls")).to_be_visible()

    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=datetime.now(UTC), task="triage")])

    expect(owner.get_by_text("triage")).to_be_visible(timeout=PATIENCE_MS)
    expect(owner.locator("table.calls time")).to_have_text(re.compile(r"\d:\d\d:\d\d"))


def test_a_hit_is_opened_by_the_keyboard_and_judged_wrong(
    cast: Cast, signed_in: Callable[..., Any], embedder: FixedEmbedder
) -> None:
    api = Api(cast.owner.api_key)
    embedder.near["How do I cancel order 77?"] = ("How do I cancel order 76?", 0.97)
    for question in ("How do I cancel order 77?", "How do I cancel order 76?"):
        api.chat(question)
    call_id = call_id_of(api.chat("How do I cancel order 76?").headers["x-cacheai-request-id"])
    with signed_in(cast.owner) as page:
        page.goto(reverse("calls", args=[cast.owner.tenant_id]))
        page.locator(f"a[href$='{call_id}']").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("How do I cancel order 77?")).to_be_visible()
        looked_at(page, "call")

        page.get_by_role("button", name="Wrong answer").click()
        page.get_by_role("button", name="Keep it").click()
        page.get_by_role("button", name="Wrong answer").click()
        page.get_by_role("button", name="Delete the answer").click()

        expect(page.get_by_text("The answer is gone, and will not match this question again")).to_be_visible()
    assert api.chat("How do I cancel order 76?").headers["x-cacheai-decision"] == "miss"
