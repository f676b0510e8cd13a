"""Which of the next requests go wrong, and how?"""

import threading
from dataclasses import dataclass, field

from .errors import InvalidRequest

# before: nothing has happened; after: it has, and the caller does not learn of it.
KINDS = frozenset({"429", "500", "500_after", "timeout_before", "timeout_after", "hold_before", "hold_after"})
HOLD_SECONDS_MAX = 30


@dataclass
class Fault:
    kind: str
    times: int = 1
    method: str = ""  # any
    path: str = ""  # the beginning of one

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidRequest(f"Unknown fault {self.kind}: one of {', '.join(sorted(KINDS))}", param="kind")


@dataclass
class Faults:
    waiting: list[Fault] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        with self._lock:
            self.released.clear()
            self.waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self.waiting.clear()
            self.released.set()

    def take(self, method: str, path: str) -> str | None:
        with self._lock:
            for fault in self.waiting:
                if path.startswith(fault.path) and fault.method in ("", method):
                    fault.times -= 1
                    if fault.times <= 0:
                        self.waiting.remove(fault)
                    return fault.kind
        return None

    def hold(self) -> None:
        """Until /_emulator/release: a request in flight, with no guess at how long that takes."""
        self.released.wait(HOLD_SECONDS_MAX)
