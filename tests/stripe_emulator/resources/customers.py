"""Customers, the money they are owed, and their tax ids."""

import re

from ..answers import page
from ..errors import InvalidRequest, no_such
from ..routes import route
from ..search import matching
from ..shapes import shaped
from ..substates import OVER, end
from ..world import Object, World, merged_metadata

CURRENCY = "usd"
_VALUES = ("name", "email", "phone", "description", "address", "shipping", "tax_exempt", "preferred_locales")
_TAX_ID_FORMATS = {
    "eu_vat": re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,12}$"),
    "gb_vat": re.compile(r"GB([0-9]{9}|[0-9]{12})$"),
    "us_ein": re.compile(r"[0-9]{2}-[0-9]{7}$"),
    "ch_vat": re.compile(r"CHE-[0-9]{3}\.[0-9]{3}\.[0-9]{3} (MWST|TVA|IVA)$"),
}


@route("POST", "/v1/customers", "CustomerCreateParams")
def create(world: World, params: Object) -> Object:
    if "test_clock" in params:
        world.get("test_helpers.test_clock", params["test_clock"], "test_clock")
    customer = shaped(
        "Customer",
        id=world.new_id("cus"),
        object="customer",
        balance=0,
        created=world.now_of({"test_clock": params.get("test_clock")}),
        currency=None,
        delinquent=False,
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        livemode=False,
        metadata={},
        preferred_locales=[],
        tax_exempt="none",
        test_clock=params.get("test_clock"),
    )
    _write(world, customer, params)
    world.add(customer)
    if params.get("balance"):
        balance_add(world, customer, params["balance"], "initial")
    for each in params.get("tax_id_data", []):
        tax_id_add(world, customer, each["type"], each["value"])
    return customer


@route("GET", "/v1/customers/search", "CustomerSearchParams")
def search(world: World, params: Object) -> Object:
    return matching(world.where("customer"), params, "/v1/customers/search", {"name", "email", "phone"})


@route("GET", "/v1/customers/{customer}", "CustomerRetrieveParams")
def retrieve(world: World, params: Object, customer: str) -> Object:
    found = world.kind("customer").get(customer)
    if found is None:
        raise no_such("customer", customer, in_path=True)
    return found  # {"deleted": true} too


