"""Does an answer stay in its conversation?

Law 5: earlier turns, the assistant's too, match exactly. A turn that stands alone is no exception.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from tests.fakes import FixedEmbedder

TURN = "And how long does it take from there?"
REWORDED = "And how long will it take from there?"
ALONE = "How do I change my delivery address?"
ALONE_REWORDED = "How can I change my delivery address?"
KEEP_NOTHING = {"X_CACHEAI_NO_STORE": "true"}
HISTORY = ["Do you ship to Norway?", "Yes, from Bergen."]

OTHERS = {
    "another question before": ["Do you ship to Sweden?", "Yes, from Bergen."],
    "another answer before": ["Do you ship to Norway?", "Yes, from Oslo."],
    "the question before in other words": ["Do you deliver to Norway?", "Yes, from Bergen."],
    "a blank more": ["Do you ship to Norway? ", "Yes, from Bergen."],
    "a turn more": ["Hello!", "Hello! How can I help?", *HISTORY],
    "a turn in between": [*HISTORY, "Thank you.", "You are welcome."],
    "no turn before": [],
}


def chat(api: Api, history: Sequence[str], turn: str, **headers: str) -> Answer:
    return api.post("/v1/chat/completions", {"model": "demo-small", "messages": _messages(history, turn)}, **headers)


def messages(api: Api, history: Sequence[str], turn: str, **headers: str) -> Answer:
    body = {"model": "demo-small", "max_tokens": 200, "messages": _messages(history, turn)}
    return api.post("/v1/messages", body, **headers)


def responses(api: Api, history: Sequence[str], turn: str, **headers: str) -> Answer:
    body = {"model": "demo-small", "store": False, "input": _messages(history, turn)}
    return api.post("/v1/responses", body, **headers)


def _messages(history: Sequence[str], turn: str) -> list[Any]:
    return [
        {"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate([*history, turn])
    ]


@pytest.fixture(autouse=True)
def _near(embedder: FixedEmbedder) -> None:
    embedder.near |= {REWORDED: (TURN, 0.99), ALONE_REWORDED: (ALONE, 0.99)}


def decision(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-cacheai-decision"]


@pytest.mark.parametrize("ask", [chat, messages, responses])
@pytest.mark.parametrize("other", [pytest.param(history, id=name) for name, history in OTHERS.items()])
def test_a_follow_up_never_matches_in_another_conversation(
    api: Api, ask: Callable[..., Answer], other: list[str]
) -> None:
    decision(ask(api, HISTORY, TURN))

    assert "hit" not in [decision(ask(api, other, asked, **KEEP_NOTHING)) for asked in (REWORDED, TURN)]


@pytest.mark.parametrize("ask", [chat, messages, responses])
def test_in_its_own_conversation_it_does(api: Api, ask: Callable[..., Answer]) -> None:
    decision(ask(api, HISTORY, TURN))

    assert [ask(api, HISTORY, asked).headers["x-cacheai-reason"] for asked in (REWORDED, TURN)] == ["similar", "exact"]


def test_a_turn_that_stands_alone_is_no_exception(api: Api) -> None:
    decision(chat(api, [], ALONE))
    decision(chat(api, HISTORY, ALONE))

    for asked in (ALONE, ALONE_REWORDED):
        assert decision(chat(api, OTHERS["another answer before"], asked, **KEEP_NOTHING)) != "hit"
    assert decision(chat(api, [], ALONE_REWORDED)) == "hit"
