"""One stack with two web workers. Each test hurts it, and waits until it has healed."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.with_faults.hurting import embedded_stack


@pytest.fixture(scope="package")
def own_stack() -> Iterator[Stack]:
    with embedded_stack(CACHEAI_WEB_WORKERS="2") as running:
        yield running
