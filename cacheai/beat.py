"""When does the clock call again, if somebody put it back?

Celery's own scheduler waits until the clock is where it was: for as long no sweep finds what was lost, no mail is sent
and no limit corrected.
"""

from celery.beat import PersistentScheduler


class Scheduler(PersistentScheduler):  # type: ignore[misc]
    def tick(self) -> float:
        early = [entry for entry in self.schedule.values() if entry.last_run_at > entry.default_now()]
        for entry in early:
            entry.last_run_at = entry.default_now()
        if early:
            self._heap = None  # It is ordered by the time that was; the next tick makes it anew.
        seconds: float = super().tick()
        return seconds
