"""How does a subscription change, and who hears of it?"""

import copy
from typing import Any

from .entitling import entitlements_refresh
from .world import Object, World

OVER = frozenset({"canceled", "incomplete_expired"})


def change(world: World, subscription: Object, *more_events: str, **values: Any) -> None:
    """One `updated` with what was before, then the events with a name of their own."""
    world.change(subscription, "customer.subscription.updated", **values)
    for name in more_events:
        world.emit(f"customer.subscription.{name}", subscription)
    entitlements_refresh(world, subscription["customer"])


def end(world: World, subscription: Object, at: int, *, reason: str | None, status: str = "canceled") -> None:
    """Stripe says `deleted`, not `updated`."""
    details = {**subscription["cancellation_details"], "reason": reason}
    subscription.update(
        status=status,
        ended_at=at,
        canceled_at=subscription["canceled_at"] or at,
        cancellation_details=details,
        pending_update=None,
    )
    notes(world, subscription)["pending_lines"] = []
    world.emit("customer.subscription.deleted", subscription)
    entitlements_refresh(world, subscription["customer"])


def notes(world: World, subscription: Object) -> Object:
    """What Stripe knows of a subscription and does not show."""
    return world.kind("_subscription").setdefault(
        subscription["id"],
        {
            "id": subscription["id"],
            "pending_lines": [],
            "pending_metered": [],
            "metered_from": {},
            "trial_end_told": False,
        },
    )


def items(subscription: Object) -> list[Object]:
    found: list[Object] = subscription["items"]["data"]
    return found


def items_of(subscription: Object, usage_type: str) -> list[Object]:
    return [item for item in items(subscription) if item["price"]["recurring"]["usage_type"] == usage_type]


def metered_span(world: World, subscription: Object, item: Object, end_at: int) -> Object:
    start = notes(world, subscription)["metered_from"].get(item["id"], item["current_period_start"])
    return {"item": copy.deepcopy(item), "start": start, "end": end_at}


def current_end(subscription: Object) -> int:
    return min(item["current_period_end"] for item in items(subscription))
