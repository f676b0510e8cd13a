"""What do the samples come to, and is that what was promised?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.bench.load import Sample


@dataclass(frozen=True)
class Speed:
    """One system in one case, the median of its rounds."""

    system: str
    case: str
    callers: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    answers: int
    errors: int
    unexpected: int
    cpu_ms: Mapping[str, float]  # per answer, by process

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Target:
    """A promised figure; `wanted` is kept by figures on the right side of it."""

    what: str
    wanted: float
    unit: str
    at_least: bool = False

    def met(self, figure: float) -> bool:
        return figure >= self.wanted if self.at_least else figure <= self.wanted


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    rank = -(-share * len(ordered) // 1)  # rounded up
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


def speed_of(
    system: str, case: str, callers: int, rounds: Sequence[Sample], cpu_seconds: Sequence[Mapping[str, float]]
) -> Speed:
    """Medians over the rounds, so that one disturbed round decides nothing."""

    def middle(figure: Callable[[Sample], float]) -> float:
        return median(figure(sample) for sample in rounds)

    names = {name for one in cpu_seconds for name in one}
    return Speed(
        system=system,
        case=case,
        callers=callers,
        per_second=middle(lambda sample: sample.per_second),
        p50_ms=middle(lambda sample: percentile(sample.latencies, 0.50) * 1000),
        p95_ms=middle(lambda sample: percentile(sample.latencies, 0.95) * 1000),
        p99_ms=middle(lambda sample: percentile(sample.latencies, 0.99) * 1000),
        answers=sum(sample.answers for sample in rounds),
        errors=sum(sample.errors for sample in rounds),
        unexpected=sum(sample.unexpected for sample in rounds),
        cpu_ms={
            name: median(
                cpu.get(name, 0.0) * 1000 / max(1, sample.answers)
                for cpu, sample in zip(cpu_seconds, rounds, strict=True)
            )
            for name in sorted(names)
        },
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first is text, the others are figures."""
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first = row[0].ljust(widths[0])
        return "  ".join(
            [first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()

    return "\n".join([line(cells[0]), "  ".join("-" * width for width in widths), *map(line, cells[1:])])


def figure(value: float, *, digits: int = 1) -> str:
    """`–` stands for what was not measured."""
    return "–" if value != value else f"{value:,.{digits}f}"
