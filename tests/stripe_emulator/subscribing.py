"""How does a subscription begin, go from period to period, pause, and end?"""

from typing import Any

from . import invoicing, lines, scheduling
from .answers import everything
from .changing import Change, changed, check_items, item_new, keep
from .errors import CardDeclined, InvalidRequest
from .invoicing import Bill, attempt, draft, finalize, finalize_and_collect
from .periods import period_end
from .resources.payment_methods import payer
from .shapes import shaped
from .substates import OVER, change, current_end, end, items, items_of, metered_span, notes
from .timeline import Act, moments
from .world import DAY_SECONDS, HOUR_SECONDS, Object, World, merged_metadata

INCOMPLETE_SECONDS = 23 * HOUR_SECONDS
TRIAL_WILL_END_SECONDS = 3 * DAY_SECONDS
TRIAL_DAYS_MAX = 730
NO_PAYER = (
    "This customer has no attached payment source or default payment method. Please consider adding a default payment "
    "method. For more information, visit https://stripe.com/docs/billing/subscriptions/payment-methods-setting."
)


def begin(world: World, customer: Object, params: Object, *, behavior: str = "allow_incomplete") -> Object:
    """A new subscription with its first invoice, paid if it can be; `params` as in SubscriptionCreateParams."""
    at = world.now_of(customer)
    subscription = _new(world, customer, params, at)
    given = params.get("items", [])
    first = [item_new(world, one, f"items[{index}]", subscription["id"], at) for index, one in enumerate(given)]
    check_items(first)
    trial_end = _trial_end(params, at)
    recurring = first[0]["price"]["recurring"]
    ends_at = trial_end or period_end(at, at, recurring["interval"], recurring["interval_count"])
    for item in first:
        item.update(current_period_start=at, current_period_end=ends_at)
    subscription.update(
        items=everything(first, f"/v1/subscription_items?subscription={subscription['id']}"),
        currency=first[0]["price"]["currency"],
        billing_cycle_anchor=trial_end or at,
        trial_start=at if trial_end else None,
        trial_end=trial_end,
        status="trialing" if trial_end else "incomplete",
    )
    if subscription["automatic_tax"]["enabled"] and not invoicing.taxable(customer):
        raise InvalidRequest(
            "The customer's location isn't recognized. Set a valid customer address in order to automatically "
            "calculate tax.",
            code="customer_tax_location_invalid",
        )
    bill = Bill("subscription_create", _advance_lines(world, subscription, first))
    due = sum(line["amount"] for line in bill.lines) + customer["balance"]
    if due > 0 and behavior in ("allow_incomplete", "error_if_incomplete") and not payer(world, customer, subscription):
        raise InvalidRequest(NO_PAYER, code="resource_missing")

    before = world.snapshot()
    world.add(subscription, silent=True)
    world.emit("customer.subscription.created", subscription)
    invoice = draft(world, subscription, bill, auto_advance=False)
    finalize(world, invoice)
    if invoice["status"] == "open" and behavior != "default_incomplete":
        attempt(world, invoice)
        if behavior == "error_if_incomplete" and invoice["status"] != "paid":
            world.restore(before)
            raise CardDeclined()
    change(world, subscription)
    return subscription


def update(world: World, subscription: Object, params: Object) -> Object:
    """Make the change, invoice it now or with the next invoice, and undo or keep it pending if it is not paid."""
    at = params.get("proration_date", world.now_of(subscription))
    behavior = params.get("payment_behavior", "allow_incomplete")
    before = world.snapshot()
    made = changed(world, subscription, params, at)
    change(world, subscription, **{**made.values, **plain_values(world, subscription, params)})
    keep(world, subscription, made)
    invoice = bill_change(world, subscription, made, params.get("proration_behavior", "create_prorations"))
    if invoice is None:
        return subscription
    if finalize(world, invoice) and invoice["status"] == "open" and behavior != "default_incomplete":
        outcome = attempt(world, invoice)
        if outcome != "paid" and behavior == "error_if_incomplete":
            world.restore(before)
            raise CardDeclined() if outcome != "no_method" else InvalidRequest(NO_PAYER, code="resource_missing")
        if outcome != "paid" and behavior == "pending_if_incomplete":
            return _keep_pending(world, subscription["id"], invoice, params, at, made, before)
    return world.kind("subscription")[subscription["id"]]


