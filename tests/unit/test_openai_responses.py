"""How Responses are parsed, relayed, joined and replayed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import httpx2
import openai
import orjson
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel

from cache_api.dialects import openai_responses
from cache_api.dialects.errors import Refused
from cache_api.dialects.held_back import held_back
from cache_api.dialects.tape import ANSWER_MAX_BYTES
from cache_api.domain.request import Controls, Request
from cache_api.domain.scope import fingerprint_of, scope_of
from cache_api.domain.usage import Usage
from tests.unit.builders import DEMO, DIGEST_KEY, PROJECT, request_of

SIGNALS = {"cacheai": {"decision": "miss"}, "cacheback_hit": False, "cacheback_synthesized": False}
NOW = datetime(2026, 11, 1, tzinfo=UTC)
TYPED: dict[str, Any] = {
    get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(get_args(ResponseStreamEvent)[0])
}
PIXEL = "data:image/png;base64,iVBORw0KGgo="

ANSWER: dict[str, Any] = {
    "id": "resp_0a1b",
    "object": "response",
    "created_at": 1_790_000_000,
    "status": "completed",
    "background": False,
    "completed_at": 1_790_000_002,
    "error": None,
    "incomplete_details": None,
    "instructions": "Be brief.",
    "max_output_tokens": None,
    "model": "m-1-2026-01-01",
    "output": [
        {
            "id": "rs_0a1b",
            "type": "reasoning",
            "encrypted_content": "gAAAAA==",
            "summary": [
                {"type": "summary_text", "text": "**Looking up** the moon."},
                {"type": "summary_text", "text": "It is above."},
            ],
        },
        {
            "id": "msg_0a1b",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "Up “there”, " + "far away " * 30},
            ],
        },
        {
            "id": "fc_0a1b",
            "type": "function_call",
            "status": "completed",
            "arguments": '{"body":"moon"}',
            "call_id": "call_0a1b",
            "name": "get_distance",
        },
    ],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "user-1",
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [{"type": "function", "name": "get_distance", "parameters": {"type": "object"}, "strict": False}],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": {
        "input_tokens": 40,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
        "output_tokens": 90,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 130,
    },
    "user": None,
    "metadata": {"of": "the first caller"},
}


def message(text: str, **fields: Any) -> dict[str, Any]:
    part = {"type": "output_text", "annotations": [], "text": text, **fields}
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def answered(*items: Any, **fields: Any) -> dict[str, Any]:
    return {**ANSWER, "output": list(items), **fields}


def asking(*, controls: Controls = Controls(), **body: Any) -> Request:  # noqa: B008 (frozen)
    """A Responses call."""
    whole = {"model": "demo-small", "input": "Where is the moon?", **body}
    parsed = openai_responses.parse(whole)
    scope = scope_of(DIGEST_KEY, PROJECT, openai_responses.ENDPOINT, DEMO, controls, parsed)
    return replace(
        request_of(),
        endpoint=openai_responses.ENDPOINT,
        parsed=parsed,
        scope=scope,
        fingerprint=fingerprint_of(DIGEST_KEY, scope, parsed),
        raw=orjson.dumps(whole),
    )


def asked_with(*items: Any, **body: Any) -> Any:
    return asking(input=list(items), **body).parsed


def user(*content: Any, **fields: Any) -> dict[str, Any]:
    return {
        "role": "user",
        "content": content[0] if content and isinstance(content[0], str) else list(content),
    } | fields


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "input_text", "text": words, **fields}


def stream(events: list[dict[str, Any]], end: bytes = b"\n", colon: bytes = b": ") -> bytes:
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return b"".join(
        b"event" + colon + event["type"].encode() + end + b"data" + colon + json.dumps(event).encode() + end + end
        for event in numbered
    )


def spoken(answer: dict[str, Any], *, ending: str = "response.completed") -> list[dict[str, Any]]:
    """A message as the provider streams it, word by word and padded."""
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    (item,) = answer["output"]
    (part,) = item["content"]
    where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    return [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **where, "part": {**part, "text": ""}},
        *(
            {"type": "response.output_text.delta", **where, "delta": word, "logprobs": [], "obfuscation": "fGq2"}
            for word in part["text"].partition(" ")
        ),
        {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": ending, "response": answer},
    ]


BARE = {name: ANSWER[name] for name in ("id", "object", "status", "model", "usage")}
SPOKEN = spoken({**BARE, "output": [message("Hello wörld")]})


STREAMED = asking(stream=True)


def tape_of() -> Any:
    return openai_responses.tape(STREAMED, status=200, streamed=True, signals=SIGNALS)


def run(tape: Any, parts: list[bytes], *, complete: bool = True) -> bytes:
    out: bytes = b"".join(tape.take(part) for part in parts)
    tape.end(complete=complete)
    return out + bytes(tape.closing)


def events_of(raw: bytes) -> list[Any]:
    """Each with a name that says what it is."""
    lines = raw.decode().splitlines()
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert names == [event["type"] for event in events]
    return events


def replayed(answer: dict[str, Any], **body: Any) -> bytes:
    return b"".join(openai_responses.replay(asking(stream=True, **body), answer, SIGNALS, NOW))  # type: ignore[arg-type]


@contextmanager
def openai_reading(raw: bytes) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, to which this comes back."""

    def served(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=raw)

    with (
        httpx2.Client(transport=httpx2.MockTransport(served)) as http,
        openai.OpenAI(api_key="any", base_url="http://cache.test/v1", http_client=http, max_retries=0) as client,
    ):
        yield client