@route("GET", "/v1/customers", "CustomerListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {"email": params["email"]} if "email" in params else {}
    return page(world.where("customer", test_clock=params.get("test_clock"), **wanted), params, "/v1/customers")


@route("POST", "/v1/customers/{customer}", "CustomerUpdateParams")
def update(world: World, params: Object, customer: str) -> Object:
    found = world.get("customer", customer, in_path=True)
    changed = dict(found)
    _write(world, changed, params)
    world.change(found, **changed)
    if "address" in params:
        from ..invoicing import finalize_mended

        finalize_mended(world, found)
    if "balance" in params and params["balance"] != found["balance"]:
        balance_add(world, found, params["balance"] - found["balance"], "adjustment")
    return found


@route("DELETE", "/v1/customers/{customer}", "CustomerDeleteParams")
def delete(world: World, params: Object, customer: str) -> Object:

    found = world.get("customer", customer, in_path=True)
    for subscription in world.where("subscription", customer=customer):
        if subscription["status"] not in OVER:
            end(world, subscription, world.now_of(subscription), reason="cancellation_requested")
    world.emit("customer.deleted", found)
    gone = {"id": customer, "object": "customer", "deleted": True}
    world.kind("customer")[customer] = gone
    return gone


def _write(world: World, customer: Object, params: Object) -> None:
    for name in _VALUES:
        if name in params:
            customer[name] = params[name] if params[name] != "" else None
    if "address" in params and isinstance(params["address"], dict):
        customer["address"] = {
            part: params["address"].get(part) for part in ("city", "country", "line1", "line2", "postal_code", "state")
        }
    if "metadata" in params:
        customer["metadata"] = merged_metadata(customer["metadata"], params["metadata"])
    if "payment_method" in params:
        _own_method(world, customer, params["payment_method"], "payment_method")
    settings = params.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        method = settings["default_payment_method"]
        if method:
            _own_method(world, customer, method, "invoice_settings[default_payment_method]")
        customer["invoice_settings"] = {**customer["invoice_settings"], "default_payment_method": method or None}


def _own_method(world: World, customer: Object, method: str, param: str) -> None:
    if world.get("payment_method", method, param)["customer"] != customer["id"]:
        raise InvalidRequest(f"The customer does not have a payment method with the ID {method}.", param=param)


# What we owe them: a balance below zero is a credit for the next invoices.


@route("POST", "/v1/customers/{customer}/balance_transactions", "CustomerBalanceTransactionCreateParams")
def balance_create(world: World, params: Object, customer: str) -> Object:
    found = world.get("customer", customer, in_path=True)
    currency = params["currency"]
    if found["currency"] not in (None, currency):
        raise InvalidRequest(f"The customer's balance is in {found['currency']}, not in {currency}.", param="currency")
    return balance_add(
        world,
        found,
        params["amount"],
        "adjustment",
        description=params.get("description"),
        metadata=merged_metadata({}, params.get("metadata")),
    )


@route("GET", "/v1/customers/{customer}/balance_transactions", "CustomerBalanceTransactionListParams")
def balance_list(world: World, params: Object, customer: str) -> Object:
    world.get("customer", customer, in_path=True)
    things = world.where("customer_balance_transaction", customer=customer)
    return page(things, params, f"/v1/customers/{customer}/balance_transactions")


def balance_add(
    world: World,
    customer: Object,
    amount: int,
    type_: str,
    *,
    invoice: str | None = None,
    description: str | None = None,
    metadata: Object | None = None,
) -> Object:
    transaction = shaped(
        "CustomerBalanceTransaction",
        id=world.new_id("cbtxn"),
        object="customer_balance_transaction",
        amount=amount,
        created=world.now_of(customer),
        currency=CURRENCY,
        customer=customer["id"],
        description=description,
        ending_balance=customer["balance"] + amount,
        invoice=invoice,
        livemode=False,
        metadata=metadata or {},
        type=type_,
    )
    world.add(transaction, silent=True)  # Stripe has no event for these.
    world.change(customer, balance=customer["balance"] + amount, currency=CURRENCY)
    return transaction


@route("POST", "/v1/customers/{customer}/tax_ids", "CustomerTaxIdCreateParams")
def tax_id_create(world: World, params: Object, customer: str) -> Object:
    return tax_id_add(world, world.get("customer", customer, in_path=True), params["type"], params["value"])


@route("GET", "/v1/customers/{customer}/tax_ids", "CustomerTaxIdListParams")
def tax_id_list(world: World, params: Object, customer: str) -> Object:
    world.get("customer", customer, in_path=True)
    return page(world.where("tax_id", customer=customer), params, f"/v1/customers/{customer}/tax_ids")


@route("DELETE", "/v1/customers/{customer}/tax_ids/{tax_id}", "CustomerTaxIdDeleteParams")
def tax_id_delete(world: World, params: Object, customer: str, tax_id: str) -> Object:
    found = world.get("tax_id", tax_id, in_path=True)
    world.emit("customer.tax_id.deleted", found)
    found["deleted"] = True
    return {"id": tax_id, "object": "tax_id", "deleted": True}


def tax_id_add(world: World, customer: Object, type_: str, value: str) -> Object:
    wanted = _TAX_ID_FORMATS.get(type_)
    if wanted and not wanted.match(value):
        raise InvalidRequest(f"Invalid value for {type_}.", code="tax_id_invalid", param="value")
    tax_id = shaped(
        "TaxId",
        id=world.new_id("txi"),
        object="tax_id",
        country=value[:2] if type_ == "eu_vat" else type_[:2].upper(),
        created=world.now_of(customer),
        customer=customer["id"],
        livemode=False,
        owner={
            "account": None,
            "application": None,
            "customer": customer["id"],
            "customer_account": None,
            "type": "customer",
        },
        type=type_,
        value=value,
        verification={"status": "pending", "verified_address": None, "verified_name": None},
    )
    world.add(tax_id, silent=True)
    world.emit("customer.tax_id.created", tax_id)
    return tax_id
