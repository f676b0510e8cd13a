"""The page of a checkout session."""

from collections.abc import Mapping

from ..buying import card_needed, complete
from ..errors import Refusal
from ..world import Object, World
from . import layout
from .outcome import Outcome, Redirect, Shown


def show(world: World, session_id: str, *, refused: str | None = None) -> Outcome:
    session = world.kind("checkout.session").get(session_id)
    if session is None:
        return Shown(layout.document("No such checkout", ""), status=404)
    if session["status"] != "open":
        back = session["success_url"] if session["status"] == "complete" else session["cancel_url"]
        body = layout.link(_filled(back or world.root, session), "Back")
        return Shown(layout.document(f"This checkout is {session['status']}", body), status=410)

    noted = world.kind("_checkout")[session_id]
    rows = [(one["description"] + _how_often(one["price"]), one["amount_total"]) for one in noted["line_items"]]
    body = layout.table(rows, ("Due today", session["amount_total"])) + _trial(noted["params"])
    body += layout.form(f"/checkout/{session_id}", _fields(world, session), "Subscribe")
    if session["cancel_url"]:
        body += layout.link(_filled(session["cancel_url"], session), "Cancel and go back")
    return Shown(layout.document("Checkout", body, refused=refused), status=402 if refused else 200)


def submit(world: World, session_id: str, form: Mapping[str, str]) -> Outcome:
    session = world.kind("checkout.session").get(session_id)
    if session is None or session["status"] != "open":
        return show(world, session_id)
    try:
        complete(world, session, form)
    except Refusal as refusal:
        return show(world, session_id, refused=refusal.message)
    return Redirect(_filled(session["success_url"], session))


def _fields(world: World, session: Object) -> str:
    customer = world.kind("customer").get(session["customer"] or "", {})
    told = ""
    if not session["customer"] and not session["customer_email"]:
        told += layout.field("email", "Email", kind="email")
    told += layout.field("name", "Name on the invoice", customer.get("name") or "")
    address = customer.get("address") or {}
    told += layout.field("country", "Country, two letters", address.get("country") or "US")
    told += layout.field("postal_code", "Postal code", address.get("postal_code") or "10001")
    if session["tax_id_collection"]["enabled"]:
        types = (("eu_vat", "EU VAT"), ("gb_vat", "UK VAT"), ("us_ein", "US EIN"), ("ch_vat", "Swiss VAT"))
        told += layout.choice("tax_id_type", "Kind of tax ID", types)
        told += layout.field("tax_id", "Tax ID, if you have one")
    cards = layout.CARDS if card_needed(session) else layout.NO_CARD + layout.CARDS
    return told + layout.choice("card", "Card", cards)


def _trial(params: Object) -> str:
    days = params.get("subscription_data", {}).get("trial_period_days")
    return f"<p>{days} days free, then as above.</p>" if days else ""


def _how_often(price: Object) -> str:
    recurring = price["recurring"]
    if recurring["usage_type"] == "metered":
        return f", by use, each {recurring['interval']}"
    return f", {layout.dollars(price['unit_amount'])} each {recurring['interval']}"


def _filled(url: str, session: Object) -> str:
    return url.replace("{CHECKOUT_SESSION_ID}", session["id"])