# -- parsing


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": 7, "input": "x"}, "model"),
        ({"model": "m" * 257, "input": "x"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "instructions": "x"}, "input"),
        ({"model": "m", "input": 7}, "input"),
        ({"model": "m", "input": {"role": "user"}}, "input"),
        ({"model": "m", "input": ["x"]}, "input"),
        ({"model": "m", "input": 7, "previous_response_id": "resp_1"}, "input"),
        ({"model": 7, "prompt": {"id": "pmpt_1"}}, "model"),
    ],
)
def test_a_body_that_asks_nothing_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as refused:
        openai_responses.parse(body)

    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": {"id": "pmpt_1"}},
        {"model": "m", "previous_response_id": "resp_1"},
        {"model": "m", "conversation": "conv_1"},
        {"model": "m", "input": []},
    ],
)
def test_what_the_provider_may_hold_is_not_asked_for_here(body: dict[str, Any]) -> None:
    parsed = openai_responses.parse(body)

    assert parsed.question is None
    assert parsed.model == body.get("model", "")


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        ("Where?", "Where?"),
        ([user("Where?")], "Where?"),
        ([user(text("Where?"))], "Where?"),
        ([user(text("a"), text("b"))], "a\n\nb"),
        ([user("earlier"), {"role": "assistant", "content": "Yes?"}, user("Where?")], "Where?"),
        ([user(text("a"), {"type": "input_image", "image_url": PIXEL})], None),
        ([user(text("a", prompt_cache_breakpoint={"mode": "explicit"}))], None),
        ([user()], None),
        ([user("x"), {"type": "function_call_output", "call_id": "c", "output": "1"}], None),
        ([{"role": "assistant", "content": "x"}], None),
        ([{"role": "system", "content": "x"}], None),
        ([{"role": "developer", "content": "x"}], None),
        ([{"role": "user", "content": "x", "type": "item_of_tomorrow"}], None),
        ([], None),
    ],
)
def test_the_question_is_the_text_of_the_last_users_item(asked: Any, question: str | None) -> None:
    assert asking(input=asked).parsed.question == question


