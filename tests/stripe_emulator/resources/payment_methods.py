"""Cards: no money moves, so what matters of one is whether it will be declined."""

from ..answers import page
from ..errors import CardDeclined, InvalidRequest
from ..routes import route
from ..shapes import shaped
from ..world import Object, World, merged_metadata

# Stripe's own test cards and tokens: what happens when it is attached, and when it is charged.
ACCEPTED = "4242424242424242"
DECLINED_ON_CHARGE = "4000000000000341"
DECLINED_AT_ONCE = "4000000000000002"
NEEDS_ACTION = "4000002500003155"
TOKENS = {
    "pm_card_visa": ACCEPTED,
    "pm_card_chargeCustomerFail": DECLINED_ON_CHARGE,
    "pm_card_visa_chargeDeclined": DECLINED_AT_ONCE,
    "pm_card_authenticationRequired": NEEDS_ACTION,
}


@route("POST", "/v1/payment_methods", "PaymentMethodCreateParams")
def create(world: World, params: Object) -> Object:
    if params.get("type") != "card":
        raise InvalidRequest("The emulator knows cards alone.", param="type")
    return card_add(world, params.get("card", {}).get("number", ACCEPTED), metadata=params.get("metadata"))


@route("POST", "/v1/payment_methods/{method}/attach", "PaymentMethodAttachParams")
def attach(world: World, params: Object, method: str) -> Object:
    customer = world.get("customer", params.get("customer", ""), "customer")
    found = card_add(world, TOKENS[method]) if method in TOKENS else world.get("payment_method", method, in_path=True)
    card_attach(world, found, customer)
    return found


@route("POST", "/v1/payment_methods/{method}/detach", "PaymentMethodDetachParams")
def detach(world: World, params: Object, method: str) -> Object:
    found = world.get("payment_method", method, in_path=True)
    if found["customer"] is None:
        raise InvalidRequest(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    customer = world.kind("customer")[found["customer"]]
    if customer["invoice_settings"]["default_payment_method"] == method:
        default_set(world, customer, None)
    for subscription in world.where("subscription", default_payment_method=method):
        world.change(subscription, default_payment_method=None)
    found["customer"] = None
    world.emit("payment_method.detached", found)
    return found


@route("GET", "/v1/payment_methods/{method}", "PaymentMethodRetrieveParams")
def retrieve(world: World, params: Object, method: str) -> Object:
    return world.get("payment_method", method, in_path=True)


@route("GET", "/v1/customers/{customer}/payment_methods", "CustomerPaymentMethodListParams")
def of_customer(world: World, params: Object, customer: str) -> Object:
    world.get("customer", customer, in_path=True)
    things = world.where("payment_method", customer=customer)
    return page(things, params, f"/v1/customers/{customer}/payment_methods")


@route("GET", "/v1/payment_methods", "PaymentMethodListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {"customer": params["customer"]} if "customer" in params else {}
    return page(world.where("payment_method", **wanted), params, "/v1/payment_methods")


def card_add(world: World, number: str, *, metadata: Object | None = None) -> Object:
    number = number.replace(" ", "")
    if not number.isdigit() or len(number) < 12:
        raise InvalidRequest("Your card number is incorrect.", code="incorrect_number", param="card[number]")
    method = shaped(
        "PaymentMethod",
        id=world.new_id("pm"),
        object="payment_method",
        billing_details={"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        card={
            "brand": "visa",
            "country": "US",
            "exp_month": 12,
            "exp_year": 2034,
            "funding": "credit",
            "last4": number[-4:],
        },
        created=world.now(),
        livemode=False,
        metadata=merged_metadata({}, metadata),
        type="card",
    )
    world.kind("_card")[method["id"]] = {"id": method["id"], "number": number}
    return world.add(method, silent=True)


def card_attach(world: World, method: Object, customer: Object) -> None:
    if world.kind("_card")[method["id"]]["number"] == DECLINED_AT_ONCE:
        raise CardDeclined()
    if method["customer"] not in (None, customer["id"]):
        raise InvalidRequest("The payment method you provided has already been attached to a customer.")
    method["customer"] = customer["id"]
    world.emit("payment_method.attached", method)


def default_set(world: World, customer: Object, method: str | None) -> None:
    world.change(customer, invoice_settings={**customer["invoice_settings"], "default_payment_method": method})


def payer(world: World, customer: Object, *more: Object) -> Object | None:
    """The card that pays: the subscription's or invoice's own, else the customer's default."""
    ids = [one["default_payment_method"] for one in more] + [customer["invoice_settings"]["default_payment_method"]]
    return next((world.kind("payment_method")[one] for one in ids if one), None)


def charge_outcome(world: World, method: Object) -> str:
    """paid, declined or requires_action."""
    number = world.kind("_card")[method["id"]]["number"]
    if number in (DECLINED_ON_CHARGE, DECLINED_AT_ONCE):
        return "declined"
    return "requires_action" if number == NEEDS_ACTION else "paid"
