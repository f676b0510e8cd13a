"""Can a newcomer get from sign-up to a first hit, and a team narrow what it sees, live and in an address to share?"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.api.conftest import Api
from tests.browser.conftest import PATIENCE_MS, signs_up
from tests.browser.looking import looked_at
from tests.conftest import Cast
from tests.db.calls import call_of, hit_of, write

ADDRESS = "newcomer@people.test"


def test_somebody_new_signs_up_and_sees_a_first_hit_arrive(visitor: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "tenants.mailing.Outbox")
    page = visitor
    page.goto("/account/signup/")
    signs_up(page, "Grace", ADDRESS)
    expect(page.get_by_text("Waiting for your first call")).to_be_visible()

    page.get_by_role("button", name="Make a key").click()
    expect(page.locator("#secret")).to_be_visible()
    lines = page.locator("#first-call").inner_text()
    looked_at(page, "first-steps")
    key = re.search(r"Bearer (ca-[0-9A-Za-z]{39})", lines)[1]
    assert _ticked(page) == [True, False, False]
    Api(key).chat("What is a semantic cache?")
    expect(page.locator("#arrived").get_by_text("miss")).to_be_visible(timeout=PATIENCE_MS)
    assert _ticked(page) == [True, True, False]
    Api(key).chat("What is a semantic cache?")
    expect(page.locator("#arrived").get_by_text("hit · exact")).to_be_visible(timeout=PATIENCE_MS)
    assert _ticked(page) == [True, True, True]
    looked_at(page, "first-steps-done")
    assert page.locator("#secret").inner_text() == key

    page.get_by_role("link", name="Open the overview").click()
    expect(page.get_by_text("50.0 %").first).to_be_visible()


def _ticked(page: Page) -> list[bool]:
    marks = page.locator(".steps > li").evaluate_all("all => all.map(one => getComputedStyle(one, '::before').content)")
    return ["✓" in mark for mark in marks]


@pytest.fixture
def calls(cast: Cast) -> Callable[..., None]:
    def made(count: int, **fields: Any) -> None:
        ids = (cast.owner.tenant_id, cast.owner.project_id)
        at = datetime.now(UTC) - timedelta(hours=2)
        write([make(*ids, at=at, **fields) for _ in range(count) for make in (call_of, hit_of)])

    return made


def _calls(page: Page) -> Any:
    return page.locator("dl.figures > div", has_text="Calls").locator("dd").first


def test_filters_work_by_the_keyboard_keep_the_place_and_are_in_the_address(
    cast: Cast, owner: Page, calls: Callable[..., None]
) -> None:
    from cache_api.accounting import price_calls, roll_up

    calls(4)
    calls(2, model_served="gpt-5-mini", key_id=UUID(int=8))
    price_calls(datetime.now(UTC))
    roll_up()
    owner.goto(reverse("overview", args=[cast.owner.tenant_id]))
    expect(_calls(owner)).to_have_text("12")

    owner.get_by_label("Model", exact=True).focus()
    owner.get_by_label("Model", exact=True).select_option("gpt-5-mini")
    expect(_calls(owner)).to_have_text("4")
    expect(owner).to_have_url(re.compile(r"\?days=7&model=gpt-5-mini$"))
    expect(owner.get_by_label("Model", exact=True)).to_be_focused()
    expect(owner.locator(".uplot")).to_have_count(2)

    owner.get_by_role("link", name="30 days").click()
    expect(owner.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "true")
    expect(owner).to_have_url(re.compile(r"\?days=30&model=gpt-5-mini$"))
    owner.reload()
    expect(_calls(owner)).to_have_text("4")
    owner.go_back()
    expect(owner.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")
    owner.get_by_role("link", name="Clear").click()
    expect(_calls(owner)).to_have_text("12")


def test_figures_and_charts_grow_while_calls_come(cast: Cast, owner: Page, calls: Callable[..., None]) -> None:
    calls(1)
    owner.goto(reverse("overview", args=[cast.owner.tenant_id]))
    expect(_calls(owner)).to_have_text("2")
    calls(2)

    expect(_calls(owner)).to_have_text("6", timeout=PATIENCE_MS)
    owner.get_by_text("As a table").first.click()
    expect(owner.locator("#calls-rows tr").first).to_be_visible()
    total = "[...document.querySelectorAll('#calls-rows td')].reduce((sum, cell) => sum + Number(cell.textContent), 0)"
    assert owner.evaluate(total) == 6
    expect(owner.locator(".uplot")).to_have_count(2)


def test_without_scripts_filters_are_a_form(
    cast: Cast, signed_in: Callable[..., Any], calls: Callable[..., None]
) -> None:
    calls(3)
    with signed_in(cast.owner, java_script_enabled=False) as page:
        page.goto(reverse("overview", args=[cast.owner.tenant_id]) + "?model=gpt-4&days=1")
        expect(_calls(page)).to_have_text("0")
        page.get_by_label("Model", exact=True).select_option("")
        page.get_by_role("button", name="Show").click()
        expect(_calls(page)).to_have_text("6")


def test_a_day_is_the_viewers_own(cast: Cast, signed_in: Callable[..., Any], calls: Callable[..., None]) -> None:
    calls(1)
    with signed_in(cast.owner, timezone_id="Pacific/Auckland") as page:
        address = reverse("overview", args=[cast.owner.tenant_id])
        page.goto(address)
        page.goto(address)
        drawn = page.evaluate("JSON.parse(document.getElementById('calls-data').textContent).data[0]")
        hours = page.evaluate("moments => moments.map((at) => new Date(at * 1000).getHours())", drawn)
        assert set(hours) == {0}
