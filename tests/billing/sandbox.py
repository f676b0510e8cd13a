"""Stripe itself, where a key of a sandbox is set: time passes on a test clock of the test's own."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import stripe

KEY = os.environ.get("STRIPE_TEST_KEY", "")
BASE = os.environ.get("STRIPE_API_BASE", "")
STEP_SECONDS = 28 * 86_400  # A clock moves by two periods at most.
READY_SECONDS = 300


@dataclass
class Sandbox:
    client: stripe.StripeClient
    clock_id: str

    def now(self) -> int:
        return int(self.client.v1.test_helpers.test_clocks.retrieve(self.clock_id).frozen_time)

    def advance(self, *, seconds: int = 0, to: int | None = None) -> int:
        """Everything due until then happens; Stripe takes its time over it."""
        clocks, until = self.client.v1.test_helpers.test_clocks, self.now() + seconds if to is None else to
        while (now := self.now()) < until:
            clocks.advance(self.clock_id, {"frozen_time": min(until, now + STEP_SECONDS)})
            deadline = time.monotonic() + READY_SECONDS
            while clocks.retrieve(self.clock_id).status != "ready":
                assert time.monotonic() < deadline
                time.sleep(1)
        return until


@contextmanager
def begun(at: int) -> Iterator[Sandbox]:
    """What is on the clock goes with it."""
    http = stripe.RequestsClient(timeout=60)
    base = {"api": BASE, "meter_events": BASE} if BASE else None
    client = stripe.StripeClient(KEY, http_client=http, max_network_retries=2, base_addresses=base)
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": at})
    try:
        yield Sandbox(client, clock.id)
    finally:
        client.v1.test_helpers.test_clocks.delete(clock.id)
        http.close()
