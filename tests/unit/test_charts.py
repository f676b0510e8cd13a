"""Do charts show every bucket, and quantiles the bucket they lie in?"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cache_api.models import LATENCY_BUCKETS
from cache_api.selectors import Figures, Latency, UsageRow
from dashboard import charts, ranges

DAY = datetime(2026, 11, 20, tzinfo=UTC)
HITS = Figures(calls=5, hits=3, exact_hits=2, semantic_hits=1, misses=2, saved_usd=Decimal("0.5"))


def _buckets() -> dict[datetime, Figures]:
    return charts.filled([UsageRow(DAY, "", HITS)], [DAY - timedelta(days=2), DAY - timedelta(days=1), DAY])


def test_a_bucket_without_calls_is_a_zero_and_no_gap() -> None:
    assert [figures.calls for figures in _buckets().values()] == [0, 0, 5]


def test_all_calls_are_in_the_bar_once() -> None:
    chart = charts.of_calls(_buckets())

    assert [values[-1] for values in chart.series.values()] == [2, 1, 0, 2]
    assert chart.columns["data"][0] == [int(at.timestamp()) for at in chart.moments]
    assert chart.rows[0] == (DAY, [2, 1, 0, 2])


def test_dollars_stay_exact_in_the_table() -> None:
    assert charts.of_savings(_buckets()).rows[0] == (DAY, [Decimal("0.5")])


def test_figures_add_up_field_by_field() -> None:
    assert charts.summed([HITS, HITS]) == Figures(
        calls=10, hits=6, exact_hits=4, semantic_hits=2, misses=4, saved_usd=Decimal(1)
    )


@pytest.mark.parametrize(
    ("counts", "share", "milliseconds"),
    [
        ({}, 0.5, None),
        ({0: 10}, 0.5, 0.5),
        ({0: 5, 1: 5}, 0.5, 1.0),
        ({0: 5, 1: 5}, 0.9, 1.8),
        ({3: 4, 22: 1}, 0.5, 3.625),
        ({LATENCY_BUCKETS - 1: 1}, 0.95, 32768.0),
    ],
)
def test_a_quantile_lies_in_its_bucket(counts: dict[int, int], share: float, milliseconds: float | None) -> None:
    latency = Latency(tuple(counts.get(bucket, 0) for bucket in range(LATENCY_BUCKETS)), 0)

    assert latency.quantile(share) == pytest.approx(milliseconds) if milliseconds else latency.quantile(share) is None


@pytest.mark.parametrize(("wanted", "days"), [("1", 1), ("30", 30), ("", 7), ("31", 7), ("-1", 7), ("\u0661", 7)])
def test_a_range_is_one_of_those_offered(wanted: str, days: int) -> None:
    asked = ranges.read(wanted)

    assert asked.days == days
    assert (asked.since.minute, asked.before.until) == (0, asked.since)
