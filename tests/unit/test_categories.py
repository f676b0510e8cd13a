"""Of what kind is a question?"""

import pytest

from cache_api.domain.categories import is_one_of

ACTIONS = [
    "cancel my order",
    "Please book a table for two",
    "Can you send an email to Bob?",
    "I want to cancel my order",
    "storniere meine Bestellung",
    "Please, turn off the lights",
]
PERSONAL = [
    "what is my account balance?",
    "Where is my package",
    "show me my last transactions",
    "Who am I?",
    "Wie hoch ist mein Kontostand?",
    "¿Cuál es mi saldo?",
]
MATHS = ["what is 3+4*2", "What is 15 % of 240?"]
NONE = [
    "How do I cancel my order?",
    "What is the capital of France?",
    "order of operations in maths",
    "return value of a function",
    "is my data safe with you?",
    "what is the best food for my dog?",
    "How can I change my password?",
    "",
    "🙂" * 700,
]


@pytest.mark.parametrize("question", ACTIONS)
def test_a_wish_to_have_something_done_is_an_action(question: str) -> None:
    assert is_one_of(question, ["actions"])


@pytest.mark.parametrize("question", PERSONAL)
def test_a_question_about_ones_own_data_is_personal(question: str) -> None:
    assert is_one_of(question, ["personal"])


@pytest.mark.parametrize("question", MATHS)
def test_a_calculation_is_maths(question: str) -> None:
    assert is_one_of(question, ["maths"])


@pytest.mark.parametrize("question", NONE)
def test_what_anybody_might_ask_is_of_no_kind(question: str) -> None:
    assert not is_one_of(question, ["actions", "personal", "maths"])


def test_only_the_kinds_that_are_asked_for_count() -> None:
    assert not is_one_of("cancel my order", ["personal", "maths"])
