"""Checkout: a session is bought from on its page, once, or expires."""

from urllib.parse import urlsplit

from ..answers import page
from ..buying import totals
from ..changing import item_new
from ..errors import InvalidRequest
from ..invoicing import taxable
from ..routes import route
from ..shapes import shaped
from ..timeline import Act, moments
from ..world import DAY_SECONDS, Object, World, merged_metadata

EXPIRES_SECONDS = DAY_SECONDS
EXPIRES_SECONDS_MIN = 30 * 60
LINE_ITEMS_MAX = 20
_UPDATE_NAME = (
    "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an existing "
    "customer, please set `customer_update[name]` to `auto`."
)
_UPDATE_ADDRESS = (
    "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to the "
    "Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto' to save the "
    "address entered in Checkout to the Customer."
)


@route("POST", "/v1/checkout/sessions", "checkout.SessionCreateParams")
def create(world: World, params: Object) -> Object:
    _check(world, params)
    now = world.now_of(world.kind("customer").get(params.get("customer", "")))
    expires_at = params.get("expires_at", now + EXPIRES_SECONDS)
    if not now + EXPIRES_SECONDS_MIN <= expires_at <= now + EXPIRES_SECONDS:
        raise InvalidRequest("`expires_at` must be between 30 minutes and 24 hours from now.", param="expires_at")
    session_id = world.new_id("cs_test")
    wanted = [_line_item(world, one, index) for index, one in enumerate(params["line_items"])]
    subtotal = totals(wanted, trial=bool(_trial(params)))
    session = shaped(
        "checkout.Session",
        id=session_id,
        object="checkout.session",
        amount_subtotal=subtotal,
        amount_total=subtotal,
        automatic_tax={
            "enabled": params.get("automatic_tax", {}).get("enabled", False),
            "liability": None,
            "provider": None,
            "status": None,
        },
        cancel_url=params.get("cancel_url"),
        client_reference_id=params.get("client_reference_id"),
        created=now,
        currency=wanted[0]["currency"],
        custom_fields=[],
        custom_text=dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")),
        customer=params.get("customer"),
        customer_email=params.get("customer_email"),
        discounts=[],
        expires_at=expires_at,
        livemode=False,
        metadata=merged_metadata({}, params.get("metadata")),
        mode="subscription",
        payment_method_collection=params.get("payment_method_collection", "always"),
        payment_method_types=["card"],
        payment_status="unpaid",
        shipping_options=[],
        status="open",
        success_url=params["success_url"],
        tax_id_collection={
            "enabled": params.get("tax_id_collection", {}).get("enabled", False),
            "required": params.get("tax_id_collection", {}).get("required", "never"),
        },
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        ui_mode="hosted_page",
        url=f"{world.root}/checkout/{session_id}",
    )
    del session["line_items"]  # Only where it is expanded.
    world.kind("_checkout")[session_id] = {"id": session_id, "params": params, "line_items": wanted}
    return world.add(session, silent=True)


@route("GET", "/v1/checkout/sessions/{session}", "checkout.SessionRetrieveParams")
def retrieve(world: World, params: Object, session: str) -> Object:
    return world.get("checkout.session", session, in_path=True)


@route("GET", "/v1/checkout/sessions", "checkout.SessionListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {name: params[name] for name in ("customer", "subscription", "status") if name in params}
    return page(world.where("checkout.session", **wanted), params, "/v1/checkout/sessions")


@route("GET", "/v1/checkout/sessions/{session}/line_items", "checkout.SessionListLineItemsParams")
def line_items(world: World, params: Object, session: str) -> Object:
    world.get("checkout.session", session, in_path=True)
    things = list(reversed(world.kind("_checkout")[session]["line_items"]))
    return page(things, params, f"/v1/checkout/sessions/{session}/line_items")


@route("POST", "/v1/checkout/sessions/{session}/expire", "checkout.SessionExpireParams")
def expire(world: World, params: Object, session: str) -> Object:
    found = world.get("checkout.session", session, in_path=True)
    if found["status"] != "open":
        raise InvalidRequest(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"{found['status']}."
        )
    _expire(world, found)
    return found


@moments("checkout.session")
def next_moment(world: World, session: Object) -> tuple[int, Act] | None:
    return (session["expires_at"], lambda: _expire(world, session)) if session["status"] == "open" else None


def _expire(world: World, session: Object) -> None:
    session.update(status="expired", url=None)
    world.emit("checkout.session.expired", session)


def _check(world: World, params: Object) -> None:
    if params.get("mode") != "subscription":
        raise InvalidRequest("The emulator sells subscriptions alone: mode=subscription.", param="mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise InvalidRequest("The emulator has the hosted page alone.", param="ui_mode")
    if "success_url" not in params:
        raise InvalidRequest("Missing required param: success_url.", code="parameter_missing", param="success_url")
    for name in ("success_url", "cancel_url"):
        if name in params and urlsplit(params[name]).scheme not in ("http", "https"):
            raise InvalidRequest(
                "Not a valid URL: it needs an explicit scheme, such as https.", code="url_invalid", param=name
            )
    if not params.get("line_items"):
        raise InvalidRequest("Missing required param: line_items.", code="parameter_missing", param="line_items")
    if len(params["line_items"]) > LINE_ITEMS_MAX:
        raise InvalidRequest(f"A subscription can have up to {LINE_ITEMS_MAX} items.", param="line_items")
    _check_customer(world, params)
    data = params.get("subscription_data", {})
    if "trial_end" in data and "trial_period_days" in data:
        raise InvalidRequest("You may only specify one of these parameters: trial_end, trial_period_days.")
    if "trial_settings" in data and not _trial(params):
        raise InvalidRequest("`trial_settings` needs a trial.", param="subscription_data[trial_settings]")
    if params.get("payment_method_collection") == "if_required" and params.get("mode") != "subscription":
        raise InvalidRequest("Only for mode=subscription.", param="payment_method_collection")


def _check_customer(world: World, params: Object) -> None:
    update = params.get("customer_update", {})
    if "customer" not in params:
        if update:
            raise InvalidRequest("`customer_update` can only be used with `customer`.", param="customer_update")
        return
    if "customer_email" in params:
        raise InvalidRequest("You may only specify one of these parameters: customer, customer_email.")
    customer = world.get("customer", params["customer"], "customer")
    if params.get("tax_id_collection", {}).get("enabled") and update.get("name") != "auto":
        raise InvalidRequest(_UPDATE_NAME, param="customer_update[name]")
    if params.get("automatic_tax", {}).get("enabled") and update.get("address") != "auto" and not taxable(customer):
        raise InvalidRequest(_UPDATE_ADDRESS, code="customer_tax_location_invalid")


def _line_item(world: World, given: Object, index: int) -> Object:
    param = f"line_items[{index}]"
    item = item_new(world, given, param, "", world.now())
    price = item["price"]
    metered = price["recurring"]["usage_type"] == "metered"
    if not metered and "quantity" not in given:
        raise InvalidRequest(f"Quantity is required. Add `quantity` to `{param}`", param=f"{param}[quantity]")
    amount = 0 if metered else price["unit_amount"] * item["quantity"]
    return shaped(
        "LineItem",
        id=world.new_id("li"),
        object="item",
        amount_discount=0,
        amount_subtotal=amount,
        amount_tax=0,
        amount_total=amount,
        currency=price["currency"],
        description=world.kind("product")[price["product"]]["name"],
        price=price,
        quantity=item["quantity"],
    )


def _trial(params: Object) -> int | None:
    data = params.get("subscription_data", {})
    return data.get("trial_period_days") or data.get("trial_end")
