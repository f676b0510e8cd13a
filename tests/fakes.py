"""One small class per port, for tests that are not about the real one."""

import math
from array import array
from collections.abc import Mapping, Sequence
from uuid import UUID

from cache_api.domain.blocklist import FLOOR, Match
from cache_api.domain.call import Call
from cache_api.domain.checking import Wanted
from cache_api.domain.confidence import shipped
from cache_api.domain.decision import Hit
from cache_api.domain.entry import Candidate, Entry, NewEntry, Vector
from cache_api.domain.request import Caller, Request
from cache_api.ports import Arriving, CacheUnavailable, Flight, UpstreamError

DIMENSIONS = 384


class FixedEmbedder:
    """Texts of one group have the cosine asked for; all others stand at right angles."""

    def __init__(self, near: Mapping[str, tuple[str, float]] = {}) -> None:
        self.version = shipped().embedder  # so that its cosines are judged like the default model's
        self.near = dict(near)  # text -> the text it resembles, and how much
        self.down = False
        self.asked: list[str] = []
        self._axes: dict[str, int] = {}

    def embed(self, text: str, deadline_seconds: float) -> Vector:
        if self.down:
            raise CacheUnavailable("deadline")
        self.asked.append(text)
        like, cosine = self.near.get(text, (text, 1.0))
        vector = [0.0] * DIMENSIONS
        vector[self._axis(like)] = cosine
        if cosine < 1:
            vector[self._axis(text)] = math.sqrt(1 - cosine**2)
        return Vector(array("f", vector).tobytes(), embedder=self.version)

    def embed_many(self, texts: Sequence[str], deadline_seconds: float) -> list[Vector]:
        return [self.embed(text, deadline_seconds) for text in texts]

    def _axis(self, text: str) -> int:
        return self._axes.setdefault(text, len(self._axes) % DIMENSIONS)


class MemoryStore:
    """Entries in a dict; every part of it can be made to fail."""

    def __init__(self) -> None:
        self.entries: dict[bytes, NewEntry] = {}
        self.down: set[str] = set()  # names of methods that are out of order
        self.broken: set[str] = set()  # names of methods that have a mistake

    def find_exact(self, request: Request) -> Entry | None:
        self._fail("find_exact")
        found = self.entries.get(request.fingerprint)
        return None if found is None else found.as_entry()

    def search(
        self, request: Request, vector: Vector, *, limit: int, at_least: float, checked: bool
    ) -> list[Candidate]:
        self._fail("search")
        inside = [entry for entry in self.entries.values() if entry.scope == request.scope and entry.vector]
        near = [Candidate(entry.as_entry(), cosine(vector, entry.vector or b"")) for entry in inside]
        nearest = sorted(near, key=lambda candidate: -candidate.similarity)[:limit]
        return [candidate for candidate in nearest if candidate is nearest[0] or candidate.similarity >= at_least]

    def put(self, entry: NewEntry) -> UUID:
        self._fail("put")
        self.entries[entry.fingerprint] = entry
        return entry.id

    def find_many(self, caller: Caller, fingerprints: Sequence[bytes]) -> dict[bytes, Entry]:
        self._fail("find_many")
        return {key: self.entries[key].as_entry() for key in fingerprints if key in self.entries}

    def put_many(self, entries: Sequence[NewEntry]) -> None:
        self._fail("put_many")
        self.entries.update({entry.fingerprint: entry for entry in entries})

    def _fail(self, name: str) -> None:
        if name in self.down:
            raise CacheUnavailable
        if name in self.broken:
            raise KeyError(name)


class ListedTexts:
    """A blocklist of very texts, and of whatever vector is near one of theirs."""

    def __init__(self) -> None:
        self.listed: list[tuple[str, bytes]] = []
        self.counted: list[int] = []
        self.broken: Exception | None = None

    def match(self, caller: Caller, texts: Sequence[str], vector: Vector | None) -> Match | None:
        if self.broken is not None:
            raise self.broken
        near = [
            (1.0 if listed in texts else cosine(vector, its) if vector else 0.0, number, listed)
            for number, (listed, its) in enumerate(self.listed, 1)
        ]
        similarity, number, listed = max(near, default=(0.0, 0, ""))
        return Match(number, listed, "not for us", "general", 1, similarity, 0) if similarity >= FLOOR else None

    def count(self, caller: Caller, match: Match) -> None:
        self.counted.append(match.id)


class LoneFlights:
    """Nobody else asks; it notes what landed."""

    def __init__(self) -> None:
        self.landed: list[Hit | None] = []
        self.elsewhere: Hit | None = None  # what another process bought meanwhile

    def enter(self, request: Request, *, seconds: float) -> Flight:
        return Flight(None, lambda: self.elsewhere, self.landed.append)


class NoLimits:
    """Counts nothing and refuses nobody."""

    def enter(self, request: Request) -> Request:
        return request

    def buy(self, request: Request) -> int:
        return 0

    def note(self, request: Request, call: Call | None, *, tokens: int) -> None:
        pass


class NotedChecks:
    def __init__(self) -> None:
        self.wanted: list[Wanted] = []

    def want(self, wanted: Wanted) -> None:
        self.wanted.append(wanted)


class ListLedger:
    def __init__(self) -> None:
        self.calls: list[Call] = []

    def record(self, call: Call) -> None:
        self.calls.append(call)


class ScriptedProvider:
    """Answers each send with the next of its scripts: an answer, or an error to raise."""

    def __init__(self, *script: Arriving | UpstreamError) -> None:
        self.script = list(script)
        self.bodies: list[bytes] = []

    def send(self, request: Request, body: bytes) -> Arriving:
        self.bodies.append(body)
        answer = self.script.pop(0)
        if isinstance(answer, UpstreamError):
            raise answer
        return answer


def cosine(one: bytes, other: bytes) -> float:
    return sum(a * b for a, b in zip(array("f", one), array("f", other), strict=True))
