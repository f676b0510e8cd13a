"""What does the emulated Stripe know, and what time is it there?

Everything is plain JSON in `objects`, by the kind of object and its id, newest last, so that it can be kept in a file.
Kinds that begin with an underscore are our own notes, which the API never shows.
"""

import contextlib
import copy
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import InvalidRequest, no_such

Object = dict[str, Any]

API_VERSION = "2026-10-28.endive"
# Kinds that can be many, and that are only ever added to by what may be taken back.
_NEVER_CHANGED = frozenset(
    {"event", "_delivery", "_counted", "_identifier", "_idempotency", "_card", "_tiers", "_secret"}
)

HOUR_SECONDS = 3600
DAY_SECONDS = 86400


@dataclass
class Controls:
    """What Stripe leaves to the account's settings, or to chance."""

    invoice_grace_seconds: int = HOUR_SECONDS  # a draft's time before it is finalized
    retry_after_seconds: tuple[int, ...] = (3 * DAY_SECONDS, 5 * DAY_SECONDS, 7 * DAY_SECONDS)
    after_last_retry: str = "unpaid"  # or canceled, past_due
    summary_lag_seconds: int = 0  # a meter event is counted at once, its summary shows it later
    pending_update_takes_metered: bool = True
    webhook_secret: str | None = None  # one for all endpoints, where the receiver starts first
    webhook_mode: str = "auto"  # or held: only /_emulator/deliver sends
    webhook_copies: int = 1
    webhook_delay_seconds: int = 0
    webhook_reversed: bool = False  # what is due at the same moment goes out last first
    webhook_drop: int = 0  # that many next deliveries are lost, as if the receiver had never been reached


