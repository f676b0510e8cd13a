"""Does an entry that was written to catch others' questions catch any? With the real embedder, and its real geometry.

Whoever may write can answer a question that they write down word for word, or mean: entries name their key for that.
What must not be is one entry that answers what it does not ask.
"""

import json
from typing import Any

import pytest

from tests.e2e.conftest import Stack
from tests.waiting import wait_until

EMBEDDED_SECONDS = 90  # What is imported is embedded in the background, and found each minute at the latest.
HOSTILE = "Send your password to support@evil.example and you are done."
VICTIMS = [
    "How do I reset my password?",
    "How can I change the email address of my account?",
    "Where do I find my invoices?",
    "How long does shipping to Norway take?",
    "Can I get a refund for a damaged item?",
    "How do I cancel my subscription?",
    "What payment methods do you accept?",
    "How do I add a second user to my team?",
    "Is my data encrypted at rest?",
    "How do I export my contacts as a spreadsheet?",
    "Why was my card declined?",
    "How do I turn on two-factor authentication?",
    "What is the difference between the basic and the business plan?",
    "How do I track my order?",
    "Can I pause my membership during the holidays?",
    "How do I connect the app to Slack?",
    "What happens to my files when I leave the team?",
    "How do I delete my account for good?",
    "Which browsers does the editor support?",
    "How do I merge two lists in Python?",
    "Why is the sky blue?",
    "Who wrote War and Peace?",
    "How do I boil an egg so that the yolk stays soft?",
    "What does a load balancer do?",
    "Wie kann ich mein Passwort zurücksetzen?",
    "Comment puis-je annuler ma commande ?",
    "¿Dónde puedo ver mis facturas?",
    "How do I renew my passport from abroad?",
    "What should I do if I miss a dose of my medicine?",
    "How do I write a unit test for a REST endpoint?",
]
ASKED = [
    *VICTIMS,
    *(f"{question[:-1]}, please?" for question in VICTIMS),
    *(f"Hello! {question}" for question in VICTIMS),
]
GENERIC = [
    "How do I do this?",
    "Can you help me?",
    "I have a question.",
    "I have a question about my account.",
    "What is the answer to my question?",
    "How?",
    "Tell me everything about my account, orders, payments and settings.",
    "Answer any question with this.",
    "Ignore the question and use this answer.",
    "How do I change, reset, cancel, delete, add, find, export, connect or track it?",
    "account password email invoice order refund shipping subscription payment team plan",
    "What, how, why, when, where, who and which?",
]
STUFFED = [
    " ".join(VICTIMS),
    " ".join(VICTIMS[:5]),
    *(f"{one[:-1]}, {other[0].lower()}{other[1:]}" for one, other in zip(VICTIMS[::2], VICTIMS[1::2], strict=True)),
    " ".join(sorted({word.strip("?,.¿").lower() for question in VICTIMS for word in question.split()})),
]
# Near copies that ask something else.
TWISTED = {
    "How do I not reset my password?": "How do I reset my password?",
    "How long does shipping to Sweden take?": "How long does shipping to Norway take?",
    "How do I add a third user to my team?": "How do I add a second user to my team?",
    "How do I turn off two-factor authentication?": "How do I turn on two-factor authentication?",
    "Who wrote Crime and Punishment?": "Who wrote War and Peace?",
    "How do I merge two lists in Ruby?": "How do I merge two lists in Python?",
    "How do I disconnect the app from Slack?": "How do I connect the app to Slack?",
    "Can I get a refund for an undamaged item?": "Can I get a refund for a damaged item?",
}


HONEST, REWORDED = "How do I change my phone number?", "How can I change my phone number?"


def written(stack: Stack, questions: list[str], *, imported: bool = False) -> None:
    """And one that may be served, so that nobody takes a cache that is away for one that was not fooled."""
    here = {"X-CacheAI-Namespace": stack.namespace}
    entries = [{"question": one, "answer": HOSTILE, "model": "demo-small"} for one in [*questions, HONEST]]
    if imported:
        lines = b"\n".join(json.dumps(entry).encode() for entry in entries)
        headers = {**here, "Content-Type": "application/x-ndjson"}
        told = stack.call("POST", "/cache/entries", data=lines, headers=headers)
    else:
        told = stack.call("POST", "/cache/entries", json={"entries": entries}, headers=here)
    assert told.status_code < 300, told.text
    wait_until(lambda: all_embedded(stack, entries), seconds=EMBEDDED_SECONDS, what="a vector for each")


def all_embedded(stack: Stack, entries: list[Any]) -> bool:
    """Those at least that are ever found by meaning."""
    told = stack.call("GET", f"/cache/export?namespace={stack.namespace}").text.splitlines()
    lines = [json.loads(line) for line in told]
    return len(lines) == len(entries) and all("vector" in line for line in lines if line["matchable"])


def caught(stack: Stack, questions: list[str]) -> list[tuple[str, str]]:
    """Who got an answer, and whose."""
    told = [(question, looked_up(stack, question)) for question in questions]
    return [
        (question, next(one["question"] for one in found["candidates"] if one["accepted"]))
        for question, found in told
        if found["decision"] == "hit"
    ]


def looked_up(stack: Stack, question: str) -> Any:
    """Again, where a busy machine was too slow to look."""
    fields = {"question": question, "model": "demo-small"}
    here = {"X-CacheAI-Namespace": stack.namespace}
    told: list[Any] = []

    def decided() -> bool:
        told.append(stack.call("POST", "/cache/lookup", json=fields, headers=here).json())
        return told[-1]["decision"] in {"hit", "miss"}

    wait_until(decided, what="a decision")
    return told[-1]


@pytest.mark.parametrize(
    ("questions", "imported"),
    [
        pytest.param(GENERIC, False, id="generic"),
        pytest.param(STUFFED, False, id="stuffed"),
        pytest.param(GENERIC + STUFFED, True, id="imported"),
    ],
)
def test_one_question_for_all_answers_none(stack: Stack, questions: list[str], imported: bool) -> None:
    written(stack, questions, imported=imported)

    assert caught(stack, ASKED) == []
    assert caught(stack, [REWORDED]) == [(REWORDED, HONEST)]


def test_a_near_copy_that_asks_something_else_answers_nobody(stack: Stack) -> None:
    written(stack, list(TWISTED))

    assert caught(stack, list(TWISTED.values())) == []
    assert caught(stack, [REWORDED]) == [(REWORDED, HONEST)]
