"""What does a line of an invoice say, and how many cents is it? Rounded half up, each line by itself."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from .metering import usage
from .shapes import shaped
from .world import Object, World


def licensed(world: World, subscription: Object, item: Object, start: int, end: int) -> Object:
    name = _name(world, item)
    cents = half_up(_full(item))
    return _line(world, subscription, item, cents, start, end, item["quantity"], f"{item['quantity']} × {name}")


def unused(world: World, subscription: Object, item: Object, at: int) -> Object:
    """What was paid for from `at` to the period's end comes back, to the second."""
    start, end = item["current_period_start"], item["current_period_end"]
    cents = -half_up(_full(item) * (end - at) / (end - start))
    said = f"Unused time on {_name(world, item)} after {_day(at)}"
    return _line(world, subscription, item, cents, at, end, item["quantity"], said, proration=True)


def remaining(world: World, subscription: Object, item: Object, at: int) -> Object:
    start, end = item["current_period_start"], item["current_period_end"]
    cents = half_up(_full(item) * (end - at) / (end - start))
    said = f"Remaining time on {_name(world, item)} after {_day(at)}"
    return _line(world, subscription, item, cents, at, end, item["quantity"], said, proration=True)


def metered(world: World, subscription: Object, span: Object) -> list[Object]:
    """A line for each tier that the usage reached; none reached is a line of 0."""
    item, start, end = span["item"], span["start"], span["end"]
    used = usage(world, item["price"]["recurring"]["meter"], subscription["customer"], start, end)
    name = _name(world, item)
    return [
        _line(
            world,
            subscription,
            item,
            half_up(quantity * unit + flat),
            start,
            end,
            int(quantity),
            f"{quantity:f} × {name} ({which})",
            unit=unit,
        )
        for which, quantity, unit, flat in _by_tier(world, item["price"], used)
    ]


def _by_tier(world: World, price: Object, used: Decimal) -> list[tuple[str, Decimal, Decimal, Decimal]]:
    if price["billing_scheme"] == "per_unit":
        return [("each", used, Decimal(price["unit_amount_decimal"]), Decimal(0))]
    tiers = [
        (tier["up_to"], Decimal(tier["unit_amount_decimal"] or 0), Decimal(tier["flat_amount_decimal"] or 0))
        for tier in world.kind("_tiers")[price["id"]]["tiers"]
    ]
    if price["tiers_mode"] == "volume":
        _, unit, flat = next(tier for tier in tiers if tier[0] is None or used <= tier[0])
        return [("volume", used, unit, flat)]

    reached: list[tuple[str, Decimal, Decimal, Decimal]] = []
    below = Decimal(0)
    for number, (up_to, unit, flat) in enumerate(tiers, 1):
        within = (used if up_to is None else min(used, Decimal(up_to))) - below
        if within <= 0 and reached:
            break
        reached.append((f"Tier {number}", max(within, Decimal(0)), unit, flat))
        below += within
    return reached


def half_up(cents: Decimal) -> int:
    return int(cents.quantize(Decimal(1), ROUND_HALF_UP))


def _full(item: Object) -> Decimal:
    return Decimal(item["price"]["unit_amount_decimal"]) * item["quantity"]


def _name(world: World, item: Object) -> str:
    return str(world.kind("product")[item["price"]["product"]]["name"])


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%d %b %Y}"


def _line(
    world: World,
    subscription: Object,
    item: Object,
    cents: int,
    start: int,
    end: int,
    quantity: int,
    description: str,
    *,
    proration: bool = False,
    unit: Decimal | None = None,
) -> Object:
    price = item["price"]
    return shaped(
        "InvoiceLineItem",
        id=world.new_id("il"),
        object="line_item",
        amount=cents,
        currency=price["currency"],
        description=description,
        discount_amounts=[],
        discountable=not proration,
        discounts=[],
        livemode=False,
        metadata={},
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": {"credited_items": None} if proration else None,
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        period={"start": start, "end": end},
        pretax_credit_amounts=[],
        pricing={
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"] if unit is None else f"{unit:f}",
        },
        quantity=quantity,
        quantity_decimal=str(quantity),
        subscription=subscription["id"],
        subtotal=cents,
        taxes=[],
    )
