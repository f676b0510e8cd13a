"""Meters, the events they count, and what they counted by hour or day."""

from decimal import Decimal, InvalidOperation

from ..answers import page
from ..errors import InvalidRequest
from ..metering import KEPT_SECONDS, Counted, counted_add, total, visible_at
from ..routes import route
from ..shapes import shaped
from ..world import DAY_SECONDS, HOUR_SECONDS, Object, World

PAST_SECONDS_MAX = 35 * DAY_SECONDS
FUTURE_SECONDS_MAX = 5 * 60
IDENTIFIER_LENGTH_MAX = 100
MINUTE_SECONDS = 60


@route("POST", "/v1/billing/meters", "billing.MeterCreateParams")
def create(world: World, params: Object) -> Object:
    if world.where("billing.meter", event_name=params["event_name"], status="active"):
        raise InvalidRequest(
            f"You have already created an active meter with event name {params['event_name']}.", param="event_name"
        )
    mapping = params.get("customer_mapping", {"event_payload_key": "stripe_customer_id", "type": "by_id"})
    meter = shaped(
        "billing.Meter",
        id=world.new_id("mtr_test"),
        object="billing.meter",
        created=world.now(),
        customer_mapping=mapping,
        default_aggregation=params["default_aggregation"],
        display_name=params["display_name"],
        event_name=params["event_name"],
        event_time_window=params.get("event_time_window"),
        livemode=False,
        status="active",
        status_transitions={"deactivated_at": None},
        updated=world.now(),
        value_settings=params.get("value_settings", {"event_payload_key": "value"}),
    )
    world.add(meter, silent=True)
    world.emit("billing.meter.created", meter)
    return meter


@route("GET", "/v1/billing/meters/{meter}", "billing.MeterRetrieveParams")
def retrieve(world: World, params: Object, meter: str) -> Object:
    return world.get("billing.meter", meter, in_path=True)


