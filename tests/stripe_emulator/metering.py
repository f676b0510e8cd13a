"""How much did a customer use, in a span of time?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

from .world import DAY_SECONDS, Object, World

KEPT_SECONDS = DAY_SECONDS  # an identifier; Stripe promises at least so long


@dataclass(frozen=True)
class Counted:
    identifier: str
    meter: str
    customer: str
    at: int
    value: str  # exact
    visible_at: int  # in summaries; invoices count all that was taken


def counted_add(world: World, counted: Counted) -> None:
    kept = world.kind("_counted")
    kept[f"{len(kept)}"] = {"id": f"{len(kept)}", **asdict(counted)}


def visible_at(world: World, meter: str, customer: str, now: int) -> list[Object]:
    return [one for one in world.where("_counted", meter=meter, customer=customer) if one["visible_at"] <= now]


def usage(world: World, meter_id: str, customer: str, start: int, end: int) -> Decimal:
    """From `start` to before `end`; what an invoice bills."""
    meter = world.kind("billing.meter")[meter_id]
    events = world.where("_counted", meter=meter_id, customer=customer)
    return total(meter, [one for one in events if start <= one["at"] < end])


def total(meter: Object, events: Sequence[Object]) -> Decimal:
    if meter["default_aggregation"]["formula"] == "last":
        return Decimal(max(events, key=lambda one: one["at"])["value"]) if events else Decimal(0)
    return sum((Decimal(one["value"]) for one in events), Decimal(0))
