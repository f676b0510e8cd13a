"""Do webhooks arrive signed, and as badly as asked for?"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stripe

from .fixtures import BEGINNING, Handle
from .server import Server
from .world import World

SECRET = "whsec_test"


@dataclass
class Receiver:
    """Verifies as a program would, and answers as it is told."""

    client: stripe.StripeClient
    answers: list[int] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    url: str = ""

    def hear(self, body: bytes, signature: str) -> int:
        status = self.answers.pop(0) if self.answers else 200
        self.heard.append(self.client.construct_event(body, signature, SECRET).data.object.email)
        self.arrived.release()
        return status


@pytest.fixture
def receiver(stripe_emulator: Handle) -> Iterator[Receiver]:
    made = Receiver(stripe_emulator.client)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(made.hear(body, self.headers["Stripe-Signature"]))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/hook?of=stripe"
    stripe_emulator.controls(webhook_secret=SECRET)
    endpoint = {"url": made.url, "enabled_events": ["customer.created"]}
    assert stripe_emulator.client.v1.webhook_endpoints.create(endpoint).secret == SECRET  # type: ignore[arg-type]
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def _three(handle: Handle) -> list[str]:
    names = [f"{name}@example.test" for name in "abc"]
    for name in names:
        customer = handle.client.v1.customers.create({"email": name})
        handle.client.v1.customers.update(customer.id, {"name": "told to nobody"})
    return names


@pytest.mark.parametrize(
    ("controls", "heard"),
    [
        ({}, "abc"),
        ({"webhook_reversed": True}, "cba"),
        ({"webhook_copies": 2}, "aabbcc"),
        ({"webhook_drop": 2}, "c"),
    ],
)
def test_events_arrive_as_badly_as_asked_for(
    stripe_emulator: Handle, receiver: Receiver, controls: dict[str, Any], heard: str
) -> None:
    stripe_emulator.controls(**controls)
    _three(stripe_emulator)

    stripe_emulator.deliver()

    assert [name[0] for name in receiver.heard] == list(heard)


def test_a_delayed_event_waits_for_its_time(stripe_emulator: Handle, receiver: Receiver) -> None:
    stripe_emulator.controls(webhook_delay_seconds=3 * 86_400)
    _three(stripe_emulator)
    assert stripe_emulator.deliver() == []

    stripe_emulator.advance(seconds=3 * 86_400)

    assert len(stripe_emulator.deliver()) == 3


def test_what_was_not_taken_comes_again(stripe_emulator: Handle, receiver: Receiver) -> None:
    receiver.answers = [500, 400]
    names = _three(stripe_emulator)
    stripe_emulator.deliver()
    assert [one["state"] for one in stripe_emulator.deliveries()] == ["pending", "pending", "delivered"]

    stripe_emulator.advance(seconds=60)
    stripe_emulator.deliver()

    assert receiver.heard == [*names, *names[:2]]
    assert {one["state"] for one in stripe_emulator.deliveries()} == {"delivered"}


def test_any_delivery_can_be_sent_again(stripe_emulator: Handle, receiver: Receiver) -> None:
    names = _three(stripe_emulator)
    ids = [one["id"] for one in stripe_emulator.deliveries()]

    stripe_emulator.deliver([ids[2], ids[0], ids[2]])

    assert receiver.heard == [names[2], names[0], names[2]]


def test_events_go_out_by_themselves(stripe_emulator: Handle, receiver: Receiver) -> None:
    stripe_emulator.controls(webhook_mode="auto")
    names = _three(stripe_emulator)

    for _ in names:
        assert receiver.arrived.acquire(timeout=30)

    assert receiver.heard == names


def test_what_was_bought_outlives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "stripe.json"
    with Server(World(frozen_at=BEGINNING, state_path=path)) as server:
        made = Handle(server.url, server.emulator.world).client.v1.customers.create({"email": "a@example.test"})

    world = World(frozen_at=BEGINNING, state_path=path)
    world.load()
    with Server(world) as server:
        assert Handle(server.url, world).client.v1.customers.retrieve(made.id).email == "a@example.test"
