"""Do charts show every bucket, and quantiles the bucket they lie in?"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from cache_api.figures import Figures
from cache_api.models import LATENCY_BOUNDS_MS, LATENCY_BUCKETS
from cache_api.selectors import Latency, UsageRow
from dashboard import charts, ranges
from dashboard.views.overview import Speed, _speed

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
    assert chart.rows[0] == ("20 Nov 2026", [2, 1, 0, 2])
    assert chart.columns["days"] == ["18 Nov 2026", "19 Nov 2026", "20 Nov 2026"]


def test_dollars_stay_exact_in_the_table() -> None:
    assert charts.of_savings(_buckets()).rows[0] == ("20 Nov 2026", [Decimal("0.5")])


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


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        (0, Speed(0, None, None, None)),
        (1, Speed(1, 15.0, None, None)),
        (19, Speed(19, 15.0, None, None)),
        (20, Speed(20, None, 14.0, 15.8)),
    ],
)
def test_of_few_calls_the_mean_is_told_and_no_percentile(calls: int, told: Speed) -> None:
    counts = tuple(calls if high == 16 else 0 for high in (*LATENCY_BOUNDS_MS, None))

    assert _speed(Latency(counts, 15 * calls)) == told


@pytest.mark.parametrize(("wanted", "days"), [("1", 1), ("30", 30), ("", 7), ("31", 7), ("-1", 7), ("\u0661", 7)])
def test_a_range_is_one_of_those_offered(wanted: str, days: int) -> None:
    asked = ranges.read(wanted)

    assert asked.days == days
    assert (asked.since.minute, asked.before.until) == (0, asked.since)
    assert asked.before.until - asked.before.since == asked.until - asked.since


@pytest.mark.parametrize("zone", ["", "UTC", "../../etc/passwd", "Nowhere/Land", "/etc", "\0", "Europe", "x" * 5_000])
def test_a_zone_that_is_none_is_utc(zone: str) -> None:
    assert ranges.read("7", zone).own_starts == ()


def test_a_day_begins_at_the_viewers_midnight_in_summer_and_winter() -> None:
    berlin = ranges.Range(7, DAY.replace(month=10, day=20), DAY.replace(month=10, day=28), ZoneInfo("Europe/Berlin"))

    starts = berlin.own_starts

    assert {at.hour for at in starts} == {0}
    assert len(starts) == 9
    assert {at.astimezone(UTC).hour for at in starts} == {22, 23}


def test_ninety_days_are_those_of_utc() -> None:
    assert ranges.read("90", "Asia/Tokyo").own_starts == ()
    assert ranges.read("30", "Asia/Tokyo").own_starts != ()


def test_a_day_is_told_by_the_hour() -> None:
    day = ranges.Range(1, DAY, DAY + timedelta(hours=24, minutes=5), ZoneInfo("Asia/Kolkata"))

    assert (len(day.starts), day.own_starts) == (25, ())
