"""How Anthropic's messages are parsed, relayed, joined and replayed."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx2
import orjson
import pytest

from cache_api.dialects import anthropic_messages
from cache_api.dialects.errors import Refused
from cache_api.domain.request import Controls, Request, Target
from cache_api.domain.scope import fingerprint_of, scope_of
from cache_api.domain.usage import Usage
from tests.unit.builders import DEMO, DIGEST_KEY, KEY, PROJECT, TENANT, Caller

SIGNALS = {
    "cacheai": {"decision": "miss", "request_id": "req_1"},
    "cacheback_hit": False,
    "cacheback_synthesized": False,
}
SPLICED = b"," + orjson.dumps(SIGNALS)[1:-1]
NOW = datetime(2026, 11, 1, tzinfo=UTC)
MODEL = "claude-demo-1"


def request_of(*, raw: bytes | None = None, target: Target | None = None, **fields: Any) -> Request:
    body = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "Where is the moon?"}], **fields}
    if raw is not None:
        body = orjson.loads(raw)
    parsed = anthropic_messages.parse(body)
    target = target or Target(DEMO.provider, DEMO.base_url, body["model"])
    scope = scope_of(DIGEST_KEY, PROJECT, "messages", target, Controls(), parsed)
    return Request(
        caller=Caller(TENANT, PROJECT, KEY),
        endpoint="messages",
        target=target,
        controls=Controls(),
        parsed=parsed,
        fingerprint=fingerprint_of(DIGEST_KEY, scope, parsed),
        scope=scope,
        raw=orjson.dumps(body) if raw is None else raw,
    )


def asked(*content: Any, **fields: Any) -> Request:
    """A call whose only message has these blocks."""
    return request_of(messages=[{"role": "user", "content": list(content)}], **fields)


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


# -- streams, as the provider's documentation describes them


def started(**usage: Any) -> dict[str, Any]:
    return {
        "type": "message_start",
        "message": {
            "id": "msg_01Moon",
            "type": "message",
            "role": "assistant",
            "model": "claude-demo-1-20261101",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 25, "output_tokens": 1, "service_tier": "standard", **usage},
        },
    }


def block(index: int, empty: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def ended(reason: str = "end_turn", **more: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 15}}, {"type": "message_stop"}]


def said(words: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": words}


def written(part: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": part}


CITATION = {"type": "char_location", "cited_text": "Up.", "document_index": 0, "start_char_index": 0}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
STREAMS: dict[str, list[dict[str, Any]]] = {
    "text": [
        started(),
        *block(0, text(""), said("Up "), said("thére 🙂"))[:2],
        {"type": "ping"},
        *block(0, text(""), said("Up "), said("thére 🙂"))[2:],
        *ended(),
    ],
    "tools": [
        started(),
        *block(0, text(""), said("Let me look.")),
        *block(1, TOOL, written(""), written('{"city": "Pa'), written('ris", "days": [1, 2.5]'), written("}")),
        *block(2, {**TOOL, "id": "toolu_2", "name": "now"}, written("")),
        *ended("tool_use"),
    ],
    "thinking": [
        started(cache_creation_input_tokens=30, cache_read_input_tokens=7),
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "The moon "},
            {"type": "thinking_delta", "thinking": "is up."},
            {"type": "signature_delta", "signature": "EqoB/+=="},
        ),
        *block(1, {"type": "redacted_thinking", "data": "opaque=="}),
        *block(2, text("", citations=[]), said("Up."), {"type": "citations_delta", "citation": CITATION}),
        *ended("stop_sequence", stop_sequence="\n\nHuman:"),
    ],
}
JOINED: dict[str, list[dict[str, Any]]] = {
    "text": [text("Up thére 🙂")],
    "tools": [
        text("Let me look."),
        {**TOOL, "input": {"city": "Paris", "days": [1, 2.5]}},
        {**TOOL, "id": "toolu_2", "name": "now"},
    ],
    "thinking": [
        {"type": "thinking", "thinking": "The moon is up.", "signature": "EqoB/+=="},
        {"type": "redacted_thinking", "data": "opaque=="},
        text("Up.", citations=[CITATION]),
    ],
}
BROKEN = b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"The provider'


def stream(events: Iterable[dict[str, Any]], *, end: bytes = b"\n") -> bytes:
    lines = [(b"event: " + event["type"].encode(), b"data: " + orjson.dumps(event), b"", b"") for event in events]
    return b"".join(end.join(four) for four in lines)


def tape_of() -> Any:
    return anthropic_messages.tape(request_of(stream=True), status=200, streamed=True, signals=SIGNALS)


def run(tape: Any, parts: Iterable[bytes], *, complete: bool = True) -> bytes:
    out = b"".join([tape.take(part) for part in parts])
    tape.end(complete=complete)
    return out + bytes(tape.closing)


def heard(events: Iterable[dict[str, Any]], *, complete: bool = True) -> Any:
    tape = tape_of()
    run(tape, [stream(events)], complete=complete)
    return tape.heard


def events_in(raw: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in raw.decode().split("\n") if line.startswith("data: ")]


def read_by_the_client(raw: bytes, **fields: Any) -> Any:
    """The message that Anthropic's own client makes of a stream."""
    answered = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=raw)
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: answered)) as http,
        anthropic.Anthropic(api_key="k", max_retries=0, http_client=http) as client,
        client.messages.stream(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "?"}]) as arriving,
    ):
        return arriving.get_final_message()


