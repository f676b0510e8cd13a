"""Where events are sent, and which happened."""

from urllib.parse import urlsplit

from ..answers import page
from ..errors import InvalidRequest
from ..routes import route
from ..shapes import shaped
from ..world import DAY_SECONDS, Object, World, merged_metadata

EVENTS_KEPT_SECONDS = 30 * DAY_SECONDS
ENDPOINTS_MAX = 16


@route("POST", "/v1/webhook_endpoints", "WebhookEndpointCreateParams")
def create(world: World, params: Object) -> Object:
    _usable(params["url"])
    if len(world.where("webhook_endpoint")) >= ENDPOINTS_MAX:
        raise InvalidRequest(f"You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints.")
    endpoint = shaped(
        "WebhookEndpoint",
        id=world.new_id("we"),
        object="webhook_endpoint",
        api_version=params.get("api_version"),
        created=world.now(),
        description=params.get("description") or None,
        enabled_events=params["enabled_events"],
        livemode=False,
        metadata=merged_metadata({}, params.get("metadata")),
        status="enabled",
        url=params["url"],
    )
    del endpoint["secret"]
    world.add(endpoint, silent=True)
    secret = world.controls.webhook_secret or world.new_id("whsec")
    world.kind("_secret")[endpoint["id"]] = {"id": endpoint["id"], "secret": secret}
    return {**endpoint, "secret": secret}  # Shown this once.


@route("GET", "/v1/webhook_endpoints/{endpoint}", "WebhookEndpointRetrieveParams")
def retrieve(world: World, params: Object, endpoint: str) -> Object:
    return world.get("webhook_endpoint", endpoint, in_path=True)


@route("GET", "/v1/webhook_endpoints", "WebhookEndpointListParams")
def list_(world: World, params: Object) -> Object:
    return page(world.where("webhook_endpoint"), params, "/v1/webhook_endpoints")


@route("POST", "/v1/webhook_endpoints/{endpoint}", "WebhookEndpointUpdateParams")
def update(world: World, params: Object, endpoint: str) -> Object:
    found = world.get("webhook_endpoint", endpoint, in_path=True)
    if "url" in params:
        _usable(params["url"])
    found.update({name: params[name] for name in ("url", "enabled_events", "description") if name in params})
    if "disabled" in params:
        found["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        found["metadata"] = merged_metadata(found["metadata"], params["metadata"])
    return found


@route("DELETE", "/v1/webhook_endpoints/{endpoint}", "WebhookEndpointDeleteParams")
def delete(world: World, params: Object, endpoint: str) -> Object:
    found = world.get("webhook_endpoint", endpoint, in_path=True)
    found.update(deleted=True, status="disabled")
    return {"id": endpoint, "object": "webhook_endpoint", "deleted": True}


@route("GET", "/v1/events/{event}", "EventRetrieveParams")
def event_retrieve(world: World, params: Object, event: str) -> Object:
    return world.get("event", event, in_path=True)


@route("GET", "/v1/events", "EventListParams")
def event_list(world: World, params: Object) -> Object:
    """Stripe forgets after thirty days."""
    if "type" in params and "types" in params:
        raise InvalidRequest("You may only specify one of these parameters: type, types.")
    wanted = params.get("types") or ([params["type"]] if "type" in params else None)
    kept_since = world.now() - EVENTS_KEPT_SECONDS
    things = [
        one
        for one in world.where("event")
        if (wanted is None or any(_named(one["type"], each) for each in wanted)) and one["created"] >= kept_since
    ]
    return page(things, params, "/v1/events")


def _named(event_type: str, wanted: str) -> bool:
    return event_type == wanted or (wanted.endswith(".*") and event_type.startswith(wanted[:-1]))


def _usable(url: str) -> None:
    """Stripe itself reaches public HTTPS only (with a test key HTTP too); here loopback is all there is."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidRequest(
            "Invalid URL: An explicit scheme (such as https) must be provided.", code="url_invalid", param="url"
        )
