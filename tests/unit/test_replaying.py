"""Are the hits of a replay judged by the label of the question that bought the answer?"""

import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from cache_api.management.commands.demo_traffic import QUESTIONS
from cache_api.management.replaying import (
    Answered,
    BadQuestions,
    Layer,
    Question,
    judge,
    percentiles,
    read_plain_questions,
    read_questions,
    read_topics,
    traffic,
)


def answered(
    text: str, label: str, decision: str, *, key: str = "", layer: str = "", saved: str = "0", status: int = 200
) -> Answered:
    question = Question(text, label)
    reason = "no_candidate" if decision == "miss" else layer
    return Answered(question, status, 5.0, decision, layer, reason, key, Decimal(saved))


BOUGHT = answered("reset my password", "password", "miss", key="k1")
RUN = [
    BOUGHT,
    answered("reset my password", "password", "hit", key="k1", layer="exact", saved="0.0001"),
    answered("i forgot my password", "password", "hit", key="k1", layer="semantic", saved="0.0001"),
    answered("change my address", "address", "hit", key="k1", layer="semantic", saved="0.0001"),
    answered("change my e-mail", "address", "hit", key="k9", layer="semantic"),
    answered("latest news", "news", "bypass"),
    answered("anything", "x", "", status=500),
    answered("anything", "x", "", status=0),
]


def test_a_hit_bought_for_another_label_is_wrong() -> None:
    outcome = judge(RUN, wrong_shown=5)

    assert outcome.layers == {"exact": Layer(1, 1, 0, 0), "semantic": Layer(3, 1, 1, 1)}
    assert outcome.layers["semantic"].wrong_share == 0.5
    assert outcome.wrong == (("change my address", "reset my password"),)


def test_what_was_not_answered_is_no_decision() -> None:
    outcome = judge(RUN, wrong_shown=5)

    assert outcome.failed == {"HTTP 500": 1, "no answer": 1}
    assert outcome.decisions == {"miss no_candidate": 1, "hit exact": 1, "hit semantic": 3, "bypass ": 1}
    assert outcome.saved_usd == Decimal("0.0003")


def test_a_question_is_answerable_once_one_of_its_label_was_bought() -> None:
    assert judge(RUN, wrong_shown=5).answerable == 2


def test_percentiles_are_of_the_values_that_were_measured() -> None:
    assert percentiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "p95": 3.0, "p99": 3.0}
    assert percentiles([]) == {}


@pytest.mark.parametrize("name", ["questions.jsonl", "questions.jsonl.gz"])
def test_the_same_seed_gives_the_same_questions(tmp_path: Path, name: str) -> None:
    lines = "".join(json.dumps({"text": f"question {n}", "cluster": str(n)}) + "\n" for n in range(50)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)

    first, again, other = (read_questions(path, limit=20, seed=seed) for seed in (1, 1, 2))

    assert first == again != other
    assert len({question.text for question in first}) == 20


@pytest.mark.parametrize("line", ["{", "[]", '{"text": "no label"}', "3"])
def test_a_file_without_labels_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(line)

    with pytest.raises(BadQuestions):
        read_questions(path, limit=1, seed=1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("questions.txt", "One?\n\n  Two? \nOne?\n"),
        ("questions.jsonl", '{"question": "One?"}\n{"text": "Two?", "cluster": "x"}\n"One?"\n'),
        ("questions.jsonl.gz", '{"prompt": "One?"}\n{"prompt": "Two?"}\n'),
    ],
)
def test_plain_questions_are_read_once_each(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert [question.text for question in read_plain_questions(path)] == ["One?", "Two?"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("questions.txt", "\n \n"),
        ("questions.txt.gz", "no gzip"),
    ],
)
def test_a_file_without_questions_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadQuestions):
        read_plain_questions(tmp_path / name)


@pytest.mark.parametrize("line", ["Two?", "{}", '{"question": 5}', '{"question": "Two?", "text": "Two?"}'])
def test_a_line_without_a_question_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    name = "questions.jsonl"
    (tmp_path / name).write_text(f'"One?"\n\n{line}\n')
    with pytest.raises(BadQuestions, match="Line 3 "):
        read_plain_questions(tmp_path / name)


# -- the built-in questions


def test_the_built_in_questions_are_told_apart_and_each_has_other_wordings() -> None:
    topics = read_topics(QUESTIONS)
    texts = [question.text for topic in topics for question in topic]

    assert len(topics) >= 50
    assert len(texts) == len(set(texts))
    assert {len(topic) for topic in topics} <= {3, 4, 5}
    assert all(question.task and question.text and not question.text.startswith("#") for t in topics for question in t)


def test_traffic_asks_a_few_topics_often_and_is_the_same_for_the_same_seed() -> None:
    topics = read_topics(QUESTIONS)
    asked = traffic(topics, calls=600, seed=1)
    often = Counter(question.label for question in asked).most_common()

    assert len(asked) == 600
    assert often[0][1] > 5 * often[len(often) // 2][1]
    assert asked == traffic(topics, calls=600, seed=1)
    assert asked != traffic(topics, calls=600, seed=2)