# -- parsing


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [None]}, "messages"),
    ],
)
def test_a_body_that_asks_nothing_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as refused:
        request_of(**fields)

    assert (refused.value.status, refused.value.param) == (400, param)


PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


@pytest.mark.parametrize(
    ("content", "question"),
    [
        ("Where?", "Where?"),
        ([text("Where?")], "Where?"),
        ([text("Where?", cache_control={"type": "ephemeral"})], "Where?"),
        ([text("a"), text("b")], "a\n\nb"),
        ([text("Where?", citations=[CITATION])], None),
        ([text("What is this?"), PICTURE], None),
        ([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}, text("And then?")], None),
        ([], None),
        (None, None),
        (7, None),
    ],
)
def test_the_question_is_the_text_of_the_last_user_message(content: Any, question: str | None) -> None:
    assert request_of(messages=[{"role": "user", "content": content}]).question == question


@pytest.mark.parametrize("role", ["assistant", "system"])
def test_only_a_user_asks(role: str) -> None:
    assert request_of(messages=[{"role": "user", "content": "x"}, {"role": role, "content": "("}]).question is None


@pytest.mark.parametrize(
    ("held", "out_of_hand"),
    [
        (text("x"), False),
        (PICTURE, False),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}, False),
        ({"type": "document", "source": {"type": "content", "content": [text("x"), PICTURE]}}, False),
        ({"type": "tool_result", "tool_use_id": "t", "content": [PICTURE]}, False),
        ({"type": "search_result", "source": "https://a.example", "title": "t", "content": [text("x")]}, False),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example/a.png"}}, True),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, True),
        ({"type": "image"}, True),
        (
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "image", "source": {"type": "file", "file_id": "file_1"}}],
            },
            True,
        ),
        (
            {
                "type": "document",
                "source": {"type": "content", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]},
            },
            True,
        ),
        ({"type": "container_upload", "file_id": "file_1"}, True),
        ({"type": ["text"]}, True),
        ("a bare string", True),
    ],
)
def test_a_block_whose_bytes_are_elsewhere_is_not_cached(held: Any, out_of_hand: bool) -> None:
    assert asked(held).parsed.unsupported is out_of_hand
    assert request_of(system=[held]).parsed.unsupported is out_of_hand


