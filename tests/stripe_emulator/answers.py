"""What goes out: pages of a list, and ids opened into their objects where `expand` names them."""

import copy
from collections.abc import Sequence
from typing import Any

from .errors import InvalidRequest
from .world import Object, World

DEPTH_MAX = 4
LIMIT_DEFAULT, LIMIT_MAX = 10, 100

# Which kind of object an id in a field of this name belongs to.
_KINDS = {
    "active_entitlements.feature": "entitlements.feature",
    "configuration": "billing_portal.configuration",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "default_price": "price",
    "feature": "entitlements.feature",
    "invoice": "invoice",
    "latest_invoice": "invoice",
    "price": "price",
    "product": "product",
    "schedule": "subscription_schedule",
    "subscription": "subscription",
    "test_clock": "test_helpers.test_clock",
}


def page(things: Sequence[Object], params: Object, url: str) -> Object:
    """Newest first, as Stripe lists; `things` come oldest first."""
    ordered = [thing for thing in reversed(things) if _created_within(thing, params.get("created"))]
    limit = params.get("limit", LIMIT_DEFAULT)
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidRequest(
            f"This value must be between 1 and {LIMIT_MAX} (it currently is '{limit}').", param="limit"
        )
    if "starting_after" in params and "ending_before" in params:
        raise InvalidRequest("You may only specify one of these parameters: ending_before, starting_after.")

    if after := params.get("starting_after"):
        ordered = ordered[_index(ordered, after, "starting_after") + 1 :]
        shown, more = ordered[:limit], len(ordered) > limit
    elif before := params.get("ending_before"):
        ordered = ordered[: _index(ordered, before, "ending_before")]
        shown, more = ordered[-limit:], len(ordered) > limit
    else:
        shown, more = ordered[:limit], len(ordered) > limit
    return {"object": "list", "data": shown, "has_more": more, "url": url}


def everything(things: Sequence[Object], url: str) -> Object:
    """A list inside another object."""
    return {"object": "list", "data": list(things), "has_more": False, "total_count": len(things), "url": url}


def expanded(world: World, answer: Object, paths: Sequence[str]) -> Object:
    answer = copy.deepcopy(answer)
    for path in paths:
        parts = path.split(".")
        if len(parts) > DEPTH_MAX:
            raise InvalidRequest(
                f"You cannot expand more than {DEPTH_MAX} levels of a property: {path}", param="expand"
            )
        _open(world, answer, parts, path)
    return answer


def _open(world: World, thing: Any, parts: list[str], path: str) -> None:
    name, rest = parts[0], parts[1:]
    if isinstance(thing, list):
        for each in thing:
            _open(world, each, parts, path)
        return
    if name == "tiers" and thing.get("object") == "price":
        thing["tiers"] = copy.deepcopy(world.kind("_tiers").get(thing["id"], {}).get("tiers"))
        return
    if name == "subscriptions" and thing.get("object") == "customer":
        live = [each for each in world.where("subscription", customer=thing["id"]) if each["status"] != "canceled"]
        thing[name] = everything(copy.deepcopy(live), f"/v1/customers/{thing['id']}/subscriptions")
    elif name == "tax_ids" and thing.get("object") == "customer":
        thing[name] = everything(world.where("tax_id", customer=thing["id"]), f"/v1/customers/{thing['id']}/tax_ids")
    elif name not in thing:
        raise InvalidRequest(f"This property cannot be expanded ({path}).", code="invalid_expand", param="expand")

    inner = thing[name]
    if isinstance(inner, str):
        if name not in _KINDS:
            raise InvalidRequest(f"This property cannot be expanded ({path}).", param="expand")
        inner = thing[name] = copy.deepcopy(world.kind(_KINDS[name])[inner])
    if rest and inner is not None:
        _open(world, inner, rest, path)


def _index(ordered: Sequence[Object], object_id: str, param: str) -> int:
    for index, thing in enumerate(ordered):
        if thing["id"] == object_id:
            return index
    raise InvalidRequest(f"No such object: '{object_id}'", code="resource_missing", param=param)


def _created_within(thing: Object, wanted: Any) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, int):
        return bool(thing["created"] == wanted)
    created = thing["created"]
    return wanted.get("gt", -1) < created < wanted.get("lt", created + 1) and wanted.get(
        "gte", created
    ) <= created <= wanted.get("lte", created)