def bill_change(world: World, subscription: Object, made: Change, proration: str) -> Object | None:
    """The draft for it, where it is billed at once."""
    noted = notes(world, subscription)
    if not made.starts_period and (proration != "always_invoice" or not (made.lines or made.metered)):
        noted["pending_lines"] += made.lines
        noted["pending_metered"] += made.metered
        return None
    waiting, noted["pending_lines"] = noted["pending_lines"], []
    waiting_metered, noted["pending_metered"] = noted["pending_metered"], []
    bill = Bill("subscription_update", [*waiting, *made.lines], [*waiting_metered, *made.metered])
    return draft(world, subscription, bill, auto_advance=False)


def renew(world: World, subscription: Object) -> Object | None:
    """The turn of a period, or of a trial: bill what was used, and what comes in advance."""
    at = current_end(subscription)
    if _ends_at(subscription) == at or scheduling.ends_by_cancelling(world, subscription, at):
        final_invoice(world, subscription, at)
        end(world, subscription, at, reason="cancellation_requested")
        return None
    trialing = subscription["status"] == "trialing"
    if trialing and _pauses_or_cancels(world, subscription, at):
        return None

    noted = notes(world, subscription)
    metered = (
        [] if trialing else [metered_span(world, subscription, one, at) for one in items_of(subscription, "metered")]
    )
    after = scheduling.phase_turn(world, subscription, at) or items(subscription)
    recurring = after[0]["price"]["recurring"]
    ends_at = period_end(subscription["billing_cycle_anchor"], at, recurring["interval"], recurring["interval_count"])
    after = [{**item, "current_period_start": at, "current_period_end": ends_at} for item in after]
    noted["metered_from"] = {item["id"]: at for item in after}
    listed = everything(after, f"/v1/subscription_items?subscription={subscription['id']}")
    change(world, subscription, items=listed, status="active" if trialing else subscription["status"])
    bill = Bill(
        "subscription_cycle",
        [*noted["pending_lines"], *_advance_lines(world, subscription, after)],
        [*noted["pending_metered"], *metered],
    )
    noted["pending_lines"], noted["pending_metered"] = [], []
    return draft(world, subscription, bill, auto_advance=subscription["status"] != "unpaid")


def end_now(world: World, subscription: Object, *, invoice_now: bool = False, prorate: bool = False) -> None:
    at = world.now_of(subscription)
    if prorate and subscription["status"] == "active":
        credit = [lines.unused(world, subscription, one, at) for one in items_of(subscription, "licensed")]
        notes(world, subscription)["pending_lines"] += credit
    if invoice_now:
        final_invoice(world, subscription, at)
    for invoice in world.where("invoice", status="open"):
        if invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]:
            invoice.update(auto_advance=False, next_payment_attempt=None)  # No more tries; it stays open.
    if schedule := world.kind("subscription_schedule").get(subscription["schedule"] or ""):
        scheduling.finish(world, {**schedule, "end_behavior": "cancel"}, at)
    end(world, subscription, at, reason="cancellation_requested")


def final_invoice(world: World, subscription: Object, at: int) -> Object | None:
    noted = notes(world, subscription)
    used: list[Object] = []
    if subscription["status"] in ("active", "past_due"):
        used = [metered_span(world, subscription, one, at) for one in items_of(subscription, "metered")]
    bill = Bill("subscription_cycle", noted["pending_lines"], [*noted["pending_metered"], *used])
    return draft(world, subscription, bill) if bill.lines or bill.metered else None


