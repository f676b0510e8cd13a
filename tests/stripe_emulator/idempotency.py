"""Was this POST already answered, under the key that its sender gave it?"""

import hashlib
import threading
from dataclasses import dataclass, field

from .errors import IdempotencyClash
from .world import DAY_SECONDS, Object, World

KEPT_SECONDS = DAY_SECONDS
KEY_LENGTH_MAX = 255


@dataclass
class Keys:
    """Answers are kept in the world; what is in flight is known to this process alone."""

    in_flight: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, world: World, key: str, print_: str) -> Object | None:
        """The kept answer, or None: run it, and `finish` in any case."""
        if len(key) > KEY_LENGTH_MAX:
            raise IdempotencyClash(f"Idempotency key too long: at most {KEY_LENGTH_MAX} characters.")
        with self.lock:
            if key in self.in_flight:
                raise IdempotencyClash(
                    "There is currently another in-progress request using this Idempotent Key (that probably means "
                    f"you submitted twice, and the other request is still going through): {key}.",
                    code="idempotency_key_in_use",
                    status=409,
                )
            kept = world.kind("_idempotency").get(key)
            if kept and kept["at"] + KEPT_SECONDS > world.now():
                if kept["print"] != print_:
                    raise IdempotencyClash(
                        "Keys for idempotent requests can only be used with the same parameters they were first used "
                        f"with. Try using a key other than '{key}' if you meant to execute a different request."
                    )
                return kept
            self.in_flight.add(key)
            return None

    def finish(self, key: str) -> None:
        with self.lock:
            self.in_flight.discard(key)


def keep(world: World, key: str, print_: str, status: int, body: Object) -> None:
    kept = world.kind("_idempotency")
    kept.pop(key, None)
    kept[key] = {"id": key, "print": print_, "status": status, "body": body, "at": world.now()}
    for old in [key for key, one in kept.items() if one["at"] + KEPT_SECONDS <= world.now()]:
        del kept[old]


def fingerprint(method: str, path: str, body: str) -> str:
    return hashlib.sha256(f"{method} {path}\n{body}".encode()).hexdigest()
