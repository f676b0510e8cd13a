"""Can a person do what they came for: with a mouse, with the keyboard alone, on a phone?"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.api.conftest import Api
from tests.browser.conftest import NARROW
from tests.conftest import Cast

PASSWORD = "correct horse battery staple"
expect.set_options(timeout=30_000)


@pytest.fixture
def known(cast: Cast) -> Cast:
    """The owner can sign in with a password, and their address is proved."""
    from tenants.models import User

    owner = User.objects.get(id=cast.owner.user_id)
    owner.set_password(PASSWORD)
    owner.save()
    return cast


def test_from_the_front_door_to_the_first_hit(known: Cast, visitor: Page) -> None:
    visitor.goto("/")
    visitor.get_by_label("Email").fill("owner@example.test")
    visitor.get_by_label("Password").fill(PASSWORD)
    visitor.get_by_role("button", name="Sign in", exact=True).click()
    expect(visitor.get_by_role("heading", name="Three steps to your first hit")).to_be_visible()

    visitor.get_by_role("link", name="Choose what it may do").click()
    visitor.get_by_label("Name").fill("my first key")
    visitor.get_by_role("button", name="Create key").click()
    secret = visitor.locator("#secret").text_content()
    visitor.get_by_role("link", name="See the call arrive").click()
    expect(visitor.get_by_text("Waiting for your first call")).to_be_visible()

    caller = Api(secret.strip())
    assert [caller.chat("What is it?").headers["x-cacheai-decision"] for _ in range(2)] == ["miss", "hit"]
    visitor.get_by_role("link", name="Open the overview").click()
    expect(visitor.get_by_text("Hit rate").first).to_be_visible()
    expect(visitor.get_by_text("50.0 %").first).to_be_visible()


def test_a_key_is_copied_rotated_and_revoked(cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(reverse("keys", args=[cast.owner.tenant_id]))
        row = page.get_by_role("row").filter(has_text="owner@example.test")
        row.get_by_role("button", name="Rotate").click()
        page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
        page.get_by_role("button", name="Copy the key").click()
        expect(page.get_by_text("Copied").first).to_be_attached()
        assert re.fullmatch(r"ca-[0-9A-Za-z]{39}", page.evaluate("navigator.clipboard.readText()"))

        page.get_by_role("link", name="All keys").click()
        page.get_by_role("row").filter(has_text="replaced").get_by_role("button", name="Revoke").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("The key is revoked")).to_be_visible()


def test_with_the_keyboard_alone_a_project_is_made(cast: Cast, owner: Page) -> None:
    from tenants.isolation import as_tenant
    from tenants.models import Tenant

    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.filter(id=cast.owner.tenant_id).update(projects_max=5)
    owner.goto(reverse("projects", args=[cast.owner.tenant_id]))
    owner.keyboard.press("Tab")
    assert owner.evaluate("document.activeElement.textContent") == "Skip to content"
    owner.keyboard.press("Enter")
    owner.keyboard.press("Tab")
    assert owner.evaluate("document.activeElement.textContent").strip() == "New project"
    owner.keyboard.press("Enter")
    owner.wait_for_url("**/projects/new")
    owner.keyboard.press("Tab")
    owner.keyboard.press("Enter")
    owner.keyboard.press("Tab")
    owner.keyboard.type("By hand")
    owner.keyboard.press("Enter")

    expect(owner.get_by_text("Project By hand is there.")).to_be_visible()


def test_escape_closes_a_dialog_and_the_button_has_the_focus_again(cast: Cast, owner: Page) -> None:
    owner.goto(reverse("keys", args=[cast.owner.tenant_id]))
    revoke = owner.get_by_role("button", name="Revoke").first
    revoke.focus()
    owner.keyboard.press("Enter")
    expect(owner.get_by_role("dialog")).to_be_visible()
    owner.keyboard.press("Escape")

    expect(owner.get_by_role("dialog")).to_be_hidden()
    expect(revoke).to_be_focused()


def test_a_form_that_was_wrong_opens_where_it_is_wrong(cast: Cast, owner: Page) -> None:
    owner.goto(reverse("settings", args=[cast.owner.tenant_id]))
    owner.get_by_role("button", name="Delete this tenant").click()
    owner.get_by_label("Type the tenant's name").fill("Teem")
    owner.get_by_role("button", name="Delete in 7 days").click()

    field = owner.get_by_label("Type the tenant's name")
    expect(owner.get_by_text("This is not Team.")).to_be_visible()
    expect(field).to_have_value("Teem")
    expect(field).to_be_focused()


def test_on_a_phone_the_pages_are_behind_a_button(cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner, size=NARROW) as page:
        page.goto(reverse("overview", args=[cast.owner.tenant_id]))
        expect(page.get_by_role("link", name="API keys")).to_be_hidden()
        menu = page.get_by_role("button", name="Menu")
        menu.click()
        expect(page.get_by_role("link", name="API keys")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="API keys")).to_be_hidden()
        expect(menu).to_be_focused()
        expect(menu).to_have_attribute("aria-expanded", "false")
        menu.click()
        page.get_by_role("link", name="API keys").click()

        expect(page.get_by_role("heading", name="API keys")).to_be_visible()


def test_the_chosen_theme_stays(cast: Cast, owner: Page) -> None:
    owner.goto(reverse("overview", args=[cast.owner.tenant_id]))
    owner.get_by_text("owner@example.test").first.click()
    owner.get_by_role("button", name="Light or dark").click()
    owner.reload()

    assert owner.evaluate("document.documentElement.dataset.theme") == "dark"


def test_hostile_names_are_text(cast: Cast, owner: Page) -> None:
    from tenants.audit import Actor
    from tenants.members import tenant_rename

    hostile = "<img src=x onerror=alert(1)>\u202e{{7*7}}"
    who = Actor("person", cast.owner.user_id)
    tenant_rename(tenant_id=cast.owner.tenant_id, name=hostile, actor=who)
    asked: list[str] = []
    owner.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))

    owner.goto(reverse("settings", args=[cast.owner.tenant_id]))

    expect(owner.get_by_label("Name", exact=True)).to_have_value(hostile)
    assert asked == []
