"""What does a paid or a failed invoice do to its subscription?"""

from .changing import changed, keep
from .substates import change, end, notes
from .world import Object, World


def paid(world: World, invoice: Object) -> None:
    subscription = _subscription(world, invoice)
    if subscription is None:
        return
    noted = notes(world, subscription)
    if noted.get("resumed_by") == invoice["id"] and subscription["status"] == "paused":
        del noted["resumed_by"]
        change(world, subscription, "resumed", status="active")
    elif subscription["status"] == "incomplete":
        change(world, subscription, status="active")
    elif (update := noted.get("pending")) and update["invoice"] == invoice["id"]:
        pending_apply(world, subscription)
    elif subscription["status"] in ("past_due", "unpaid") and subscription["latest_invoice"] == invoice["id"]:
        change(world, subscription, status="active")


def failed(world: World, invoice: Object, at: int, *, last: bool) -> None:
    subscription = _subscription(world, invoice)
    if subscription is None:
        return
    noted = notes(world, subscription)
    if noted.get("pending", {}).get("invoice") == invoice["id"]:
        return
    if last and subscription["status"] in ("active", "past_due"):
        outcome = world.controls.after_last_retry
        if outcome == "canceled":
            end(world, subscription, at, reason="payment_failed")
        else:
            change(world, subscription, status=outcome)
    elif subscription["status"] == "active":
        change(world, subscription, status="past_due")


def pending_apply(world: World, subscription: Object) -> None:
    """The update as it was asked for, as of then; its invoice exists already."""
    noted = notes(world, subscription)
    update = noted.pop("pending")
    made = changed(world, subscription, update["params"], update["at"])
    change(world, subscription, "pending_update_applied", pending_update=None, **made.values)
    keep(world, subscription, made)


def _subscription(world: World, invoice: Object) -> Object | None:
    parent = invoice["parent"] and invoice["parent"]["subscription_details"]
    return world.kind("subscription").get(parent["subscription"]) if parent else None
