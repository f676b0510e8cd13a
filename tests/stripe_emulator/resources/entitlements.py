"""Features, and which of them a customer has now."""

from ..answers import page
from ..errors import InvalidRequest
from ..routes import route
from ..shapes import shaped
from ..world import Object, World, merged_metadata


@route("POST", "/v1/entitlements/features", "entitlements.FeatureCreateParams")
def create(world: World, params: Object) -> Object:
    key = params["lookup_key"]
    if world.where("entitlements.feature", lookup_key=key, active=True):
        raise InvalidRequest(f"A feature with the lookup key {key} already exists.", param="lookup_key")
    feature = shaped(
        "entitlements.Feature",
        id=world.new_id("feat"),
        object="entitlements.feature",
        active=True,
        livemode=False,
        lookup_key=key,
        metadata=merged_metadata({}, params.get("metadata")),
        name=params["name"],
    )
    return world.add(feature, silent=True)


@route("GET", "/v1/entitlements/features/{feature}", "entitlements.FeatureRetrieveParams")
def retrieve(world: World, params: Object, feature: str) -> Object:
    return world.get("entitlements.feature", feature, in_path=True)


@route("GET", "/v1/entitlements/features", "entitlements.FeatureListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {"lookup_key": params["lookup_key"]} if "lookup_key" in params else {}
    archived = params.get("archived", False)
    things = world.where("entitlements.feature", active=not archived, **wanted)
    return page(things, params, "/v1/entitlements/features")


@route("POST", "/v1/entitlements/features/{feature}", "entitlements.FeatureUpdateParams")
def update(world: World, params: Object, feature: str) -> Object:
    found = world.get("entitlements.feature", feature, in_path=True)
    values = {name: params[name] for name in ("active", "name") if name in params}
    found.update(values, metadata=merged_metadata(found["metadata"], params.get("metadata")))
    return found


@route("GET", "/v1/entitlements/active_entitlements", "entitlements.ActiveEntitlementListParams")
def active_list(world: World, params: Object) -> Object:
    world.get("customer", params["customer"], "customer")
    noted = world.kind("_entitlements").get(params["customer"], {"active": []})
    return page(noted["active"], params, "/v1/entitlements/active_entitlements")
