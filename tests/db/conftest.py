"""Every test here has a real database and Redis."""

import pytest


@pytest.fixture(autouse=True)
def _live(live: None) -> None:
    pass