@pytest.mark.parametrize(
    ("fields", "stateful"),
    [
        ({"tools": [{"name": "f", "input_schema": {}}]}, False),
        ({"tools": [{"type": "custom", "name": "f", "input_schema": {}}]}, False),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, False),
        ({"tools": [{"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}]}, False),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, True),
        ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, True),
        ({"tools": [{"type": "a_tool_of_tomorrow", "name": "x"}]}, True),
        ({"mcp_servers": [{"type": "url", "url": "https://a.example", "name": "a"}]}, True),
        ({"container": "container_1"}, True),
        ({"container": None}, False),
        ({"tools": "none"}, False),
    ],
)
def test_what_runs_or_is_kept_at_the_provider_is_not_cached(fields: dict[str, Any], stateful: bool) -> None:
    assert request_of(**fields).parsed.stateful is stateful


# -- what must match


HISTORY = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
ASKED_AGAIN = [*HISTORY, {"role": "user", "content": "Where is the moon?"}]
MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
TOOLS = [{"name": "f", "input_schema": {"properties": {"cache_control": {"type": "string"}}}}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"stream": True}),
        ({}, {"metadata": {"user_id": "u"}}),
        ({}, {"service_tier": "auto"}),
        ({}, {"cache": {"ttl": 5}}),
        ({}, MARK),
        ({}, {"messages": [{"role": "user", "content": [text("Where is the moon?", **MARK)]}]}),
        ({"system": "Be brief."}, {"system": [text("Be brief.", **MARK)]}),
        ({"tools": TOOLS}, {"tools": [{**TOOLS[0], **MARK}]}),
        ({"messages": ASKED_AGAIN}, {"messages": [{**HISTORY[0], "content": [text("Hi", **MARK)]}, *ASKED_AGAIN[1:]]}),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "7"}]}]},
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [text("7")], **MARK}]}]},
        ),
    ],
)
def test_what_is_billed_or_logged_otherwise_is_the_same_question(one: Any, other: Any) -> None:
    assert request_of(**one).fingerprint == request_of(**other).fingerprint


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 51},
        {"temperature": 0.5},
        {"top_k": 3},
        {"stop_sequences": ["\n"]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"system": "Be brief."},
        {"tools": TOOLS},
        {"tools": [{"name": "f", "input_schema": {"properties": {}}}]},
        {"tool_choice": {"type": "any"}},
        {"output_config": {"effort": "low"}},
        {"messages": ASKED_AGAIN},
        {"messages": [{"role": "user", "content": [text("Where is the moon?"), PICTURE]}]},
        {"a_field_of_tomorrow": 1},
    ],
)
def test_all_else_must_match(fields: dict[str, Any]) -> None:
    assert request_of(**fields).scope != request_of().scope


def test_an_argument_of_that_name_is_no_mark() -> None:
    def call(value: str) -> Request:
        used = {**TOOL, "input": {"cache_control": value}}
        return request_of(messages=[*HISTORY[:1], {"role": "assistant", "content": [used]}, ASKED_AGAIN[2]])

    assert call("a").scope != call("b").scope


def test_a_picture_takes_part_by_its_bytes_and_is_not_kept() -> None:
    other = {**PICTURE, "source": {**PICTURE["source"], "data": "AAAA"}}  # type: ignore[dict-item]

    assert asked(PICTURE, text("What?")).scope != asked(other, text("What?")).scope
    assert "iVBORw0KGgo=" not in json.dumps(asked(PICTURE, text("What?")).parsed.context)


def test_every_text_counts_for_an_estimate() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text("sunny")]}
    request = asked(result, text("And then?"), system=[text("Be brief.")])

    assert request.parsed.prompt_texts == ("Be brief.", "sunny\nAnd then?")


# -- going up


def test_the_callers_own_bytes_go_up_where_nothing_has_to_change() -> None:
    raw = b'{ "model":"claude-demo-1", "odd" : 1.50, "messages":[{"role":"user","content":"x"}], "stream":true }'

    assert anthropic_messages.upstream_body(request_of(raw=raw)) == raw


def test_our_controls_never_go_up_and_what_is_the_provider_s_stays() -> None:
    request = request_of(cache={"ttl": 5}, system=[text("Be brief.", **MARK)], odd={"deep": [1.5]})

    body = json.loads(anthropic_messages.upstream_body(request))

    assert "cache" not in body
    assert body["system"][0]["cache_control"] == MARK["cache_control"]
    assert body["odd"] == {"deep": [1.5]}


def test_the_model_goes_up_by_the_provider_s_name_for_it() -> None:
    request = request_of(model="demo/claude-demo-1", target=Target("demo", "http://127.0.0.1:9/v1", MODEL))

    assert json.loads(anthropic_messages.upstream_body(request))["model"] == MODEL


# -- a stream on its way


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_wherever_it_is_cut_a_stream_passes_as_it_came_and_joins_into_the_message(name: str, end: bytes) -> None:
    raw = b": keep-alive" + end + end + stream(STREAMS[name], end=end)
    cuts = [[raw[:at], raw[at:]] for at in range(1, len(raw))]
    cuts += [[raw[at : at + size] for at in range(0, len(raw), size)] for size in (1, 2, 3, len(raw))]

    for parts in cuts:
        tape = tape_of()
        out = run(tape, parts)
        assert out.replace(SPLICED, b"") == raw
        assert out.count(SPLICED) == 1
        assert tape.heard.answer["content"] == JOINED[name]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_joins_into_what_the_provider_s_own_client_makes_of_it(name: str) -> None:
    theirs = read_by_the_client(stream(STREAMS[name])).to_dict()

    ours = heard(STREAMS[name]).answer

    assert ours["content"] == theirs["content"]
    for field in ("id", "model", "role", "stop_reason", "stop_sequence", "usage"):
        assert ours[field] == theirs[field]


