"""The page of a portal session: what its configuration lets a customer do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape

from ..errors import InvalidRequest, Refusal
from ..invoicing import finalize_mended
from ..resources.customers import tax_id_add
from ..resources.payment_methods import card_add, card_attach, default_set, payer
from ..subscribing import end_now, update
from ..substates import OVER, current_end
from ..world import Object, World
from . import layout
from .outcome import Outcome, Redirect, Shown


def show(world: World, session_id: str, *, refused: str | None = None) -> Outcome:
    session = world.kind("billing_portal.session").get(session_id)
    if session is None:
        return Shown(layout.document("No such portal session", ""), status=404)
    customer = world.get("customer", session["customer"])
    features = world.get("billing_portal.configuration", session["configuration"])["features"]
    body = f"<p>{escape(customer['email'] or customer['id'])}</p>"
    for subscription in _live(world, customer):
        body += _subscription(world, session_id, subscription, features)
    if features["payment_method_update"]["enabled"]:
        body += _card(world, session_id, customer)
    if features["customer_update"]["enabled"]:
        body += _details(session_id, customer, features["customer_update"]["allowed_updates"])
    if features["invoice_history"]["enabled"]:
        body += _invoices(world, customer)
    if session["return_url"]:
        body += layout.link(session["return_url"], "Back")
    return Shown(layout.document("Your billing", body, refused=refused), status=402 if refused else 200)


def submit(world: World, session_id: str, action: str, form: Mapping[str, str]) -> Outcome:
    session = world.kind("billing_portal.session").get(session_id)
    if session is None:
        return show(world, session_id)
    customer = world.get("customer", session["customer"])
    features = world.get("billing_portal.configuration", session["configuration"])["features"]
    before = world.snapshot()
    try:
        match action:
            case "card":
                _allow(features, "payment_method_update")
                _card_set(world, customer, form["card"])
            case "cancel" | "keep":
                _allow(features, "subscription_cancel")
                _cancel(world, customer, form["subscription"], features, on=action == "cancel")
            case "details":
                _allow(features, "customer_update")
                _details_set(world, customer, form)
            case _:
                return Shown(layout.document("There is no such page", ""), status=404)
    except Refusal as refusal:
        world.restore(before)
        return show(world, session_id, refused=refusal.message)
    return Redirect(f"/portal/{session_id}")


def _allow(features: Object, name: str) -> None:
    if not features[name]["enabled"]:
        raise InvalidRequest("The configuration of this portal does not allow that.")


def _live(world: World, customer: Object) -> list[Object]:
    return [one for one in world.where("subscription", customer=customer["id"]) if one["status"] not in OVER]


def _subscription(world: World, session_id: str, subscription: Object, features: Object) -> str:
    names = ", ".join(
        sorted({world.kind("product")[one["price"]["product"]]["name"] for one in subscription["items"]["data"]})
    )
    until = f"{datetime.fromtimestamp(current_end(subscription), UTC):%d %b %Y}"
    said = "ends" if subscription["cancel_at_period_end"] else "goes on"
    told = f"<section><h2>{escape(names)}</h2><p>{escape(subscription['status'])}, {said} on {until}.</p>"
    if features["subscription_cancel"]["enabled"]:
        hidden = f'<input type="hidden" name="subscription" value="{subscription["id"]}">'
        on = subscription["cancel_at_period_end"]
        action, text = ("keep", "Do not cancel") if on else ("cancel", "Cancel subscription")
        told += layout.form(f"/portal/{session_id}/{action}", hidden, text)
    return told + "</section>"


def _card(world: World, session_id: str, customer: Object) -> str:
    method = payer(world, customer, *_live(world, customer))
    has = f"Card ending in {method['card']['last4']}" if method else "No card"
    fields = layout.choice("card", "New card", layout.CARDS)
    body = layout.form(f"/portal/{session_id}/card", fields, "Use this card")
    return f"<section><h2>Payment method</h2><p>{has}</p>{body}</section>"


def _details(session_id: str, customer: Object, allowed: list[str]) -> str:
    address = customer["address"] or {}
    fields = ""
    if "name" in allowed:
        fields += layout.field("name", "Name on the invoice", customer["name"] or "")
    if "address" in allowed:
        fields += layout.field("country", "Country, two letters", address.get("country") or "")
        fields += layout.field("postal_code", "Postal code", address.get("postal_code") or "")
    if "tax_id" in allowed:
        fields += layout.field("tax_id", "EU VAT number to add")
    body = layout.form(f"/portal/{session_id}/details", fields, "Save")
    return f"<section><h2>Billing details</h2>{body}</section>"


def _invoices(world: World, customer: Object) -> str:
    rows = "".join(
        f'<tr><td><a href="/invoice/{one["id"]}">{escape(one["number"] or "draft")}</a></td>'
        f"<td>{escape(one['status'])}</td><td>{layout.dollars(one['total'])}</td></tr>"
        for one in reversed(world.where("invoice", customer=customer["id"]))
        if one["status"] != "draft"
    )
    return f"<section><h2>Invoices</h2><table><tbody>{rows}</tbody></table></section>"


def _card_set(world: World, customer: Object, number: str) -> None:
    method = card_add(world, number)
    card_attach(world, method, customer)
    default_set(world, customer, method["id"])
    for subscription in _live(world, customer):
        update(world, subscription, {"default_payment_method": method["id"]})


def _cancel(world: World, customer: Object, subscription_id: str, features: Object, *, on: bool) -> None:
    subscription = world.get("subscription", subscription_id)
    if subscription["customer"] != customer["id"]:
        raise InvalidRequest("That subscription is another customer's.")
    if subscription["schedule"]:
        raise InvalidRequest("This subscription is managed by a schedule and cannot be cancelled here.")
    if on and features["subscription_cancel"]["mode"] == "immediately":
        end_now(world, subscription)
        return
    update(world, subscription, {"cancel_at_period_end": on})


def _details_set(world: World, customer: Object, form: Mapping[str, str]) -> None:
    if "name" in form:
        world.change(customer, name=form["name"] or None)
    if "country" in form:
        address = {**(customer["address"] or {}), "country": form["country"], "postal_code": form.get("postal_code")}
        world.change(customer, address=address)
        finalize_mended(world, customer)
    if form.get("tax_id"):
        tax_id_add(world, customer, "eu_vat", form["tax_id"])
