"""What customers may change by themselves, and the door to it."""

from typing import Any

from ..answers import page
from ..errors import InvalidRequest
from ..routes import route
from ..shapes import shaped
from ..world import Object, World, merged_metadata

_REASONS: Object = {"enabled": False, "feedback_options": None, "options": []}
_FEATURES: Object = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": _REASONS,
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": [],
        "enabled": False,
        "products": None,
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}


@route("POST", "/v1/billing_portal/configurations", "billing_portal.ConfigurationCreateParams")
def create(world: World, params: Object) -> Object:
    configuration = shaped(
        "billing_portal.Configuration",
        id=world.new_id("bpc"),
        object="billing_portal.configuration",
        active=True,
        business_profile={"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        created=world.now(),
        features=_FEATURES,
        is_default=not world.where("billing_portal.configuration"),
        livemode=False,
        login_page={"enabled": False, "url": None},
        metadata={},
        updated=world.now(),
    )
    _write(configuration, params)
    return world.add(configuration)


@route("GET", "/v1/billing_portal/configurations/{configuration}", "billing_portal.ConfigurationRetrieveParams")
def retrieve(world: World, params: Object, configuration: str) -> Object:
    return world.get("billing_portal.configuration", configuration, in_path=True)


@route("GET", "/v1/billing_portal/configurations", "billing_portal.ConfigurationListParams")
def list_(world: World, params: Object) -> Object:
    wanted = {name: params[name] for name in ("active", "is_default") if name in params}
    things = world.where("billing_portal.configuration", **wanted)
    return page(things, params, "/v1/billing_portal/configurations")


@route("POST", "/v1/billing_portal/configurations/{configuration}", "billing_portal.ConfigurationUpdateParams")
def update(world: World, params: Object, configuration: str) -> Object:
    found = world.get("billing_portal.configuration", configuration, in_path=True)
    if params.get("active") is False and found["is_default"]:
        raise InvalidRequest("You cannot deactivate the default configuration.", param="active")
    changed = {**found, "active": params.get("active", found["active"])}
    _write(changed, params)
    world.change(found, **changed)
    return found


@route("POST", "/v1/billing_portal/sessions", "billing_portal.SessionCreateParams")
def session_create(world: World, params: Object) -> Object:
    customer = world.get("customer", params.get("customer", ""), "customer")
    configurations = world.where("billing_portal.configuration", active=True)
    chosen = params.get("configuration")
    if chosen is None:
        defaults = [one["id"] for one in configurations if one["is_default"]]
        if not defaults:
            raise InvalidRequest(
                "You can't create a portal session in test mode until you save your customer portal settings."
            )
        chosen = defaults[0]
    configuration = world.get("billing_portal.configuration", chosen, "configuration")
    if not configuration["active"]:
        raise InvalidRequest(f"The configuration {chosen} is not active.", param="configuration")
    session_id = world.new_id("bps")
    session = shaped(
        "billing_portal.Session",
        id=session_id,
        object="billing_portal.session",
        configuration=chosen,
        created=world.now(),
        customer=customer["id"],
        flow=_flow(world, params.get("flow_data"), configuration),
        livemode=False,
        return_url=params.get("return_url") or configuration["default_return_url"],
        url=f"{world.root}/portal/{session_id}",
    )
    return world.add(session, silent=True)


def _flow(world: World, given: Object | None, configuration: Object) -> Object | None:
    if given is None:
        return None
    needed = {"payment_method_update": "payment_method_update", "subscription_cancel": "subscription_cancel"}
    feature = needed.get(given["type"], "subscription_update")
    if not configuration["features"][feature]["enabled"]:
        raise InvalidRequest(
            f"This subscription cannot be changed: {feature} is disabled in the portal configuration.",
            param="flow_data[type]",
        )
    if cancel := given.get("subscription_cancel"):
        world.get("subscription", cancel["subscription"], "flow_data[subscription_cancel][subscription]")
    return {
        "after_completion": given.get("after_completion", {"type": "portal_homepage"}),
        "subscription_cancel": given.get("subscription_cancel"),
        "subscription_update": given.get("subscription_update"),
        "subscription_update_confirm": given.get("subscription_update_confirm"),
        "type": given["type"],
    }


def _write(configuration: Object, params: Object) -> None:
    for name in ("default_return_url", "name"):
        if name in params:
            configuration[name] = params[name] or None
    for name in ("business_profile", "features"):
        configuration[name] = _over(configuration[name], params.get(name, {}))
    if "login_page" in params:
        enabled = params["login_page"]["enabled"]
        configuration["login_page"] = {"enabled": enabled, "url": None}
    if "metadata" in params:
        configuration["metadata"] = merged_metadata(configuration["metadata"], params["metadata"])


def _over(before: Any, given: Any) -> Any:
    if isinstance(before, dict) and isinstance(given, dict):
        return {**before, **{name: _over(before.get(name), value) for name, value in given.items()}}
    if given == "":
        return [] if isinstance(before, list) else None
    return given
