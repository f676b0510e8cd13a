"""Schedules: which items a subscription will have in phases to come."""

from typing import Any

from ..answers import page
from ..changing import check_items, item_new
from ..errors import InvalidRequest
from ..periods import period_end
from ..routes import route
from ..scheduling import release
from ..shapes import shaped
from ..subscribing import end_now
from ..substates import OVER, current_end, items
from ..world import Object, World, merged_metadata


@route("POST", "/v1/subscription_schedules", "SubscriptionScheduleCreateParams")
def create(world: World, params: Object) -> Object:
    if "from_subscription" not in params:
        raise InvalidRequest("The emulator makes schedules from subscriptions alone.", param="from_subscription")
    if more := params.keys() - {"from_subscription", "metadata", "billing_mode"}:
        raise InvalidRequest(
            "You cannot set any other parameters when using `from_subscription`.", param=sorted(more)[0]
        )
    subscription = world.get("subscription", params["from_subscription"], "from_subscription")
    if subscription["status"] in OVER:
        raise InvalidRequest("You cannot migrate a subscription that is canceled to a subscription schedule.")
    if subscription["schedule"]:
        raise InvalidRequest(
            f"You cannot migrate a subscription that is already attached to a schedule: {subscription['schedule']}.",
            param="from_subscription",
        )
    if subscription["cancel_at"]:
        raise InvalidRequest("You cannot migrate a subscription that is set to cancel.", param="from_subscription")
    now, first = world.now_of(subscription), _current_phase(subscription)
    schedule = shaped(
        "SubscriptionSchedule",
        id=world.new_id("sub_sched"),
        object="subscription_schedule",
        billing_mode=subscription["billing_mode"],
        created=now,
        current_phase={"start_date": first["start_date"], "end_date": first["end_date"]},
        customer=subscription["customer"],
        default_settings={
            "application_fee_percent": None,
            "automatic_tax": {"enabled": subscription["automatic_tax"]["enabled"], "liability": None},
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": None,
            "description": None,
            "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
            "on_behalf_of": None,
            "transfer_data": None,
        },
        end_behavior="release",
        livemode=False,
        metadata=merged_metadata({}, params.get("metadata")),
        pause_schedules=[],
        phases=[first],
        status="active",
        subscription=subscription["id"],
        test_clock=subscription["test_clock"],
    )
    subscription["schedule"] = schedule["id"]
    return world.add(schedule)


@route("GET", "/v1/subscription_schedules/{schedule}", "SubscriptionScheduleRetrieveParams")
def retrieve(world: World, params: Object, schedule: str) -> Object:
    return world.get("subscription_schedule", schedule, in_path=True)


