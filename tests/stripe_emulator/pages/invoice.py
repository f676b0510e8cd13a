"""The page of an invoice, where it can be paid."""

from collections.abc import Mapping

from ..errors import Refusal
from ..invoicing import attempt
from ..resources.payment_methods import card_add, card_attach
from ..world import World
from . import layout
from .outcome import Outcome, Redirect, Shown


def show(world: World, invoice_id: str, *, refused: str | None = None) -> Outcome:
    invoice = world.kind("invoice").get(invoice_id)
    if invoice is None or invoice["number"] is None:
        return Shown(layout.document("No such invoice", ""), status=404)
    rows = [(line["description"], line["amount"]) for line in invoice["lines"]["data"]]
    body = f"<p>{invoice['status']}</p>" + layout.table(rows, ("Amount due", invoice["amount_due"]))
    if invoice["status"] == "open":
        body += layout.form(f"/invoice/{invoice_id}", layout.choice("card", "Card", layout.CARDS), "Pay")
    title = f"Invoice {invoice['number']}"
    return Shown(layout.document(title, body, refused=refused), status=402 if refused else 200)


def submit(world: World, invoice_id: str, form: Mapping[str, str]) -> Outcome:
    invoice = world.kind("invoice").get(invoice_id)
    if invoice is None or invoice["status"] != "open":
        return show(world, invoice_id)
    method = card_add(world, form["card"])
    try:
        card_attach(world, method, world.get("customer", invoice["customer"]))
    except Refusal as refusal:
        return show(world, invoice_id, refused=refusal.message)
    if attempt(world, invoice, method) != "paid":
        return show(world, invoice_id, refused="Your card was declined.")
    return Redirect(f"/invoice/{invoice_id}")
