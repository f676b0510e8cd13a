"""Which chat call does a bare question, in our words or in Vectorcache's, stand for?"""

from typing import Any

import pytest

from cache_api.dialects import vectorcache
from cache_api.dialects.bare_question import chat_body, context_of
from cache_api.dialects.errors import Refused

USER = {"role": "user", "content": "Why?"}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        ({"question": "Why?"}, {"model": "m", "messages": [USER]}),
        ({"prompt": "Why?", "model": "n"}, {"model": "n", "messages": [USER]}),
        ({"query": "Why?", "params": {"seed": 1}}, {"model": "m", "messages": [USER], "seed": 1}),
        ({"question": "Why?", "params": {"model": "n"}}, {"model": "n", "messages": [USER]}),
        ({"messages": [USER], "context": "C"}, {"model": "m", "messages": [system("C"), USER]}),
        (
            {"question": "Why?", "context": "C", "system": "S"},
            {"model": "m", "messages": [system("S"), system("C"), USER]},
        ),
        ({"request": {"messages": [USER], "n": 2}}, {"model": "m", "messages": [USER], "n": 2}),
        ({"request": {"model": "n", "messages": []}, "model": "o"}, {"model": "n", "messages": []}),
    ],
)
def test_a_question_becomes_a_chat_body(asked: Any, body: Any) -> None:
    assert chat_body(asked, default_model="m") == body


def test_the_messages_of_the_caller_stay_as_they_are() -> None:
    messages = [USER]
    chat_body({"messages": messages, "system": "S"}, default_model="m")
    assert messages == [USER]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "question"),
        ({"question": None, "prompt": ""}, "question"),
        ({"question": "a", "prompt": "b"}, "prompt"),
        ({"request": "a"}, "request"),
        ({"question": "a", "system": 1}, "system"),
        ({"question": "a", "params": "b"}, "params"),
        ({"question": "a", "model": {"a": 1}}, "model"),
    ],
)
def test_what_is_no_question_is_refused_by_name(asked: Any, param: str) -> None:
    with pytest.raises(Refused) as refused:
        chat_body(asked, default_model="m")
    assert (refused.value.status, refused.value.param) == (400, param)


def test_without_any_model_the_caller_is_told() -> None:
    with pytest.raises(Refused, match="Field required: model"):
        chat_body({"question": "a"}, default_model="")


def test_the_context_of_a_call_is_its_system_messages() -> None:
    messages = [system("A"), USER, {"role": "developer", "content": "B"}, {"role": "user", "content": [None]}]
    assert context_of({"messages": messages}) == "A\n\nB"
    assert context_of({"instructions": "A", "input": messages[2:]}) == "A\n\nB"
    assert context_of({"input": ["a text"]}) is None
    assert context_of({"messages": [USER]}) is None
    assert context_of(None) is None


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"maxTokens": 5}, {"max_tokens": 5}),
        ({"maxTokens": 5, "max_tokens": 6}, {"max_tokens": 6}),
        ({"similarityThreshold": 0.9, "projectId": "p"}, {"similarity_threshold": 0.9, "project_id": "p"}),
        ({"top_p": 1, "logitBias": {}}, {"top_p": 1, "logitBias": {}}),
    ],
)
def test_known_fields_are_read_in_both_spellings(body: Any, fields: Any) -> None:
    assert vectorcache.fields_of(body) == fields


def test_what_the_provider_may_need_is_passed_on_and_what_is_ours_is_not() -> None:
    fields = {"prompt": "Why?", "max_tokens": 5, "top_p": 1, "metadata": {"a": 1}, "include_debug": True}
    chat = vectorcache.chat_of(fields, default_model="m")
    assert chat == {"model": "m", "messages": [USER], "max_tokens": 5, "top_p": 1}
