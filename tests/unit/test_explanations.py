"""Is every decision told in words, and the time of a call in bars that add up?"""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from cache_api.calls import LedgerRow
from cache_api.domain.decision import Reason
from dashboard.explanations import FLOOR_WORDS, REASON_WORDS, reason_words, refusal_words
from dashboard.waterfall import spans


def test_every_reason_has_a_sentence() -> None:
    assert set(REASON_WORDS) == set(Reason)


@pytest.mark.parametrize(
    ("reason", "similarity", "floor", "words"),
    [
        (Reason.BELOW_THRESHOLD, 0.155, 0.7, FLOOR_WORDS),
        (Reason.BELOW_THRESHOLD, 0.7, 0.7, REASON_WORDS[Reason.BELOW_THRESHOLD]),
        (Reason.BELOW_THRESHOLD, 0.155, None, REASON_WORDS[Reason.BELOW_THRESHOLD]),
        (Reason.GUARD, 0.155, 0.7, REASON_WORDS[Reason.GUARD]),
        ("something new", None, None, ""),
    ],
)
def test_what_was_too_far_away_is_not_called_near(
    reason: str, similarity: float | None, floor: float | None, words: str
) -> None:
    assert reason_words(reason, similarity=similarity, floor=floor) == words


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (None, "would be served"),
        ("floor", "less similar than the policy's floor"),
        ("guard:number", "differs in: number"),
        ("probability 0.9100 < 0.9700", "not likely enough to be right"),
        ("known_wrong", "judged wrong for this question before"),
        ("something new", "something new"),
    ],
)
def test_a_candidate_is_told_by_which_rule_it_was_refused(refused: str | None, words: str) -> None:
    assert refusal_words(refused) == words


def _call(**milliseconds: int) -> LedgerRow:
    plain: dict[str, Any] = {field.name: 0 for field in fields(LedgerRow)}
    return LedgerRow(**{**plain, "id": uuid4(), "at": datetime.now(UTC), **milliseconds})


def test_the_bars_of_a_call_stand_one_after_the_other_and_fill_the_whole() -> None:
    found = spans(_call(ms_embed=10, ms_lookup=5, ms_upstream=80, ms_total=100))

    assert [(one.name, one.milliseconds, one.left, one.width) for one in found] == [
        ("embed", 10, 0, 10),
        ("lookup", 5, 10, 5),
        ("upstream", 80, 15, 80),
        ("rest", 5, 95, 5),
    ]


def test_a_call_too_quick_to_measure_has_no_bars() -> None:
    assert spans(_call()) == []


def test_parts_that_were_rounded_up_beyond_the_whole_still_fill_it() -> None:
    found = spans(_call(ms_embed=1, ms_lookup=1, ms_total=1))

    assert [one.left + one.width for one in found] == [50, 100]
