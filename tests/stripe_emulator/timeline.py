"""What happens by itself as time passes, and in which order?

Each kind of object names its next moment; the earliest of all acts, at its own moment, until none is left. So a
month passed in one step leaves the same behind as one that was waited for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .world import Object, World

Act = Callable[[], None]
MOMENTS: list[tuple[str, Callable[[World, Object], tuple[int, Act] | None]]] = []


@dataclass(frozen=True)
class Due:
    at: int
    act: Act


def moments(kind: str) -> Callable[[Callable[[World, Object], tuple[int, Act] | None]], object]:
    """Decorates what tells an object's next moment; those told of first act first within a second."""

    def remember(tell: Callable[[World, Object], tuple[int, Act] | None]) -> object:
        MOMENTS.append((kind, tell))
        return tell

    return remember


def run(world: World) -> int:
    """All that is due by the emulator's own clock; how much that was."""
    return _run(world, None, world.now())


def advance_own(world: World, target: int) -> None:
    _run(world, None, target)
    world.set_now(target)


def advance_clock(world: World, clock: Object, target: int) -> None:
    _run(world, clock, target)
    clock["frozen_time"] = target


def _run(world: World, clock: Object | None, target: int) -> int:
    done = 0
    while due := min(_due(world, clock, target), key=lambda one: one.at, default=None):
        moment = max(due.at, clock["frozen_time"]) if clock else due.at
        if clock:
            clock["frozen_time"] = moment
            due.act()
        else:
            with world.acting_at(moment):
                due.act()
        done += 1
    return done


def _due(world: World, clock: Object | None, target: int) -> Iterator[Due]:
    for kind, tell in MOMENTS:
        for thing in list(world.kind(kind).values()):
            if thing.get("deleted") or world.clock_of(thing) is not clock:
                continue
            told = tell(world, thing)
            if told and told[0] <= target:
                yield Due(*told)