@pytest.mark.parametrize(
    "spelled",
    [
        [user("Where is the moon?")],
        [user("Where is the moon?", type="message")],
        [user(text("Where is the moon?"))],
        [user(text("Where is the moon?"), type="message")],
    ],
)
def test_a_string_and_a_message_of_one_text_are_the_same_question(spelled: Any) -> None:
    assert asking(input=spelled).fingerprint == asking(input="Where is the moon?").fingerprint


def test_earlier_items_have_one_spelling_too() -> None:
    last = user("And now?")
    plain = asking(input=[user("One"), {"role": "developer", "content": "Two"}, last])
    parts = [user(text("One"), type="message"), {"role": "developer", "content": [text("Two")]}, last]

    assert asking(input=parts).fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"instructions": "Be brief."},
        {"text": {"format": {"type": "json_object"}}},
        {"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}]},
        {"tool_choice": "none"},
        {"reasoning": {"effort": "high"}},
        {"include": ["message.output_text.logprobs"]},
        {"max_tool_calls": 3},
        {"max_output_tokens": 50},
        {"store": False},
        {"top_logprobs": 2},
        {"unheard_of": 1},
        {"model": "demo-large"},
        {"input": [user("earlier"), {"role": "assistant", "content": "Yes?"}, user("Where is the moon?")]},
        {"input": [user("Where is the moon?", status="completed")]},
        {"input": [{"role": "developer", "content": "Where is the moon?"}]},
        {"input": [user(text("Where is"), text("the moon?"))]},
    ],
)
def test_all_but_the_words_of_the_question_is_scope(change: dict[str, Any]) -> None:
    assert asking(**change).scope != asking().scope


@pytest.mark.parametrize(
    "change",
    [
        {"stream": True},
        {"stream_options": {"include_obfuscation": False}},
        {"user": "u"},
        {"safety_identifier": "u"},
        {"prompt_cache_key": "k"},
        {"metadata": {"a": "b"}},
        {"service_tier": "flex"},
        {"cache": {"ttl": 5}},
    ],
)
def test_what_does_not_change_the_answer_does_not_change_the_fingerprint(change: dict[str, Any]) -> None:
    assert asking(**change).fingerprint == asking().fingerprint


def test_other_words_stay_in_scope_but_are_another_question() -> None:
    other = asking(input="Where has the moon gone?")

    assert other.scope == asking().scope
    assert other.fingerprint != asking().fingerprint


def test_an_image_counts_by_its_bytes_and_is_not_carried_along() -> None:
    def with_image(data: str) -> Request:
        return asking(input=[user(text("What?"), {"type": "input_image", "image_url": data})])

    assert with_image(PIXEL).fingerprint == with_image(PIXEL).fingerprint
    assert with_image(PIXEL).fingerprint != with_image(PIXEL + "A").fingerprint
    assert PIXEL not in repr(with_image(PIXEL).parsed.context)


@pytest.mark.parametrize(
    ("part", "out_of_hand"),
    [
        ({"type": "input_image", "image_url": "https://example.com/a.png"}, True),
        ({"type": "input_image", "image_url": PIXEL}, False),
        ({"type": "input_image", "file_id": "file-1"}, True),
        ({"type": "input_image", "image_url": PIXEL, "file_id": "file-1"}, True),
        ({"type": "input_image"}, True),
        ({"type": "input_file", "file_id": "file-1"}, True),
        ({"type": "input_file", "file_url": "https://example.com/a.pdf"}, True),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}, False),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}}, True),
        ("a bare string", True),
        ({"type": ["input_text"]}, True),
    ],
)
def test_a_part_whose_bytes_are_elsewhere_is_not_cached(part: Any, out_of_hand: bool) -> None:
    said = {"role": "user", "content": [part]}
    in_a_tools_output = {"type": "function_call_output", "call_id": "c", "output": [part]}

    assert asked_with(said).unsupported is out_of_hand
    assert asked_with(said, user("And this?")).unsupported is out_of_hand
    assert asked_with(in_a_tools_output).unsupported is out_of_hand