def resume(world: World, subscription: Object, params: Object) -> Object:
    """A new period from now, which is paid first where that was asked for."""
    if subscription["status"] != "paused":
        raise InvalidRequest("You can only resume a subscription that is paused.", param="id")
    customer = world.kind("customer")[subscription["customer"]]
    if not payer(world, customer, subscription):
        raise InvalidRequest(NO_PAYER, code="resource_missing")
    at = world.now_of(subscription)
    if params.get("billing_cycle_anchor", {}).get("type", "now") != "now":
        raise InvalidRequest("The emulator resumes with a new period alone.", param="billing_cycle_anchor")
    recurring = items(subscription)[0]["price"]["recurring"]
    ends_at = period_end(at, at, recurring["interval"], recurring["interval_count"])
    after = [{**item, "current_period_start": at, "current_period_end": ends_at} for item in items(subscription)]
    notes(world, subscription)["metered_from"] = {item["id"]: at for item in after}
    listed = everything(after, f"/v1/subscription_items?subscription={subscription['id']}")
    change(world, subscription, items=listed, billing_cycle_anchor=at)
    invoice = draft(
        world,
        subscription,
        Bill("subscription_update", _advance_lines(world, subscription, after)),
        auto_advance=False,
    )
    notes(world, subscription)["resumed_by"] = invoice["id"]
    finalize(world, invoice)
    if invoice["status"] == "open":
        attempt(world, invoice)
    attempted = params.get("payment_behavior", "resume_on_payment_attempt") == "resume_on_payment_attempt"
    if subscription["status"] == "paused" and attempted:
        notes(world, subscription).pop("resumed_by")
        change(world, subscription, "resumed", status="past_due")
    return subscription


@moments("subscription")
def next_moment(world: World, subscription: Object) -> tuple[int, Act] | None:
    status = subscription["status"]
    if status in OVER:
        return None
    if status == "incomplete":
        return subscription["created"] + INCOMPLETE_SECONDS, lambda: _expire(world, subscription)
    found: list[tuple[int, Act]] = []
    noted = notes(world, subscription)
    if pending := subscription["pending_update"]:
        found.append((pending["expires_at"], lambda: _pending_expire(world, subscription)))
    if status != "paused":
        found.append((current_end(subscription), lambda: renew(world, subscription)))
    if (cancel_at := subscription["cancel_at"]) and cancel_at < current_end(subscription):
        found.append((cancel_at, lambda: _cancel_early(world, subscription, cancel_at)))
    phase_end = scheduling.phase_end(world, subscription)
    if phase_end and phase_end < current_end(subscription):
        found.append((phase_end, lambda: _phase_turn_early(world, subscription, phase_end)))
    if status == "trialing" and not noted["trial_end_told"]:
        told_at = max(subscription["trial_end"] - TRIAL_WILL_END_SECONDS, subscription["created"])
        found.append((told_at, lambda: _tell_trial_end(world, subscription)))
    return min(found, key=lambda one: one[0], default=None)


def _new(world: World, customer: Object, params: Object, at: int) -> Object:
    _check_method(world, customer["id"], params.get("default_payment_method"))
    mode = params.get("billing_mode", {"type": "flexible"})
    missing = params.get("trial_settings", {}).get("end_behavior", {}).get("missing_payment_method", "create_invoice")
    return shaped(
        "Subscription",
        id=world.new_id("sub"),
        object="subscription",
        automatic_tax={
            "disabled_reason": None,
            "enabled": params.get("automatic_tax", {}).get("enabled", False),
            "liability": None,
        },
        billing_cycle_anchor=at,
        billing_mode={"flexible": {"proration_discounts": "included"}, "type": mode["type"], "updated_at": at},
        billing_schedules=[],
        cancel_at_period_end=params.get("cancel_at_period_end", False),
        cancellation_details={"comment": None, "feedback": None, "feedback_option": None, "reason": None},
        collection_method=params.get("collection_method", "charge_automatically"),
        created=at,
        currency=invoicing.CURRENCY,
        customer=customer["id"],
        default_payment_method=params.get("default_payment_method"),
        default_tax_rates=[],
        description=params.get("description"),
        discounts=[],
        invoice_settings={"account_tax_ids": None, "issuer": {"type": "self"}},
        items=everything([], ""),
        livemode=False,
        metadata=merged_metadata({}, params.get("metadata")),
        start_date=at,
        status="incomplete",
        test_clock=customer["test_clock"],
        trial_settings={"end_behavior": {"missing_payment_method": missing}},
    )


