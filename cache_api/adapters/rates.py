"""What did these tokens cost? The web side's copy of the rates that accounting keeps."""

import threading
import time
from decimal import Decimal

from cache_api.domain.cost import Rates, cost_of
from cache_api.domain.usage import Usage
from tenants import isolation

FRESH_SECONDS = 60.0
UNKNOWN_SECONDS = 5.0  # accounting meets a new model within moments
READ_SECONDS = 0.05
MODELS_MAX = 10_000

_SELECT = (
    "SELECT input_usd, cached_usd, write_usd, output_usd FROM price_rate "
    "WHERE provider = %s AND model = ANY(%s) ORDER BY length(model) DESC LIMIT 1"
)


class KnownRates:
    """Safe in threads. What it gives is what accounting will say but for tiers and contexts, in time for a header."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Rates | None, float]] = {}
        self._lock = threading.Lock()

    def cost_of(self, provider: str, models: tuple[str, ...], usage: Usage) -> Decimal | None:
        """Dollars under the first of a model's names that has a rate; None: unpriced, or not known yet."""
        rates = self._rates(provider, models)
        return None if rates is None else cost_of(usage, rates)

    def _rates(self, provider: str, models: tuple[str, ...]) -> Rates | None:
        key, now = (provider, "\0".join(models)), time.monotonic()
        rates, until = self._known.get(key, (None, 0.0))
        if now < until:
            return rates
        try:
            rows = isolation.read_before_tenant(_SELECT, (provider, list(models)), deadline_seconds=READ_SECONDS)
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