FUNCTION = {"type": "function", "name": "f", "parameters": {}, "strict": True}


@pytest.mark.parametrize(
    ("body", "stateful"),
    [
        ({}, False),
        ({"previous_response_id": "resp_1"}, True),
        ({"previous_response_id": None}, False),
        ({"conversation": "conv_1"}, True),
        ({"conversation": {"id": "conv_1"}}, True),
        ({"background": True}, True),
        ({"background": False}, False),
        ({"prompt": {"id": "pmpt_1"}}, True),
        ({"tools": []}, False),
        ({"tools": [FUNCTION]}, False),
        ({"tools": [{"type": "custom", "name": "sql"}]}, False),
        *(
            ({"tools": [FUNCTION, {"type": kind}]}, True)
            for kind in (
                "web_search",
                "web_search_preview",
                "file_search",
                "code_interpreter",
                "mcp",
                "computer",
                "computer_use_preview",
                "image_generation",
                "shell",
                "browser_search",
            )
        ),
        ({"tools": "none of these"}, True),
        ({"tools": [{"type": ["function"]}]}, True),
        ({"input": [{"type": ["message"], "role": "user"}]}, True),
        ({"input": [{"type": "item_reference", "id": "msg_1"}, user("x")]}, True),
        ({"input": [{"id": "msg_1"}, user("x")]}, True),
        ({"input": [{"type": "mcp_approval_response", "approve": True}]}, True),
        (
            {
                "input": [
                    user("x"),
                    {"type": "reasoning", "id": "rs_1", "summary": []},
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "1"},
                ]
            },
            False,
        ),
    ],
)
def test_what_lives_at_the_provider_is_stateful(body: dict[str, Any], stateful: bool) -> None:
    assert asking(**body).parsed.stateful is stateful


@pytest.mark.parametrize(("store", "continuable"), [({}, True), ({"store": True}, True), ({"store": False}, False)])
def test_an_answer_the_provider_keeps_can_be_continued(store: dict[str, Any], continuable: bool) -> None:
    assert asking(**store).parsed.continuable is continuable


def test_every_text_counts_for_an_estimate() -> None:
    parsed = asking(
        instructions="Be brief.",
        input=[user(text("One")), {"type": "function_call", "arguments": "Two"}, {"role": "assistant", "content": "3"}],
    ).parsed

    assert parsed.prompt_texts == ("Be brief.", "One", "Two", "3")


# -- going up


def test_the_callers_own_bytes_go_up_where_nothing_has_to_change() -> None:
    request = asking(stream=True, odd=1.5)

    assert openai_responses.upstream_body(request) == request.raw


def test_our_controls_never_go_up_and_a_model_is_named_as_the_provider_knows_it() -> None:
    request = asking(model="demo/demo-small", cache={"ttl": 5}, odd={"deep": [1.5]})

    body = json.loads(openai_responses.upstream_body(request))

    assert body == {"model": "demo-small", "input": "Where is the moon?", "odd": {"deep": [1.5]}}


def test_a_model_the_provider_knows_already_is_not_made_up() -> None:
    parsed = openai_responses.parse({"prompt": {"id": "pmpt_1"}, "cache": {"ttl": 5}})
    request = replace(asking(), parsed=parsed, target=replace(DEMO, model=""))

    assert json.loads(openai_responses.upstream_body(request)) == {"prompt": {"id": "pmpt_1"}}


# -- a stream on its way


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_slicing_and_line_ends_change_no_byte(end: bytes) -> None:
    raw = b": keep-alive" + end + end + stream(SPOKEN, end)
    spliced = b',"cacheai":{"decision":"miss"},"cacheback_hit":false,"cacheback_synthesized":false'
    slices = [[raw[:at], raw[at:]] for at in range(len(raw))] + [[raw[at : at + 1] for at in range(len(raw))]]

    for parts in slices:
        tape = tape_of()
        assert run(tape, parts).replace(spliced, b"") == raw
        assert tape.heard.broken is False
        assert tape.heard.answer == SPOKEN[-1]["response"]


