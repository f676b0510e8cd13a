"""How does an invoice go from draft to open to paid, or not?"""

from dataclasses import dataclass, field

from . import following, lines
from .answers import everything
from .errors import InvalidRequest
from .resources.customers import CURRENCY, balance_add
from .resources.payment_methods import charge_outcome, payer
from .shapes import shaped
from .timeline import Act, moments
from .world import Object, World

CENTS_MIN = 50  # Less is not charged: it waits in the customer's balance.


@dataclass
class Bill:
    """What an invoice is about; metered spans are counted anew until it is final."""

    reason: str
    lines: list[Object] = field(default_factory=list)
    metered: list[Object] = field(default_factory=list)


def draft(world: World, subscription: Object, bill: Bill, *, auto_advance: bool = True) -> Object:
    customer = world.kind("customer")[subscription["customer"]]
    now = world.now_of(subscription)
    invoice_id = world.new_id("in")
    invoice = shaped(
        "Invoice",
        id=invoice_id,
        object="invoice",
        account_country="US",
        account_name="Emulated, no money",
        amount_due=0,
        amount_overpaid=0,
        amount_paid=0,
        amount_remaining=0,
        amount_shipping=0,
        attempt_count=0,
        attempted=False,
        auto_advance=auto_advance,
        automatic_tax={
            "disabled_reason": None,
            "enabled": subscription["automatic_tax"]["enabled"],
            "liability": None,
            "provider": "stripe" if subscription["automatic_tax"]["enabled"] else None,
            "status": None,
        },
        automatically_finalizes_at=now + world.controls.invoice_grace_seconds if auto_advance else None,
        billing_reason=bill.reason,
        collection_method=subscription["collection_method"],
        created=now,
        currency=CURRENCY,
        customer=customer["id"],
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_tax_exempt=customer["tax_exempt"],
        customer_tax_ids=[],
        default_tax_rates=[],
        discounts=[],
        issuer={"account": None, "type": "self"},
        lines=everything([], f"/v1/invoices/{invoice_id}/lines"),
        livemode=False,
        metadata={},
        parent={
            "quote_details": None,
            "subscription_details": {
                "metadata": subscription["metadata"],
                "subscription": subscription["id"],
                "subscription_proration_date": None,
            },
            "type": "subscription_details",
        },
        payment_settings={"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        period_start=now,
        period_end=now,
        post_payment_credit_notes_amount=0,
        pre_payment_credit_notes_amount=0,
        starting_balance=0,
        status="draft",
        status_transitions=dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        subtotal=0,
        test_clock=customer["test_clock"],
        total=0,
        total_discount_amounts=[],
        total_pretax_credit_amounts=[],
        total_taxes=[],
    )
    world.kind("_invoice")[invoice_id] = {"id": invoice_id, "lines": bill.lines, "metered": bill.metered}
    add_up(world, invoice)
    if spans := [line["period"] for line in invoice["lines"]["data"]]:
        invoice["period_start"] = min(span["start"] for span in spans)
        invoice["period_end"] = max(now, *(min(span["end"], now) for span in spans))
    subscription["latest_invoice"] = invoice_id
    return world.add(invoice)


def add_up(world: World, invoice: Object) -> None:
    noted = world.kind("_invoice")[invoice["id"]]
    subscription = world.kind("subscription").get(invoice["parent"]["subscription_details"]["subscription"])
    counted = [line for span in noted["metered"] for line in lines.metered(world, subscription or {}, span)]
    told = [{**line, "invoice": invoice["id"]} for line in [*noted["lines"], *counted]]
    total = sum(line["amount"] for line in told)
    customer = world.kind("customer")[invoice["customer"]]
    due = max(0, total + customer["balance"])
    invoice.update(
        lines=everything(told, f"/v1/invoices/{invoice['id']}/lines"),
        starting_balance=customer["balance"],
        subtotal=total,
        subtotal_excluding_tax=total,
        total=total,
        total_excluding_tax=total,
        amount_due=due,
        amount_remaining=due,
    )


def finalize(world: World, invoice: Object) -> bool:
    """False where tax cannot be told for such an address: it stays a draft until that is mended."""
    now = world.now_of(invoice)
    customer = world.kind("customer")[invoice["customer"]]
    if invoice["automatic_tax"]["enabled"] and not taxable(customer):
        error = {
            "code": "customer_tax_location_invalid",
            "message": "The customer's location isn't recognized. Set a valid customer address.",
            "type": "invalid_request_error",
        }
        world.change(
            invoice,
            "invoice.finalization_failed",
            last_finalization_error=error,
            automatically_finalizes_at=None,
            automatic_tax={**invoice["automatic_tax"], "status": "requires_location_inputs"},
        )
        return False

    add_up(world, invoice)
    due = _settle_balance(world, invoice, customer)
    numbers = world.kind("_number")
    number = len(numbers) + 1
    numbers[str(number)] = {"id": str(number), "invoice": invoice["id"]}
    if invoice["automatic_tax"]["enabled"]:
        invoice["automatic_tax"] = {**invoice["automatic_tax"], "status": "complete"}
    invoice.update(
        amount_due=due,
        amount_remaining=due,
        automatically_finalizes_at=None,
        customer_address=customer["address"],
        customer_name=customer["name"],
        customer_tax_ids=[
            {"type": one["type"], "value": one["value"]} for one in world.where("tax_id", customer=customer["id"])
        ],
        effective_at=now,
        ending_balance=customer["balance"],
        hosted_invoice_url=f"{world.root}/invoice/{invoice['id']}",
        invoice_pdf=f"{world.root}/invoice/{invoice['id']}/pdf",
        last_finalization_error=None,
        number=f"EMULATED-{number:04}",
        status="open",
        status_transitions={**invoice["status_transitions"], "finalized_at": now},
    )
    world.emit("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        _mark_paid(world, invoice, now)
    return True


def finalize_and_collect(world: World, invoice: Object) -> None:
    if finalize(world, invoice) and invoice["status"] == "open":
        attempt(world, invoice)


def finalize_mended(world: World, customer: Object) -> None:
    """What could not be finalized for want of a good address is tried again."""
    for invoice in world.where("invoice", customer=customer["id"], status="draft"):
        if invoice["last_finalization_error"]:
            finalize_and_collect(world, invoice)


def attempt(world: World, invoice: Object, method: Object | None = None) -> str:
    """paid, declined, requires_action, or no_method; what follows from it has followed."""
    now = world.now_of(invoice)
    customer = world.kind("customer")[invoice["customer"]]
    subscription = world.kind("subscription")[invoice["parent"]["subscription_details"]["subscription"]]
    method = method or payer(world, customer, invoice, subscription)
    outcome = charge_outcome(world, method) if method else "no_method"
    invoice.update(attempt_count=invoice["attempt_count"] + 1, attempted=True)
    if outcome == "paid":
        invoice["amount_paid"] = invoice["amount_due"]
        _charge_add(world, invoice, method)
        _mark_paid(world, invoice, now)
        return outcome

    retries = world.controls.retry_after_seconds
    # The first invoice of a subscription, and one for an update, are for the customer to pay, who is there.
    retried = invoice["billing_reason"] == "subscription_cycle" and invoice["auto_advance"]
    last = retried and invoice["attempt_count"] > len(retries)
    invoice["next_payment_attempt"] = now + retries[invoice["attempt_count"] - 1] if retried and not last else None
    world.change(customer, delinquent=True)
    if outcome == "requires_action":
        world.emit("invoice.payment_action_required", invoice)
    world.emit("invoice.payment_failed", invoice)
    following.failed(world, invoice, now, last=last)
    return outcome


def pay_out_of_band(world: World, invoice: Object) -> None:
    invoice["amount_paid"] = invoice["amount_due"]
    _mark_paid(world, invoice, world.now_of(invoice))


def void(world: World, invoice: Object) -> None:
    if invoice["status"] not in ("open", "uncollectible"):
        raise InvalidRequest(f"You can only void open invoices: this one is {invoice['status']}.")
    used = invoice["ending_balance"] - invoice["starting_balance"]
    if used > 0:
        customer = world.kind("customer")[invoice["customer"]]
        balance_add(world, customer, -used, "unapplied_from_invoice", invoice=invoice["id"])
    transitions = {**invoice["status_transitions"], "voided_at": world.now_of(invoice)}
    values = {"status": "void", "status_transitions": transitions, "next_payment_attempt": None, "auto_advance": False}
    world.change(invoice, "invoice.voided", **values)


def taxable(customer: Object) -> bool:
    """Enough of an address to know whose tax it is."""
    address = customer["address"] or {}
    country = address.get("country") or ""
    known = len(country) == 2 and country.isalpha() and country not in ("XX", "ZZ")
    return known and (country != "US" or bool(address.get("postal_code")))


@moments("invoice")
def next_moment(world: World, invoice: Object) -> tuple[int, Act] | None:
    if invoice["status"] == "draft" and invoice["auto_advance"] and invoice["automatically_finalizes_at"]:
        return invoice["automatically_finalizes_at"], lambda: finalize_and_collect(world, invoice)
    if invoice["status"] == "open" and invoice["next_payment_attempt"]:
        return invoice["next_payment_attempt"], lambda: _retry(world, invoice)
    return None


def _retry(world: World, invoice: Object) -> None:
    invoice["next_payment_attempt"] = None
    attempt(world, invoice)


def _settle_balance(world: World, invoice: Object, customer: Object) -> int:
    """What is left to pay after credit; a total below zero, or too little to charge, goes into the balance."""
    total, balance = invoice["total"], customer["balance"]
    due = max(0, total + balance)
    if 0 < due < CENTS_MIN:
        due = 0
    moved = due - total
    if moved:
        kind = "applied_to_invoice" if balance < 0 < total else "invoice_too_small"
        balance_add(world, customer, -moved, kind, invoice=invoice["id"])
    return due


def _mark_paid(world: World, invoice: Object, now: int) -> None:
    transitions = {**invoice["status_transitions"], "paid_at": now}
    values = {"status": "paid", "amount_remaining": 0, "status_transitions": transitions, "next_payment_attempt": None}
    world.change(world.kind("customer")[invoice["customer"]], delinquent=False)
    invoice.update(values, attempted=True, auto_advance=False)
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)
    following.paid(world, invoice)


def _charge_add(world: World, invoice: Object, method: Object | None) -> None:
    charge = {
        "id": world.new_id("ch"),
        "object": "charge",
        "amount": invoice["amount_due"],
        "created": world.now_of(invoice),
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "disputed": False,
        "livemode": False,
        "metadata": {},
        "paid": True,
        "payment_intent": world.new_id("pi"),
        "payment_method": method and method["id"],
        "refunded": False,
        "status": "succeeded",
    }
    world.kind("_charge_of_invoice")[invoice["id"]] = {"id": invoice["id"], "charge": charge["id"]}
    world.add(charge, silent=True)
    world.emit("charge.succeeded", charge)
