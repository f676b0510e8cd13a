"""Prices: what they cost never changes, who finds them by a lookup key may."""

from decimal import Decimal
from typing import Any

from ..answers import page
from ..errors import InvalidRequest
from ..routes import route
from ..search import matching
from ..shapes import shaped
from ..world import Object, World, merged_metadata

LOOKUP_KEYS_MAX = 10
DECIMAL_PLACES_MAX = 12


@route("POST", "/v1/prices", "PriceCreateParams")
def create(world: World, params: Object) -> Object:
    product = _product(world, params)
    tiers = _tiers(params)
    recurring = _recurring(world, params)
    amount = _amount(params, "unit_amount", "unit_amount_decimal")
    if tiers is None and amount is None:
        raise InvalidRequest("You must specify one of `unit_amount`, `unit_amount_decimal`.", param="unit_amount")
    if tiers is not None and amount is not None:
        raise InvalidRequest("You cannot set an amount on a price whose billing scheme is tiered.", param="unit_amount")
    _free_lookup_key(world, params)

    price = shaped(
        "Price",
        id=world.new_id("price"),
        object="price",
        active=params.get("active", True),
        billing_scheme=params.get("billing_scheme", "per_unit"),
        created=world.now(),
        currency=params["currency"].lower(),
        livemode=False,
        lookup_key=params.get("lookup_key"),
        metadata=merged_metadata({}, params.get("metadata")),
        nickname=params.get("nickname"),
        product=product,
        recurring=recurring,
        tax_behavior=params.get("tax_behavior", "unspecified"),
        tiers_mode=params.get("tiers_mode"),
        type="recurring" if recurring else "one_time",
        unit_amount=_whole(amount),
        unit_amount_decimal=_plain(amount),
    )
    if tiers is not None:
        world.kind("_tiers")[price["id"]] = {"id": price["id"], "tiers": tiers}
    return world.add(price)


@route("GET", "/v1/prices/search", "PriceSearchParams")
def search(world: World, params: Object) -> Object:
    fields = {"active", "lookup_key", "currency", "product", "type"}
    return matching(world.where("price"), params, "/v1/prices/search", fields)


@route("GET", "/v1/prices/{price}", "PriceRetrieveParams")
def retrieve(world: World, params: Object, price: str) -> Object:
    return world.get("price", price, in_path=True)


@route("GET", "/v1/prices", "PriceListParams")
def list_(world: World, params: Object) -> Object:
    keys = params.get("lookup_keys", [])
    if len(keys) > LOOKUP_KEYS_MAX:
        raise InvalidRequest(f"You may only pass up to {LOOKUP_KEYS_MAX} lookup keys.", param="lookup_keys")
    wanted = {name: params[name] for name in ("active", "currency", "product", "type") if name in params}
    things = [
        one
        for one in world.where("price", **wanted)
        if (not keys or one["lookup_key"] in keys)
        and all((one["recurring"] or {}).get(name) == value for name, value in params.get("recurring", {}).items())
    ]
    return page(things, params, "/v1/prices")


@route("POST", "/v1/prices/{price}", "PriceUpdateParams")
def update(world: World, params: Object, price: str) -> Object:
    found = world.get("price", price, in_path=True)
    _free_lookup_key(world, params, but=price)
    values = {name: params[name] for name in ("active", "nickname", "lookup_key") if name in params}
    if params.get("tax_behavior", found["tax_behavior"]) != found["tax_behavior"]:
        if found["tax_behavior"] != "unspecified":
            raise InvalidRequest(
                "The tax behavior of a price cannot be changed once it is set to exclusive or inclusive.",
                param="tax_behavior",
            )
        values["tax_behavior"] = params["tax_behavior"]
    if "metadata" in params:
        values["metadata"] = merged_metadata(found["metadata"], params["metadata"])
    world.change(found, **{name: None if value == "" else value for name, value in values.items()})
    return found


