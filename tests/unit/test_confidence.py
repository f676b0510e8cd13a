"""What raises the probability of a right answer, what lowers it, and are the shipped weights the trained ones?"""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_api.domain.confidence import FILE, NEVER, BadWeights, Calibration, digest, shipped
from cache_api.domain.features import DIFFERENCE, FEATURES, LIKENESS, features
from cache_api.domain.policy import Policy

COSINES = st.floats(min_value=-1, max_value=1)
VALUES = st.lists(st.floats(min_value=0, max_value=1), min_size=len(FEATURES), max_size=len(FEATURES))
CERTAIN = ("order", "voice", "replaced", "added", "told")
PROMISES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)

DIFFERENT = [
    # asked, stored, the difference seen
    ("I want to use my gold account", "I want to create a gold account", "actions"),
    ("How do I delete my profile?", "How do I update my profile?", "actions"),
    ("Wie kann ich mein Konto löschen?", "Wie kann ich mein Konto ändern?", "actions"),
    ("When was Paul Walker hired?", "When was Nina Walker hired?", "names"),
    ("Wann wurde Paul eingestellt?", "Wann wurde Nina eingestellt?", "names"),
    ("Can the landlord sue the tenant?", "Can the tenant sue the landlord?", "order"),
    ("Darf der Mieter den Vermieter verklagen?", "Darf der Vermieter den Mieter verklagen?", "order"),
    ("Who is the mother of the president?", "Who is the president of the mother?", "order"),
    ("Move it from Rome to Oslo", "Move it to Rome from Oslo", "order"),
    ("Is Rome larger than Oslo?", "Is Oslo larger than Rome?", "order"),
    ("Which toys does a boy often share with a girl?", "Which toys does a girl often share with a boy?", "order"),
    ("What do tenants find hard about landlords?", "What do landlords find hard in tenants?", "order"),
    ("Anna lives in Rome and works in Oslo.", "Anna works in Rome and lives in Oslo.", "order"),
    ("Anna lebt in Rom und arbeitet in Oslo.", "Anna arbeitet in Rom und lebt in Oslo.", "order"),
    (
        "Can a bank in Kenya send a large sum in dollars to the account of a firm in Ghana without a form?",
        "Can a bank in Ghana send a large sum in dollars to the account of a firm in Kenya without a form?",
        "order",
    ),
    ("Was Anna accused?", "Was by Anna accused?", "voice"),
    ("Does Anna know Bob?", "Is Anna known by Bob?", "voice"),
    ("Hat Anna Bob gesehen?", "Wird Anna von Bob gesehen?", "voice"),
    ("I expect a refund for my kettle", "Refund my kettle", "awaited"),
    ("Ich warte auf meine Erstattung", "Ich möchte eine Erstattung", "awaited"),
    (
        "The castle of Leuven was built over an abbey in the north.",
        "The abbey of Leuven was built in the north, over a castle.",
        "told",
    ),
    (
        "Das Schloss wurde im Norden über einem alten Kloster errichtet, sie blieb stehen.",
        "Das Kloster wurde im Norden über einem alten Schloss errichtet, sie blieb stehen.",
        "told",
    ),
    ("Move it from Worcester to Worcestershire", "Move it from Worcestershire to Worcester", "order"),
    ("How long is a lease?", "How long is a lease of 3 rooms?", "numbers"),
    ("How much for twelve eggs?", "How much for eggs?", "numbers"),
    ("How do I clean rice?", "How do I clean lentils?", "replaced"),
    ("My thumb hurts when I play golf", "My wrist hurts when I play golf", "replaced"),
    ("Wie reinige ich Silber?", "Wie reinige ich Leder?", "replaced"),
    ("How do I convert feet to metres?", "How do I convert inches to metres?", "replaced"),
    ("How do I use http in my code?", "How do I use https in my code?", "replaced"),
    ("How do I change my plan?", "How do I charge my plan?", "replaced"),
    ("When does my contract end?", "When does my contact end?", "replaced"),
    ("When do my contracts end?", "When do my contacts end?", "replaced"),
    ("How large is Niger?", "How large is Nigeria?", "names"),
    ("What did Maria Lopez say?", "What did Mario Lopez say?", "names"),
    ("Where was christina born?", "Where was christian born?", "replaced"),
    ("What do neural nets do?", "What do neutral nets do?", "replaced"),
    ("Is Ada Smith an Indian?", "Is Ada Smith a gardener?", "replaced"),
    ("Is Paul a teacher?", "Is Paul a good teacher?", "added"),
    ("Is Paul an artist?", "Is Paul a gifted artist?", "added"),
    ("How do I become a pilot?", "How do I become a pilot in Kenya?", "added"),
    ("What does the plan cost?", "What does the monthly plan cost?", "added"),
    ("Wie werde ich Pilot?", "Wie werde ich Pilot in Kenia?", "added"),
    ("Is it safe?", "Is it not safe?", "denials"),
    ("How do I renew a visa?", "Why do I renew a visa?", "question_word"),
]

