"""What was the provider asked so far, and how did each call end?"""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from cacheai.demo_provider.behaviour import Behaviour

REMEMBERED_CALLS = 1000


@dataclass
class SeenCall:
    """Written on until it has ended: `finished` or `client_gone` or neither, if the provider broke it off."""

    number: int
    method: str
    path: str
    model: str | None
    stream: bool
    body_bytes: int
    body_sha256: str
    headers: Mapping[str, str]
    arrived_unix_seconds: float
    status: int | None = None
    ended: bool = False
    client_gone: bool = False
    finished: bool = False


class CallLog:
    """Shared by all connections. Its lock is held for moments only; `wait` gives it up."""

    _total: int
    _ended: int
    _most_under_way: int

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._behaviour = Behaviour()
        self._failures_left: int | None = None
        self._numbers = count(1)  # Goes on after a reset: a call may still be under way.
        self._clear()

    def reset(self) -> None:
        with self._change:
            self._behaviour, self._failures_left = Behaviour(), None
            self._clear()

    def tell(self, settings: Mapping[str, Any]) -> None:
        with self._change:
            self._behaviour = self._behaviour.told(settings)
            self._failures_left = self._behaviour.fail_times

    def begin(self, call: SeenCall) -> Behaviour:
        """How this call is to go; one failure less is left if it is to fail."""
        with self._change:
            self._total += 1
            call.number = next(self._numbers)
            self._by_path[call.path] += 1
            self._recent.append(call)
            self._under_way.add(call.number)
            self._most_under_way = max(self._most_under_way, len(self._under_way))
            self._change.notify_all()
            if not self._behaviour.breaks or self._failures_left is None:
                return self._behaviour
            if self._failures_left == 0:
                return self._behaviour.healed()
            self._failures_left -= 1
            return self._behaviour

    def end(self, call: SeenCall, *, finished: bool, client_gone: bool) -> None:
        with self._change:
            call.ended, call.finished, call.client_gone = True, finished, client_gone
            if call.number in self._under_way:  # Else the log was reset meanwhile.
                self._under_way.discard(call.number)
                self._ended += 1
            self._change.notify_all()

    def wait(self, *, arrived: int, ended: int, timeout_seconds: float) -> bool:
        with self._change:
            return self._change.wait_for(lambda: self._total >= arrived and self._ended >= ended, timeout_seconds)

    def report(self) -> dict[str, Any]:
        with self._change:
            return {
                "settings": asdict(self._behaviour),
                "calls_total": self._total,
                "calls_ended": self._ended,
                "calls_under_way": len(self._under_way),
                "most_under_way": self._most_under_way,
                "calls_by_path": dict(self._by_path),
                "calls": [asdict(call) for call in self._recent],
            }

    def _clear(self) -> None:
        self._total = self._ended = self._most_under_way = 0
        self._by_path: Counter[str] = Counter()
        self._recent: deque[SeenCall] = deque(maxlen=REMEMBERED_CALLS)
        self._under_way: set[int] = set()


def arrived(
    *, method: str, path: str, body: bytes, sha256: str, headers: Mapping[str, str], asked: Mapping[str, Any]
) -> SeenCall:
    model = asked.get("model")
    return SeenCall(
        number=0,
        method=method,
        path=path,
        model=model if isinstance(model, str) else None,
        stream=asked.get("stream") is True,
        body_bytes=len(body),
        body_sha256=sha256,
        headers=headers,
        arrived_unix_seconds=time.time(),
    )
