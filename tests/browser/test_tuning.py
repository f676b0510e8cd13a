"""Can a setting be chosen on the curve: with a mouse, a finger, the keyboard alone, or without a script?"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.api.conftest import Api
from tests.api.test_export_import import work
from tests.browser.conftest import NARROW
from tests.browser.looking import looked_at
from tests.browser.test_cache import api
from tests.conftest import Cast

__all__ = ["api"]

PROMISE = "Wrong hits, at most"
LINE_PX = 36


@pytest.fixture
def trial(api: Api, cast: Cast) -> str:
    """The address of the page with a trial that has ended."""
    from datetime import UTC, datetime

    from cache_api import jobs
    from cache_api.adapters.catalogue import Place

    place = Place(cast.owner.tenant_id, cast.owner.project_id)
    job_id = jobs.backtest_traffic(place, days=30, now=datetime.now(UTC))
    work()
    return f"{reverse('policy', args=[cast.owner.tenant_id])}?trial={job_id}"


def promise_of(page: Page) -> str:
    return page.get_by_role("spinbutton", name=PROMISE).input_value()


def test_the_keyboard_moves_the_handle_and_the_form_waits_to_be_saved(
    trial: str, cast: Cast, signed_in: Callable[..., Any]
) -> None:
    with signed_in(cast.owner) as page:
        page.goto(trial)
        handle = page.get_by_role("slider", name=PROMISE)
        expect(handle).to_have_attribute("aria-valuetext", re.compile(r"^2 % at floor 0.70: hit rate .*saved$"))
        expect(page.get_by_role("button", name="Save this setting")).to_be_hidden()
        handle.focus()
        page.keyboard.press("ArrowRight")
        expect(handle).to_have_attribute("aria-valuetext", re.compile(r"^5 % at floor"))
        assert promise_of(page) == "0.05"
        page.keyboard.press("Home")
        assert promise_of(page) == "0.005"
        page.get_by_label("Similarity floor").first.select_option("0.80")
        looked_at(page, "policy-tuned")
        page.get_by_role("button", name="Save this setting").press("Enter")
        expect(page.get_by_text("The rules are saved")).to_be_visible()
        assert promise_of(page) == "0.005"
        expect(page.get_by_role("spinbutton", name="Similarity floor")).to_have_value("0.8")


def test_the_mouse_drags_it(trial: str, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(trial)
        handle = page.get_by_role("slider", name=PROMISE)
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] - 2_000, box["y"], steps=5)
        page.mouse.up()
        assert promise_of(page) == "0.005"
        page.mouse.move(box["x"] + 2_000, box["y"])
        assert promise_of(page) == "0.005"


def test_a_finger_taps_where_it_is_to_be(trial: str, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner, size=NARROW, has_touch=True, is_mobile=True) as page:
        page.goto(trial)
        over = page.locator(".u-over")
        over.scroll_into_view_if_needed()
        box = over.bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
        assert promise_of(page) == "0.05"


def test_what_is_typed_into_the_form_moves_the_handle(trial: str, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(trial)
        page.get_by_role("spinbutton", name=PROMISE).fill("0.01")
        page.keyboard.press("Tab")
        expect(page.get_by_role("slider", name=PROMISE)).to_have_attribute(
            "aria-valuetext", re.compile(r"^1 % at floor")
        )


def test_without_a_script_a_setting_is_taken_from_the_table(
    trial: str, cast: Cast, signed_in: Callable[..., Any]
) -> None:
    with signed_in(cast.owner, java_script_enabled=False) as page:
        page.goto(trial)
        expect(page.get_by_role("slider")).to_have_count(0)
        page.get_by_text("Each promise and floor as a table").click()
        page.get_by_role("link", name="Take 5.0 % at 0.80").click()
        assert promise_of(page) == "0.05"
        page.get_by_role("button", name="Save rules").click()
        expect(page.get_by_text("The rules are saved")).to_be_visible()


def test_a_viewer_looks_along_the_curve_and_changes_nothing(
    trial: str, cast: Cast, signed_in: Callable[..., Any]
) -> None:
    from tenants.isolation import as_tenant
    from tenants.models import Member

    with as_tenant(cast.teammate.tenant_id):
        Member.objects.filter(user_id=cast.teammate.user_id).update(role="viewer")
    with signed_in(cast.teammate) as page:
        page.goto(trial)
        handle = page.get_by_role("slider", name=PROMISE)
        handle.press("End")
        expect(handle).to_have_attribute("aria-valuetext", re.compile(r"^5 % at floor"))
        expect(page.get_by_role("button", name="Save this setting")).to_have_count(0)
        assert promise_of(page) == "0.02"


def test_saving_stays_in_reach_and_covers_no_field_that_has_the_focus(
    cast: Cast, signed_in: Callable[..., Any]
) -> None:
    with signed_in(cast.owner, size=NARROW) as page:
        page.goto(reverse("policy", args=[cast.owner.tenant_id]))
        expect(page.get_by_role("button", name="Save rules")).to_be_in_viewport()
        fields = page.locator("#rules :is(input:not([type=hidden]), select, textarea)")
        fields.first.focus()
        for field in fields.all():
            expect(field).to_be_focused()
            top, bar = (one.bounding_box()["y"] for one in (field, page.locator(".saves")))
            assert top + LINE_PX <= bar
            page.keyboard.press("Tab")