def test_the_signals_ride_on_the_event_that_says_why_it_stopped() -> None:
    out = events_in(run(tape_of(), [stream(STREAMS["text"])]))

    (told,) = [event for event in out if "cacheai" in event]
    assert told["type"] == "message_delta"
    assert told["usage"] == {"output_tokens": 15}
    assert told["cacheai"]["decision"] == "miss"
    assert told["cacheback_hit"] is False


def test_the_last_event_is_kept_until_the_row_is_written() -> None:
    tape = tape_of()

    now = tape.take(stream(STREAMS["text"]))

    assert b"message_stop" not in now
    tape.end(complete=True)
    assert tape.closing == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def test_a_data_line_without_its_space_gains_one() -> None:
    raw = stream(STREAMS["text"])

    assert run(tape_of(), [raw.replace(b"data: ", b"data:")]).replace(SPLICED, b"") == raw


def test_usage_is_counted_from_both_ends_of_the_stream() -> None:
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}
    last["usage"] = {"input_tokens": 20, "cache_read_input_tokens": None, "output_tokens": 15}
    cached = {"cache_creation_input_tokens": 30, "cache_read_input_tokens": 7}
    written_1h = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}
    first = started(**cached, cache_creation=written_1h)

    came = heard([first, *block(0, text(""), said("Up.")), last, {"type": "message_stop"}])

    assert came.usage == Usage(in_total=57, in_cached=7, in_write_5m=10, in_write_1h=20, out_total=15)
    assert (came.model, came.service_tier) == ("claude-demo-1-20261101", "standard")


def test_what_the_end_leaves_open_stays_as_it_began() -> None:
    first = started()
    first["message"]["container"] = {"id": "container_1"}

    answer = heard([first, *block(0, text(""), said("Up.")), *ended(container=None)]).answer

    assert answer["container"] == {"id": "container_1"}


def test_speed_that_was_paid_for_is_a_tier_of_its_own() -> None:
    assert heard([started(speed="fast"), *STREAMS["text"][1:]]).service_tier == "fast"


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_breaks_off_ends_with_an_error_and_is_not_stored(name: str) -> None:
    events = STREAMS[name]
    for cut in range(len(events) - 1):
        tape = tape_of()
        out = run(tape, [stream(events[:cut])], complete=False)
        assert BROKEN in out
        assert b"message_stop" not in out
        assert (tape.heard.answer, tape.heard.broken) == (None, True)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_was_closed_half_way_ends_with_an_error_and_is_not_stored(name: str) -> None:
    raw = stream(STREAMS[name])
    for cut in range(0, raw.index(b'"stop_reason":"'), 7):
        tape = tape_of()
        assert BROKEN in run(tape, [raw[:cut]])
        assert (tape.heard.answer, tape.heard.broken) == (None, True)


def test_a_stream_without_its_last_event_is_whole_to_the_caller_yet_not_stored() -> None:
    tape = tape_of()

    out = run(tape, [stream(STREAMS["text"][:-1])])

    assert b"error" not in out
    assert (tape.heard.answer, tape.heard.broken) == (None, False)


def test_the_client_raises_its_own_error_where_the_stream_broke_off() -> None:
    out = run(tape_of(), [stream(STREAMS["text"][:4])], complete=False)

    with pytest.raises(anthropic.APIStatusError) as raised:
        read_by_the_client(out)

    body: Any = raised.value.body
    assert raised.value.type == "api_error"
    assert body["request_id"] == "req_1"


def test_an_error_event_of_the_provider_is_passed_on_alone_and_nothing_is_stored() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    tape = tape_of()
    raw = stream([*STREAMS["text"][:4], overloaded])

    assert run(tape, [raw]) == raw
    assert (tape.heard.answer, tape.heard.broken) == (None, False)