def plain_values(world: World, subscription: Object, params: Object) -> Object:
    values: dict[str, Any] = {}
    for name in ("description", "default_payment_method", "collection_method", "days_until_due"):
        if name in params:
            values[name] = params[name] or None
    _check_method(world, subscription["customer"], values.get("default_payment_method"))
    if "metadata" in params:
        values["metadata"] = merged_metadata(subscription["metadata"], params["metadata"])
    if "automatic_tax" in params:
        values["automatic_tax"] = {**subscription["automatic_tax"], "enabled": params["automatic_tax"]["enabled"]}
    if "trial_settings" in params:
        values["trial_settings"] = params["trial_settings"]
    at = world.now_of(subscription)
    if "cancel_at_period_end" in params:
        on = params["cancel_at_period_end"]
        values |= {
            "cancel_at_period_end": on,
            "cancel_at": current_end(subscription) if on else None,
            "canceled_at": at if on else None,
        }
        reason = "cancellation_requested" if on else None
        values["cancellation_details"] = {**subscription["cancellation_details"], "reason": reason}
    elif "cancel_at" in params:
        wanted = params["cancel_at"]
        named = {"": None, "min_period_end": current_end(subscription), "max_period_end": current_end(subscription)}
        cancel_at = named.get(wanted, wanted)
        if isinstance(cancel_at, int) and cancel_at <= at:
            raise InvalidRequest("`cancel_at` must be in the future.", param="cancel_at")
        values |= {"cancel_at": cancel_at, "canceled_at": at if cancel_at else None, "cancel_at_period_end": False}
    if details := params.get("cancellation_details"):
        values["cancellation_details"] = {
            **subscription["cancellation_details"],
            **values.get("cancellation_details", {}),
            **{name: value or None for name, value in details.items()},
        }
    return values


def _check_method(world: World, customer: str, method: str | None) -> None:
    if method and world.get("payment_method", method, "default_payment_method")["customer"] != customer:
        raise InvalidRequest("The customer does not have this payment method.", param="default_payment_method")


def _trial_end(params: Object, at: int) -> int | None:
    if "trial_end" in params and "trial_period_days" in params:
        raise InvalidRequest("You may only specify one of these parameters: trial_end, trial_period_days.")
    if days := params.get("trial_period_days"):
        if not 0 < days <= TRIAL_DAYS_MAX:
            raise InvalidRequest(f"Trials last at most {TRIAL_DAYS_MAX} days.", param="trial_period_days")
        return int(at + days * DAY_SECONDS)
    given = params.get("trial_end")
    if given in (None, "now"):
        return None
    if given <= at:
        raise InvalidRequest("Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end")
    return int(given)


def _advance_lines(world: World, subscription: Object, after: list[Object]) -> list[Object]:
    """A trial's are of 0: its first invoice is paid as soon as it is made."""
    told = []
    for item in after:
        if item["price"]["recurring"]["usage_type"] == "metered":
            continue
        line = lines.licensed(world, subscription, item, item["current_period_start"], item["current_period_end"])
        if subscription["status"] == "trialing" and subscription["trial_end"] == item["current_period_end"]:
            line |= {"amount": 0, "subtotal": 0, "description": f"Trial period for {line['description']}"}
        told.append(line)
    return told


