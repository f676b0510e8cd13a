"""What do the checks of an entry's answer say of serving it again?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_api.domain.evidence import Check, is_shut, posterior

checks = st.lists(st.builds(Check, st.floats(0, 1), st.booleans(), st.sampled_from([0.5, 1.0])), max_size=32)


def test_without_checks_the_prior_stands() -> None:
    assert posterior(0.97, 0.9, []) == pytest.approx(0.97)


def test_right_answers_near_by_raise_it_and_wrong_ones_lower_it() -> None:
    assert posterior(0.9, 0.9, [Check(0.9, True, 1.0)] * 5) == pytest.approx((15 * 0.9 + 5) / 20)
    assert posterior(0.9, 0.9, [Check(0.9, False, 1.0)] * 5) == pytest.approx(15 * 0.9 / 20)


def test_a_check_far_away_says_next_to_nothing() -> None:
    assert posterior(0.9, 0.95, [Check(0.80, False, 1.0)] * 32) == pytest.approx(0.9, abs=1e-6)


def test_a_caller_counts_half_of_a_judge() -> None:
    judge, caller = (posterior(0.9, 0.9, [Check(0.9, False, trust)]) for trust in (1.0, 0.5))
    assert 0.9 - caller == pytest.approx((0.9 - judge) / 2, rel=0.05)


@pytest.mark.parametrize(("similarity", "shut"), [(0.80, True), (0.90, True), (0.919, True), (0.921, False)])
def test_a_wrong_answer_shuts_the_entry_up_to_a_little_nearer(similarity: float, shut: bool) -> None:
    assert is_shut(similarity, [Check(0.90, False, 0.5), Check(0.99, True, 1.0)]) is shut


def test_right_answers_shut_nothing() -> None:
    assert not is_shut(0.5, [Check(0.9, True, 1.0)])


@given(st.floats(0, 1), st.floats(0, 1), checks)
def test_it_stays_a_probability(prior: float, similarity: float, seen: list[Check]) -> None:
    assert -1e-9 <= posterior(prior, similarity, seen) <= 1 + 1e-9
