"""One small class per port, for tests that are not about the real one."""

import math
from array import array
from collections.abc import Mapping, Sequence

from cache_api.ports import CacheUnavailable

DIMENSIONS = 384


class FixedEmbedder:
    """Texts of one group have the cosine asked for; all others stand at right angles."""

    def __init__(self, near: Mapping[str, tuple[str, float]] = {}) -> None:  # noqa: B006 (never written to)
        self.version = "fixed-1"
        self.near = dict(near)  # text -> the text it resembles, and how much
        self.down = False
        self.asked: list[str] = []
        self._axes: dict[str, int] = {}

    def embed(self, text: str, deadline_seconds: float) -> bytes:
        if self.down:
            raise CacheUnavailable("deadline")
        self.asked.append(text)
        like, cosine = self.near.get(text, (text, 1.0))
        vector = [0.0] * DIMENSIONS
        vector[self._axis(like)] = cosine
        if cosine < 1:
            vector[self._axis(text)] = math.sqrt(1 - cosine**2)
        return array("f", vector).tobytes()

    def embed_many(self, texts: Sequence[str], deadline_seconds: float) -> list[bytes]:
        return [self.embed(text, deadline_seconds) for text in texts]

    def _axis(self, text: str) -> int:
        return self._axes.setdefault(text, len(self._axes) % DIMENSIONS)