def test_the_closing_event_says_what_it_is_and_waits_for_the_ledger() -> None:
    tape = tape_of()

    now = tape.take(stream(SPOKEN) + b"data: [DONE]\n\n")

    assert b"response.completed" not in now
    tape.end(complete=True)
    closing, done = tape.closing.split(b"\n\n")[:2]
    (last,) = events_of(closing)
    assert (last["cacheai"], last["cacheback_hit"]) == ({"decision": "miss"}, False)
    assert last["response"] == SPOKEN[-1]["response"]
    assert done == b"data: [DONE]"


def test_a_data_line_without_its_space_gains_one() -> None:
    out = run(tape_of(), [stream(SPOKEN, colon=b":")])

    assert out.startswith(b'event:response.created\ndata: {"type"')


def test_signals_stay_away_from_names_a_provider_uses() -> None:
    raw = stream([*SPOKEN[:-1], {**SPOKEN[-1], "cacheai": 1}])

    assert run(tape_of(), [raw]) == raw


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("cut", [1, 4, 6, len(SPOKEN) - 1])
def test_a_stream_that_breaks_off_ends_with_an_error_and_is_not_stored(cut: int, complete: bool) -> None:
    tape = tape_of()

    out = run(tape, [stream(SPOKEN[:cut])], complete=complete)

    last = events_of(out)[-1]
    assert (last["type"], last["code"], last["sequence_number"]) == ("error", "upstream_stream_broken", cut)
    TYPED["error"].model_validate(last)
    assert tape.heard.answer is None
    assert tape.heard.broken
    assert tape.heard.text == "".join(event.get("delta", "") for event in SPOKEN[:cut])


def test_no_client_is_given_half_an_event() -> None:
    raw = stream(SPOKEN)

    for at in range(len(raw) - 2):  # without its blank line the last event is whole
        tape = tape_of()
        out = run(tape, [raw[:at]], complete=False)
        assert events_of(out)[-1]["type"] in {"error", "response.completed"}


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "error", "code": "server_error", "message": "Overloaded.", "param": None},
        {"type": "response.failed", "response": {**ANSWER, "status": "failed", "error": {"code": "server_error"}}},
        {"type": "response.incomplete", "response": {**ANSWER, "status": "incomplete"}},
    ],
)
def test_a_providers_own_ending_is_relayed_alone_and_nothing_is_stored(failure: dict[str, Any]) -> None:
    tape = tape_of()

    out = run(tape, [stream([*SPOKEN[:6], failure])])

    assert [event["type"] for event in events_of(out)][-2:] == [SPOKEN[5]["type"], failure["type"]]
    assert tape.heard.answer is None
    assert not tape.heard.broken


def test_an_event_of_no_known_kind_is_relayed() -> None:
    raw = b'data: {"type":[]}\n\n' + stream(SPOKEN[:-1])

    assert run(tape_of(), [raw]).startswith(raw)


def test_half_a_character_is_relayed_and_not_stored() -> None:
    raw = b'data: {"type":"response.output_text.delta","delta":"\xc3"}\n\n' + stream(SPOKEN)
    tape = tape_of()

    out = run(tape, [raw])

    assert b'"\xc3"' in out
    assert tape.heard.answer is None


def test_a_stream_too_long_to_be_read_is_no_broken_one() -> None:
    tape = tape_of()

    out = run(tape, [stream(SPOKEN[:6]), b'data: {"type":"response.completed","response":{'])
    assert b"upstream_stream_broken" in out

    tape = tape_of()
    made = b'data: {"type":"response.completed","made":"' + b"x" * (9 << 20) + b'"}\n\n'
    assert run(tape, [stream(SPOKEN[:6]), made[:-100], made[-100:]]) == stream(SPOKEN[:6]) + made
    assert not tape.heard.broken


