"""Which features does each customer have, by the products of the subscriptions that are in force?"""

from .answers import everything
from .shapes import shaped
from .world import Object, World

IN_FORCE = frozenset({"trialing", "active", "past_due"})


def entitlements_refresh(world: World, customer: str | None = None) -> None:
    """Say so in an event where it changed."""
    known = {one["customer"] for one in world.where("subscription")} | set(world.kind("_entitlements"))
    for each in [customer] if customer else sorted(known):
        _refresh(world, each)


def _refresh(world: World, customer: str) -> None:
    noted = world.kind("_entitlements").setdefault(customer, {"id": customer, "active": []})
    before = {one["lookup_key"]: one for one in noted["active"]}
    wanted = {feature["lookup_key"]: feature for feature in _features(world, customer)}
    if before.keys() == wanted.keys():
        return
    noted["active"] = [before.get(key) or _entitlement(world, feature) for key, feature in sorted(wanted.items())]
    world.emit(
        "entitlements.active_entitlement_summary.updated",
        {
            "object": "entitlements.active_entitlement_summary",
            "customer": customer,
            "entitlements": everything(noted["active"], f"/v1/customer/{customer}/entitlements"),
            "livemode": False,
        },
        previous={"entitlements": everything(list(before.values()), f"/v1/customer/{customer}/entitlements")},
    )


def _features(world: World, customer: str) -> list[Object]:
    products = {
        item["price"]["product"]
        for subscription in world.where("subscription", customer=customer)
        if subscription["status"] in IN_FORCE
        for item in subscription["items"]["data"]
    }
    owners = world.kind("_product_of_feature")
    return [
        one["entitlement_feature"]
        for one in world.where("product_feature")
        if owners[one["id"]]["product"] in products and one["entitlement_feature"]["active"]
    ]


def _entitlement(world: World, feature: Object) -> Object:
    return shaped(
        "entitlements.ActiveEntitlement",
        id=world.new_id("ent"),
        object="entitlements.active_entitlement",
        feature=feature["id"],
        livemode=False,
        lookup_key=feature["lookup_key"],
    )
