"""Which items does a schedule put on its subscription, and when?"""

from .changing import items_changed
from .substates import items
from .world import Object, World


def phase_turn(world: World, subscription: Object, at: int) -> list[Object] | None:
    """At the end of a phase: the items from now on, or None where they stay. Ends the schedule with its last phase."""
    schedule = world.kind("subscription_schedule").get(subscription["schedule"] or "")
    if schedule is None or schedule["current_phase"]["end_date"] != at:
        return None
    following = [phase for phase in schedule["phases"] if phase["start_date"] == at]
    if not following:
        finish(world, schedule, at)
        return None
    phase = following[0]
    world.change(schedule, current_phase={"start_date": phase["start_date"], "end_date": phase["end_date"]})
    return _items_for(world, subscription, phase, at)


def phase_end(world: World, subscription: Object) -> int | None:
    schedule = world.kind("subscription_schedule").get(subscription["schedule"] or "")
    return schedule["current_phase"]["end_date"] if schedule else None


def proration_of_next(world: World, subscription: Object, at: int) -> str:
    schedule = world.kind("subscription_schedule")[subscription["schedule"]]
    phases = [phase for phase in schedule["phases"] if phase["start_date"] == at]
    return phases[0]["proration_behavior"] if phases else "none"


def ends_by_cancelling(world: World, subscription: Object, at: int) -> bool:
    schedule = world.kind("subscription_schedule").get(subscription["schedule"] or "")
    if schedule is None or schedule["end_behavior"] != "cancel":
        return False
    return bool(schedule["phases"][-1]["end_date"] == at)


def finish(world: World, schedule: Object, at: int) -> None:
    subscription = world.kind("subscription")[schedule["subscription"]]
    subscription["schedule"] = None
    if schedule["end_behavior"] == "cancel":
        world.change(
            schedule, "subscription_schedule.completed", status="completed", completed_at=at, current_phase=None
        )
    else:
        release(world, schedule, at)


def release(world: World, schedule: Object, at: int) -> None:
    subscription = world.kind("subscription")[schedule["subscription"]]
    subscription["schedule"] = None
    values = {
        "status": "released",
        "released_at": at,
        "released_subscription": subscription["id"],
        "subscription": None,
        "current_phase": None,
    }
    world.change(schedule, "subscription_schedule.released", **values)


def _items_for(world: World, subscription: Object, phase: Object, at: int) -> list[Object]:
    """A price that stays keeps its item; the others go, and new ones come under new ids."""
    kept = {item["price"]["id"]: item["id"] for item in items(subscription)}
    wanted = {one["price"]: one for one in phase["items"]}
    given: list[Object] = [{"id": item, "deleted": True} for price, item in kept.items() if price not in wanted]
    for price, one in wanted.items():
        quantity = {"quantity": one["quantity"]} if one["quantity"] is not None else {}
        given.append({"id": kept[price], **quantity} if price in kept else {"price": price, **quantity})
    return given and items_changed(world, subscription, given, at)