# -- joining


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        ({"delta": "Hello "}, False),
        ({"delta": None}, True),  # said all at once, at the end of the part
        ({"output": None}, True),  # said already, item by item
        ({"output": [message("Bye.")]}, False),
        ({"output": [message("x" * ANSWER_MAX_BYTES)], "delta": None}, False),
    ],
)
def test_only_what_was_said_is_stored(change: dict[str, Any], stored: bool) -> None:
    events = list(SPOKEN)
    if "delta" in change:
        events = [event for event in events if event["type"] != "response.output_text.delta"]
    if change.get("delta"):
        events.insert(4, {"type": "response.output_text.delta", "output_index": 0, "delta": change["delta"]})
    if "output" in change:
        events[-1] = {**events[-1], "response": {**events[-1]["response"], "output": change["output"]}}
    tape = tape_of()
    run(tape, [stream(events)])

    assert (tape.heard.answer is not None) is stored
    assert not stored or tape.heard.answer == SPOKEN[-1]["response"]
    assert tape.heard.usage.total == 130


def test_no_more_of_an_answer_is_kept_than_could_be_stored() -> None:
    long = {"type": "response.output_text.delta", "delta": "x" * (ANSWER_MAX_BYTES // 3)}
    tape = tape_of()
    run(tape, [stream([long] * 5)])

    assert ANSWER_MAX_BYTES / 2 < len(tape.heard.text) <= ANSWER_MAX_BYTES


def test_items_that_grow_side_by_side_are_told_apart() -> None:
    calls = [{**ANSWER["output"][2], "id": f"fc_{index}", "arguments": f'{{"n":{index}}}'} for index in range(2)]
    deltas: list[dict[str, Any]] = [
        {"type": "response.function_call_arguments.delta", "output_index": index, "delta": delta}
        for index, delta in [(1, '{"n"'), (0, '{"n":'), (1, ":1}"), (0, "0}")]
    ]
    tape = tape_of()
    run(tape, [stream([*deltas, {"type": "response.completed", "response": answered(*calls)}])])

    assert tape.heard.answer["output"] == calls


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        ({}, True),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, False),
        ({"status": "in_progress"}, False),
        ({"status": "queued", "output": []}, False),
        ({"status": None}, False),
        ({"error": {"code": "server_error"}}, False),
        ({"incomplete_details": {"reason": "content_filter"}}, False),
        ({"output": []}, False),
        ({"output": None}, False),
        ({"output": "text"}, False),
        ({"output": [message("")]}, False),
        ({"output": [message("  ")]}, False),
        ({"output": [{**message("x"), "content": None}]}, False),
        ({"output": [{**message("x"), "status": "incomplete"}]}, False),
        ({"output": [{**message("x"), "content": [{"type": "refusal", "refusal": "No."}]}]}, False),
        ({"output": [ANSWER["output"][0]]}, False),
        ({"output": [ANSWER["output"][2]]}, True),
        ({"output": [{**ANSWER["output"][2], "arguments": None}]}, False),
        ({"output": [{"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"}]}, True),
        ({"output": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}, message("x")]}, False),
        ({"output": [{"type": "reasoning", "id": "rs_1", "summary": [None]}, message("x")]}, False),
        ({"output": [{**message("x"), "type": ["message"]}]}, False),
    ],
)
def test_only_a_complete_answer_is_stored(change: dict[str, Any], stored: bool) -> None:
    assert (openai_responses.read_answer({**ANSWER, **change}).answer is not None) is stored


def test_what_a_body_says_is_read() -> None:
    heard = openai_responses.read_answer(ANSWER)

    assert heard.recognised
    assert heard.usage == Usage(in_total=40, in_cached=8, out_total=90, out_reasoning=20)
    assert (heard.model, heard.service_tier) == ("m-1-2026-01-01", "default")
    assert openai_responses.answer_text(ANSWER) == ANSWER["output"][1]["content"][0]["text"]
    assert openai_responses.usage_as_sent(heard.usage) == ANSWER["usage"]
    assert openai_responses.has_tool_calls(ANSWER)
    assert not openai_responses.has_tool_calls(answered(message("x")))


