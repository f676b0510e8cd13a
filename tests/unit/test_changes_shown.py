"""How is a figure told against the one before, and a heading of others like ours?"""

import pytest

from dashboard.templatetags.dashboard import change, change_ms, points, sentence


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (3, 2, "+50 %"),
        (1, 2, "−50 %"),
        (5000, 2, "+249,900 %"),
        (1000, 999, "as before"),
        (2, -2, "+200 %"),
        (1, 0, "none before"),
    ],
)
def test_a_figure_is_told_in_percent_of_the_one_before(now: int, before: int, told: str) -> None:
    assert change(now, before) == told


@pytest.mark.parametrize(
    ("now", "before", "lookups", "told"),
    [
        (0.5, 0.4, 9, "+10.0 points"),
        (0.4, 0.5, 9, "−10.0 points"),
        (0.5, 0.5004, 9, "as before"),
        (0.5, 0.0, 0, "none before"),
    ],
)
def test_a_share_is_told_in_points(now: float, before: float, lookups: int, told: str) -> None:
    assert points(now, before, lookups) == told


def test_what_is_not_known_is_no_change() -> None:
    assert (change_ms(None, 3.0), change_ms(12.2, 12.4), change_ms(6.0, 12.0)) == ("none before", "as before", "−50 %")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("\n    Make Primary\n", "Make primary"),
        ("Deactivate TOTP Now", "Deactivate TOTP now"),
        ("Trust this Browser?", "Trust this browser?"),
        ("", ""),
    ],
)
def test_headings_and_buttons_are_in_sentence_case(theirs: str, ours: str) -> None:
    assert sentence(theirs) == ours
