"""Which price of its own has a project set for this call?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cache_api.domain.cost import Rates


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """Of one model, or of all whose names begin with what stands before `*`."""

    id: UUID
    provider: str
    model_pattern: str
    rates: Rates
    valid_from: datetime
    valid_until: datetime | None = None  # None: until another one is set

    @property
    def version(self) -> str:
        """What the ledger keeps beside the amounts."""
        return f"own {self.id}"

    def holds(self, at: datetime) -> bool:
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)


def own_price(prices: Iterable[OwnPrice], provider: str, models: Sequence[str], at: datetime) -> OwnPrice | None:
    """Of the first of a model's names that has one."""
    holding = {price.model_pattern: price for price in prices if price.provider == provider and price.holds(at)}
    for model in models:
        if (pattern := best_pattern(holding, model)) is not None:
            return holding[pattern]
    return None


def best_pattern(patterns: Iterable[str], model: str) -> str | None:
    """The exact name, else the longest `beginning*`."""
    fitting = [
        pattern
        for pattern in patterns
        if pattern == model or (pattern.endswith("*") and model.startswith(pattern[:-1]))
    ]
    return max(fitting, key=lambda pattern: (pattern == model, len(pattern)), default=None)
