"""Subscriptions, as the API lets them be changed."""

from ..answers import page
from ..errors import InvalidRequest
from ..routes import route
from ..search import matching
from ..subscribing import begin, end_now, resume, update
from ..substates import OVER, items_of
from ..world import Object, World

# What an update that may stay pending can hold; anything else would have to be undone.
PENDING_TAKES = frozenset(
    {
        "items",
        "payment_behavior",
        "proration_behavior",
        "proration_date",
        "billing_cycle_anchor",
        "trial_end",
        "off_session",
    }
)


@route("POST", "/v1/subscriptions", "SubscriptionCreateParams")
def create(world: World, params: Object) -> Object:
    customer = world.get("customer", params.get("customer", ""), "customer")
    behavior = params.get("payment_behavior", "allow_incomplete")
    return begin(world, customer, params, behavior=behavior)


@route("GET", "/v1/subscriptions/search", "SubscriptionSearchParams")
def search(world: World, params: Object) -> Object:
    return matching(world.where("subscription"), params, "/v1/subscriptions/search", {"status"})


@route("GET", "/v1/subscriptions/{subscription}", "SubscriptionRetrieveParams")
def retrieve(world: World, params: Object, subscription: str) -> Object:
    return world.get("subscription", subscription, in_path=True)


@route("GET", "/v1/subscriptions", "SubscriptionListParams")
def list_(world: World, params: Object) -> Object:
    """Without a status, those that are not canceled; those on a test clock only by customer or clock."""
    wanted = {name: params[name] for name in ("customer", "collection_method", "test_clock") if name in params}
    status = params.get("status")
    things = [
        one
        for one in world.where("subscription", **wanted)
        if _has_status(one, status)
        and ("customer" in params or "test_clock" in params or one["test_clock"] is None)
        and params.get("price") in (None, *[item["price"]["id"] for item in one["items"]["data"]])
    ]
    return page(things, params, "/v1/subscriptions")


@route("POST", "/v1/subscriptions/{subscription}", "SubscriptionUpdateParams")
def change(world: World, params: Object, subscription: str) -> Object:
    found = world.get("subscription", subscription, in_path=True)
    if found["status"] in OVER and params.keys() - {"metadata", "cancellation_details"}:
        raise InvalidRequest("A canceled subscription can only update its cancellation_details and metadata.")
    if found["schedule"] and params.keys() & {"cancel_at_period_end", "cancel_at"}:
        raise InvalidRequest(
            f"The subscription is managed by the subscription schedule `{found['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead."
        )
    if "cancel_at_period_end" in params and "cancel_at" in params:
        raise InvalidRequest("You may only specify one of these parameters: cancel_at, cancel_at_period_end.")
    if found["pending_update"] and params.keys() & {"items", "billing_cycle_anchor", "trial_end"}:
        raise InvalidRequest("This subscription has a pending update: pay or void its invoice first.")
    if found["status"] == "incomplete" and params.keys() - {"metadata", "default_payment_method", "description"}:
        raise InvalidRequest("This subscription cannot be updated: its first invoice is not paid.")
    if params.get("payment_behavior") == "pending_if_incomplete":
        _check_pending(world, found, params)
    return update(world, found, params)


@route("DELETE", "/v1/subscriptions/{subscription}", "SubscriptionCancelParams")
def cancel(world: World, params: Object, subscription: str) -> Object:
    found = world.get("subscription", subscription, in_path=True)
    if found["status"] in OVER:
        raise InvalidRequest(f"No such subscription: '{subscription}'", code="resource_missing", param="id", status=404)
    if details := params.get("cancellation_details"):
        found["cancellation_details"] |= {name: value or None for name, value in details.items()}
    end_now(world, found, invoice_now=params.get("invoice_now", False), prorate=params.get("prorate", False))
    return found


@route("POST", "/v1/subscriptions/{subscription}/resume", "SubscriptionResumeParams")
def resume_(world: World, params: Object, subscription: str) -> Object:
    return resume(world, world.get("subscription", subscription, in_path=True), params)


@route("GET", "/v1/subscription_items", "SubscriptionItemListParams")
def items_list(world: World, params: Object) -> Object:
    found = world.get("subscription", params["subscription"], "subscription")
    return page(list(reversed(found["items"]["data"])), params, "/v1/subscription_items")


@route("GET", "/v1/subscription_items/{item}", "SubscriptionItemRetrieveParams")
def item_retrieve(world: World, params: Object, item: str) -> Object:
    for subscription in world.where("subscription"):
        for one in subscription["items"]["data"]:
            if one["id"] == item:
                return dict(one)
    raise InvalidRequest(f"No such subscription_item: '{item}'", code="resource_missing", param="item", status=404)


def _has_status(subscription: Object, wanted: str | None) -> bool:
    if wanted == "all":
        return True
    if wanted == "ended":
        return subscription["status"] in OVER
    return subscription["status"] == wanted if wanted else subscription["status"] != "canceled"


def _check_pending(world: World, subscription: Object, params: Object) -> None:
    refused = sorted(params.keys() - PENDING_TAKES)
    if refused:
        raise InvalidRequest(
            "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass supported parameters: "
            f"{', '.join(refused)} may not be given.",
            param=refused[0],
        )
    if subscription["collection_method"] != "charge_automatically":
        raise InvalidRequest("`pending_if_incomplete` needs collection_method=charge_automatically.")
    if not world.controls.pending_update_takes_metered and items_of(subscription, "metered"):
        raise InvalidRequest("Subscriptions with metered items cannot have pending updates.", param="payment_behavior")
