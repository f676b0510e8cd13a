"""Do the benchmark's own figures say what was measured?"""

import pytest

from tests.bench.figures import Target, figure, percentile, speed_of, table
from tests.bench.load import Broken, Sample, Server, whole_answer
from tests.bench.questions import pairs, unheard

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.50, 7.0),
        ([4.0, 1.0, 3.0, 2.0], 0.50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 0.51, 3.0),
        (list(range(1, 101)), 0.95, 95),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 101)), 1.00, 100),
        ([1.0, 2.0], 0.0, 1.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_a_percentile_of_nothing_is_shown_as_not_measured() -> None:
    assert figure(percentile([], 0.5)) == "–"


def test_a_disturbed_round_does_not_move_the_median() -> None:
    calm = Sample(seconds=1.0, latencies=[0.002] * 10, as_expected=[True] * 10)
    disturbed = Sample(seconds=1.0, latencies=[0.5] * 2, as_expected=[True] * 2)

    speed = speed_of("ours", "exact hit", 1, [calm, disturbed, calm], [{"web": 0.01}] * 3)

    assert (speed.per_second, speed.p50_ms, speed.answers) == (10.0, 2.0, 22)
    assert speed.cpu_ms == {"web": 1.0}


def test_only_expected_answers_count_for_the_rate() -> None:
    sample = Sample(seconds=2.0, latencies=[0.1] * 4, as_expected=[True, False, False, True])

    assert sample.per_second == 1.0
    assert sample.unexpected == 2


@pytest.mark.parametrize(
    ("at_least", "measured", "met"),
    [(True, 800, True), (True, 799.9, False), (False, 800, True), (False, 800.1, False), (False, float("nan"), False)],
)
def test_a_promise_is_kept_on_the_right_side_of_its_figure(at_least: bool, measured: float, met: bool) -> None:
    assert Target("what", 800, "/s", at_least=at_least).met(measured) is met


def test_a_table_aligns_text_left_and_figures_right() -> None:
    assert table(("", "p50"), [("exact", "1.2"), ("a longer name", "13.4")]).splitlines() == [
        "                p50",
        "-------------  ----",
        "exact           1.2",
        "a longer name  13.4",
    ]


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (HEAD, False),
        (HEAD + b"Content-Length: 3\r\n\r\n", False),
        (HEAD + b"Content-Length: 3\r\n\r\nab", False),
        (HEAD + b"Content-Length: 3\r\n\r\nabc", True),
        (HEAD + b"content-length: 0\r\nX: y\r\n\r\n", True),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", False),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", True),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_when_its_last_byte_is_there(data: bytes, whole: bool) -> None:
    assert (whole_answer(data) is not None) is whole


def test_an_answer_without_an_end_is_refused() -> None:
    with pytest.raises(Broken):
        whole_answer(HEAD + b"Content-Type: text/plain\r\n\r\nabc")


def test_a_request_is_made_once_with_all_it_needs() -> None:
    request = Server("h", 1, "/p", (("Authorization", "Bearer k"),)).request({"a": 1}, headers=(("X", "y"),))

    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.split(b"\r\n") == [
        b"POST /p HTTP/1.1",
        b"Host: h:1",
        b"Content-Type: application/json",
        b"Authorization: Bearer k",
        b"X: y",
        b"Content-Length: 7",
    ]


def test_no_question_is_asked_twice_in_the_same_words() -> None:
    asked = [text for pair in pairs(300) for text in pair]
    assert len(set(asked)) == 600


def test_questions_for_misses_share_no_ticket_between_rounds() -> None:
    first, second = unheard(201), unheard(202)
    assert len({next(questions) for questions in (first, second) for _ in range(500)}) == 1000