def test_a_whole_body_keeps_every_byte_and_an_error_is_not_touched() -> None:
    raw = b'{ "output" : [ ], "odd": 1.50 }\n'

    out = run(openai_responses.tape(asking(), status=200, streamed=False, signals=SIGNALS), [raw])
    failed = run(openai_responses.tape(asking(), status=429, streamed=False, signals=SIGNALS), [raw])

    assert out.startswith(b'{ "output" : [ ], "odd": 1.50 ,"cacheai":')
    assert failed == raw


# -- replay


@pytest.mark.parametrize(("store", "kept"), [({}, True), ({"store": None}, True), ({"store": False}, False)])
def test_a_hit_keeps_the_id_only_where_it_can_be_continued(store: dict[str, Any], kept: bool) -> None:
    body = json.loads(openai_responses.replay(asking(**store), ANSWER, SIGNALS, NOW))  # type: ignore[arg-type]

    assert (body["id"] == "resp_0a1b") is kept
    assert body["id"].startswith("resp_")
    assert body["created_at"] == body["completed_at"] == int(NOW.timestamp())
    assert body["cacheai"] == {"decision": "miss"}
    for name in ("output", "usage", "model", "tools", "instructions", "service_tier"):
        assert body[name] == ANSWER[name]


def test_a_hit_repeats_this_callers_fields_and_not_the_first_ones() -> None:
    mine = {"metadata": {"of": "me"}, "user": "me"}
    body = json.loads(openai_responses.replay(asking(**mine), ANSWER, SIGNALS, NOW))  # type: ignore[arg-type]
    bare = json.loads(openai_responses.replay(asking(), ANSWER, SIGNALS, NOW))  # type: ignore[arg-type]

    assert (body["metadata"], body["user"], body["safety_identifier"]) == ({"of": "me"}, "me", None)
    assert bare["metadata"] == {}


def test_an_answer_put_in_by_hand_gets_an_id() -> None:
    answer = openai_responses.answer_of_text("Up there.", "m-1")
    body = json.loads(openai_responses.replay(asking(), answer, SIGNALS, NOW))  # type: ignore[arg-type]

    assert body["id"].startswith("resp_")


@pytest.mark.parametrize("words", ["", "Ask a person."])
def test_an_answer_that_was_held_back_ends_as_incomplete(words: str) -> None:
    answer = held_back(openai_responses.answer_of_text(words, "m-1"))
    *_, done, last = events_of(replayed(answer))

    assert (done["type"], last["type"]) == ("response.output_item.done", "response.incomplete")
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert last["cacheai"] == {"decision": "miss"}
    TYPED["response.incomplete"].model_validate(last)


