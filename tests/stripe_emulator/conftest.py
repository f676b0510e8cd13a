"""A Stripe for each test, and a shop in it with our two plans."""

import pytest

from .fixtures import Handle, stripe_emulator
from .shop import Shop

__all__ = ["stripe_emulator"]


@pytest.fixture
def shop(stripe_emulator: Handle) -> Shop:
    return Shop.opened(stripe_emulator)
