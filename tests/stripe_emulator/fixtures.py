"""How does a test get a Stripe of its own?"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import stripe

from .resources.payment_methods import ACCEPTED
from .server import Server
from .world import World

API_KEY = "sk_test_emulated"
BEGINNING = 1_790_812_800  # 2026-10-01 00:00 UTC: a month of 31 days


@dataclass(frozen=True)
class Handle:
    """`client` speaks to it as any program would; the rest is what only a test may do."""

    url: str
    world: World

    @property
    def client(self) -> stripe.StripeClient:
        return self.client_with(retries=0)

    def client_with(self, *, retries: int) -> stripe.StripeClient:
        return stripe.StripeClient(
            API_KEY,
            max_network_retries=retries,
            http_client=stripe.RequestsClient(timeout=20),
            base_addresses={"api": self.url, "meter_events": self.url},
        )

    def now(self) -> int:
        return self.world.now()

    def advance(self, *, seconds: int = 0, to: int | None = None) -> int:
        """Everything due until then happens, in order."""
        given = {"to": to} if to is not None else {"seconds": seconds}
        return int(self._control("POST", "advance", given)["now"])

    def controls(self, **values: Any) -> dict[str, Any]:
        """The fields of `world.Controls`."""
        return self._control("POST", "controls", values)

    def fault(self, kind: str, *, times: int = 1, method: str = "", path: str = "") -> None:
        """429, 500, 500_after, timeout_before, timeout_after, hold_before, hold_after (until `release`)."""
        self._control("POST", "faults", {"kind": kind, "times": times, "method": method, "path": path})

    def release(self) -> None:
        """No more faults; what was held goes on."""
        self._control("POST", "release")

    def checkout(self, session_id: str, **form: str) -> str | None:
        """Press the button of its page: where it leads, or None and nothing bought if it was refused.

        Fields: card ("" for none), country, postal_code, name, email, tax_id_type, tax_id.
        """
        return self._press(
            f"checkout/{session_id}", {"card": ACCEPTED, "country": "US", "postal_code": "10001", **form}
        )

    def portal(self, session_id: str, action: str, **form: str) -> str | None:
        """card (card=...), cancel and keep (subscription=...), details (name, country, postal_code, tax_id)."""
        return self._press(f"portal/{session_id}/{action}", form)

    def pay(self, invoice_id: str, card: str) -> str | None:
        return self._press(f"invoice/{invoice_id}", {"card": card})

    def dispute(self, invoice_id: str) -> str:
        """The customer takes the payment back: its id, after the event."""
        return str(self._control("POST", "dispute", {"invoice": invoice_id})["id"])

    def deliveries(self, event_type: str | None = None) -> list[dict[str, Any]]:
        """Oldest first, each with `type`, `url`, `body` and the signed `headers`, `state` and `attempts`."""
        told = self._control("GET", "deliveries")["deliveries"]
        return [one for one in told if event_type in (None, one["type"])]

    def deliver(self, ids: list[str] | None = None) -> list[dict[str, Any]]:
        """Send now: what is due, or the deliveries of these ids, again too. Back when all have been answered."""
        given = {} if ids is None else {"ids": ids}
        return list(self._control("POST", "deliver", given)["deliveries"])

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """Method, path, status and idempotency key of each request to the API."""
        return [one for one in self._control("GET", "requests")["requests"] if one["path"].startswith(path)]

    def _press(self, path: str, form: Mapping[str, str]) -> str | None:
        response = requests.post(f"{self.url}/{path}", data=form, allow_redirects=False, timeout=30)
        return response.headers["Location"] if response.status_code == 303 else None

    def _control(self, method: str, word: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = json.dumps(given or {}).encode() if method == "POST" else None
        response = requests.request(method, f"{self.url}/_emulator/{word}", data=body, timeout=60)
        assert response.ok, response.text
        return dict(response.json())


@pytest.fixture
def stripe_emulator() -> Iterator[Handle]:
    """Its clock stands at BEGINNING and moves by `advance` alone; webhooks wait for `deliver`."""
    world = World(frozen_at=BEGINNING)
    world.controls.webhook_mode = "held"
    with Server(world) as server:
        yield Handle(server.url, world)