def test_a_replayed_stream_tells_item_by_item_and_numbers_each_event() -> None:
    events = events_of(replayed(ANSWER))

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert [kind for at, kind in enumerate(kinds) if kinds[at - 1] != kind or not kind.endswith("delta")] == [
        *("created", "in_progress"),
        "output_item.added",
        *(
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
        )
        * 2,
        "output_item.done",
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done"),
        "output_item.done",
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    for event in events[:2]:
        begun = event["response"]
        assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
        assert begun["completed_at"] is None
    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert [item.get("summary", item.get("content", item.get("arguments"))) for item in added] == [[], [], ""]
    assert [item.get("status") for item in added] == [None, "in_progress", "in_progress"]


LOGPROBS = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]
CITED = {"type": "url_citation", "url": "https://example.com", "title": "X", "start_index": 0, "end_index": 2}
ANSWERS = {
    "all kinds of items": ANSWER,
    "one message": answered(message("Hi")),
    "logprobs": answered(message("Hi", logprobs=LOGPROBS)),
    "annotations": answered(message("Hi", annotations=[CITED])),
    "several parts": answered({**message("Hi"), "content": [*message("Hi")["content"], *message(" there")["content"]]}),
    "custom tool": answered({"id": "ctc_1", "type": "custom_tool_call", "call_id": "c", "name": "q", "input": "S 1"}),
    "open reasoning": answered(
        {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        message("Hi"),
    ),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_replayed_stream_joins_into_the_stored_answer(answer: dict[str, Any]) -> None:
    body = json.loads(openai_responses.replay(asking(), answer, SIGNALS, NOW))  # type: ignore[arg-type]
    whole = {name: value for name, value in body.items() if name not in SIGNALS}
    tape = tape_of()

    assert run(tape, [replayed(answer)]) == replayed(answer)
    assert tape.heard.answer == whole


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_openai_s_client_reads_a_replayed_stream(answer: dict[str, Any]) -> None:
    raw = replayed(answer)
    for event in events_of(raw):
        TYPED[event["type"]].model_validate(event)

    with openai_reading(raw) as client:
        events = list(client.responses.create(model="m", input="x", stream=True))
        assert [event.type for event in events] == [event["type"] for event in events_of(raw)]
        assert events[-1].model_extra == SIGNALS
        with client.responses.stream(model="m", input="x") as spoken_again:
            snapshots = [event.snapshot for event in spoken_again if event.type == "response.output_text.delta"]
            final = spoken_again.get_final_response()

    assert final.id == answer["id"]
    assert final.output_text == openai_responses.answer_text(answer)
    assert not snapshots or final.output_text.endswith(snapshots[-1])
    told: list[Any] = [item.to_dict() for item in final.output]
    for item in told:
        for part in (item, *item.get("content", ())):
            part.pop("parsed", None)
            part.pop("parsed_arguments", None)
    assert told == answer["output"]


def test_openai_s_client_parses_a_replayed_stream() -> None:
    class Place(BaseModel):
        where: str

    with (
        openai_reading(replayed(answered(message('{"where": "up"}')))) as client,
        client.responses.stream(model="m", input="x", text_format=Place) as spoken_again,
    ):
        assert spoken_again.get_final_response().output_parsed == Place(where="up")


def test_openai_s_client_is_told_of_a_stream_that_broke_off() -> None:
    with openai_reading(run(tape_of(), [stream(SPOKEN[:6])], complete=False)) as client:
        last = list(client.responses.create(model="m", input="x", stream=True))[-1]

    assert last.type == "error"
    assert last.code == "upstream_stream_broken"


def test_a_replayed_stream_comes_in_small_pieces_that_end_at_white_space() -> None:
    deltas = [event["delta"] for event in events_of(replayed(ANSWER)) if event["type"] == "response.output_text.delta"]

    assert len(deltas) > 1
    assert all(len(delta) <= 80 and delta.endswith(" ") for delta in deltas)
    assert "".join(deltas) == ANSWER["output"][1]["content"][0]["text"]


def test_the_closing_event_of_a_replay_comes_alone_and_is_signed() -> None:
    *before, closing = openai_responses.replay(asking(stream=True), ANSWER, SIGNALS, NOW)

    assert b"cacheai" not in b"".join(before)  # type: ignore[arg-type]
    (last,) = events_of(closing)  # type: ignore[arg-type]
    assert last["type"] == "response.completed"
    assert "cacheai" not in last["response"]
    assert last["cacheai"] == {"decision": "miss"}


def test_what_only_fills_the_provider_s_own_cache_is_never_answered_from_ours() -> None:
    body = {"model": "m", "input": "Hello"}
    assert openai_responses.parse({**body, "prompt_cache_options": {"prewarm": True}}).stateful
    assert not openai_responses.parse({**body, "prompt_cache_options": {"mode": "explicit"}}).stateful