@route("GET", "/v1/billing/meters", "billing.MeterListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {"status": params["status"]} if "status" in params else {}
    return page(world.where("billing.meter", **wanted), params, "/v1/billing/meters")


@route("POST", "/v1/billing/meters/{meter}", "billing.MeterUpdateParams")
def update(world: World, params: Object, meter: str) -> Object:
    """Its name alone: all else about a meter is for ever."""
    found = world.get("billing.meter", meter, in_path=True)
    world.change(found, **params)
    return found


@route("POST", "/v1/billing/meters/{meter}/deactivate", "billing.MeterDeactivateParams")
def deactivate(world: World, params: Object, meter: str) -> Object:
    found = world.get("billing.meter", meter, in_path=True)
    if found["status"] == "inactive":
        raise InvalidRequest("You cannot deactivate a meter that is already inactive.")
    values = {"status": "inactive", "status_transitions": {"deactivated_at": world.now()}}
    world.change(found, "billing.meter.deactivated", **values)
    return found


@route("POST", "/v1/billing/meters/{meter}/reactivate", "billing.MeterReactivateParams")
def reactivate(world: World, params: Object, meter: str) -> Object:
    found = world.get("billing.meter", meter, in_path=True)
    if found["status"] == "active":
        raise InvalidRequest("You cannot reactivate a meter that is already active.")
    if world.where("billing.meter", event_name=found["event_name"], status="active"):
        raise InvalidRequest("Another active meter has this event name.")
    values = {"status": "active", "status_transitions": {"deactivated_at": None}}
    world.change(found, "billing.meter.reactivated", **values)
    return found


@route("POST", "/v1/billing/meter_events", "billing.MeterEventCreateParams")
def event_create(world: World, params: Object) -> Object:
    name, payload = params["event_name"], params["payload"]
    meter = next(iter(world.where("billing.meter", event_name=name, status="active")), None)
    if meter is None:
        raise InvalidRequest(
            f"No active meter found for event name {name}.", code="resource_missing", param="event_name"
        )
    customer_key = meter["customer_mapping"]["event_payload_key"]
    if customer_key not in payload:
        raise InvalidRequest(f"Missing required payload key: {customer_key}.", param="payload")
    value = _value(meter, payload)

    customer_id = payload[customer_key]
    customer = world.kind("customer").get(customer_id)
    now = world.now_of(customer)
    timestamp = params.get("timestamp", now)
    if timestamp < now - PAST_SECONDS_MAX:
        raise InvalidRequest(
            "The timestamp must be within the past 35 calendar days.",
            code="timestamp_too_far_in_past",
            param="timestamp",
        )
    if timestamp > now + FUTURE_SECONDS_MAX:
        raise InvalidRequest(
            "The timestamp must not be more than 5 minutes in the future.",
            code="timestamp_in_future",
            param="timestamp",
        )
    identifier = params.get("identifier") or world.new_id("mtrevt")
    _remember(world, identifier, now)
    event = {
        "object": "billing.meter_event",
        "created": now,
        "event_name": name,
        "identifier": identifier,
        "livemode": False,
        "payload": payload,
        "timestamp": timestamp,
    }
    if customer is None or customer.get("deleted"):
        # Found out later, and told in a thin event of another kind of endpoint: the caller hears that all is well.
        world.kind("_meter_error")[identifier] = {"id": identifier, "code": "meter_event_customer_not_found"}
        return event
    counted_add(
        world,
        Counted(
            identifier=identifier,
            meter=meter["id"],
            customer=customer_id,
            at=timestamp,
            value=str(value),
            visible_at=now + world.controls.summary_lag_seconds,
        ),
    )
    return event


@route("GET", "/v1/billing/meters/{meter}/event_summaries", "billing.MeterListEventSummariesParams")
def summaries(world: World, params: Object, meter: str) -> Object:
    found = world.get("billing.meter", meter, in_path=True)
    customer = world.get("customer", params["customer"], "customer")
    start, end = params["start_time"], params["end_time"]
    window = params.get("value_grouping_window")
    step = {"hour": HOUR_SECONDS, "day": DAY_SECONDS, None: MINUTE_SECONDS}[window]
    for param in ("start_time", "end_time"):
        if params[param] % step:
            what = window or "minute"
            raise InvalidRequest(f"Invalid {param}: it must align with {what} boundaries in UTC.", param=param)
    if end <= start:
        raise InvalidRequest("`end_time` must be after `start_time`.", param="end_time")

    seen = visible_at(world, found["id"], customer["id"], world.now_of(customer))
    spans = [(start, end)] if window is None else [(at, at + step) for at in range(start, end, step)]
    told = []
    for begin, finish in spans:
        within = [one for one in seen if begin <= one["at"] < finish]
        if within or window is None:
            told.append(
                shaped(
                    "billing.MeterEventSummary",
                    id=f"mtrusg_{begin}_{finish}",
                    object="billing.meter_event_summary",
                    aggregated_value=float(total(found, within)),
                    end_time=finish,
                    livemode=False,
                    meter=found["id"],
                    start_time=begin,
                )
            )
    return page(told, params, f"/v1/billing/meters/{meter}/event_summaries")


def _value(meter: Object, payload: Object) -> Decimal:
    if meter["default_aggregation"]["formula"] == "count":
        return Decimal(1)
    key = meter["value_settings"]["event_payload_key"]
    if key not in payload:
        raise InvalidRequest(f"Missing required payload key: {key}.", param="payload")
    try:
        value = Decimal(payload[key])
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise InvalidRequest(
            f"The value {payload[key]} is not a number.", code="meter_event_invalid_value", param="payload"
        )
    return value


def _remember(world: World, identifier: str, now: int) -> None:
    """The same identifier is refused for a day, whatever the second event says; then it counts again."""
    if len(identifier) > IDENTIFIER_LENGTH_MAX:
        raise InvalidRequest(f"Identifiers have at most {IDENTIFIER_LENGTH_MAX} characters.", param="identifier")
    known = world.kind("_identifier")
    if identifier in known and known[identifier]["at"] + KEPT_SECONDS > now:
        raise InvalidRequest(f"An event already exists with identifier {identifier}.", param="identifier")
    known[identifier] = {"id": identifier, "at": now}
