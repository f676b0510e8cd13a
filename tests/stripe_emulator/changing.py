"""What becomes of a subscription's items, period and trial, and what is to be paid for the change?

Nothing is invoiced here: the same change is previewed, tried, or kept pending until it is paid.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from . import lines
from .answers import everything
from .errors import InvalidRequest
from .periods import period_end
from .shapes import shaped
from .substates import items, items_of, metered_span, notes
from .world import Object, World, merged_metadata

ITEMS_MAX = 20


@dataclass
class Change:
    values: Object  # the subscription's new fields
    lines: list[Object] = field(default_factory=list)
    metered: list[Object] = field(default_factory=list)
    starts_period: bool = False
    metered_from: Object = field(default_factory=dict)


def changed(world: World, subscription: Object, params: Object, at: int) -> Change:
    after = items_changed(world, subscription, params.get("items", []), at)
    trial_end = params.get("trial_end")
    trialing = subscription["status"] == "trialing"
    proration = params.get("proration_behavior", "create_prorations")
    # A trial of a paid period pushes it out; of a trial, only its end.
    if isinstance(trial_end, int):
        return _trial_until(world, subscription, after, trial_end, at, proration)

    change = Change({"items": _listed(subscription, after)})
    change.starts_period = (
        params.get("billing_cycle_anchor", {}).get("type") == "now"
        or (trial_end == "now" and trialing)
        or _rhythm(after) != _rhythm(items(subscription))
    ) and not (trialing and trial_end != "now")
    if trialing and not change.starts_period:
        return change

    old = {item["id"]: item for item in items_of(subscription, "licensed")}
    new = {item["id"]: item for item in after}
    for item in old.values():
        same = item["id"] in new and _bought(new[item["id"]]) == _bought(item)
        if (change.starts_period or not same) and proration != "none" and not trialing:
            change.lines.append(lines.unused(world, subscription, item, at))
    for item in items_of(subscription, "metered"):
        same = item["id"] in new and _bought(new[item["id"]]) == _bought(item)
        if (change.starts_period or not same) and not trialing:
            change.metered.append(metered_span(world, subscription, item, at))
            change.metered_from[item["id"]] = at

    if change.starts_period:
        _restart(change, after, at)
        if trialing:
            change.values |= {"trial_end": at, "status": "active"}
    for item in after:
        if item["price"]["recurring"]["usage_type"] == "metered":
            continue
        if change.starts_period:
            end = item["current_period_end"]
            change.lines.append(lines.licensed(world, subscription, item, at, end))
        elif proration != "none" and (item["id"] not in old or _bought(item) != _bought(old[item["id"]])):
            change.lines.append(lines.remaining(world, subscription, item, at))
    return change


def keep(world: World, subscription: Object, change: Change) -> None:
    """Notes that follow from a change that was made."""
    metered_from = notes(world, subscription)["metered_from"]
    metered_from.update(change.metered_from)
    if change.starts_period:
        for item in change.values["items"]["data"]:
            metered_from[item["id"]] = item["current_period_start"]


def items_changed(world: World, subscription: Object, given: list[Object], at: int) -> list[Object]:
    """The items as they would be; those given without an id are further ones, as many have learned too late."""
    after = {item["id"]: copy.deepcopy(item) for item in items(subscription)}
    for index, one in enumerate(given):
        item_id, param = one.get("id"), f"items[{index}]"
        if item_id is None:
            item = item_new(world, one, param, subscription["id"], at)
            item["current_period_start"] = items(subscription)[0]["current_period_start"]
            item["current_period_end"] = items(subscription)[0]["current_period_end"]
            notes(world, subscription)["metered_from"].setdefault(item["id"], at)
            after[item["id"]] = item
            continue
        if item_id not in after:
            raise InvalidRequest(
                f"No such subscription item: '{item_id}'", code="resource_missing", param=f"{param}[id]"
            )
        if one.get("deleted"):
            del after[item_id]
            continue
        item = after[item_id]
        if "price" in one:
            item["price"], item["plan"] = _price(world, one, param), None
            item["plan"] = _plan(item["price"])
            item["quantity"] = None if _is_metered(item) else one.get("quantity", 1)
        _check_quantity(item, one, param)
        if "quantity" in one:
            item["quantity"] = one["quantity"]
        if "metadata" in one:
            item["metadata"] = merged_metadata(item["metadata"], one["metadata"])
    check_items(list(after.values()))
    return list(after.values())


def item_new(world: World, given: Object, param: str, subscription: str, at: int) -> Object:
    price = _price(world, given, param)
    item = shaped(
        "SubscriptionItem",
        id=world.new_id("si"),
        object="subscription_item",
        created=at,
        current_period_start=at,
        current_period_end=at,
        discounts=[],
        metadata=merged_metadata({}, given.get("metadata")),
        plan=_plan(price),
        price=price,
        quantity=None,
        subscription=subscription,
        tax_rates=[],
    )
    _check_quantity(item, given, param)
    item["quantity"] = None if _is_metered(item) else given.get("quantity", 1)
    return item


def check_items(after: list[Object]) -> None:
    if not after:
        raise InvalidRequest("A subscription must have at least one active item.", param="items")
    if len(after) > ITEMS_MAX:
        raise InvalidRequest(f"A subscription can have up to {ITEMS_MAX} items.", param="items")
    prices = [item["price"]["id"] for item in after]
    for price in prices:
        if prices.count(price) > 1:
            raise InvalidRequest(f"Cannot add multiple subscription items with the same plan: {price}", param="items")
    if len({(item["price"]["currency"]) for item in after}) > 1:
        raise InvalidRequest("All prices on a subscription must have the same currency.", param="items")
    if len({tuple(_rhythm([item])) for item in after}) > 1:
        raise InvalidRequest("The emulator bills all items of a subscription at the same interval.", param="items")


def _trial_until(
    world: World, subscription: Object, after: list[Object], trial_end: int, at: int, proration: str
) -> Change:
    if trial_end <= at:
        raise InvalidRequest("Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end")
    change = Change({})
    if subscription["status"] != "trialing":
        change.metered = [metered_span(world, subscription, item, at) for item in items_of(subscription, "metered")]
        if proration != "none":
            change.lines = [lines.unused(world, subscription, one, at) for one in items_of(subscription, "licensed")]
    for item in after:
        if subscription["status"] != "trialing":
            item["current_period_start"] = at
        item["current_period_end"] = trial_end
    change.values = {
        "items": _listed(subscription, after),
        "status": "trialing",
        "trial_start": subscription["trial_start"] if subscription["status"] == "trialing" else at,
        "trial_end": trial_end,
        "billing_cycle_anchor": trial_end,
    }
    notes(world, subscription)["trial_end_told"] = False
    return change


def _restart(change: Change, after: list[Object], at: int) -> None:
    change.values["billing_cycle_anchor"] = at
    interval, count = _rhythm(after)
    for item in after:
        item["current_period_start"] = at
        item["current_period_end"] = period_end(at, at, interval, count)


def _listed(subscription: Object, after: list[Object]) -> Object:
    return everything(after, f"/v1/subscription_items?subscription={subscription['id']}")


def _rhythm(items_: list[Object]) -> tuple[str, int]:
    recurring = items_[0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _bought(item: Object) -> tuple[Any, ...]:
    return item["price"]["id"], item["quantity"]


def _is_metered(item: Object) -> bool:
    return bool(item["price"]["recurring"]["usage_type"] == "metered")


def _check_quantity(item: Object, given: Object, param: str) -> None:
    if "quantity" not in given:
        return
    if _is_metered(item):
        raise InvalidRequest(
            "Quantity should not be specified where usage_type is `metered`. "
            f"Remove quantity from {param.replace('[', '.').replace(']', '')}",
            param=f"{param}[quantity]",
        )
    if given["quantity"] < 0:
        raise InvalidRequest("Invalid non-negative integer", param=f"{param}[quantity]")


def _price(world: World, given: Object, param: str) -> Object:
    if "price" not in given:
        raise InvalidRequest(
            f"Missing required param: {param}[price].", code="parameter_missing", param=f"{param}[price]"
        )
    price = world.get("price", given["price"], f"{param}[price]")
    if price["type"] != "recurring":
        raise InvalidRequest(
            "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.",
            param=f"{param}[price]",
        )
    if not price["active"]:
        raise InvalidRequest(
            "The price specified is inactive. This field only accepts active prices.", param=f"{param}[price]"
        )
    return copy.deepcopy(price)


def _plan(price: Object) -> Object:
    """The older name of a price, still in every answer."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": price["tiers_mode"],
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }
