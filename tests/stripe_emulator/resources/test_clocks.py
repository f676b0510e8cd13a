"""Test clocks: time for the customers that were made on one."""

from ..answers import page
from ..errors import InvalidRequest
from ..routes import route
from ..shapes import shaped
from ..timeline import advance_clock
from ..world import DAY_SECONDS, Object, World

KEPT_SECONDS = 30 * DAY_SECONDS
# Stripe's limit is two intervals of the shortest subscription of the clock's customers.
ADVANCE_SECONDS_MAX = 2 * 31 * DAY_SECONDS


@route("POST", "/v1/test_helpers/test_clocks", "test_helpers.TestClockCreateParams")
def create(world: World, params: Object) -> Object:
    clock = shaped(
        "test_helpers.TestClock",
        id=world.new_id("clock"),
        object="test_helpers.test_clock",
        created=world.now(),
        deletes_after=world.now() + KEPT_SECONDS,
        frozen_time=params["frozen_time"],
        livemode=False,
        name=params.get("name"),
        status="ready",
        status_details={},
    )
    return world.add(clock)


@route("GET", "/v1/test_helpers/test_clocks/{clock}", "test_helpers.TestClockRetrieveParams")
def retrieve(world: World, params: Object, clock: str) -> Object:
    return world.get("test_helpers.test_clock", clock, in_path=True)


@route("GET", "/v1/test_helpers/test_clocks", "test_helpers.TestClockListParams")
def list_(world: World, params: Object) -> Object:
    return page(world.where("test_helpers.test_clock"), params, "/v1/test_helpers/test_clocks")


@route("POST", "/v1/test_helpers/test_clocks/{clock}/advance", "test_helpers.TestClockAdvanceParams")
def advance(world: World, params: Object, clock: str) -> Object:
    """Stripe answers `advancing` and takes a while; here all has happened when the answer comes."""
    found = world.get("test_helpers.test_clock", clock, in_path=True)
    target = params["frozen_time"]
    if target <= found["frozen_time"]:
        raise InvalidRequest("You can only advance a test clock to a time after its frozen time.", param="frozen_time")
    has_subscriptions = any(world.clock_of(one) is found for one in world.where("subscription"))
    if has_subscriptions and target > found["frozen_time"] + ADVANCE_SECONDS_MAX:
        raise InvalidRequest(
            "You can only advance a test clock by up to two intervals of the shortest subscription at a time.",
            param="frozen_time",
        )
    world.emit("test_helpers.test_clock.advancing", found)
    advance_clock(world, found, target)
    world.emit("test_helpers.test_clock.ready", found)
    return found


@route("DELETE", "/v1/test_helpers/test_clocks/{clock}", "test_helpers.TestClockDeleteParams")
def delete(world: World, params: Object, clock: str) -> Object:
    """Its customers and all of theirs go with it."""
    world.get("test_helpers.test_clock", clock, in_path=True)
    for kind in ("subscription", "invoice", "customer"):
        for thing in world.where(kind):
            if thing.get("test_clock") == clock:
                thing["deleted"] = True
    del world.kind("test_helpers.test_clock")[clock]
    return {"id": clock, "object": "test_helpers.test_clock", "deleted": True}
