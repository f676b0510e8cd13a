"""What did these tokens cost? The web side's copy of the rates that accounting keeps."""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from cache_api.adapters import own_prices
from cache_api.adapters.ledger import plain_text
from cache_api.domain.cost import Rates, cost_of
from cache_api.domain.own_price import OwnPrice, own_price
from cache_api.domain.request import Caller
from cache_api.domain.usage import Usage
from tenants import isolation

FRESH_SECONDS = 60.0
UNKNOWN_SECONDS = 5.0  # accounting meets a new model within moments
OWN_FRESH_SECONDS = 5.0  # a price just set is wanted at once; the ledger has it in any case
READ_SECONDS = 0.05
MODELS_MAX = 10_000
PROJECTS_MAX = 10_000

_SELECT = (
    "SELECT input_usd, cached_usd, write_usd, output_usd FROM price_rate "
    "WHERE provider = %s AND model = ANY(%s) ORDER BY length(model) DESC LIMIT 1"
)


class KnownRates:
    """Safe in threads. What it gives is what accounting will say but for tiers and contexts, in time for a header."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Rates | None, float]] = {}
        self._own: dict[UUID, tuple[list[OwnPrice], float]] = {}
        self._lock = threading.Lock()

    def cost_of(self, caller: Caller, provider: str, models: tuple[str, ...], usage: Usage) -> Decimal | None:
        """Dollars under the first of a model's names that has a rate; None: unpriced, or not known yet."""
        prices = self._own_prices(caller)
        own = own_price(prices, provider, models, datetime.now(UTC)) if prices else None
        rates = own.rates if own is not None else self._rates(provider, models)
        return None if rates is None else cost_of(usage, rates)

    def _own_prices(self, caller: Caller) -> list[OwnPrice]:
        now = time.monotonic()
        prices, until = self._own.get(caller.project_id, ([], 0.0))
        if now < until:
            return prices
        with suppress(isolation.DatabaseUnavailable):  # Then the old prices hold.
            prices = own_prices.current(caller.tenant_id, caller.project_id, deadline_seconds=READ_SECONDS)
        with self._lock:
            if len(self._own) >= PROJECTS_MAX:
                self._own.clear()
            self._own[caller.project_id] = (prices, now + OWN_FRESH_SECONDS)
        return prices

    def _rates(self, provider: str, models: tuple[str, ...]) -> Rates | None:
        key, now = (provider, "\0".join(models)), time.monotonic()
        rates, until = self._known.get(key, (None, 0.0))
        if now < until:
            return rates
        names = list(map(plain_text, models))
        try:
            rows = isolation.read_before_tenant(_SELECT, (provider, names), deadline_seconds=READ_SECONDS)
        except isolation.DatabaseUnavailable:
            rows = []  # The old rates hold; in an outage not every call asks again.
        if rows:
            plain, cached, written, out = map(Decimal, rows[0])
            rates = Rates(input=plain, output=out, cached=cached, write_5m=written)
        with self._lock:
            if len(self._known) >= MODELS_MAX:
                self._known.clear()
            self._known[key] = (rates, now + (FRESH_SECONDS if rows else UNKNOWN_SECONDS))
        return rates
