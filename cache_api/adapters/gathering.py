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
    """One caller's item, and the lock it waits for: until there is an answer, or until it is its turn to lead."""

    __slots__ = ("answer", "done", "due", "error", "given_up", "item", "leads", "told")

    def __init__(self, item: T, due: float) -> None:
        self.item = item
        self.due = due
        self.told = threading.Lock()
        self.told.acquire()
        self.done = self.leads = self.given_up = False
        self.answer: R | None = None
        self.error: Exception | None = None


class Gatherer(Generic[T, R]):
    """Runs batches one after the other, each in the thread of a caller whose item is in it.

    Who finds nobody under way leads: takes what waits along, and hands the lead to the first who came meanwhile. There
    is no waiting window and no thread to be woken: a lone caller leaves at once, and the busier it gets the larger the
    batches are. Who waits does so for its own time only; who leads, for as long as `run_batch` takes.
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
        self._start_afresh()
        # A forked child has not the threads that hold these locks. Weak, as the hook itself is never removed.
        start_afresh = weakref.WeakMethod(self._start_afresh)
        os.register_at_fork(after_in_child=lambda: (method := start_afresh()) and method())

    def submit(self, item: T, timeout_seconds: float) -> R:
        """Raises Overdue, or what `run_batch` raised."""
        return self.submit_all([item], timeout_seconds)[0]

    def submit_all(self, items: Sequence[T], timeout_seconds: float) -> list[R]:
        due = self._now() + timeout_seconds
        tickets: list[_Ticket[T, R]] = [_Ticket(item, due) for item in items]
        self._waiting.extend(tickets)
        try:
            if tickets and self._leading.acquire(blocking=False):
                self._lead(tickets[0])
            return [self._answer_to(ticket) for ticket in tickets]
        except BaseException:
            for ticket in tickets:
                self._leave(ticket)
            raise

    def _answer_to(self, ticket: _Ticket[T, R]) -> R:
        if not ticket.told.acquire(timeout=max(0.0, ticket.due - self._now())) and self._gives_up(ticket):
            raise Overdue
        if not ticket.done:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer  # type: ignore[return-value]  # done without an error: the answer is there

    def _lead(self, own: _Ticket[T, R]) -> None:
        """With `_leading` held: run batches until one's own item is done, then hand the lead on."""
        own.told.acquire(blocking=False)  # Chosen in the moment its time was up: nobody has taken the word yet.
        while not own.done:
            self._run(self._next_batch())
        self._stop_leading()

    def _stop_leading(self) -> None:
        while not self._hands_on():
            self._leading.release()
            # Who lined up just before the release found the lead taken, and waits.
            if not self._waiting or not self._leading.acquire(blocking=False):
                return

    def _next_batch(self) -> list[_Ticket[T, R]]:
        """Who gave up waiting is left out: nobody would read that answer."""
        batch: list[_Ticket[T, R]] = []
        while self._waiting and len(batch) < self._max_batch:
            ticket = self._waiting.popleft()
            if not ticket.given_up:
                batch.append(ticket)
        return batch

    def _run(self, batch: list[_Ticket[T, R]]) -> None:
        try:
            answers = self._run_batch([ticket.item for ticket in batch])
            for ticket, answer in zip(batch, answers, strict=True):
                ticket.answer = answer
        except Exception as error:  # noqa: BLE001 (it is raised again, by each caller of this batch)
            for ticket in batch:
                ticket.error = error
        for ticket in batch:
            ticket.done = True
            ticket.told.release()

    def _hands_on(self) -> bool:
        with self._choosing:
            while self._waiting:
                heir = self._waiting[0]
                if not heir.given_up:
                    heir.leads = True
                    heir.told.release()
                    return True
                self._waiting.popleft()
        return False

    def _leave(self, ticket: _Ticket[T, R]) -> None:
        """Nobody will ask for this answer; were the ticket chosen to lead, nobody would."""
        if not self._gives_up(ticket) and not ticket.done:
            ticket.given_up = True
            self._stop_leading()

    def _gives_up(self, ticket: _Ticket[T, R]) -> bool:
        with self._choosing:
            ticket.given_up = not (ticket.leads or ticket.done)
        return ticket.given_up

    def _start_afresh(self) -> None:
        self._waiting: deque[_Ticket[T, R]] = deque()
        self._leading = threading.Lock()  # Goes from hand to hand.
        self._choosing = threading.Lock()  # Who waits either gives up or is chosen.