THE_SAME_WORDS = [
    # asked, stored
    ("How do I cancel my order?", "how do i cancel the order"),
    ("Where is my acount statement?", "Where is my account statement?"),
    ("Where is my accuont statement?", "Where is my account statement?"),
    ("Why are the doors clsoed?", "Why are the doors closed?"),
    ("Where can I renew my pasport?", "Where can I renew my passport?"),
    ("What is the capital of Frnace?", "What is the capital of France?"),
    ("What is the colour of the sky?", "What is the color of the sky?"),
    ("Where is the theatre?", "Where is the theater?"),
    ("How do I organise a party?", "How do I organize a party?"),
    ("Which shoes can women wear?", "Which shoes can a woman wear?"),
    ("I forgot the code of my card", "I forget the code of my card"),
    ("How do I cancel my order?", "How do I do the cancellation of my order?"),
    ("My topup failed", "My top-up failed"),
    ("How do I change the password of my shop account?", "How do I change my shop account password?"),
    ("What are the ingredients of pesto?", "What are pesto's ingredients?"),
    ("How do I open an account?", "How do I create an account?"),
    ("Does bread not rise?", "Doesn't bread rise?"),
    ("Wie kann ich mein Konto löschen?", "Wie kann ich das Konto entfernen?"),
]

NO_DIFFERENCE = [
    # asked, stored, what it is not
    ("Where do I see the status of my order?", "Where do I see my order status? Thanks!", "added"),
    ("What is a good way to dry figs?", "What is the way to dry figs?", "added"),
    ("I wait for my refund", "I still expect my refund", "awaited"),
    ("My card does not work at the shop near the harbour since Monday", "Card broken", "told"),
    ("card not working", "the card is broken", "told"),
    ("Is it really safe?", "Is it safe?", "added"),
    ("How do I close my account? I need help please", "How do I close my account?", "added"),
    ("How do I freeze my debit card?", "How do I get my card out of the machine?", "added"),
    ("Who made it?", "Who built it?", "replaced"),
    ("But why?", "Why?", "added"),
    ("Is the limit 5 kg?", "Is the limit 5 kilograms?", "replaced"),
    ("How do I change my adress?", "How do I change my address?", "replaced"),
    ("How do I cancel my order?", "How do I stop my order?", "added"),
    ("How much for twelve eggs?", "How much for a dozen eggs?", "numbers"),
    ("Are 1,000 points enough?", "Are 1000 points enough?", "numbers"),
    ("Is tea or coffee cheaper?", "Is coffee or tea cheaper?", "order"),
    ("With a card, where can I pay?", "Where can I pay with a card?", "order"),
    ("Is Anna friends with Bob?", "Is Bob friends with Anna?", "order"),
    ("My phone was stolen, what should I do?", "What should I do, someone has stolen my phone", "order"),
    (
        "Software that lets many people work on one text, keeps all its versions and shows who wrote what",
        "A versioned store of one text: who wrote what is shown, and many people may work on it in software",
        "order",
    ),
]

OTHER_WORDS = [
    ("How did you start?", "How do I start?"),
    ("What can a heat pump do?", "What is a heat pump?"),
    ("My cart is full", "My card is full"),
    ("My carts are full", "My cards are full"),
    ("Where is room 12?", "Where is room 13?"),
    ("How do I bake bread?", "How do I bake rolls?"),
    ("Was Anna accused?", "Was by Anna accused?"),
    ("It has 7 blue doors, 3 red doors and 1 green door", "It has 7 red, 3 blue and 1 green doors"),
    ("Is Anna married to Bob in Rome?", "Is Anna married to Bob?"),
]


