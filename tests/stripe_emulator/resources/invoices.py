"""Invoices, and what one would say before it is made."""

from ..answers import page
from ..changing import changed, keep
from ..errors import CardDeclined, InvalidRequest
from ..invoicing import Bill, attempt, draft, finalize, pay_out_of_band, void
from ..routes import route
from ..subscribing import NO_PAYER, begin, bill_change, plain_values, renew
from ..substates import OVER, change
from ..world import Object, World, merged_metadata


@route("POST", "/v1/invoices/create_preview", "InvoiceCreatePreviewParams")
def create_preview(world: World, params: Object) -> Object:
    """Made for once and taken back: the words and cents are those of the real one."""
    before = world.snapshot()
    try:
        with world.during(None, None):
            invoice = _previewed(world, params)
    finally:
        world.restore(before)
    upcoming = {**invoice, "id": world.new_id("upcoming_in"), "number": None, "status": "draft"}
    for name in ("hosted_invoice_url", "invoice_pdf", "automatically_finalizes_at", "effective_at", "ending_balance"):
        upcoming[name] = None
    return upcoming


@route("GET", "/v1/invoices/{invoice}", "InvoiceRetrieveParams")
def retrieve(world: World, params: Object, invoice: str) -> Object:
    return world.get("invoice", invoice, in_path=True)


@route("GET", "/v1/invoices", "InvoiceListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {name: params[name] for name in ("customer", "status", "collection_method") if name in params}
    things = [
        one
        for one in world.where("invoice", **wanted)
        if params.get("subscription") in (None, one["parent"]["subscription_details"]["subscription"])
        and ("customer" in params or "subscription" in params or one["test_clock"] is None)
    ]
    return page(things, params, "/v1/invoices")


@route("GET", "/v1/invoices/{invoice}/lines", "InvoiceListLinesParams")
def lines_list(world: World, params: Object, invoice: str) -> Object:
    found = world.get("invoice", invoice, in_path=True)
    return page(list(reversed(found["lines"]["data"])), params, f"/v1/invoices/{invoice}/lines")


@route("POST", "/v1/invoices/{invoice}", "InvoiceUpdateParams")
def update(world: World, params: Object, invoice: str) -> Object:
    found = world.get("invoice", invoice, in_path=True)
    values: Object = {name: params[name] or None for name in ("description", "footer") if name in params}
    if values and found["status"] != "draft":
        raise InvalidRequest("Finalized invoices can't be updated in this way.", code="invoice_not_editable")
    if "auto_advance" in params:
        if found["status"] not in ("draft", "open"):
            raise InvalidRequest(f"An invoice that is {found['status']} does not advance.", param="auto_advance")
        on = params["auto_advance"]
        values["auto_advance"] = on
        if found["status"] == "draft":
            grace = world.controls.invoice_grace_seconds
            values["automatically_finalizes_at"] = world.now_of(found) + grace if on else None
    if "default_payment_method" in params:
        values["default_payment_method"] = params["default_payment_method"] or None
    if "metadata" in params:
        values["metadata"] = merged_metadata(found["metadata"], params["metadata"])
    world.change(found, **values)
    return found


@route("POST", "/v1/invoices/{invoice}/finalize", "InvoiceFinalizeInvoiceParams")
def finalize_(world: World, params: Object, invoice: str) -> Object:
    found = world.get("invoice", invoice, in_path=True)
    if found["status"] != "draft":
        raise InvalidRequest("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    if "auto_advance" in params:
        found["auto_advance"] = params["auto_advance"]
    if not finalize(world, found):
        error = found["last_finalization_error"]
        raise InvalidRequest(error["message"], code=error["code"])
    if found["status"] == "open" and found["auto_advance"]:
        attempt(world, found)
    return found


@route("POST", "/v1/invoices/{invoice}/pay", "InvoicePayParams")
def pay(world: World, params: Object, invoice: str) -> Object:
    found = world.get("invoice", invoice, in_path=True)
    if found["status"] == "draft":
        finalize(world, found)
    if found["status"] == "paid":
        raise InvalidRequest("Invoice is already paid", code="invoice_already_paid")
    if found["status"] != "open":
        raise InvalidRequest(f"This invoice cannot be paid: it is {found['status']}.", code="invoice_not_open")
    if params.get("paid_out_of_band"):
        pay_out_of_band(world, found)
        return found
    method = params.get("payment_method")
    outcome = attempt(world, found, world.get("payment_method", method, "payment_method") if method else None)
    if outcome == "no_method":
        raise InvalidRequest(NO_PAYER, code="resource_missing")
    if outcome != "paid":
        code = "authentication_required" if outcome == "requires_action" else "generic_decline"
        raise CardDeclined(decline_code=code)
    return found


@route("POST", "/v1/invoices/{invoice}/void", "InvoiceVoidInvoiceParams")
def void_(world: World, params: Object, invoice: str) -> Object:
    found = world.get("invoice", invoice, in_path=True)
    void(world, found)
    return found


@route("POST", "/v1/invoices/{invoice}/mark_uncollectible", "InvoiceMarkUncollectibleParams")
def mark_uncollectible(world: World, params: Object, invoice: str) -> Object:
    found = world.get("invoice", invoice, in_path=True)
    if found["status"] != "open":
        raise InvalidRequest("You can only mark open invoices as uncollectible.")
    transitions = {**found["status_transitions"], "marked_uncollectible_at": world.now_of(found)}
    values = {"status": "uncollectible", "status_transitions": transitions, "next_payment_attempt": None}
    world.change(found, "invoice.marked_uncollectible", **values)
    return found


@route("GET", "/v1/charges/{charge}", "ChargeRetrieveParams")
def charge_retrieve(world: World, params: Object, charge: str) -> Object:
    return world.get("charge", charge, in_path=True)


def _previewed(world: World, params: Object) -> Object:
    details = params.get("subscription_details", {})
    if "subscription" not in params:
        return _preview_of_new(world, params, details)
    subscription = world.get("subscription", params["subscription"], "subscription")
    if params.get("customer", subscription["customer"]) != subscription["customer"]:
        raise InvalidRequest("The subscription does not belong to this customer.", param="customer")
    if subscription["status"] in OVER or (subscription["cancel_at_period_end"] and not details):
        raise InvalidRequest(
            f"No upcoming invoices for customer: {subscription['customer']}", code="invoice_upcoming_none", status=404
        )
    if details.get("cancel_at_period_end") is not None:
        change(world, subscription, **plain_values(world, subscription, details))
    proration = details.get("proration_behavior", "create_prorations")
    at = details.get("proration_date", world.now_of(subscription))
    made = changed(world, subscription, details, at)
    change(world, subscription, **made.values)
    keep(world, subscription, made)
    invoice = bill_change(world, subscription, made, proration)
    if invoice is not None:
        if details.get("proration_date"):
            invoice["parent"]["subscription_details"]["subscription_proration_date"] = at
        return invoice
    return renew(world, subscription) or draft(world, subscription, Bill("upcoming"))


def _preview_of_new(world: World, params: Object, details: Object) -> Object:
    if "customer" not in params:
        raise InvalidRequest(
            "You must provide one of `customer`, `subscription`, `schedule`.", code="parameter_missing"
        )
    customer = world.get("customer", params["customer"], "customer")
    if not details.get("items"):
        raise InvalidRequest(
            f"No upcoming invoices for customer: {customer['id']}", code="invoice_upcoming_none", status=404
        )
    subscription = begin(world, customer, details, behavior="default_incomplete")
    return world.kind("invoice")[subscription["latest_invoice"]]
