"""Can a person come in by a browser: with a link from a mail, and with a passkey?"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from tests.browser.conftest import signs_up

ADDRESS = "ada@people.test"


@pytest.fixture(autouse=True)
def _outbox(live: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "tenants.mailing.Outbox")


@pytest.fixture
def by_name(context: Callable[..., Any], site: str) -> Any:
    """A passkey belongs to a name: none can be made at a bare address."""
    with context(base_url=f"http://localhost:{urlsplit(site).port}") as (_, page):
        yield page


def _with_authenticator(page: Page) -> None:
    """One in the device, that knows its owner by a finger and holds passkeys."""
    line = page.context.new_cdp_session(page)
    line.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    line.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_somebody_signs_up_and_comes_back_with_a_passkey_alone(by_name: Page) -> None:
    page = by_name
    _with_authenticator(page)
    page.goto("/sign-in")
    page.get_by_role("link", name="Sign up").click()
    signs_up(page, "Ada", ADDRESS)
    expect(page.get_by_text("Ada's team").first).to_be_visible()

    page.goto("/account/2fa/webauthn/add/")
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("recovery codes").first).to_be_visible()

    page.context.clear_cookies()
    page.goto("/sign-in")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("Ada's team").first).to_be_visible()
