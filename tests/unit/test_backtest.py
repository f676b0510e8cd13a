"""What would past questions have come to, at each setting?"""

import json
from decimal import Decimal
from typing import Any

import pytest

from cache_api import backtesting
from cache_api.backtesting import BadLine, question_in
from cache_api.domain.admission import bypass_reason, fuzzy
from cache_api.domain.backtest import Near, Past, borderline, outcome
from cache_api.domain.policy import Policy

CENT = Decimal("0.01")
A = Past(CENT, None, [])
SAME_AS_A = Past(CENT, 0, [])
LIKE_A = Past(CENT, None, [Near(0, 0.92, 0.99)])
HARDLY_LIKE_A = Past(None, None, [Near(0, 0.80, 0.93)])
LIKE_THAT = Past(CENT, None, [Near(3, 0.99, 0.999)])


def test_hits_wrong_ones_and_dollars_of_a_setting() -> None:
    found = outcome([A, SAME_AS_A, LIKE_A, HARDLY_LIKE_A], promise=0.02, floor=0.7, cut=0.98)
    assert (found.exact_hits, found.similar_hits, found.saved_usd) == (1, 1, 2 * CENT)
    assert found.expected_wrong == pytest.approx(0.01)
    assert found.low == 0
    assert found.high > 0.01


def test_what_is_served_is_not_stored_and_answers_nobody_later() -> None:
    past = [A, SAME_AS_A, LIKE_A, HARDLY_LIKE_A, LIKE_THAT]
    assert outcome(past, promise=0.05, floor=0.7, cut=0.98).similar_hits == 2  # the fourth was stored
    assert outcome(past, promise=0.05, floor=0.7, cut=0.90).similar_hits == 2  # the fourth was served


def test_what_was_served_by_similarity_is_served_again_when_the_very_same_is_asked_again() -> None:
    again = Past(CENT, 1, [])  # the very words of LIKE_A, which was served and so is stored nowhere
    found = outcome([A, LIKE_A, again, again], promise=0.02, floor=0.7, cut=0.98)
    assert (found.exact_hits, found.similar_hits, found.saved_usd) == (0, 3, 3 * CENT)
    assert found.expected_wrong == pytest.approx(0.03)


@pytest.mark.parametrize(("floor", "hits"), [(0.7, 1), (0.92, 1), (0.93, 0)])
def test_nothing_under_the_floor_is_served(floor: float, hits: int) -> None:
    assert outcome([A, LIKE_A], promise=0.02, floor=floor, cut=0.5).similar_hits == hits


def test_what_is_never_kept_is_neither_served_nor_stored() -> None:
    never = Past(CENT, None, [Near(0, 1.0, 1.0)], looked_up=False)
    found = outcome([A, never], promise=0.02, floor=0.7, cut=0.5)
    assert (found.exact_hits, found.similar_hits) == (0, 0)


def test_the_pairs_to_look_at_are_those_nearest_to_the_cut() -> None:
    pairs = borderline([A, LIKE_A, HARDLY_LIKE_A], 0.94)
    assert [(pair.asked, pair.near.probability) for pair in pairs] == [(2, 0.93), (1, 0.99)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"question": "Why?"}',
        b'{"prompt": "Why?"}',
        b'{"messages": [{"role": "user", "content": "Why?"}]}',
        b'{"body": {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}, "custom_id": "1"}',
        b'{"request": {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}, "response": {}}',
        b'{"question": "Why?", "scope": "ab", "request": {"messages": []}, "cost_usd": "0.1"}',
    ],
)
def test_a_question_is_found_in_logs_of_every_kind(line: bytes) -> None:
    assert question_in(line).text == "Why?"


@pytest.mark.parametrize(
    ("rest", "kept"),
    [
        ({}, (True, True)),
        ({"n": 2}, (False, True)),
        ({"temperature": 1.9}, (False, True)),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, (True, False)),
    ],
)
def test_a_logged_call_is_looked_up_as_it_would_be(rest: dict[str, Any], kept: tuple[bool, bool]) -> None:
    messages = [{"role": "user", "content": "How do I reset my password?"}]
    asked = question_in(json.dumps({"model": "m", "messages": messages, **rest}).encode())
    request = backtesting._request(asked)
    assert (bypass_reason(request, Policy()) is None, fuzzy(request, Policy())) == kept


def test_the_same_words_after_another_system_prompt_are_another_question() -> None:
    one, other = (
        question_in(b'{"messages": [{"role": "system", "content": "%s"}, {"role": "user", "content": "Why?"}]}' % said)
        for said in (b"Be brief.", b"Be kind.")
    )
    assert one.text == other.text
    assert one.scope != other.scope


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b"{}", b'{"question": 1}', b'{"messages": []}', b"\xff", b'{"text": " "}']
)
def test_a_line_without_a_question_says_so(line: bytes) -> None:
    with pytest.raises(BadLine):
        question_in(line)


@pytest.mark.parametrize(
    ("cost", "read"), [("0.1", Decimal("0.1")), ("NaN", None), (-1, None), ("x", None), (True, None)]
)
def test_a_cost_that_is_none_is_unknown(cost: object, read: Decimal | None) -> None:
    import orjson

    assert question_in(orjson.dumps({"question": "Why?", "cost_usd": cost})).cost_usd == read