@route("GET", "/v1/subscription_schedules", "SubscriptionScheduleListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {"customer": params["customer"]} if "customer" in params else {}
    return page(world.where("subscription_schedule", **wanted), params, "/v1/subscription_schedules")


@route("POST", "/v1/subscription_schedules/{schedule}", "SubscriptionScheduleUpdateParams")
def update(world: World, params: Object, schedule: str) -> Object:
    found = _active(world, schedule)
    values = {name: params[name] for name in ("end_behavior",) if name in params}
    if "phases" in params:
        values["phases"] = _phases(world, found, params["phases"], params.get("proration_behavior"))
        current = values["phases"][0]
        values["current_phase"] = {"start_date": current["start_date"], "end_date": current["end_date"]}
    if "metadata" in params:
        values["metadata"] = merged_metadata(found["metadata"], params["metadata"])
    world.change(found, **values)
    return found


@route("POST", "/v1/subscription_schedules/{schedule}/release", "SubscriptionScheduleReleaseParams")
def release_(world: World, params: Object, schedule: str) -> Object:
    """The subscription goes on as it is."""
    found = _active(world, schedule)
    release(world, found, world.now_of(found))
    return found


@route("POST", "/v1/subscription_schedules/{schedule}/cancel", "SubscriptionScheduleCancelParams")
def cancel(world: World, params: Object, schedule: str) -> Object:
    """The subscription with it."""
    found = _active(world, schedule)
    subscription = world.kind("subscription")[found["subscription"]]
    subscription["schedule"] = None
    end_now(world, subscription, invoice_now=params.get("invoice_now", True), prorate=params.get("prorate", True))
    now = world.now_of(found)
    world.change(found, "subscription_schedule.canceled", status="canceled", canceled_at=now, current_phase=None)
    return found


def _active(world: World, schedule: str) -> Object:
    found = world.get("subscription_schedule", schedule, in_path=True)
    if found["status"] not in ("active", "not_started"):
        raise InvalidRequest(
            f"You cannot change a subscription schedule that is currently in the `{found['status']}` status."
        )
    return found


def _current_phase(subscription: Object) -> Object:
    first = items(subscription)[0]
    return _phase(
        first["current_period_start"],
        current_end(subscription),
        [{"price": one["price"]["id"], "quantity": one["quantity"]} for one in items(subscription)],
        "create_prorations",
        trial_end=subscription["trial_end"] if subscription["status"] == "trialing" else None,
    )


def _phases(world: World, schedule: Object, given: list[Object], proration: str | None) -> list[Object]:
    """The one under way keeps its start, and every other starts where the one before ends."""
    started = schedule["phases"][0]["start_date"]
    subscription = world.kind("subscription")[schedule["subscription"]]
    phases: list[Object] = []
    for index, one in enumerate(given):
        param = f"phases[{index}]"
        start = phases[-1]["end_date"] if phases else one.get("start_date")
        if not phases and start != started:
            raise InvalidRequest(
                "You can not modify the start date of the current phase."
                if start is not None
                else "The schedule is missing at least one phase with a `start_date` to anchor end dates to.",
                param=f"{param}[start_date]",
            )
        if one.get("start_date", start) != start:
            raise InvalidRequest("Phases must be contiguous.", param=f"{param}[start_date]")
        wanted = [
            _item(world, item, f"{param}[items][{number}]", subscription) for number, item in enumerate(one["items"])
        ]
        end = _end(world, one, wanted, start, param)
        if end <= start:
            raise InvalidRequest("A phase must end after it starts.", param=f"{param}[end_date]")
        behavior = one.get("proration_behavior", proration or "create_prorations")
        trial_end = one.get("trial_end") if isinstance(one.get("trial_end"), int) else None
        phases.append(_phase(start, end, wanted, behavior, metadata=one.get("metadata"), trial_end=trial_end))
    if phases[0]["end_date"] <= world.now_of(schedule):
        raise InvalidRequest("The current phase must end in the future.", param="phases[0][end_date]")
    return phases


def _end(world: World, one: Object, wanted: list[Object], start: int, param: str) -> int:
    if "end_date" in one and "duration" in one:
        raise InvalidRequest("You may only specify one of these parameters: duration, end_date.", param=param)
    if "end_date" in one:
        return int(world.now() if one["end_date"] == "now" else one["end_date"])
    if duration := one.get("duration"):
        return period_end(start, start, duration["interval"], duration.get("interval_count", 1))
    recurring = world.kind("price")[wanted[0]["price"]]["recurring"]
    return period_end(start, start, recurring["interval"], recurring["interval_count"])


def _item(world: World, given: Object, param: str, subscription: Object) -> Object:
    item = item_new(world, given, param, subscription["id"], world.now_of(subscription))
    check_items([item])
    return {"price": item["price"]["id"], "quantity": item["quantity"]}


def _phase(
    start: int, end: int, wanted: list[Object], proration: str, *, metadata: Any = None, trial_end: int | None = None
) -> Object:
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "automatic_tax": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": "usd",
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": end,
        "invoice_settings": None,
        "items": [
            {
                "billing_thresholds": None,
                "discounts": [],
                "metadata": {},
                "plan": one["price"],
                "price": one["price"],
                "quantity": one["quantity"],
                "tax_rates": [],
            }
            for one in wanted
        ],
        "metadata": metadata or {},
        "on_behalf_of": None,
        "proration_behavior": proration,
        "start_date": start,
        "transfer_data": None,
        "trial_end": trial_end,
    }