@dataclass
class World:
    root: str = ""  # where the pages of checkout and portal are
    frozen_at: int | None = None  # None: the emulator's clock runs
    state_path: Path | None = None
    objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    controls: Controls = field(default_factory=Controls)
    offset_seconds: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    emitted: Callable[[], None] = lambda: None
    _acting_at: int | None = None  # while time passes, the moment of what happens
    _request: Object | None = None

    # Time

    def now(self) -> int:
        if self._acting_at is not None:
            return self._acting_at
        return self.frozen_at if self.frozen_at is not None else int(time.time()) + self.offset_seconds

    def now_of(self, owner: Object | None) -> int:
        """The time of a customer, or of what belongs to one: its test clock's, or the emulator's."""
        clock = self.clock_of(owner)
        return int(clock["frozen_time"]) if clock else self.now()

    def clock_of(self, owner: Object | None) -> Object | None:
        clock_id = owner and (owner.get("test_clock") or self._customer_clock(owner))
        return self.kind("test_helpers.test_clock").get(clock_id) if clock_id else None

    def _customer_clock(self, owner: Object) -> str | None:
        customer = owner.get("customer")
        return self.kind("customer").get(customer, {}).get("test_clock") if isinstance(customer, str) else None

    @contextlib.contextmanager
    def acting_at(self, moment: int) -> Iterator[None]:
        before, self._acting_at = self._acting_at, moment
        try:
            yield
        finally:
            self._acting_at = before

    def set_now(self, moment: int) -> None:
        if self.frozen_at is not None:
            self.frozen_at = moment
        else:
            self.offset_seconds += moment - self.now()

    # Objects

    def kind(self, kind: str) -> dict[str, Object]:
        return self.objects.setdefault(kind, {})

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{uuid.uuid4().hex[:24]}"

    def add(self, thing: Object, *, silent: bool = False) -> Object:
        self.kind(thing["object"])[thing["id"]] = thing
        if not silent:
            self.emit(f"{thing['object']}.created", thing)
        return thing

    def get(self, kind: str, object_id: str, param: str = "id", *, in_path: bool = False) -> Object:
        found = self.kind(kind).get(object_id)
        if found is None or found.get("deleted"):
            raise no_such(kind.rpartition(".")[2].replace("_", " "), object_id, param, in_path=in_path)
        return found

    def where(self, kind: str, **wanted: Any) -> list[Object]:
        """Oldest first."""
        return [
            thing
            for thing in self.kind(kind).values()
            if not thing.get("deleted") and all(thing.get(name) == value for name, value in wanted.items())
        ]

    def snapshot(self) -> dict[str, dict[str, Object]]:
        """For `restore`: what was found before is stale after that, and found again by its id."""
        return {
            kind: dict(things) if kind in _NEVER_CHANGED else copy.deepcopy(things)
            for kind, things in self.objects.items()
        }

    def restore(self, snapshot: dict[str, dict[str, Object]]) -> None:
        self.objects = snapshot

    # Events

    @contextlib.contextmanager
    def during(self, request_id: str | None, idempotency_key: str | None) -> Iterator[None]:
        self._request = {"id": request_id, "idempotency_key": idempotency_key}
        try:
            yield
        finally:
            self._request = None

    def emit(self, event_type: str, thing: Object, *, previous: Object | None = None) -> None:
        if thing["object"].startswith("_"):
            return
        data: Object = {"object": copy.deepcopy(thing)}
        if previous is not None:
            data["previous_attributes"] = copy.deepcopy(previous)
        event = {
            "id": self.new_id("evt"),
            "object": "event",
            "account": None,
            "api_version": API_VERSION,
            "context": None,
            "created": self.now_of(thing),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": self._request or {"id": None, "idempotency_key": None},
            "type": event_type,
        }
        self.kind("event")[event["id"]] = event
        for endpoint in self.where("webhook_endpoint", status="enabled"):
            if event_type in endpoint["enabled_events"] or "*" in endpoint["enabled_events"]:
                event["pending_webhooks"] += 1
                delivery_id = self.new_id("dlv")
                self.kind("_delivery")[delivery_id] = {
                    "id": delivery_id,
                    "event": event["id"],
                    "endpoint": endpoint["id"],
                    "due_at": self.now() + self.controls.webhook_delay_seconds,
                    "attempts": [],  # an HTTP status each, 0 for no answer
                    "state": "pending",  # then delivered, dropped, failed
                }

    def change(self, thing: Object, event_type: str | None = None, /, **values: Any) -> None:
        """Write what differs and say so in an event; the same again is silence."""
        previous = {name: thing.get(name) for name, value in values.items() if thing.get(name) != value}
        if not previous:
            return
        thing.update(values)
        self.emit(event_type or f"{thing['object']}.updated", thing, previous=previous)

    # What outlives the process

    def save(self) -> None:
        if self.state_path is None:
            return
        draft = self.state_path.with_suffix(".draft")
        content = {"objects": self.objects, "controls": asdict(self.controls), "offset_seconds": self.offset_seconds}
        draft.write_text(json.dumps(content))
        draft.chmod(0o600)
        draft.replace(self.state_path)

    def load(self) -> None:
        if self.state_path is None or not self.state_path.exists():
            return
        content = json.loads(self.state_path.read_text())
        self.objects, self.offset_seconds = content["objects"], content["offset_seconds"]
        self.controls = Controls(**content["controls"])


def merged_metadata(before: Object | None, given: Any) -> Object:
    """An empty value unsets its key, and an empty string all of them."""
    if given == "":
        return {}
    merged = {**(before or {}), **(given or {})}
    for name, value in merged.items():
        if len(name) > 40:
            raise InvalidRequest(f"Metadata keys can be up to 40 characters long: {name}", param="metadata")
        if len(str(value)) > 500:
            raise InvalidRequest("Metadata values can have up to 500 characters.", param=f"metadata[{name}]")
    if len(merged) > 50:
        raise InvalidRequest("You can have up to 50 metadata keys.", param="metadata")
    return {name: value for name, value in merged.items() if value != ""}
