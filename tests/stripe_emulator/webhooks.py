"""How do events reach the endpoints that asked for them: signed, and as late, double or disordered as wanted?"""

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

from .world import HOUR_SECONDS, Object, World

TIMEOUT_SECONDS = 10
# Stripe tries for three days, further and further apart.
RETRY_AFTER_SECONDS = (60, 300, 1800, 2 * HOUR_SECONDS, 5 * HOUR_SECONDS, *[10 * HOUR_SECONDS] * 6)


class Postman:
    """Sends outside the world's lock: a receiver may well ask back before it answers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._awake = threading.Event()
        self._sending = threading.Lock()

    def wake(self) -> None:
        self._awake.set()

    def deliver_until(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._awake.wait()
            self._awake.clear()
            if self._world.controls.webhook_mode == "auto" and not stopping.is_set():
                self.deliver_due()

    def deliver_due(self) -> list[Object]:
        with self._sending:
            with self._world.lock:
                due = [
                    one for one in self._world.where("_delivery", state="pending") if one["due_at"] <= self._world.now()
                ]
                if self._world.controls.webhook_reversed:
                    due.reverse()
            for delivery in due:
                self.deliver(delivery)
            return due

    def deliver(self, delivery: Object) -> None:
        """As often as copies are wanted; the last answer counts."""
        with self._world.lock:
            endpoint = self._world.kind("webhook_endpoint").get(delivery["endpoint"], {})
            if self._world.controls.webhook_drop > 0 or endpoint.get("status") != "enabled":
                self._world.controls.webhook_drop = max(0, self._world.controls.webhook_drop - 1)
                delivery["state"] = "dropped"
                return
            copies = self._world.controls.webhook_copies
        for _ in range(copies):
            delivery["attempts"].append(post(endpoint["url"], *self.letter(delivery)))
        with self._world.lock:
            self._settle(delivery)
            self._world.save()

    def letter(self, delivery: Object) -> tuple[bytes, dict[str, str]]:
        """The body and the headers. A signature tells the time of sending, which no test clock moves."""
        from stripe import WebhookSignature

        event = self._world.kind("event")[delivery["event"]]
        secret = self._world.kind("_secret")[delivery["endpoint"]]["secret"]
        payload = json.dumps(event, indent=2)
        signature = WebhookSignature.generate_signature_header(payload, secret, timestamp=int(time.time()))
        return payload.encode(), {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature,
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }

    def _settle(self, delivery: Object) -> None:
        tries = len(delivery["attempts"])
        if 200 <= delivery["attempts"][-1] < 300:
            delivery["state"] = "delivered"
            self._world.kind("event")[delivery["event"]]["pending_webhooks"] -= 1
        elif tries > len(RETRY_AFTER_SECONDS):
            delivery["state"] = "failed"
        else:
            delivery["due_at"] = self._world.now() + RETRY_AFTER_SECONDS[tries - 1]


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status, or 0 where nobody answers."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