def _product(world: World, params: Object) -> str:
    if ("product" in params) == ("product_data" in params):
        raise InvalidRequest("You must specify either `product` or `product_data` when creating a price.")
    if data := params.get("product_data"):
        from .products import create as product_create

        return str(product_create(world, data)["id"])
    return str(world.get("product", params["product"], "product")["id"])


def _recurring(world: World, params: Object) -> Object | None:
    given = params.get("recurring")
    if given is None:
        return None
    metered = given.get("usage_type", "licensed") == "metered"
    meter = given.get("meter")
    if metered and not meter:
        raise InvalidRequest("Metered prices must be backed by a meter.", param="recurring[meter]")
    if meter and not metered:
        raise InvalidRequest("Only a price with usage_type=metered may have a meter.", param="recurring[meter]")
    if meter and world.get("billing.meter", meter, "recurring[meter]")["status"] != "active":
        raise InvalidRequest(f"The meter {meter} is inactive.", param="recurring[meter]")
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": meter,
        "trial_period_days": given.get("trial_period_days"),
        "usage_type": "metered" if metered else "licensed",
    }


def _tiers(params: Object) -> list[Object] | None:
    if params.get("billing_scheme", "per_unit") != "tiered":
        if "tiers" in params or "tiers_mode" in params:
            raise InvalidRequest("`tiers` may only be given when billing_scheme=tiered.", param="tiers")
        return None
    given = params.get("tiers")
    if not given or "tiers_mode" not in params:
        missing = "tiers_mode" if given else "tiers"
        raise InvalidRequest(
            f"You must specify `{missing}` when billing_scheme=tiered.", code="parameter_missing", param=missing
        )
    bounds = [tier["up_to"] for tier in given]
    if bounds[-1] != "inf":
        raise InvalidRequest("The last tier must have `up_to` set to `inf`.", param="tiers")
    whole = bounds[:-1]
    if any(not isinstance(bound, int) or bound < 1 for bound in whole) or sorted(set(whole)) != whole:
        raise InvalidRequest("`up_to` must be positive and rise from tier to tier.", param="tiers")
    return [_tier(tier) for tier in given]


def _tier(given: Object) -> Object:
    flat = _amount(given, "flat_amount", "flat_amount_decimal")
    unit = _amount(given, "unit_amount", "unit_amount_decimal")
    if flat is None and unit is None:
        raise InvalidRequest("Each tier needs a `unit_amount` or a `flat_amount`.", param="tiers")
    return {
        "flat_amount": _whole(flat),
        "flat_amount_decimal": _plain(flat),
        "unit_amount": _whole(unit),
        "unit_amount_decimal": _plain(unit),
        "up_to": None if given["up_to"] == "inf" else given["up_to"],
    }


def _amount(given: Object, whole: str, exact: str) -> Decimal | None:
    if whole in given and exact in given:
        raise InvalidRequest(f"You may only specify one of these parameters: {whole}, {exact}.", param=whole)
    value: Any = given.get(whole, given.get(exact))
    if value is None:
        return None
    amount = Decimal(str(value))
    exponent = amount.as_tuple().exponent
    if amount < 0 or not isinstance(exponent, int) or -exponent > DECIMAL_PLACES_MAX:
        raise InvalidRequest(f"Invalid decimal: {value}", code="parameter_invalid_decimal", param=exact)
    return amount


def _whole(amount: Decimal | None) -> int | None:
    return int(amount) if amount is not None and amount == int(amount) else None


def _plain(amount: Decimal | None) -> str | None:
    if amount is None:
        return None
    return f"{amount.normalize():f}"


def _free_lookup_key(world: World, params: Object, *, but: str | None = None) -> None:
    """Taken by another price, a key moves only if that is asked for."""
    key = params.get("lookup_key")
    holders = [one for one in world.where("price", lookup_key=key) if one["id"] != but] if key else []
    if holders and not params.get("transfer_lookup_key"):
        raise InvalidRequest(
            f"A price (`{holders[0]['id']}`) already uses that lookup key.",
            param="lookup_key",
            code="resource_already_exists",
        )
    for holder in holders:
        world.change(holder, lookup_key=None)
