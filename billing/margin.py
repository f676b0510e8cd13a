"""What is left of what a tenant pays? An estimate, from what a unit costs us to run."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

# USD; machines, disks and backups of a year, divided by what they bore. Revised with the hosting bill.
UNIT_COSTS: Mapping[str, Decimal] = MappingProxyType(
    {
        "request": Decimal("0.000004"),
        "embedding": Decimal("0.000010"),
        "gb_month": Decimal("0.25"),
    }
)
GB = Decimal(1024**3)


@dataclass(frozen=True, slots=True)
class Margin:
    """Of a month."""

    revenue_usd: Decimal
    cost_usd: Decimal

    @property
    def usd(self) -> Decimal:
        return self.revenue_usd - self.cost_usd


def margin(*, revenue_usd: Decimal, requests: int, embeddings: int, stored_bytes: int) -> Margin:
    cost = (
        requests * UNIT_COSTS["request"]
        + embeddings * UNIT_COSTS["embedding"]
        + stored_bytes / GB * UNIT_COSTS["gb_month"]
    )
    return Margin(revenue_usd, cost)
