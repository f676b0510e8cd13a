"""What does a provider charge for these tokens? The door to genai-prices, for the accounting worker.

A price is the provider's own or none at all: what is unknown stays unpriced, it is never zero and never another
provider's. The providers without a public price list have theirs in `providers.json`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from cache_api.domain.cost import Rates, cost_of, list_price, rounded
from cache_api.domain.own_price import OwnPrice, best_pattern
from cache_api.domain.provider import PROVIDERS_FILE
from cache_api.domain.usage import Usage

TABLE_VERSION = f"genai-prices {genai_prices.__version__}"


@dataclass(frozen=True, slots=True)
class Priced:
    """What a call's tokens cost as used, and at list; `rates` have their tiers resolved."""

    cost: Decimal
    list: Decimal
    rates: Rates
    source: str
    version: str


def price(provider: str, model: str, usage: Usage, *, service_tier: str, at: datetime) -> Priced | None:
    """None: unpriced."""
    row = _rows().get(provider)
    if row is None:
        return None
    if (rates := _own_rates(row, model)) is not None:
        version = f"providers {_file()['prices_version']}"
        return Priced(cost_of(usage, rates), list_price(usage, rates), rates, "table", version)
    if "price_provider" not in row:
        return None

    try:
        found = genai_prices.calc_price(
            _tokens(usage),
            model_ref=model.removeprefix(f"{provider}/"),
            provider_id=row["price_provider"],
            genai_request_timestamp=at,
            # Providers file one tier under different names. One that fits none silently prices as standard, so the
            # ledger keeps the tier.
            price_context=dict.fromkeys(("service_tier", "processing", "speed"), service_tier),
        )
    except (LookupError, ValueError):
        # LookupError: not in the list. ValueError: counts that cannot be, such as more cached than there were.
        return None
    rates_used = _rates(found.model_price, usage.in_total)
    if rates_used is None:
        return None
    return Priced(rounded(found.total_price), list_price(usage, rates_used), rates_used, "table", TABLE_VERSION)


def own(price: OwnPrice, usage: Usage) -> Priced:
    """What a project has set itself beats every list."""
    return Priced(cost_of(usage, price.rates), list_price(usage, price.rates), price.rates, "own", price.version)


def known_rates(at: datetime) -> Iterator[tuple[str, str, Rates, str]]:
    """(provider, model, rates, version) of every model with a price, at its lowest tier."""
    of_provider = {known.id: known for known in get_snapshot().providers}
    for name, row in _rows().items():
        for model, raw in row.get("prices", {}).items():
            yield name, model, Rates.build(raw), f"providers {_file()['prices_version']}"
        if "price_provider" not in row:
            continue
        for model in of_provider[row["price_provider"]].models:
            rates = _rates(model.get_prices(at), 0)
            if rates is not None:
                yield name, model.id, rates, TABLE_VERSION


@cache
def _file() -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(PROVIDERS_FILE.read_text())
    return found


@cache
def _rows() -> Mapping[str, Mapping[str, Any]]:
    return {row["name"]: row for row in _file()["providers"]}


def _own_rates(row: Mapping[str, Any], model: str) -> Rates | None:
    patterns: Mapping[str, Mapping[str, str]] = row.get("prices", {})
    pattern = best_pattern(patterns, model)
    return None if pattern is None else Rates.build(patterns[pattern])


def _tokens(usage: Usage) -> genai_prices.Usage:
    counts = {
        "input_tokens": usage.in_total,
        "output_tokens": usage.out_total,
        "cache_read_tokens": usage.in_cached or None,
        "cache_write_tokens": usage.in_write_5m + usage.in_write_1h or None,
        "cache_write_5m_tokens": usage.in_write_5m or None,
        "cache_write_1h_tokens": usage.in_write_1h or None,
        "input_audio_tokens": usage.in_audio or None,
        "output_audio_tokens": usage.out_audio or None,
    }
    return genai_prices.Usage(**counts)


def _rates(prices: ModelPrice, in_total: int) -> Rates | None:
    """The rates that applied; None where the model is not paid by the token."""
    plain_in = _rate(prices.input_mtok, in_total)
    plain_out = _rate(prices.output_mtok, in_total)
    if plain_in is None and plain_out is None:
        return None
    write_5m = _first(_rate(prices.cache_write_5m_mtok, in_total), _rate(prices.cache_write_mtok, in_total))
    return Rates(
        input=plain_in or Decimal(0),
        output=plain_out or Decimal(0),
        cached=_rate(prices.cache_read_mtok, in_total),
        write_5m=write_5m,
        write_1h=_rate(prices.cache_write_1h_mtok, in_total),
        audio_in=_rate(prices.input_audio_mtok, in_total),
        audio_out=_rate(prices.output_audio_mtok, in_total),
    )


def _rate(price: Decimal | TieredPrices | None, in_total: int) -> Decimal | None:
    """A crossed tier reprices all tokens, not just those above it."""
    if not isinstance(price, TieredPrices):
        return price
    crossed = [tier.price for tier in price.tiers if in_total > tier.start]
    return crossed[-1] if crossed else price.base


def _first(*rates: Decimal | None) -> Decimal | None:
    return next((rate for rate in rates if rate is not None), None)