def seen(asked: str, stored: str) -> dict[str, float]:
    return dict(zip(FEATURES, features(asked, stored, 0.9), strict=True))


LIGHT_WORDS_THAT_TELL = [
    ("Who is the CEO of Apple?", "Who was the CEO of Apple?"),
    ("Will my plan be renewed?", "Was my plan renewed?"),
    ("Can I take aspirin every day?", "Should I take aspirin every day?"),
    ("What is your phone number?", "What is my phone number?"),
    ("Can I call you?", "Can you call me?"),
    ("Can I cancel their subscription?", "Can I cancel my subscription?"),
    ("rows where price and stock are set", "rows where price or stock are set"),
    ("Is the house partially insured?", "Is the house fully insured?"),
    ("How do I disable it temporarily?", "How do I disable it permanently?"),
]
LIGHT_WORDS_THAT_DO_NOT = [
    ("What payment methods do you accept?", "Which payment methods do you accept?"),
    ("How do I reset my password?", "How can I reset my password?"),
    ("How do I reset my password?", "How do you reset your password?"),
    ("Has my top-up been reverted?", "Was my top-up reverted?"),
    ("What rate will I get?", "What rate do I get?"),
    ("Explain it simply", "Explain it clearly"),
]


@pytest.mark.parametrize(("asked", "stored"), LIGHT_WORDS_THAT_TELL)
def test_a_light_word_may_make_another_question(asked: str, stored: str) -> None:
    assert seen(asked, stored)["replaced"] == seen(stored, asked)["replaced"] == 1
    assert seen(asked, stored)["same_words"] == 0


@pytest.mark.parametrize(("asked", "stored"), LIGHT_WORDS_THAT_DO_NOT)
def test_most_light_words_do_not(asked: str, stored: str) -> None:
    assert seen(asked, stored)["replaced"] == seen(stored, asked)["replaced"] == 0


@pytest.mark.parametrize(
    ("asked", "stored", "added"),
    [
        ("How do I reverse a string in Python?", "Reverse a string in Python", 0),
        ("What is the capital of France?", "Capital of France?", 0),
        ("Why is Israel a country?", "Is Israel a country?", 1),
    ],
)
def test_how_and_what_may_stay_unsaid(asked: str, stored: str, added: int) -> None:
    assert seen(asked, stored)["added"] == seen(stored, asked)["added"] == added


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("How do I close a file in Python?", "How do I delete a file in Python?"),
        ("How do I open a file in Python?", "How do I create a file in Python?"),
        ("How do I restore my iPhone?", "How do I reset my iPhone?"),
        ("How do I forward an email?", "How do I send an email?"),
    ],
)
def test_two_words_for_an_action_on_an_account_are_two_of_a_file(asked: str, stored: str) -> None:
    assert seen(asked, stored)["same_words"] == 0


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Is Windows 10 faster than Windows 11?", "Is Windows 11 faster than Windows 10?"),
        ("Move 100 from account 1 to account 2", "Move 100 from account 2 to account 1"),
        ("Why is PS4 better than PS5?", "Why is PS5 better than PS4?"),
    ],
)
def test_figures_have_an_order_too(asked: str, stored: str) -> None:
    assert seen(asked, stored)["order"] == seen(stored, asked)["order"] == 1


def test_what_is_compared_may_change_places() -> None:
    assert seen("Difference between HTTP 1 and HTTP 2", "Difference between HTTP 2 and HTTP 1")["order"] == 0


@pytest.mark.parametrize(("asked", "stored", "difference"), DIFFERENT)
def test_a_difference_is_seen_from_both_sides(asked: str, stored: str, difference: str) -> None:
    assert seen(asked, stored)[difference] == 1
    assert seen(stored, asked)[difference] == 1
    assert seen(asked, asked)[difference] == 0


@pytest.mark.parametrize(("asked", "stored", "difference"), NO_DIFFERENCE)
def test_what_changes_nothing_is_no_difference(asked: str, stored: str, difference: str) -> None:
    assert seen(asked, stored)[difference] == seen(stored, asked)[difference] == 0


