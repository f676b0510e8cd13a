"""How many calls does a plan carry before the cache steps aside, and how many entries before nothing is stored?"""

from decimal import Decimal

from cache_api.domain.cost import PLAN_FEES

OVERSHOOT = 50  # a fiftieth more is stored than the plan allows, until the least used entries are taken away


def requests_max(plan: str, *, included: int, hard: bool, overage_cap_usd: Decimal | None) -> int | None:
    """Billable calls of a period; None: without end.

    A hard plan ends with what it includes. Any other ends where what it takes beyond its price reaches the spend cap,
    which is the price again unless the tenant set another. What a contract takes for a call is not known here: it ends
    where an operator says so, by making it hard.
    """
    if hard:
        return included
    fee, cap = PLAN_FEES.get(plan), spend_cap_usd(plan, overage_cap_usd)
    if fee is None or cap is None or not fee.overage:
        return None
    return included + fee.calls_within(cap) - fee.included


def spend_cap_usd(plan: str, overage_cap_usd: Decimal | None) -> Decimal | None:
    """What may be taken beyond the price; None: no price is known here."""
    fee = PLAN_FEES.get(plan)
    return None if fee is None else fee.price if overage_cap_usd is None else overage_cap_usd


def overage_usd(plan: str, *, included: int, calls: int) -> Decimal | None:
    """What the plan takes beyond its price for so many calls; None: its price is not known here."""
    fee = PLAN_FEES.get(plan)
    return None if fee is None else fee.overage_usd(calls - included + fee.included)


def with_overshoot(most: int) -> int:
    return most + -(-most // OVERSHOOT)
