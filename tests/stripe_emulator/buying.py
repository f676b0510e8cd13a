"""What happens when a person presses the button of a checkout page?"""

from collections.abc import Mapping, Sequence

from .errors import InvalidRequest
from .invoicing import taxable
from .resources.customers import create as customer_create
from .resources.customers import tax_id_add
from .resources.payment_methods import card_add, card_attach
from .subscribing import begin
from .world import Object, World

_FROM_SESSION = ("trial_period_days", "trial_end", "trial_settings", "billing_mode", "metadata", "description")


def totals(line_items: Sequence[Object], *, trial: bool) -> int:
    return 0 if trial else sum(one["amount_total"] for one in line_items)


def card_needed(session: Object) -> bool:
    return bool(session["payment_method_collection"] == "always" or session["amount_total"])


def complete(world: World, session: Object, form: Mapping[str, str]) -> None:
    """All of it, or nothing and a refusal that the page shows."""
    if session["status"] != "open":
        raise InvalidRequest(f"This checkout is {session['status']}.")
    before = world.snapshot()
    try:
        _complete(world, session, form)
    except Exception:
        world.restore(before)
        raise


def _complete(world: World, session: Object, form: Mapping[str, str]) -> None:
    params = world.kind("_checkout")[session["id"]]["params"]
    customer = _customer(world, session, form)
    update = params.get("customer_update", {})
    address = {name: form.get(name) or None for name in ("country", "postal_code", "line1", "city", "state")}
    if update.get("address") == "auto" or not session["customer"]:
        world.change(customer, address={"line2": None, **address})
    if (update.get("name") == "auto" or not session["customer"]) and form.get("name"):
        world.change(customer, name=form["name"])
    if session["automatic_tax"]["enabled"] and not taxable(customer):
        raise InvalidRequest("Enter a country, and in the US a postal code: tax depends on it.")
    if session["tax_id_collection"]["enabled"] and form.get("tax_id"):
        tax_id_add(world, customer, form.get("tax_id_type") or "eu_vat", form["tax_id"])

    method = None
    if form.get("card"):
        method = card_add(world, form["card"])
        card_attach(world, method, customer)
    elif card_needed(session):
        raise InvalidRequest("A card is needed.")
    data = params.get("subscription_data", {})
    wanted = {
        "items": [{name: one[name] for name in ("price", "quantity") if name in one} for one in params["line_items"]],
        "automatic_tax": {"enabled": session["automatic_tax"]["enabled"]},
        **{name: data[name] for name in _FROM_SESSION if name in data},
        **({"default_payment_method": method["id"]} if method else {}),
    }
    # What a first payment refuses is refused here: a subscription comes about by a completed checkout alone.
    subscription = begin(world, customer, wanted, behavior="error_if_incomplete")
    session.update(
        status="complete",
        payment_status="paid" if session["amount_total"] else "no_payment_required",
        customer=customer["id"],
        customer_details={
            "address": customer["address"],
            "business_name": None,
            "email": customer["email"],
            "individual_name": None,
            "name": customer["name"],
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [
                {"type": one["type"], "value": one["value"]} for one in world.where("tax_id", customer=customer["id"])
            ],
        },
        invoice=subscription["latest_invoice"],
        subscription=subscription["id"],
        url=None,
    )
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"] = {**session["automatic_tax"], "provider": "stripe", "status": "complete"}
    world.emit("checkout.session.completed", session)


def _customer(world: World, session: Object, form: Mapping[str, str]) -> Object:
    if session["customer"]:
        return world.get("customer", session["customer"])
    email = session["customer_email"] or form.get("email")
    if not email:
        raise InvalidRequest("Enter an email address.")
    return customer_create(world, {"email": email})
