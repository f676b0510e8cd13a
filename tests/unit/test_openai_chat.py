"""How chat completions are parsed, relayed, joined and replayed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cache_api.dialects import openai_chat
from cache_api.dialects.errors import Refused
from cache_api.domain.request import Target
from tests.unit.builders import request_of

SIGNALS = {"cacheai": {"decision": "miss"}, "cacheback_hit": False, "cacheback_synthesized": False}
NOW = datetime(2026, 11, 1, tzinfo=UTC)

CHUNKS: list[dict[str, Any]] = [
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "system_fingerprint": "fp",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
    },
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "obfuscation": "xyz",
        "choices": [{"index": 0, "delta": {"content": "Hello "}, "finish_reason": None}],
    },
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "choices": [{"index": 0, "delta": {"content": "wörld"}, "finish_reason": None}],
    },
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    },
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    },
]


def stream(chunks: list[dict[str, Any]], *, end: bytes = b"\n\n", done: bool = True, tight: bool = False) -> bytes:
    prefix = b"data:" if tight else b"data: "
    body = b"".join(prefix + json.dumps(chunk).encode() + end for chunk in chunks)
    return body + (prefix + b"[DONE]" + end if done else b"")


def tape_of(*, include_usage: bool = False) -> Any:
    request = request_of(stream=True, stream_options={"include_usage": include_usage})
    return openai_chat.tape(request, status=200, streamed=True, signals=SIGNALS)


def run(tape: Any, parts: list[bytes], *, complete: bool = True) -> bytes:
    out = b"".join(tape.take(part) for part in parts)
    tape.end(complete=complete)
    return out + tape.closing


def events(raw: bytes) -> list[Any]:
    lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


# -- parsing


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": 7, "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m" * 257, "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m\x00", "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "hello"}, "messages"),
        ({"model": "m", "messages": [None]}, "messages"),
    ],
)
def test_a_body_that_asks_nothing_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as refused:
        openai_chat.parse(body)

    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("content", "question"),
    [
        ("Where?", "Where?"),
        ([{"type": "text", "text": "Where?"}], "Where?"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\n\nb"),
        ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,x"}}], None),
        (None, None),
        ([], None),
    ],
)
def test_the_question_is_the_text_of_the_last_user_message(content: Any, question: str | None) -> None:
    parsed = openai_chat.parse({"model": "m", "messages": [{"role": "user", "content": content}]})

    assert parsed.question == question


@pytest.mark.parametrize("role", ["assistant", "tool", "system", "developer"])
def test_only_a_user_asks(role: str) -> None:
    assert openai_chat.parse({"model": "m", "messages": [{"role": role, "content": "x"}]}).question is None


@pytest.mark.parametrize(
    ("part", "out_of_hand"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, True),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}, False),
        ({"type": "input_audio", "input_audio": {"data": "AA"}}, True),
        ({"type": "file", "file": {"file_id": "f-1"}}, True),
        ({"type": "file", "file": {"file_data": "data:,x"}}, False),
        ("a bare string", True),
        ({"type": ["text"]}, True),
    ],
)
def test_a_part_whose_bytes_are_elsewhere_is_not_cached(part: Any, out_of_hand: bool) -> None:
    parsed = openai_chat.parse({"model": "m", "messages": [{"role": "user", "content": [part]}]})

    assert parsed.unsupported is out_of_hand


# -- going up


def test_the_callers_own_bytes_go_up_where_nothing_has_to_change() -> None:
    raw = b'{ "model":"demo-small", "odd" : 1.50, "messages":[{"role":"user","content":"x"}] }'

    assert openai_chat.upstream_body(request_of(raw=raw)) is not None
    assert openai_chat.upstream_body(request_of(raw=raw)) == raw


def test_our_controls_never_go_up_and_usage_is_asked_for() -> None:
    request = request_of(stream=True, cache={"ttl": 5}, odd={"deep": [1.5]})

    body = json.loads(openai_chat.upstream_body(request))

    assert "cache" not in body
    assert body["stream_options"] == {"include_usage": True}
    assert body["odd"] == {"deep": [1.5]}


def test_usage_is_not_asked_of_a_provider_that_does_not_take_the_option() -> None:
    target = Target("custom", "https://x.example/v1", "demo-small", takes_stream_options=False)
    request = request_of(stream=True, target=target)

    assert "stream_options" not in json.loads(openai_chat.upstream_body(request))


# -- a stream on its way


def test_events_pass_as_they_came_but_for_what_is_ours() -> None:
    raw = stream(CHUNKS)
    tape = tape_of()

    out = run(tape, [raw])

    kept = stream(CHUNKS[:3], done=False)
    assert out.startswith(kept)
    finish = events(out)[3]
    assert finish["cacheai"] == {"decision": "miss"}
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert events(out)[-1] == "[DONE]"
    assert all(event == "[DONE]" or event["choices"] for event in events(out))
    assert tape.heard.usage.out_total == 2


def test_usage_that_was_asked_for_is_passed_on() -> None:
    out = run(tape_of(include_usage=True), [stream(CHUNKS)])

    assert events(out)[-2]["usage"]["total_tokens"] == 7


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_slicing_and_line_ends_change_no_byte(size: int, end: bytes) -> None:
    comment = b": keep-alive" + end
    raw = comment + stream(CHUNKS[:3], end=end, done=False) + comment + stream(CHUNKS[3:4], end=end)
    tape = tape_of()

    out = run(tape, [raw[at : at + size] for at in range(0, len(raw), size)])

    spliced = b',"cacheai":{"decision":"miss"},"cacheback_hit":false,"cacheback_synthesized":false'
    assert out.replace(spliced, b"") == raw
    assert tape.heard.broken is False


def test_a_data_line_without_its_space_gains_one() -> None:
    out = run(tape_of(), [stream(CHUNKS, tight=True)])

    assert out.startswith(b'data: {"id": "c1"')
    assert out.endswith(b"data: [DONE]\n\n")


def test_the_end_is_kept_until_the_row_is_written() -> None:
    tape = tape_of()

    now = tape.take(stream(CHUNKS))

    assert b"[DONE]" not in now
    tape.end(complete=True)
    assert tape.closing == b"data: [DONE]\n\n"


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_stream_that_breaks_off_ends_with_an_error_and_is_not_stored(cut: int) -> None:
    tape = tape_of()

    out = run(tape, [stream(CHUNKS[:cut], done=False)], complete=False)

    assert events(out)[-1]["error"]["code"] == "upstream_stream_broken"
    assert b"[DONE]" not in out
    assert tape.heard.answer is None
    assert tape.heard.broken


def test_half_an_event_does_not_spoil_the_error_that_ends_the_stream() -> None:
    raw = stream(CHUNKS[:3], done=False)

    for at in range(len(raw)):
        out = run(tape_of(), [raw[:at]], complete=False)
        assert events(out)[-1]["error"]["code"] == "upstream_stream_broken"


def test_half_a_character_is_relayed_and_not_stored() -> None:
    raw = b'data: {"choices":[{"index":0,"delta":{"content":"\xc3"}}]}\n\n' + stream(CHUNKS)
    tape = tape_of()

    out = run(tape, [raw])

    assert b'"\xc3"' in out
    assert tape.heard.answer is None


def test_an_error_event_inside_a_stream_is_relayed_and_nothing_is_stored() -> None:
    tape = tape_of()

    out = run(tape, [stream([*CHUNKS[:2], {"error": {"message": "overloaded"}}, *CHUNKS[2:]])])

    assert b"overloaded" in out
    assert tape.heard.answer is None


# -- joining


def test_a_stream_joins_into_the_body_that_would_have_come() -> None:
    tape = tape_of()
    run(tape, [stream(CHUNKS)])

    answer = tape.heard.answer

    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Hello wörld"}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == 7
    assert "obfuscation" not in answer


def test_tool_calls_join_by_index() -> None:
    deltas = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"index": 0, "id": "t0", "type": "function", "function": {"name": "f", "arguments": ""}}],
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 1, "id": "t1", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    tape = tape_of()
    run(tape, [stream(chunks)])

    assert tape.heard.answer["choices"][0]["message"]["tool_calls"] == [
        {"id": "t0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "t1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        ({}, True),
        ({"finish_reason": "length"}, False),
        ({"finish_reason": "content_filter"}, False),
        ({"finish_reason": None}, False),
        ({"message": {"role": "assistant", "content": ""}}, False),
        ({"message": {"role": "assistant", "content": "  "}}, False),
        ({"message": {"role": "assistant", "content": None, "refusal": "I cannot."}}, False),
        (
            {
                "message": {"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]},
                "finish_reason": "tool_calls",
            },
            True,
        ),
    ],
)
def test_only_a_complete_answer_is_stored(change: dict[str, Any], stored: bool) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop", **change}

    assert (openai_chat.read_answer({"choices": [choice]}).answer is not None) is stored


# -- replay

ANSWER: dict[str, Any] = {
    "id": "chatcmpl-old",
    "object": "chat.completion",
    "created": 5,
    "model": "m-1",
    "system_fingerprint": "fp",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "word " * 60,
                "tool_calls": [{"id": "t0", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}


def test_a_replayed_body_has_its_own_id_and_time_and_says_what_it_is() -> None:
    body = json.loads(openai_chat.replay(request_of(), ANSWER, SIGNALS, NOW))  # type: ignore[arg-type]

    assert body["id"].startswith("chatcmpl-")
    assert body["id"] != "chatcmpl-old"
    assert body["created"] == int(NOW.timestamp())
    assert body["choices"] == ANSWER["choices"]
    assert body["usage"] == ANSWER["usage"]
    assert body["cacheai"] == {"decision": "miss"}


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_replayed_stream_joins_into_the_stored_answer(include_usage: bool) -> None:
    request = request_of(stream=True, stream_options={"include_usage": include_usage})
    raw = b"".join(openai_chat.replay(request, ANSWER, SIGNALS, NOW))
    tape = tape_of(include_usage=True)
    run(tape, [raw])

    joined = {name: value for name, value in tape.heard.answer.items() if name in ("choices", "model", "usage")}
    # The provider's own bytes already name us; what is ours is no part of the answer.
    assert joined["choices"][0]["message"] == ANSWER["choices"][0]["message"]
    assert joined["choices"][0]["finish_reason"] == "tool_calls"
    assert (joined.get("usage") == ANSWER["usage"]) is include_usage
    assert events(raw)[-1] == "[DONE]"


def test_a_replayed_stream_comes_in_small_pieces_that_end_at_white_space() -> None:
    raw = b"".join(openai_chat.replay(request_of(stream=True), ANSWER, SIGNALS, NOW))

    pieces = [event["choices"][0]["delta"].get("content") for event in events(raw)[:-1]]
    texts = [piece for piece in pieces if piece]
    assert all(len(text) <= 80 and text.endswith(" ") for text in texts)
    assert "".join(texts) == ANSWER["choices"][0]["message"]["content"]


def test_signals_stay_away_from_names_a_provider_uses() -> None:
    tape = openai_chat.tape(request_of(), status=200, streamed=False, signals=SIGNALS)

    assert run(tape, [b'{"cacheai": 1}']) == b'{"cacheai": 1}'


def test_an_errors_bytes_are_not_touched() -> None:
    tape = openai_chat.tape(request_of(), status=429, streamed=False, signals=SIGNALS)

    assert run(tape, [b'{"error": {"message": "slow down"} }\n']) == b'{"error": {"message": "slow down"} }\n'


def test_every_provider_byte_of_a_body_stays() -> None:
    tape = openai_chat.tape(request_of(), status=200, streamed=False, signals=SIGNALS)
    raw = b'{ "choices" : [ ], "odd": 1.50 }\n'

    out = run(tape, [raw])

    assert out.startswith(b'{ "choices" : [ ], "odd": 1.50 ')
    assert out.endswith(b"}\n")
    assert json.loads(out)["cacheback_hit"] is False


@pytest.mark.parametrize(
    ("asked", "stateful"),
    [
        ({"web_search_options": {}}, True),
        ({"search_parameters": {"mode": "auto"}}, True),
        ({"plugins": [{"id": "web"}]}, True),
        ({"tools": [{"type": "web_search"}]}, True),
        ({"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "browser_search"}]}, True),
        ({"tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}]}, True),
        ({"tools": [{"google_search": {}}]}, True),
        ({"web_search_options": None}, False),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, False),
        ({"tools": [{"function": {"name": "f"}}]}, False),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, False),
    ],
)
def test_what_the_provider_looks_up_itself_is_not_cached(asked: dict[str, Any], stateful: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Which shares fell?"}], **asked}
    assert openai_chat.parse(body).stateful is stateful


@pytest.mark.parametrize(
    ("of_message", "of_body"),
    [
        ({"annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.org"}}]}, {}),
        ({}, {"citations": ["https://example.org"]}),
        ({}, {"search_results": [{"url": "https://example.org"}]}),
    ],
)
def test_an_answer_that_cites_what_it_found_is_not_stored(of_message: dict[str, Any], of_body: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "All of them."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    assert openai_chat.read_answer({"choices": [{**choice, "message": {**message, "annotations": []}}]}).answer
    said = {"choices": [{**choice, "message": {**message, **of_message}}], **of_body}
    assert openai_chat.read_answer(said).answer is None


def test_a_hit_repeats_what_its_own_caller_sent_along() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    stored = {"model": "m-1", "choices": [choice], "metadata": {"user": "alice"}, "service_tier": "flex"}

    def hit(**sent: Any) -> Any:
        body = openai_chat.replay(request_of(store=True, **sent), stored, SIGNALS, NOW)
        assert isinstance(body, bytes)
        return json.loads(body)

    mine = hit(metadata={"user": "bob"})
    assert (mine["metadata"], mine["service_tier"]) == ({"user": "bob"}, "flex")
    assert hit()["metadata"] == {}


def test_what_was_thought_is_told_before_the_answer() -> None:
    message = {"role": "assistant", "content": "Four.", "refusal": None, "reasoning_content": "Two and two."}
    stored = {"model": "m-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    raw = b"".join(openai_chat.replay(request_of(stream=True), stored, SIGNALS, NOW))  # type: ignore[arg-type]
    deltas = [event["choices"][0]["delta"] for event in events(raw) if isinstance(event, dict)]
    assert [[*delta] for delta in deltas] == [["role", "content"], ["reasoning_content"], ["content"], []]


def test_pieces_of_one_thought_join_into_one() -> None:
    def chunk(**delta: Any) -> dict[str, Any]:
        return {**CHUNKS[0], "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    kind = {"type": "reasoning.text", "format": "f"}
    tape = tape_of()
    thought = [
        chunk(role="assistant", content="", reasoning="Two ", reasoning_details=[{**kind, "index": 0, "text": "Two "}]),
        chunk(reasoning="and two.", reasoning_details=[{**kind, "index": 0, "text": "and two."}]),
        chunk(reasoning_details=[{**kind, "index": 0, "signature": "s"}]),
        chunk(reasoning_details=[{"type": "reasoning.encrypted", "index": 1, "data": "e"}]),
    ]
    run(tape, [stream([*thought, *CHUNKS[2:]])])
    details = tape.heard.answer["choices"][0]["message"]["reasoning_details"]
    whole = {**kind, "index": 0, "text": "Two and two.", "signature": "s"}
    assert details == [whole, {"type": "reasoning.encrypted", "index": 1, "data": "e"}]


def test_a_chunk_that_names_no_model_takes_none_away() -> None:
    """Azure's, with the results of its filters."""
    tape = tape_of()
    nameless = {"id": "", "object": "", "model": "", "choices": [{"index": 0, "content_filter_results": {}}]}
    run(tape, [stream([*CHUNKS[:4], nameless, CHUNKS[4]][:5])])
    assert tape.heard.answer["model"] == "m-1"