@pytest.mark.parametrize("name", STREAMS)
def test_of_a_stream_that_broke_off_the_output_is_estimated(name: str) -> None:
    usage = heard(STREAMS[name][:-2], complete=False).usage

    assert usage.estimated
    assert usage.in_total == (25 if name != "thinking" else 62)
    assert usage.out_total > 1


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "an_event_of_tomorrow"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "a_delta_of_tomorrow", "x": "y"}},
        {"type": "content_block_delta", "index": 3, "delta": said("nowhere")},
        {"type": "content_block_delta", "index": 0, "delta": None},
        {"type": "content_block_delta", "index": 0},
        {"no": "type"},
        {"type": ["ping"]},
    ],
)
def test_what_cannot_be_joined_is_passed_on_and_counted_but_not_stored(odd: dict[str, Any]) -> None:
    events = [*STREAMS["text"][:3], odd, *STREAMS["text"][3:]]
    raw = b"".join(
        b"event: " + str(event.get("type")).encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n" for event in events
    )
    tape = tape_of()

    assert run(tape, [raw]).replace(SPLICED, b"") == raw
    assert tape.heard.answer is None
    assert (tape.heard.usage.out_total, tape.heard.usage.estimated) == (15, False)


def test_half_an_input_and_half_a_character_are_passed_on_and_not_stored() -> None:
    for spoilt in (b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xc3"}}', b"{"):
        raw = stream(STREAMS["text"]).replace(b'{"type":"ping"}', spoilt)
        tape = tape_of()
        assert run(tape, [raw]).replace(SPLICED, b"") == raw
        assert tape.heard.answer is None

    events = [started(), *block(0, TOOL, written('{"city": "Par')), *ended("tool_use")]
    assert heard(events).answer is None


# -- what is stored

DEEP: Any = {}
for _ in range(300):
    DEEP = {"deeper": DEEP}
FINISHED = {
    "id": "msg_old",
    "type": "message",
    "role": "assistant",
    "model": "claude-demo-1-20261101",
    "content": [text("Up there.")],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 2},
}


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        ({}, True),
        ({"stop_reason": "stop_sequence", "stop_sequence": "."}, True),
        ({"content": [TOOL], "stop_reason": "tool_use"}, True),
        ({"content": [{"type": "thinking", "thinking": "x", "signature": "s"}, text("Up.")]}, True),
        ({"stop_reason": "max_tokens"}, False),
        ({"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "bio"}}, False),
        ({"stop_reason": "pause_turn"}, False),
        ({"stop_reason": "model_context_window_exceeded"}, False),
        ({"stop_reason": "a_reason_of_tomorrow"}, False),
        ({"stop_reason": None}, False),
        ({"content": []}, False),
        ({"content": None}, False),
        ({"content": [text("  ")]}, False),
        ({"content": [{"type": "thinking", "thinking": "x", "signature": "s"}]}, False),
        ({"content": ["Up there."]}, False),
        ({"content": [{"type": "text"}]}, False),
        ({"content": [text("Up."), {"no": "type"}]}, False),
        ({"type": "error"}, False),
        ({"stop_reason": ["end_turn"]}, False),
        ({"content": [{**TOOL, "input": DEEP}], "stop_reason": "tool_use"}, False),
        ({"content": [{**TOOL, "input": {"wei": [2.0**70]}}], "stop_reason": "tool_use"}, False),
    ],
)
def test_only_a_complete_answer_is_stored(change: dict[str, Any], stored: bool) -> None:
    assert (anthropic_messages.read_answer({**FINISHED, **change}).answer is not None) is stored


def test_a_call_of_a_tool_is_told_from_words() -> None:
    assert anthropic_messages.has_tool_calls({**FINISHED, "content": JOINED["tools"]})
    assert not anthropic_messages.has_tool_calls({**FINISHED, "content": JOINED["thinking"]})


def test_a_number_that_would_come_back_as_another_is_not_stored() -> None:
    body = orjson.dumps({**FINISHED, "content": [TOOL], "stop_reason": "tool_use"})
    tape = anthropic_messages.tape(request_of(), status=200, streamed=False, signals=SIGNALS)

    out = run(tape, [body.replace(b'"input":{}', b'"input":{"wei":123456789012345678901234567890}')])

    assert b"123456789012345678901234567890" in out
    assert tape.heard.answer is None


def test_tokens_are_said_as_the_provider_would() -> None:
    usage = Usage(in_total=57, in_cached=7, in_write_5m=10, in_write_1h=20, out_total=15)

    told = anthropic_messages.read_answer({**FINISHED, "usage": anthropic_messages.usage_as_sent(usage)})

    assert told.usage == usage


def test_signals_stay_away_from_names_a_provider_uses() -> None:
    tape = anthropic_messages.tape(request_of(), status=200, streamed=False, signals=SIGNALS)

    assert run(tape, [b'{"cacheai": 1}']) == b'{"cacheai": 1}'


def test_an_errors_bytes_are_not_touched() -> None:
    raw = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"} }\n'

    assert run(anthropic_messages.tape(request_of(), status=529, streamed=False, signals=SIGNALS), [raw]) == raw


# -- replay

WORDS = text("word " * 60)
ANSWER = {**FINISHED, "content": [*JOINED["thinking"], WORDS, *JOINED["tools"]], "stop_reason": "tool_use"}
ANSWERS = {
    "all": ANSWER,
    "counted": {**ANSWER, "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 2}},
    "stopped": {**FINISHED, "stop_reason": "stop_sequence", "stop_sequence": "."},
    "detailed": {**FINISHED, "stop_details": None, "container": None},
    "unsigned": {**FINISHED, "content": [{"type": "thinking", "thinking": "The moon is up."}, text("Up.")]},
}


def replayed(answer: dict[str, Any]) -> bytes:
    return b"".join(anthropic_messages.replay(request_of(stream=True), answer, SIGNALS, NOW))  # type: ignore[arg-type]


def test_a_replayed_body_has_its_own_id_and_says_what_it_is() -> None:
    body = json.loads(anthropic_messages.replay(request_of(), ANSWER, SIGNALS, NOW))  # type: ignore[arg-type]

    assert body["id"].startswith("msg_")
    assert body["id"] != "msg_old"
    assert {**body, "id": "msg_old"} == {**ANSWER, **SIGNALS}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_replayed_stream_is_the_stored_answer_to_the_provider_s_own_client(name: str) -> None:
    answer = ANSWERS[name]

    message = read_by_the_client(replayed(answer)).to_dict()

    assert message.pop("id").startswith("msg_")
    assert message == {"stop_details": None, **{name: value for name, value in answer.items() if name != "id"}}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_replayed_stream_joins_into_the_stored_answer_again(name: str) -> None:
    tape = tape_of()

    run(tape, [replayed(ANSWERS[name])])

    ours = {name: value for name, value in tape.heard.answer.items() if name not in SIGNALS}
    assert {**ours, "id": "msg_old"} == ANSWERS[name]


def test_a_replayed_stream_has_the_provider_s_order_of_events() -> None:
    raw = replayed(ANSWER)

    events = events_in(raw)

    assert [event["type"] for event in (events[0], *events[-2:])] == ["message_start", "message_delta", "message_stop"]
    assert [line[7:] for line in raw.decode().split("\n") if line.startswith("event: ")] == [
        event["type"] for event in events
    ]
    inner = [(event["type"], event["index"]) for event in events[1:-2]]
    for index in range(len(ANSWER["content"])):
        kinds = [kind for kind, of in inner if of == index]
        assert kinds[0] == "content_block_start"
        assert kinds[-1] == "content_block_stop"
        assert set(kinds[1:-1]) <= {"content_block_delta"}
    assert [index for _, index in inner] == sorted(index for _, index in inner)
    assert events[-2]["cacheai"] == SIGNALS["cacheai"]
    assert events[0]["message"]["stop_reason"] is None


def test_a_replayed_stream_comes_in_small_pieces() -> None:
    deltas = [event["delta"] for event in events_in(replayed(ANSWER)) if event["type"] == "content_block_delta"]

    words = [delta["text"] for delta in deltas if delta["type"] == "text_delta"]
    assert all(len(piece) <= 80 for piece in words)
    assert all(piece.endswith(" ") for piece in words if piece.startswith("word"))
    inputs = [delta["partial_json"] for delta in deltas if delta["type"] == "input_json_delta"]
    assert json.loads("".join(inputs[:-1])) == JOINED["tools"][1]["input"]


def test_an_answer_nobody_counted_is_replayed_all_the_same() -> None:
    message = read_by_the_client(replayed(anthropic_messages.answer_of_text("Up there.", MODEL)))

    assert message.content[0].text == "Up there."


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
def test_a_conversation_that_the_provider_holds_is_not_cached(thread: dict[str, str]) -> None:
    """A replayed answer has an id of its own, from which no next call could go on."""
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "And then?"}]}
    assert anthropic_messages.parse({**body, "thread": thread}).stateful
    assert not anthropic_messages.parse({**body, "thread": None}).stateful
