"""A tenant with a Stripe of its own: real database, the emulator over HTTP, and one clock for both."""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings

from tests.conftest import Cast
from tests.stripe_emulator.fixtures import API_KEY, Handle, stripe_emulator

if TYPE_CHECKING:
    from tests.billing.buying import Buyer

__all__ = ["stripe_emulator"]

WEBHOOK_SECRET = "whsec_of_the_tests"
WEBHOOK_URL = "https://cache.example.test/billing/webhook"


@pytest.fixture(autouse=True)
def _live(live: None, patient: None) -> None:
    pass


@pytest.fixture
def stripe(stripe_emulator: Handle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handle]:
    from billing import stripe_api

    monkeypatch.setattr(django_settings, "STRIPE_SECRET_KEY", API_KEY)
    monkeypatch.setattr(django_settings, "STRIPE_API_BASE", stripe_emulator.url)
    monkeypatch.setattr(django_settings, "STRIPE_WEBHOOK_SECRETS", ["whsec_older", WEBHOOK_SECRET])
    yield stripe_emulator
    stripe_api.close()


@pytest.fixture
def shop(stripe: Handle, _stocked: dict[str, Any]) -> Handle:
    """With our plans in it, and our webhook endpoint; it is set up once, and copied."""
    from billing import catalogue

    stripe.controls(webhook_secret=WEBHOOK_SECRET)
    if not _stocked:
        catalogue.set_up(check=False, webhook_url=WEBHOOK_URL)
        _stocked.update(copy.deepcopy(stripe.world.objects))
    stripe.world.objects.update(copy.deepcopy(_stocked))
    return stripe


@pytest.fixture(scope="session")
def _stocked() -> dict[str, Any]:
    return {}


@pytest.fixture
def emulated_buyer(cast: Cast, shop: Handle) -> "Buyer":
    """The owner's tenant; webhooks reach us through `hear` and `wait`."""
    from tests.billing.buying import Buyer

    return Buyer(cast.owner.tenant_id, cast.owner.project_id, cast.owner.user_id, shop)


@pytest.fixture
def buyer(emulated_buyer: "Buyer") -> "Buyer":
    return emulated_buyer
