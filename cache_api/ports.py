"""What does the service need from the world?

CacheError
├── CacheUnavailable   a part of ours is broken or late: the call goes on without the cache
└── UpstreamError      no answer came from the provider
    ├── UpstreamUnreachable
    ├── UpstreamTimeout
    ├── UpstreamRefused    an address that may not be dialled
    └── Saturated          too many calls wait for providers already
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cache_api.domain.blocklist import Match
from cache_api.domain.call import Call
from cache_api.domain.checking import Wanted
from cache_api.domain.decision import Hit
from cache_api.domain.entry import Candidate, Entry, NewEntry, Vector
from cache_api.domain.request import Caller, Request
from cache_api.domain.signals import Signals


class CacheError(Exception):
    """Something between the caller and the answer failed."""


class CacheUnavailable(CacheError):
    """A part of the cache is broken or late."""

    def __init__(self, reason: str = "cache_unavailable") -> None:
        super().__init__(reason)
        self.reason = reason  # "cache_unavailable" or "deadline": a Bypass reason


class UpstreamError(CacheError):
    """No answer came from the provider."""

    status = 502
    code = "upstream_unreachable"
    signals: Signals | None = None  # of the call that it befell, once that was decided


class UpstreamUnreachable(UpstreamError):
    """The provider could not be reached."""


class UpstreamTimeout(UpstreamError):
    """The provider did not answer in time."""

    status = 504
    code = "upstream_timeout"


class UpstreamRefused(UpstreamError):
    """The address may not be dialled: it is private, not https, or malformed."""

    status = 400
    code = "base_url_not_allowed"


class Saturated(UpstreamError):
    """Too many calls wait for providers at the moment. Try again shortly."""

    status = 503
    code = "unavailable"


@dataclass(slots=True)
class Arriving:
    """A provider's answer on its way: status and headers are here, the body comes in chunks."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    chunks: Iterator[bytes]
    first_byte_ms: int = 0

    def close(self) -> None:
        """Stop reading and drop the connection."""
        close = getattr(self.chunks, "close", None)
        if close is not None:
            close()


class Store(Protocol):
    def find_exact(self, request: Request) -> Entry | None: ...

    def search(
        self, request: Request, vector: Vector, *, limit: int, at_least: float, checked: bool
    ) -> list[Candidate]:
        """Of the `limit` nearest those that reach the cosine `at_least`, and the nearest in any case.

        With `checked`, each with what was said of its answer.
        """

    def put(self, entry: NewEntry) -> UUID: ...


class ManyStore(Protocol):
    def find_many(self, caller: Caller, fingerprints: Sequence[bytes]) -> dict[bytes, Entry]:
        """The entries under these Fingerprints, expired or not. Raises CacheUnavailable."""

    def put_many(self, entries: Sequence[NewEntry]) -> None:
        """Store them all, each in the place of one with the same Fingerprint. Raises CacheUnavailable."""


class Blocklist(Protocol):
    def match(self, caller: Caller, texts: Sequence[str], vector: Vector | None) -> Match | None:
        """The live listed question that is one of the texts, or else the nearest to the vector, from the floor up.

        The vector is the first text's. Raises CacheUnavailable.
        """

    def count(self, caller: Caller, match: Match) -> None:
        """One more call met it. Never raises."""


class Embedder(Protocol):
    def embed(self, text: str, deadline_seconds: float) -> Vector:
        """Raises CacheUnavailable."""


class Upstream(Protocol):
    def send(self, request: Request, body: bytes) -> Arriving:
        """Ask the provider. Raises UpstreamError; a provider's own error is an answer like any other."""


@dataclass(slots=True)
class Flight:
    """One call's part among identical calls under way."""

    landed: Hit | None  # what another call of this process came to; then nothing else is to be done
    depart: Callable[[], Hit | None]  # before buying: what another process bought meanwhile, or None
    land: Callable[[Hit | None], None]  # a leader must, with or without something to serve


class Flights(Protocol):
    def enter(self, request: Request, *, seconds: float) -> Flight:
        """Join identical calls under way, or lead; never raises."""


class Limits(Protocol):
    def enter(self, request: Request) -> Request:
        """The request, perhaps as one that is over quota. Raises Refused."""

    def buy(self, request: Request) -> int:
        """Before a provider is asked; how many tokens were taken for it. Raises Refused."""

    def note(self, request: Request, call: Call | None, *, tokens: int) -> None:
        """What became of it; None: it was not answered. Never raises."""


class Checks(Protocol):
    def want(self, wanted: Wanted) -> None:
        """Have this pair looked at, off this call's way. Never raises."""


class Ledger(Protocol):
    def record(self, call: Call) -> None:
        """Return when the row is safe. Never raises."""
