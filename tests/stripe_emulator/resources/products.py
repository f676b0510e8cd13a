"""Products, and the features that come with them."""

from ..answers import page
from ..entitling import entitlements_refresh
from ..errors import InvalidRequest
from ..routes import route
from ..search import matching
from ..shapes import shaped
from ..world import Object, World, merged_metadata

_VALUES = ("name", "description", "active", "images", "unit_label", "url", "tax_code", "shippable")


@route("POST", "/v1/products", "ProductCreateParams")
def create(world: World, params: Object) -> Object:
    product_id = params.get("id") or world.new_id("prod")
    if product_id in world.kind("product"):
        raise InvalidRequest(f"Product already exists: {product_id}", code="resource_already_exists", param="id")
    product = shaped(
        "Product",
        id=product_id,
        object="product",
        active=True,
        created=world.now(),
        images=[],
        livemode=False,
        marketing_features=params.get("marketing_features", []),
        metadata={},
        name=params["name"],
        type="service",
        updated=world.now(),
    )
    _write(product, params)
    return world.add(product)


@route("GET", "/v1/products/search", "ProductSearchParams")
def search(world: World, params: Object) -> Object:
    return matching(world.where("product"), params, "/v1/products/search", {"name", "active", "description"})


@route("GET", "/v1/products/{product}", "ProductRetrieveParams")
def retrieve(world: World, params: Object, product: str) -> Object:
    return world.get("product", product, in_path=True)


@route("GET", "/v1/products", "ProductListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {"active": params["active"]} if "active" in params else {}
    things = [one for one in world.where("product", **wanted) if one["id"] in params.get("ids", [one["id"]])]
    return page(things, params, "/v1/products")


@route("POST", "/v1/products/{product}", "ProductUpdateParams")
def update(world: World, params: Object, product: str) -> Object:
    found = world.get("product", product, in_path=True)
    if "default_price" in params:
        world.get("price", params["default_price"], "default_price")
    changed = {**found, **{name: params[name] for name in ("default_price", "marketing_features") if name in params}}
    _write(changed, params)
    world.change(found, **changed)
    return found


@route("DELETE", "/v1/products/{product}", "ProductDeleteParams")
def delete(world: World, params: Object, product: str) -> Object:
    found = world.get("product", product, in_path=True)
    if world.where("price", product=product):
        raise InvalidRequest("This product cannot be deleted because it has one or more user-created prices.")
    world.emit("product.deleted", found)
    del world.kind("product")[product]
    return {"id": product, "object": "product", "deleted": True}


def _write(product: Object, params: Object) -> None:
    for name in _VALUES:
        if name in params:
            product[name] = params[name] if params[name] != "" else None
    if "metadata" in params:
        product["metadata"] = merged_metadata(product["metadata"], params["metadata"])


@route("POST", "/v1/products/{product}/features", "ProductFeatureCreateParams")
def feature_attach(world: World, params: Object, product: str) -> Object:
    world.get("product", product, in_path=True)
    feature = world.get("entitlements.feature", params["entitlement_feature"], "entitlement_feature")
    if any(one["entitlement_feature"]["id"] == feature["id"] for one in _features(world, product)):
        raise InvalidRequest(f"The feature {feature['id']} is already attached to this product.")
    attached = shaped(
        "ProductFeature",
        id=world.new_id("prodft"),
        object="product_feature",
        entitlement_feature=feature,
        livemode=False,
    )
    world.add(attached, silent=True)
    world.kind("_product_of_feature")[attached["id"]] = {"id": attached["id"], "product": product}
    entitlements_refresh(world)
    return attached


@route("GET", "/v1/products/{product}/features", "ProductFeatureListParams")
def feature_list(world: World, params: Object, product: str) -> Object:
    world.get("product", product, in_path=True)
    return page(_features(world, product), params, f"/v1/products/{product}/features")


@route("DELETE", "/v1/products/{product}/features/{attached}", "ProductFeatureDeleteParams")
def feature_detach(world: World, params: Object, product: str, attached: str) -> Object:
    world.get("product_feature", attached, in_path=True)
    del world.kind("product_feature")[attached]
    entitlements_refresh(world)
    return {"id": attached, "object": "product_feature", "deleted": True}


def _features(world: World, product: str) -> list[Object]:
    owners = world.kind("_product_of_feature")
    return [one for one in world.where("product_feature") if owners[one["id"]]["product"] == product]
