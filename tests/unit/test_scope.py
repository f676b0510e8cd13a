"""What must match exactly, and what need not."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from cache_api.dialects import openai_chat
from cache_api.domain.request import Caller, Controls, Request
from cache_api.domain.scope import canonical, fingerprint_of, scope_of
from tests.unit.builders import DEMO, KEY, PROJECT, TENANT, request_of

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Where is the moon?"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def plain() -> Request:
    return request_of(messages=[SYSTEM, USER])


@pytest.mark.parametrize(
    "changed",
    [
        request_of(messages=[{"role": "system", "content": "Be long."}, USER]),
        request_of(messages=[USER]),
        request_of(messages=[SYSTEM, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}, USER]),
        request_of(messages=[SYSTEM, {**USER, "name": "bob"}]),
        request_of(messages=[SYSTEM, USER], model="demo-large"),
        request_of(messages=[SYSTEM, USER], temperature=0.5),
        request_of(messages=[SYSTEM, USER], max_tokens=5),
        request_of(messages=[SYSTEM, USER], seed=1),
        request_of(messages=[SYSTEM, USER], response_format={"type": "json_object"}),
        request_of(messages=[SYSTEM, USER], tools=[TOOL]),
        request_of(messages=[SYSTEM, USER], something_new=True),
        request_of(messages=[SYSTEM, USER], caller=Caller(TENANT, UUID(int=77), KEY)),
        request_of(messages=[SYSTEM, USER], controls=Controls(namespace="n")),
        request_of(messages=[SYSTEM, USER], controls=Controls(end_user="u")),
        request_of(messages=[SYSTEM, USER], controls=Controls(depends_on=("doc:1@2",))),
        request_of(messages=[SYSTEM, USER], target=replace(DEMO, provider="openai")),
        request_of(messages=[SYSTEM, USER], target=replace(DEMO, base_url="https://other.example/v1", elsewhere=True)),
        request_of(messages=[SYSTEM, USER], target=replace(DEMO, credential="sk-1", credential_from_caller=True)),
    ],
)
def test_whatever_can_change_the_answer_changes_the_scope(changed: Request) -> None:
    assert changed.scope != plain().scope
    assert changed.fingerprint != plain().fingerprint


@pytest.mark.parametrize(
    "same",
    [
        request_of(messages=[SYSTEM, USER], stream=True),
        request_of(messages=[SYSTEM, USER], stream=True, stream_options={"include_usage": True}),
        request_of(messages=[SYSTEM, USER], user="u1", metadata={"a": "b"}, service_tier="flex", store=True),
        request_of(messages=[SYSTEM, USER], cache={"ttl": 5}),
        request_of(messages=[SYSTEM, USER], prompt_cache_key="k", safety_identifier="s"),
        request_of(messages=[SYSTEM, {"role": "user", "content": [{"type": "text", "text": "Where is the moon?"}]}]),
        request_of(messages=[{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, USER]),
        request_of(messages=[SYSTEM, USER], controls=Controls(tags=("t",), task="x", ttl_seconds=4)),
        request_of(messages=[SYSTEM, USER], target=replace(DEMO, credential="sk-2")),
        request_of(messages=[SYSTEM, USER], target=replace(DEMO, base_url="http://127.0.0.1:10/v1")),
    ],
)
def test_what_the_provider_only_bills_or_logs_by_does_not_count(same: Request) -> None:
    assert same.fingerprint == plain().fingerprint


def test_another_question_has_the_same_scope_and_another_fingerprint() -> None:
    other = request_of(messages=[SYSTEM, {"role": "user", "content": "where is the moon?"}])

    assert other.scope == plain().scope
    assert other.fingerprint != plain().fingerprint


def test_another_tenants_key_gives_unrelated_digests() -> None:
    parsed = plain().parsed
    scope = scope_of(b"z" * 32, PROJECT, openai_chat.ENDPOINT, DEMO, Controls(), parsed)

    assert scope != plain().scope
    assert fingerprint_of(b"z" * 32, plain().scope, parsed) != plain().fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (1, 1.0),
        ("e\u0301", "\u00e9"),
        ("a\r\nb", "a\nb"),
        ([{"x": 2.0}], [{"x": 2}]),
    ],
)
def test_one_value_has_one_spelling(one: Any, other: Any) -> None:
    assert repr(canonical(one)) == repr(canonical(other)) or canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), ("1", 1), ("A", "a"), ("a ", "a"), (None, "")])
def test_values_that_only_look_alike_stay_apart(one: Any, other: Any) -> None:
    first = request_of(seed=one)
    second = request_of(seed=other)

    assert first.fingerprint != second.fingerprint
