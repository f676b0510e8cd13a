"""A question asked twice is paid for once: the real stack, over HTTP, with the demo provider behind it."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.e2e.conftest import Stack
from tests.waiting import wait_until

BUSY_SECONDS = 20.0  # What a machine that does other things as well may add.


def fresh(question: str = "How long does a parcel to the islands take") -> str:
    """A question nobody asked before; the mark is no number, unit or id."""
    mark = "".join(chr(ord("a") + int(digit, 16)) for digit in uuid4().hex[:12])
    return f"{question}, dear {mark}?"


def decision_of(response: requests.Response) -> tuple[str, str]:
    return response.headers["X-CacheAI-Decision"], response.headers["X-CacheAI-Reason"]


def events(response: requests.Response) -> list[Any]:
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def text_of_stream(response: requests.Response) -> str:
    chunks = [event for event in events(response) if event != "[DONE]"]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


# -- hits


def test_a_question_asked_twice_is_paid_for_once(stack: Stack) -> None:
    question = fresh()
    before = stack.calls_upstream()

    first, second = stack.chat(question), stack.chat(question)

    assert decision_of(first) == ("miss", "no_candidate")
    assert decision_of(second) == ("hit", "exact")
    assert second.json()["choices"] == first.json()["choices"]
    assert second.json()["usage"] == first.json()["usage"]
    assert second.json()["id"] != first.json()["id"]
    assert stack.calls_upstream() == before + 1
    assert second.json()["cacheai"]["cache_key"] == first.headers["X-CacheAI-Cache-Key"]


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False), (True, True)])
def test_a_stream_and_a_whole_answer_share_an_entry(stack: Stack, first: bool, second: bool) -> None:
    question = fresh()
    bought = stack.chat(question, stream=first)
    wait_until(lambda: decision_of(stack.chat(question, stream=second))[0] == "hit")

    replayed = stack.chat(question, stream=second)

    text = [
        text_of_stream(response) if streamed else response.json()["choices"][0]["message"]["content"]
        for response, streamed in ((bought, first), (replayed, second))
    ]
    assert text[0] == text[1]
    assert text[0].endswith("(demo answer)")


def test_the_same_question_in_other_words_is_a_hit(stack: Stack) -> None:
    stack.chat("How can I reset my password?")

    again = stack.chat("How can I reset my password please?")

    assert decision_of(again) == ("hit", "similar")
    assert again.headers["X-CacheAI-Layer"] == "semantic"
    assert float(again.headers["X-CacheAI-Similarity"]) >= float(again.headers["X-CacheAI-Threshold"])


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("How do I cancel order 12345?", "How do I cancel order 12346?"),
        ("How do I enable two-factor sign-in?", "How do I disable two-factor sign-in?"),
        ("Is it safe to take 5 mg a day?", "Is it safe to take 5 g a day?"),
        ("What does `a += 1` do in this loop?", "What does `a -= 1` do in this loop?"),
    ],
)
def test_a_near_question_with_another_meaning_is_not_a_hit(stack: Stack, asked: str, stored: str) -> None:
    stack.chat(stored)

    answer = stack.chat(asked)

    assert answer.headers["X-CacheAI-Decision"] == "miss"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "demo-large"},
        {"temperature": 0.3},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        {"response_format": {"type": "json_object"}},
        {"seed": 4},
        {"headers": {"X-CacheAI-Namespace": "another"}},
        {"headers": {"X-CacheAI-End-User": "somebody"}},
    ],
)
def test_the_same_question_under_anything_else_is_not_a_hit(stack: Stack, change: dict[str, Any]) -> None:
    question = fresh()
    stack.chat(question)

    assert stack.chat(question, **change).headers["X-CacheAI-Decision"] == "miss"
    assert stack.chat(question).headers["X-CacheAI-Decision"] == "hit"


@pytest.mark.parametrize(
    "earlier",
    [
        [{"role": "system", "content": "Be brief."}],
        [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}],
    ],
)
def test_another_system_prompt_or_earlier_turn_is_not_a_hit(stack: Stack, earlier: list[Any]) -> None:
    question = fresh()
    stack.chat(question)
    messages = [*earlier, {"role": "user", "content": question}]

    first = stack.chat("", messages=messages)
    second = stack.chat("", messages=messages)

    assert (first.headers["X-CacheAI-Decision"], second.headers["X-CacheAI-Decision"]) == ("miss", "hit")


def test_another_tenant_or_project_never_sees_the_entry(stack: Stack) -> None:
    question = fresh()
    stack.chat(question)

    answer = stack.chat(question, headers={"Authorization": f"Bearer {stack.new_key()}"})

    assert answer.status_code == 200
    assert answer.headers["X-CacheAI-Decision"] == "miss"


def test_tool_calls_survive_a_replay_in_either_form(stack: Stack) -> None:
    tools = [
        {
            "type": "function",
            "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {}}}},
        }
    ]
    question = fresh("Call get_weather")
    bought = stack.chat(question, tools=tools, tool_choice="required")
    calls = bought.json()["choices"][0]["message"]["tool_calls"]

    whole = stack.chat(question, tools=tools, tool_choice="required")
    streamed = stack.chat(question, tools=tools, tool_choice="required", stream=True)

    assert decision_of(whole) == decision_of(streamed) == ("hit", "exact")
    assert whole.json()["choices"][0]["message"]["tool_calls"] == calls
    deltas = [event["choices"][0]["delta"] for event in events(streamed)[:-1] if event["choices"]]
    parts = [part for delta in deltas for part in delta.get("tool_calls") or ()]
    assert parts[0]["function"]["name"] == calls[0]["function"]["name"]
    assert "".join(part["function"].get("arguments", "") for part in parts) == calls[0]["function"]["arguments"]


# -- what the caller may ask of the cache


def test_enable_cache_false_neither_reads_nor_stores(stack: Stack) -> None:
    question = fresh()
    off = {"X-CacheAI-Enable-Cache": "false"}

    assert decision_of(stack.chat(question, headers=off)) == ("bypass", "caller")
    assert decision_of(stack.chat(question))[0] == "miss"
    assert decision_of(stack.chat(question, headers=off)) == ("bypass", "caller")


def test_refresh_asks_anew_and_stores_what_comes(stack: Stack) -> None:
    question = fresh()
    stack.chat(question)

    assert decision_of(stack.chat(question, headers={"X-CacheAI-Refresh": "true"})) == ("miss", "refresh")
    assert decision_of(stack.chat(question)) == ("hit", "exact")


def test_no_store_is_served_from_the_cache_but_leaves_nothing_there(stack: Stack) -> None:
    question = fresh()

    assert decision_of(stack.chat(question, headers={"X-CacheAI-No-Store": "true"}))[0] == "miss"
    assert decision_of(stack.chat(question))[0] == "miss"
    assert decision_of(stack.chat(question, headers={"X-CacheAI-No-Store": "true"}))[0] == "hit"


def test_only_if_cached_never_calls_the_provider(stack: Stack) -> None:
    before = stack.calls_upstream()

    answer = stack.chat(fresh(), headers={"X-CacheAI-Only-If-Cached": "true"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "not_cached")
    assert stack.calls_upstream() == before


def test_a_threshold_of_one_takes_the_very_same_words_only(stack: Stack) -> None:
    strict = {"X-CacheAI-Similarity-Threshold": "1"}
    stack.chat("How can I reset my password?", headers=strict)

    assert decision_of(stack.chat("How can I reset my password please?", headers=strict)) == ("miss", "exact_only")
    assert decision_of(stack.chat("How can I reset my password?", headers=strict)) == ("hit", "exact")


# -- what must not be stored


@pytest.mark.parametrize(
    "mood",
    [
        {"fail_status": 500},
        {"fail_status": 429, "retry_after": 7},
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {"empty_answer": True},
        {"refusal": True},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_half_answers_and_refusals_are_never_stored(stack: Stack, mood: dict[str, Any], stream: bool) -> None:
    question = fresh()
    stack.control(**mood)
    first = stack.chat(question, stream=stream)
    stack.control(reset=True)

    second = stack.chat(question, stream=stream)

    assert first.status_code == mood.get("fail_status", 200)
    assert first.headers.get("Retry-After") == ({7: "7"}.get(mood.get("retry_after", 0)))
    assert second.headers["X-CacheAI-Decision"] == "miss"


def test_a_stream_that_breaks_off_ends_with_an_error_event_and_is_not_stored(stack: Stack) -> None:
    question = fresh()
    stack.control(cut_after_chunks=3)
    broken = stack.chat(question, stream=True)
    stack.control(reset=True)

    assert events(broken)[-1]["error"]["code"] == "upstream_stream_broken"
    assert stack.chat(question).headers["X-CacheAI-Decision"] == "miss"


@pytest.mark.parametrize(
    "shape", [{"crlf": True}, {"byte_by_byte": True}, {"comments": True}, {"long_line_bytes": 300_000}]
)
def test_a_stream_of_any_shape_is_relayed_and_can_be_stored(stack: Stack, shape: dict[str, Any]) -> None:
    question = fresh()
    stack.control(**shape)
    first = stack.chat(question, stream=True)
    stack.control(reset=True)

    assert first.text.rstrip().endswith("[DONE]")
    wait_until(lambda: stack.chat(question).headers["X-CacheAI-Decision"] == "hit")


def test_a_provider_that_cannot_be_reached_is_said_so(stack: Stack) -> None:
    stack.control(drop_before_headers=True)

    answer = stack.chat(fresh())

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")


# -- many at once


def test_identical_calls_at_once_reach_the_provider_once(stack: Stack) -> None:
    question = fresh()
    before = stack.calls_upstream()
    stack.control(delay_seconds=0.7)

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda number: stack.chat(question, stream=number % 2 == 0), range(40)))

    assert all(answer.status_code == 200 for answer in answers)
    reasons = [answer.headers["X-CacheAI-Reason"] for answer in answers]
    assert sorted(set(reasons) - {"coalesced", "exact"}) == ["no_candidate"]
    assert reasons.count("no_candidate") == 1
    assert stack.calls_upstream() == before + 1


def test_two_hundred_slow_streams_finish_on_a_pool_of_eight(stack: Stack) -> None:
    stack.control(chunk_delay_seconds=0.15, chunks=20)
    questions = [fresh() for _ in range(200)]

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda question: stack.chat(question, stream=True), questions))

    assert all(answer.status_code == 200 for answer in answers)
    assert all(events(answer)[-1] == "[DONE]" for answer in answers)


def test_a_caller_who_hangs_up_pays_once(stack: Stack) -> None:
    question = fresh()
    stack.control(chunk_delay_seconds=0.2, chunks=10)
    body = json.dumps(
        {"model": "demo-small", "stream": True, "messages": [{"role": "user", "content": question}]}
    ).encode()
    host, port = stack.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Authorization: Bearer {stack.api_key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        seen = b""
        while seen.count(b"data: ") < 3:
            seen += line.recv(4096)
    stack.control(reset=True)

    wait_until(lambda: decision_of(stack.chat(question))[0] == "hit")


# -- refusals


def test_every_answer_says_who_answered(stack: Stack) -> None:
    for answer in (stack.chat(fresh()), stack.chat("x", model=""), stack.call("GET", "/nothing")):
        assert answer.headers["X-CacheAI-Request-Id"].startswith("req_")
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": ""}, 401, "invalid_api_key"),
        ({"Authorization": "Bearer ca-000000000000000000000000000000000000000"}, 401, "invalid_api_key"),
        ({"X-CacheAI-Backend-Provider": "nobody"}, 400, "invalid_request"),
        ({"X-CacheAI-Backend-Provider": "openai"}, 400, "provider_key_missing"),
        ({"X-CacheAI-TTL": "soon"}, 400, "invalid_control"),
        (
            {"X-CacheAI-Backend-Base-URL": "http://169.254.169.254/v1", "X-CacheAI-Backend-API-Key": "k"},
            400,
            "base_url_not_allowed",
        ),
        ({"Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
    ],
)
def test_a_call_that_cannot_be_answered_says_what_to_change(
    stack: Stack, headers: dict[str, str], status: int, code: str
) -> None:
    answer = stack.chat(fresh(), headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"model": "demo-small"}',
        b'{"model": "demo-small", "messages": []}',
        b'{"model": "demo-small", "messages": [{"role": "user", "content": "x"}], "model": "demo-large"}',
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"\xff\xfe{}",
    ],
)
def test_a_body_nobody_can_read_is_a_400_in_the_dialects_shape(stack: Stack, raw: bytes) -> None:
    answer = stack.call("POST", "/chat/completions", data=raw, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("number", ["NaN", "1e999", "9" * 400, '"\\ud800"', "-0.0", "1E400"])
def test_json_only_a_lenient_parser_reads_is_passed_on_untouched(stack: Stack, number: str) -> None:
    raw = f'{{"model": "demo-small", "odd": {number}, "messages": [{{"role": "user", "content": "{fresh()}"}}]}}'

    answer = stack.call("POST", "/chat/completions", data=raw.encode(), headers={"Content-Type": "application/json"})

    assert answer.status_code < 500


@pytest.mark.parametrize("text", ["a\x00b", "\u202eevil", "😀" * 500, "\x7f\x1b[31m", "x" * 40_000, "   ", ""])
def test_hostile_text_is_answered_and_comes_back_whole(stack: Stack, text: str) -> None:
    question = text + fresh()

    first, second = stack.chat(question), stack.chat(question)

    assert first.status_code == second.status_code == 200
    assert first.json()["choices"] == second.json()["choices"]


def test_a_body_over_the_limit_is_refused(stack: Stack) -> None:
    answer = stack.call("POST", "/chat/completions", data=b" " * (32 * 2**20 + 1))

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_a_revoked_key_stops_working_within_ten_seconds(stack: Stack) -> None:
    key = stack.new_key()
    headers = {"Authorization": f"Bearer {key}"}
    assert stack.chat(fresh(), headers=headers).status_code == 200

    stack.manage("revoke_key", key)

    # On a busy machine the question itself may take some of them.
    wait_until(lambda: stack.chat(fresh(), headers=headers).status_code == 401, seconds=10 + BUSY_SECONDS)


# -- the ledger


def test_one_row_per_answer_and_roll_ups_that_recount(stack: Stack) -> None:
    question = fresh()
    for _ in range(3):
        stack.chat(question)
    stack.chat("x", model="")

    printed = stack.manage("ledger_recount")

    assert "0 differences" in printed or "no difference" in printed.lower()


def test_models_are_the_providers_own(stack: Stack) -> None:
    answer = stack.call("GET", "/models", headers={"X-CacheAI-Backend-Provider": "demo"})

    assert answer.status_code == 200
    assert "demo-small" in [model["id"] for model in answer.json()["data"]]
