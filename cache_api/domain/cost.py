"""What does a call cost, and what did a hit save?

    cost      plain*input + cached*cached rate + written*write rates + audio at its rates + out*output
    list      the same tokens at today's rates, all input plain
    discount  share * in_total * (input - cached rate): what the provider's own prompt cache would have taken off
    gross     list - discount
    net       gross - fee - cost

Rates are dollars per million tokens. Amounts are exact and rounded once, at the end, to what a column holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from typing import Self

from cache_api.domain.usage import Usage

PER_MILLION = Decimal(1_000_000)
SMALLEST = Decimal("1e-10")  # numeric(20, 10)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per million tokens; a rate that is not given is that of the plain direction."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    write_5m: Decimal | None = None
    write_1h: Decimal | None = None
    audio_in: Decimal | None = None
    audio_out: Decimal | None = None

    @classmethod
    def build(cls, raw: Mapping[str, str]) -> Self:
        """From decimal strings, as a file or a column keeps them."""
        return cls(**{name: Decimal(value) for name, value in raw.items()})

    def as_dict(self) -> dict[str, str]:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: f"{rate.normalize():f}" for name, rate in given.items() if rate is not None}

    @property
    def cached_input(self) -> Decimal:
        return self.input if self.cached is None else self.cached


@dataclass(frozen=True, slots=True)
class Saving:
    """What one hit was worth."""

    list: Decimal
    discount: Decimal
    fee: Decimal
    cost: Decimal = ZERO  # the synthesis call; a plain hit costs nothing

    @property
    def gross(self) -> Decimal:
        return self.list - self.discount

    @property
    def net(self) -> Decimal:
        return self.gross - self.fee - self.cost


@dataclass(frozen=True, slots=True)
class PlanFee:
    """What a plan takes for one billable call: its price spread over what it includes, then the overage rate."""

    price: Decimal
    included: int
    overage: tuple[tuple[int, Decimal], ...] = ()  # (from this many calls on, dollars each), ascending

    def of_call(self, calls_before: int) -> Decimal:
        """Dollars for the call that follows `calls_before` billable ones of the period."""
        if calls_before < self.included:
            return rounded(self.price / self.included)
        passed = [rate for start, rate in self.overage if calls_before >= start]
        return passed[-1] if passed else ZERO

    def overage_usd(self, calls: int) -> Decimal:
        """Dollars beyond the price for all billable calls of a period, tier by tier."""
        ends = (*(start for start, _ in self.overage[1:]), calls)
        tiers = zip(self.overage, ends, strict=False)
        return sum((max(0, min(calls, end) - start) * rate for (start, rate), end in tiers), ZERO)

    def calls_within(self, cap_usd: Decimal) -> int:
        """How many billable calls of a period stay within so much overage."""
        if not self.overage:
            return self.included

        for (start, rate), (end, _) in pairwise(self.overage):
            if cap_usd < (end - start) * rate:
                return start + int(cap_usd / rate)
            cap_usd -= (end - start) * rate
        start, rate = self.overage[-1]
        return start + int(cap_usd / rate)


# The one table of what plans take; billing.plans adds their limits. A contract's fee is not known: see fee_of_call.
PLAN_FEES: Mapping[str, PlanFee] = {
    "free": PlanFee(Decimal(0), 10_000),
    "pro": PlanFee(Decimal(29), 100_000, ((100_000, Decimal("0.00008")),)),
    "team": PlanFee(Decimal(199), 1_000_000, ((1_000_000, Decimal("0.00006")), (10_000_000, Decimal("0.00004")))),
}


def fee_of_call(plan: str, calls_before: int) -> Decimal | None:
    """None: the plan has no public price."""
    fee = PLAN_FEES.get(plan)
    return None if fee is None else fee.of_call(calls_before)


def cost_of(usage: Usage, rates: Rates) -> Decimal:
    """Disjoint slices of the tokens, each at its rate."""
    written = usage.in_write_5m + usage.in_write_1h
    plain = max(0, usage.in_total - usage.in_cached - written - usage.in_audio)
    spoken = usage.out_audio
    slices = (
        (plain, rates.input),
        (usage.in_cached, rates.cached_input),
        (usage.in_write_5m, _or(rates.write_5m, rates.input)),
        (usage.in_write_1h, _or(rates.write_1h, _or(rates.write_5m, rates.input))),
        (usage.in_audio, _or(rates.audio_in, rates.input)),
        (max(0, usage.out_total - spoken), rates.output),
        (spoken, _or(rates.audio_out, rates.output)),
    )
    return rounded(sum((tokens * rate for tokens, rate in slices if tokens), ZERO) / PER_MILLION)


def list_price(usage: Usage, rates: Rates) -> Decimal:
    """What the answer would cost today without any prompt cache."""
    plain = Usage(
        in_total=usage.in_total, in_audio=usage.in_audio, out_total=usage.out_total, out_audio=usage.out_audio
    )
    return cost_of(plain, rates)


def prompt_cache_discount(usage: Usage, rates: Rates, usual_share: Decimal) -> Decimal:
    """What the provider would have taken off; `usual_share` is the cached part of what was bought lately."""
    if not usage.in_total:
        return ZERO

    share = max(Decimal(usage.in_cached) / usage.in_total, usual_share)
    return rounded(share * usage.in_total * (rates.input - rates.cached_input) / PER_MILLION)


def saving_of(usage: Usage, rates: Rates, *, usual_share: Decimal, fee: Decimal) -> Saving:
    return Saving(list=list_price(usage, rates), discount=prompt_cache_discount(usage, rates, usual_share), fee=fee)


def rounded(amount: Decimal) -> Decimal:
    return amount.quantize(SMALLEST, rounding=ROUND_HALF_EVEN)


def _or(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate
