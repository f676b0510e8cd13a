"""Which points does a chart draw?

uPlot wants columns: the moments first, then each series. A bucket without calls is a zero, not a gap; the page shows
the same columns as a table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Any

from cache_api.figures import Figures
from cache_api.selectors import UsageRow


@dataclass(frozen=True, slots=True)
class Chart:
    """Series by name, all as long as `moments`; `kind` is what a value is: calls, or usd."""

    moments: Sequence[datetime]
    series: Mapping[str, Sequence[int | Decimal]]
    kind: str

    @property
    def by_day(self) -> bool:
        return all(at.hour == 0 for at in self.moments)

    @property
    def days(self) -> Sequence[str]:
        """As they are called where they begin, which need not be where the viewer is."""
        return [f"{at:%d %b %Y}" for at in self.moments] if self.by_day else ()

    @property
    def columns(self) -> dict[str, Any]:
        """As JSON for the page's script."""
        return {
            "kind": self.kind,
            "days": self.days,
            "names": list(self.series),
            "data": [
                [int(at.timestamp()) for at in self.moments],
                *([float(value) for value in values] for values in self.series.values()),
            ],
        }

    @property
    def rows(self) -> list[tuple[datetime | str, list[int | Decimal]]]:
        """For the table, the newest first; a day by its name."""
        columns = zip(self.days or self.moments, *self.series.values(), strict=True)
        return [(at, list(values)) for at, *values in reversed(list(columns))]


def of_calls(buckets: Mapping[datetime, Figures]) -> Chart:
    parts = buckets.values()
    return Chart(
        list(buckets),
        {
            "Exact hits": [one.exact_hits for one in parts],
            "Semantic hits": [one.semantic_hits for one in parts],
            "Synthesized": [one.synthesized_hits for one in parts],
            "Not from the cache": [one.calls - one.hits for one in parts],
        },
        "calls",
    )


def of_savings(buckets: Mapping[datetime, Figures]) -> Chart:
    return Chart(list(buckets), {"Saved": [one.saved_usd for one in buckets.values()]}, "usd")


def filled(rows: Iterable[UsageRow], starts: Iterable[datetime]) -> dict[datetime, Figures]:
    """Every bucket of the time, whether or not it had calls."""
    found = {row.since: row.figures for row in rows}
    return {at: found.get(at, Figures()) for at in starts}


def summed(parts: Iterable[Figures]) -> Figures:
    return reduce(_added, parts, Figures())


def _added(one: Figures, other: Figures) -> Figures:
    return Figures(*(getattr(one, field.name) + getattr(other, field.name) for field in fields(Figures)))