@pytest.mark.parametrize("difference", CERTAIN)
def test_a_certain_difference_is_never_served_under_the_default_promise(difference: str) -> None:
    nearest = [float((name in LIKENESS and name != "same_words") or name == difference) for name in FEATURES]
    assert shipped().of(nearest) < shipped().cut(Policy().max_wrong_hit_rate)
    without = [value * (name != difference) for name, value in zip(FEATURES, nearest, strict=True)]
    assert shipped().of(without) > shipped().cut(Policy().max_wrong_hit_rate)


@pytest.mark.parametrize("difference", CERTAIN)
def test_of_pairs_with_a_certain_difference_the_nearer_is_still_the_likelier(difference: str) -> None:
    likely = [
        shipped().of([cosine * (name in LIKENESS and name != "same_words") + (name == difference) for name in FEATURES])
        for cosine in (0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    assert all(one < other for one, other in pairwise(likely))


@pytest.mark.parametrize(("asked", "stored"), THE_SAME_WORDS)
def test_another_spelling_or_another_word_for_the_same_action_is_the_same(asked: str, stored: str) -> None:
    assert seen(asked, stored)["same_words"] == seen(stored, asked)["same_words"] == 1


@pytest.mark.parametrize(("asked", "stored"), OTHER_WORDS)
def test_other_words_are_not_the_same(asked: str, stored: str) -> None:
    assert seen(asked, stored)["same_words"] == seen(stored, asked)["same_words"] == 0


def test_two_sides_of_a_comparison_may_change_places() -> None:
    assert seen("Is tea or coffee cheaper?", "Is coffee or tea cheaper?")["order"] == 0


@given(COSINES, COSINES)
def test_a_nearer_vector_never_lowers_the_probability(one: float, other: float) -> None:
    asked, stored = "How do I use my account?", "How do I open an account?"
    lower, higher = sorted((one, other))
    assert shipped().probability(asked, stored, lower) <= shipped().probability(asked, stored, higher)


@given(VALUES, st.sampled_from(FEATURES), st.floats(min_value=0, max_value=1))
def test_likeness_never_lowers_it_and_a_difference_never_raises_it(values: list[float], name: str, more: float) -> None:
    at = FEATURES.index(name)
    raised = [*values[:at], max(values[at], more), *values[at + 1 :]]
    before, after = shipped().of(values), shipped().of(raised)
    assert before <= after if name in LIKENESS else before >= after


@given(st.text(max_size=200), st.text(max_size=200), COSINES)
def test_any_two_texts_have_a_probability(asked: str, stored: str, cosine: float) -> None:
    assert 0 <= shipped().probability(asked, stored, cosine) <= 1


@given(st.text(max_size=200))
def test_a_question_differs_in_nothing_from_itself(text: str) -> None:
    assert not any(seen(text, text)[name] for name in DIFFERENCE)


def test_a_stricter_promise_never_has_a_lower_cut() -> None:
    cuts = [shipped().cut(promise) for promise in PROMISES]
    assert cuts == sorted(cuts, reverse=True)
    assert all(0.5 < cut < 1 for cut in cuts)


@pytest.mark.parametrize(("promise", "kept"), [(0.02, 0.02), (0.03, 0.02), (0.1, 0.1), (0.0015, 0.001)])
def test_between_two_promises_the_stricter_is_kept(promise: float, kept: float) -> None:
    assert shipped().cut(promise) == shipped().cuts[kept]


def test_no_probability_is_enough_for_a_promise_stricter_than_all() -> None:
    assert replace(shipped(), cuts={0.01: 0.9}).cut(0.001) == NEVER > 1


def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_bytes())
    return found


def test_the_file_is_small_names_its_sources_and_is_as_it_was_written() -> None:
    assert FILE.stat().st_size <= 200_000
    assert written()["sha256"] == digest(written())
    assert all(source["attribution"] for source in written()["trained_on"].values())


@pytest.mark.parametrize(
    "changed",
    [
        {"bias": 9.0},
        {"features": 0, "sha256": ""},
        {"weights": {"cosine": 1.0}, "sha256": ""},
        {"doubts": {"colour": 1.0}, "sha256": ""},
    ],
)
def test_changed_weights_and_weights_for_other_features_are_refused(changed: dict[str, Any]) -> None:
    damaged = written() | changed
    if "sha256" in changed:
        damaged["sha256"] = digest(damaged)
    with pytest.raises(BadWeights):
        Calibration.build(damaged)
