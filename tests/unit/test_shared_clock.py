"""Do machines whose clocks differ agree on when a question is too old?"""

import pytest

from cache_api.adapters.shared_clock import READ_SECONDS, SharedClock


class Machine:
    """Its clock runs as Redis's does, and shows another time; what it asks takes its time both ways."""

    def __init__(self, redis_seconds: list[float], *, ahead: float, there: float = 0.0, back: float = 0.0) -> None:
        self.redis_seconds, self.ahead, self.there, self.back = redis_seconds, ahead, there, back
        self.readings = 0
        self.clock = SharedClock(self.read, now=lambda: self.redis_seconds[0] + self.ahead)

    def read(self) -> tuple[int, int]:
        self.readings += 1
        self.redis_seconds[0] += self.there
        seconds, rest = divmod(self.redis_seconds[0], 1)
        self.redis_seconds[0] += self.back
        return int(seconds), int(rest * 1e6)


@pytest.mark.parametrize("ahead", [-3600.0, -0.15, 0.0, 0.15, 3600.0])
def test_clocks_that_differ_show_one_time(ahead: float) -> None:
    redis_seconds = [1_800_000_000.25]
    web, embed = Machine(redis_seconds, ahead=0), Machine(redis_seconds, ahead=ahead)
    due = web.clock.latest() + 0.15
    redis_seconds[0] += 0.05
    assert due - embed.clock.earliest() == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(("there", "back"), [(0.0, 0.2), (0.2, 0.0), (0.1, 0.1)])
def test_a_slow_reading_takes_nothing_from_a_callers_time(there: float, back: float) -> None:
    redis_seconds = [1_800_000_000.25]
    machine = Machine(redis_seconds, ahead=-5.0, there=there, back=back)
    for _ in range(3):  # at the reading, and after it
        assert machine.clock.earliest() <= redis_seconds[0] + 1e-3
        assert machine.clock.latest() >= redis_seconds[0] - 1e-3
        assert machine.clock.latest() - machine.clock.earliest() == pytest.approx(0.2, abs=1e-3)
        redis_seconds[0] += 1


def test_redis_is_asked_once_in_a_while_and_then_believed() -> None:
    redis_seconds = [1_800_000_000.25]
    machine = Machine(redis_seconds, ahead=0)
    for _ in range(100):
        machine.clock.latest()
    assert machine.readings == 1

    machine.ahead = 7.0  # It was set.
    redis_seconds[0] += READ_SECONDS
    assert machine.clock.earliest() == pytest.approx(redis_seconds[0], abs=1e-3)
    assert machine.readings == 2
