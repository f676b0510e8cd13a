"""Who reads an answer to its end when the caller has hung up?"""

import threading
from collections.abc import Callable

DRAINS_MAX = 32  # per process; beyond it an abandoned answer is let go


class Drains:
    def __init__(self, most: int = DRAINS_MAX) -> None:
        self._places = threading.BoundedSemaphore(most)

    def __call__(self, read_on: Callable[[], None]) -> bool:
        """Run it in a thread of its own, which a stopping process waits for; False if there is no place."""
        if not self._places.acquire(blocking=False):
            return False
        threading.Thread(target=self._run, args=(read_on,), name="drain").start()
        return True

    def _run(self, read_on: Callable[[], None]) -> None:
        try:
            read_on()
        finally:
            self._places.release()
