"""How does a test wait for what happens elsewhere? Until it is true, and never longer than it has to."""

import time
from collections.abc import Callable

LOOKED_SECONDS = 0.02


def wait_until(true: Callable[[], object], *, seconds: float = 20, what: str = "what was waited for") -> float:
    """How long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(LOOKED_SECONDS)
    return time.monotonic() - began