def _ends_at(subscription: Object) -> int | None:
    return current_end(subscription) if subscription["cancel_at_period_end"] else subscription["cancel_at"]


def _pauses_or_cancels(world: World, subscription: Object, at: int) -> bool:
    customer = world.kind("customer")[subscription["customer"]]
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if payer(world, customer, subscription) or behavior == "create_invoice":
        return False
    if behavior == "pause":
        change(world, subscription, "paused", status="paused")
    else:
        end(world, subscription, at, reason=None)
    return True


def _keep_pending(
    world: World, subscription_id: str, invoice: Object, params: Object, at: int, made: Change, before: Any
) -> Object:
    """The change is undone, its invoice stays open: paid within a day it still comes about."""
    known = {kind: set(before.get(kind, {})) for kind in ("invoice", "_invoice", "_number", "event", "_delivery")}
    new = {kind: [one for key, one in world.kind(kind).items() if key not in known[kind]] for kind in known}
    about = {invoice["id"]}
    world.restore(before)
    for kind, things in new.items():
        for thing in things:
            if kind == "event" and thing["data"]["object"].get("id") not in about:
                continue
            if kind == "_delivery" and thing["event"] not in world.kind("event"):
                continue
            world.kind(kind)[thing["id"]] = thing
    subscription = world.kind("subscription")[subscription_id]
    notes(world, subscription)["pending"] = {"invoice": invoice["id"], "params": params, "at": at}
    change(
        world,
        subscription,
        latest_invoice=invoice["id"],
        pending_update={
            "billing_cycle_anchor": made.values.get("billing_cycle_anchor"),
            "expires_at": world.now_of(subscription) + INCOMPLETE_SECONDS,
            "subscription_items": made.values["items"]["data"],
            "trial_end": made.values.get("trial_end"),
            "trial_from_plan": None,
        },
    )
    return subscription


def _pending_expire(world: World, subscription: Object) -> None:
    pending = notes(world, subscription).pop("pending")
    change(world, subscription, "pending_update_expired", pending_update=None)
    invoice = world.kind("invoice")[pending["invoice"]]
    if invoice["status"] == "open":
        invoicing.void(world, invoice)


def _expire(world: World, subscription: Object) -> None:
    at = world.now_of(subscription)
    for invoice in world.where("invoice", status="open"):
        if invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]:
            invoicing.void(world, invoice)
    change(world, subscription, status="incomplete_expired", ended_at=at)


def _tell_trial_end(world: World, subscription: Object) -> None:
    notes(world, subscription)["trial_end_told"] = True
    world.emit("customer.subscription.trial_will_end", subscription)


def _cancel_early(world: World, subscription: Object, at: int) -> None:
    final_invoice(world, subscription, at)
    end(world, subscription, at, reason="cancellation_requested")


def _phase_turn_early(world: World, subscription: Object, at: int) -> None:
    """A phase that ends amid a period changes the items as an update would."""
    if scheduling.ends_by_cancelling(world, subscription, at):
        final_invoice(world, subscription, at)
        end(world, subscription, at, reason="cancellation_requested")
        return
    proration = scheduling.proration_of_next(world, subscription, at)
    after = scheduling.phase_turn(world, subscription, at)
    if after is None:
        return
    wanted = {item["price"]["id"] for item in after}
    have = {item["price"]["id"]: item["id"] for item in items(subscription)}
    given: list[Object] = [{"id": one, "deleted": True} for price, one in have.items() if price not in wanted]
    given += [{"price": item["price"]["id"]} for item in after if item["price"]["id"] not in have]
    if given:
        made = changed(world, subscription, {"items": given, "proration_behavior": proration}, at)
        change(world, subscription, **made.values)
        keep(world, subscription, made)
        if invoice := bill_change(world, subscription, made, proration):
            finalize_and_collect(world, invoice)
