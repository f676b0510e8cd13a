"""How do many callers share one trip? While one is under way, the next one collects."""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Overdue(Exception):
    """The answer did not come within the caller's time."""


class _Ticket(Generic[T, R]):
    """One caller's item, and the answer it waits for."""

    __slots__ = ("answer", "done", "due", "error", "item")

    def __init__(self, item: T, due: float) -> None:
        self.item = item
        self.due = due
        self.done = threading.Event()
        self.answer: R | None = None
        self.error: Exception | None = None


class Gatherer(Generic[T, R]):
    """Runs batches one after the other in a thread of its own; what arrives meanwhile becomes the next batch.

    There is no waiting window: a lone caller leaves at once, and the busier it gets the larger the batches
    are. A caller waits for its own time only, even when the batch hangs.
    """

    def __init__(
        self,
        run_batch: Callable[[list[T]], Sequence[R]],
        *,
        max_batch: int = 32,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_batch = run_batch
        self._max_batch = max_batch
        self._now = now
        self._arrived = threading.Condition()
        self._waiting: deque[_Ticket[T, R]] = deque()
        self._thread: threading.Thread | None = None
        # A forked child has neither the thread nor a usable lock. Weak, as the hook itself is never removed.
        start_afresh = weakref.WeakMethod(self._start_afresh)
        os.register_at_fork(after_in_child=lambda: (method := start_afresh()) and method())

    def submit(self, item: T, timeout_seconds: float) -> R:
        """Raises Overdue, or what `run_batch` raised."""
        return self.submit_all([item], timeout_seconds)[0]

    def submit_all(self, items: Sequence[T], timeout_seconds: float) -> list[R]:
        due = self._now() + timeout_seconds
        tickets: list[_Ticket[T, R]] = [_Ticket(item, due) for item in items]
        with self._arrived:
            self._waiting.extend(tickets)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gatherer", daemon=True)
                self._thread.start()
            self._arrived.notify()
        return [self._wait_for(ticket) for ticket in tickets]

    def _wait_for(self, ticket: _Ticket[T, R]) -> R:
        if not ticket.done.wait(max(0.0, ticket.due - self._now())):
            raise Overdue
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer  # type: ignore[return-value]  # done without an error: the answer is there

    def _run(self) -> None:
        while True:
            with self._arrived:
                while not self._waiting:
                    self._arrived.wait()
                batch = self._next_batch()
            if batch:
                self._answer(batch)

    def _next_batch(self) -> list[_Ticket[T, R]]:
        """Who gave up waiting is left out: nobody would read that answer."""
        now = self._now()
        batch: list[_Ticket[T, R]] = []
        while self._waiting and len(batch) < self._max_batch:
            ticket = self._waiting.popleft()
            if ticket.due > now:
                batch.append(ticket)
        return batch

    def _answer(self, batch: list[_Ticket[T, R]]) -> None:
        try:
            answers = self._run_batch([ticket.item for ticket in batch])
            for ticket, answer in zip(batch, answers, strict=True):
                ticket.answer = answer
        except Exception as error:  # noqa: BLE001 (it is raised again, by each caller of this batch)
            for ticket in batch:
                ticket.error = error
        for ticket in batch:
            ticket.done.set()

    def _start_afresh(self) -> None:
        self._arrived = threading.Condition()
        self._waiting = deque()
        self._thread = None
