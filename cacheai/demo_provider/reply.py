"""What does a protocol hand back to be written: one body, or events?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cacheai.demo_provider.behaviour import Behaviour

Json = dict[str, Any]

# A field no client knows: whoever passes bodies on must keep it.
UNKNOWN_FIELD = "demo_provider"


@dataclass(frozen=True)
class Stamp:
    """What makes an answer this call's own."""

    token: str
    created_unix_seconds: int
    call_number: int
    body_sha256: str

    @property
    def unknown(self) -> Json:
        return {"call": self.call_number, "body_sha256": self.body_sha256, "note": "not a model's answer"}


@dataclass(frozen=True)
class Event:
    """One server-sent event. `piece` counts for who breaks off after some; `closing` ends the answer."""

    data: Json | str
    name: str | None = None
    piece: bool = False
    closing: bool = False


@dataclass(frozen=True)
class Plain:
    body: Json


@dataclass(frozen=True)
class Stream:
    events: Iterator[Event]
    broken: Event
    """Sent in place of the rest when the provider fails midway."""


Reply = Plain | Stream


def with_failure(stream: Stream, behaviour: Behaviour) -> Iterator[Event]:
    """The events, until the provider fails as it was told to."""
    pieces = 0
    for event in stream.events:
        if behaviour.error_after_chunks is not None and (
            event.closing or (event.piece and pieces == behaviour.error_after_chunks)
        ):
            yield _in_place_of(event, stream.broken)
            return
        pieces += event.piece
        yield event


def _in_place_of(event: Event, broken: Event) -> Event:
    """With the number of the event that does not come, where a protocol numbers them."""
    if isinstance(event.data, str) or isinstance(broken.data, str) or "sequence_number" not in event.data:
        return broken
    return replace(broken, data=broken.data | {"sequence_number": event.data["sequence_number"]})
