"""Can a person buy a plan, look at its invoice, and give it up again, without a cent?"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.browser.conftest import WIDE, screenshot
from tests.conftest import Cast
from tests.stripe_emulator.fixtures import API_KEY, Handle, stripe_emulator

__all__ = ["stripe_emulator"]

expect.set_options(timeout=30_000)


@pytest.fixture
def shop(live: None, stripe_emulator: Handle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handle]:
    """An emulated Stripe with our plans, to whose pages our forms may lead."""
    from billing import catalogue, stripe_api

    policy = copy.deepcopy(settings.CONTENT_SECURITY_POLICY)
    policy["DIRECTIVES"]["form-action"] = [*policy["DIRECTIVES"]["form-action"], stripe_emulator.url]
    monkeypatch.setattr(settings, "CONTENT_SECURITY_POLICY", policy)
    monkeypatch.setattr(settings, "STRIPE_SECRET_KEY", API_KEY)
    monkeypatch.setattr(settings, "STRIPE_API_BASE", stripe_emulator.url)
    catalogue.set_up(check=False, webhook_url="https://cache.example.test/billing/webhook")
    yield stripe_emulator
    stripe_api.close()


def test_a_plan_is_bought_made_larger_and_given_up(shop: Handle, cast: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(cast.owner) as page:
        page.goto(reverse("billing", args=[cast.owner.tenant_id]))
        expect(page.get_by_text("Emulated, no money.")).to_be_visible()
        page.get_by_role("button", name="Try Pro 14 days free").click()
        _pay(page)
        expect(page.get_by_role("heading", name=re.compile("^Pro trialing"))).to_be_visible()
        screenshot(page, "billing-trial", WIDE, "light")

        page.get_by_role("link", name="Change to Team").click()
        expect(page.get_by_text("To pay now")).to_be_visible()
        screenshot(page, "billing-upgrade", WIDE, "light")
        page.get_by_role("button", name="Change now").click()
        expect(page.get_by_role("heading", name=re.compile("^Team trialing"))).to_be_visible()

        page.get_by_role("button", name="Cancel the plan").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel the plan").click()
        expect(page.get_by_text("The plan ends on")).to_be_visible()
        page.get_by_role("button", name="Keep the plan").click()
        expect(page.get_by_role("button", name="Cancel the plan")).to_be_visible()
        screenshot(page, "billing-team", WIDE, "light")


def _pay(page: Page) -> None:
    """On the emulator's own page."""
    page.get_by_label("Name on the invoice").fill("Acme Support")
    page.get_by_label("Card").select_option(label="4242 4242 4242 4242: accepted")
    page.get_by_role("button", name="Subscribe").click()
