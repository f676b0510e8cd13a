"""Does the demo provider speak as real ones do, and misbehave as told?"""

import asyncio
import gzip
import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import anthropic
import openai
import pydantic
import pytest

from cacheai.demo_provider import DemoProvider
from cacheai.demo_provider.answers import count_tokens, sample
from cacheai.demo_provider.topics import TOPICS, known_answer

FRANCE = "What is the capital of France?"
FRANCE_ANSWER = "The capital of France is Paris. (demo answer)"
WEATHER_SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER_SCHEMA}}
ASKS_WEATHER = "Please get weather for 3 days in Paris"
WEATHER_ARGUMENTS = {"city": "Paris", "days": 3}
KEY = {"Authorization": "Bearer any", "anthropic-version": "2023-06-01"}
OPENAI_KEY = {"Authorization": "Bearer any"}


@pytest.fixture(scope="module")
def running() -> Iterator[DemoProvider]:
    with DemoProvider() as demo:
        yield demo


@pytest.fixture
def demo(running: DemoProvider) -> DemoProvider:
    running.reset()
    return running


@pytest.fixture
def client(demo: DemoProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="any", base_url=demo.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(demo: DemoProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="any", base_url=demo.url, max_retries=0) as client:
        yield client


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def chat_body(text: str = FRANCE, **fields: Any) -> dict[str, Any]:
    return {"model": "demo-small", "messages": user(text), **fields}


class Answered:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.raw = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[str]:
        """What follows `data:` on each line, however the lines end."""
        lines = self.raw.decode().splitlines()
        return [line[len("data:") :].removeprefix(" ") for line in lines if line.startswith("data:")]

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def text(self) -> str:
        choices = [choice for chunk in self.chunks for choice in chunk["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


def send(
    demo: DemoProvider,
    body: Any = None,
    *,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    headers: dict[str, str] = OPENAI_KEY,
) -> Answered:
    payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    host = demo.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=10)) as connection:
        connection.request(method, path, payload, headers)
        return Answered(connection.getresponse())


def opened(demo: DemoProvider, body: Any) -> socket.socket:
    """A connection on which a call was sent and nothing was read yet."""
    payload = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer any\r\nContent-Length: {len(payload)}"
    host, port = demo.url.removeprefix("http://").split(":")
    link = socket.create_connection((host, int(port)), timeout=10)
    link.sendall(head.encode() + b"\r\n\r\n" + payload)
    return link


# Chat


def test_a_known_question_is_answered_and_says_that_it_is_a_demo(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=user(FRANCE))
    assert answer.choices[0].message.content == FRANCE_ANSWER
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4o"
    assert answer.service_tier == "default"
    assert answer.system_fingerprint
    assert abs(answer.created - time.time()) < 60
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.model_extra is not None
    assert answer.model_extra["demo_provider"]["call"] >= 1


def test_equal_bodies_get_equal_texts_and_own_ids(demo: DemoProvider) -> None:
    first, second = (send(demo, chat_body("Something nobody knows")).json for _ in range(2))
    assert first["choices"] == second["choices"]
    assert first["choices"][0]["message"]["content"].endswith("(demo answer)")
    assert first["id"] != second["id"]
    other = send(demo, chat_body("Something else nobody knows")).json
    assert other["choices"] != first["choices"]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Tell me the capital of France", "Paris"),
        ("how do I cancel my orders?", "cancel an order"),
        ("I want my money back!", "refund"),
        ("I forgot my password", "reset your password"),
    ],
)
def test_a_topic_is_known_in_other_words(asked: str, answered: str) -> None:
    assert answered in (known_answer(asked) or "")


def test_every_topic_is_found_by_its_own_words() -> None:
    for phrases, answer in TOPICS:
        for phrase in phrases.split("|"):
            assert known_answer(phrase) == answer


def test_a_stream_is_role_then_content_then_finish_then_usage_then_done(demo: DemoProvider) -> None:
    answered = send(demo, chat_body(stream=True, stream_options={"include_usage": True}))
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert answered.events[-1] == "[DONE]"
    first, *middle, finish, usage = answered.chunks
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert len(middle) > 1
    assert answered.text == FRANCE_ANSWER
    assert finish["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert usage["choices"] == []
    assert usage["usage"] == send(demo, chat_body()).json["usage"]
    assert all(chunk["usage"] is None for chunk in (first, *middle, finish))
    assert len({chunk["id"] for chunk in answered.chunks}) == 1


def test_a_stream_that_did_not_ask_for_usage_has_none(demo: DemoProvider) -> None:
    assert not any("usage" in chunk for chunk in send(demo, chat_body(stream=True)).chunks)


def test_several_choices_differ_and_stream_as_they_come_whole(demo: DemoProvider) -> None:
    whole = send(demo, chat_body(n=3)).json["choices"]
    texts = [choice["message"]["content"] for choice in whole]
    assert len(set(texts)) == 3
    streamed = ["", "", ""]
    for chunk in send(demo, chat_body(n=3, stream=True)).chunks:
        for choice in chunk["choices"]:
            streamed[choice["index"]] += choice["delta"].get("content") or ""
    assert streamed == texts


def test_a_named_tool_is_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="demo-small",
        messages=user(ASKS_WEATHER),
        tools=[WEATHER],
    )
    call = answer.choices[0].message.tool_calls[0]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == WEATHER_ARGUMENTS


def test_a_tool_call_streams_its_arguments_in_pieces(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="demo-small",
        messages=user(ASKS_WEATHER),
        tools=[WEATHER],
    ) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert kinds.count("tool_calls.function.arguments.delta") > 2
    assert message.tool_calls is not None
    assert json.loads(message.tool_calls[0].function.arguments) == WEATHER_ARGUMENTS


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        ("Hello", "auto", False),
        ("Hello", "required", True),
        ("Hello", {"type": "function", "function": {"name": "get_weather"}}, True),
        (ASKS_WEATHER, "none", False),
    ],
)
def test_tool_choice_decides(demo: DemoProvider, text: str, choice: Any, called: bool) -> None:
    message = send(demo, chat_body(text, tools=[WEATHER], tool_choice=choice)).json["choices"][0]["message"]
    assert ("tool_calls" in message) is called


def test_after_a_tool_has_answered_there_is_text(demo: DemoProvider) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    turns = [
        *user(ASKS_WEATHER),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = send(demo, chat_body() | {"messages": turns, "tools": [WEATHER]}).json
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_response_format_gives_json_that_fits(demo: DemoProvider) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER_SCHEMA}}
    answer = send(demo, chat_body("3 days in Paris", response_format=wanted)).json
    assert json.loads(answer["choices"][0]["message"]["content"]) == WEATHER_ARGUMENTS
    loose = send(demo, chat_body(response_format={"type": "json_object"})).json
    assert json.loads(loose["choices"][0]["message"]["content"])["demo"] is True


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {
        "type": "object",
        "properties": {
            "inner": {"$ref": "#"},
            "kind": {"enum": ["wide", "narrow"]},
            "no": {"type": ["null", "number"]},
        },
    }
    assert sample(schema, "choose narrow and 2.5")["kind"] == "narrow"
    assert sample(schema, "choose narrow and 2.5")["no"] == 2.5


def test_too_few_tokens_end_in_length(demo: DemoProvider) -> None:
    answer = send(demo, chat_body(max_tokens=3)).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3
    assert FRANCE_ANSWER.startswith(answer["choices"][0]["message"]["content"])


def test_logprobs_come_with_each_token(demo: DemoProvider) -> None:
    content = send(demo, chat_body(logprobs=True)).json["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in content) == FRANCE_ANSWER


# The other endpoints


def test_completions_answer_each_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="demo-small", prompt=[FRANCE, "refund"], n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text == FRANCE_ANSWER
    stream = client.completions.create(model="demo-small", prompt=FRANCE, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == FRANCE_ANSWER


def test_responses_speak_whole_and_in_events(client: openai.OpenAI) -> None:
    assert client.responses.create(model="demo-small", input=FRANCE).output_text == FRANCE_ANSWER
    with client.responses.stream(model="demo-small", input=user(FRANCE)) as stream:
        events = list(stream)
        assert stream.get_final_response().output_text == FRANCE_ANSWER
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"


def test_responses_call_tools(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER_SCHEMA, "strict": False}
    with client.responses.stream(model="demo-small", input=ASKS_WEATHER, tools=[tool]) as stream:
        call = stream.get_final_response().output[0]
    assert call.type == "function_call"
    assert json.loads(call.arguments) == WEATHER_ARGUMENTS


def test_responses_cut_short_are_incomplete(demo: DemoProvider) -> None:
    body = {"model": "demo-small", "input": FRANCE, "max_output_tokens": 2}
    answer = send(demo, body, path="/v1/responses").json
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_responses_that_fail_midway_number_their_error_too(client: openai.OpenAI, demo: DemoProvider) -> None:
    demo.control(error_after_chunks=1)
    events = list(client.responses.create(model="demo-small", input=FRANCE, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "error"


def test_messages_speak_whole_and_in_events(claude: anthropic.Anthropic) -> None:
    whole = claude.messages.create(model="claude-x", max_tokens=99, messages=user(FRANCE))
    assert [block.text for block in whole.content if block.type == "text"] == [FRANCE_ANSWER]
    assert whole.stop_reason == "end_turn"
    with claude.messages.stream(model="claude-x", max_tokens=99, messages=user(FRANCE)) as stream:
        assert "".join(stream.text_stream) == FRANCE_ANSWER
        assert stream.get_final_message().usage.output_tokens == whole.usage.output_tokens


def test_messages_use_tools_and_think(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model="claude-x",
        max_tokens=99,
        messages=user(ASKS_WEATHER),
        tools=[{"name": "get_weather", "input_schema": WEATHER_SCHEMA}],
        thinking={"type": "enabled", "budget_tokens": 1024},
    ) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    thought, call = message.content
    assert kinds.count("input_json") > 2
    assert thought.type == "thinking"
    assert call.type == "tool_use"
    assert call.input == WEATHER_ARGUMENTS
    assert message.stop_reason == "tool_use"


def test_messages_answer_in_a_form_that_was_asked_for(claude: anthropic.Anthropic) -> None:
    class Weather(pydantic.BaseModel):
        city: str

    answer = claude.messages.parse(model="claude-x", max_tokens=99, messages=user(ASKS_WEATHER), output_format=Weather)
    assert answer.parsed_output == Weather(city=WEATHER_ARGUMENTS["city"])


def test_messages_leave_cached_tokens_out_of_input_tokens(demo: DemoProvider, claude: anthropic.Anthropic) -> None:
    plain = claude.messages.create(model="claude-x", max_tokens=99, messages=user("word " * 50)).usage
    demo.control(cached_tokens=20)
    cached = claude.messages.create(model="claude-x", max_tokens=99, messages=user("word " * 50)).usage
    assert cached.cache_read_input_tokens == 20
    assert cached.input_tokens == plain.input_tokens - 20
    counted = claude.messages.count_tokens(model="claude-x", messages=user("word " * 50))
    assert counted.input_tokens == plain.input_tokens


def test_messages_stop_at_a_stop_sequence(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model="claude-x", max_tokens=99, messages=user(FRANCE), stop_sequences=[" is"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", " is")


def test_embeddings_are_the_same_each_time_and_in_each_encoding(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="demo-embed", input=["red car", "blue sky"])
    listed = client.embeddings.create(model="demo-embed", input="red car", encoding_format="float")
    assert packed.data[0].embedding == pytest.approx(listed.data[0].embedding, abs=1e-6)
    assert packed.data[0].embedding != packed.data[1].embedding
    assert len(client.embeddings.create(model="m", input="x", dimensions=64).data[0].embedding) == 64


@pytest.mark.parametrize("asked", ["", [], ["a", ""], ["a", [1]], [[]], [True], 3, ["a"] * 2049])
def test_embeddings_refuse_what_the_real_one_refuses(demo: DemoProvider, asked: Any) -> None:
    refused = send(demo, {"model": "demo-embed", "input": asked}, path="/v1/embeddings")
    assert (refused.status, refused.json["error"]["param"]) == (400, "input")


def test_models_are_listed_for_both_protocols(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    names = [model.id for model in client.models.list()]
    assert names == [model.id for model in claude.models.list()]
    assert client.models.retrieve("demo-small").id == "demo-small"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("demo-none")


def test_the_async_clients_are_served_too(demo: DemoProvider) -> None:
    async def ask() -> tuple[str, str]:
        async with (
            openai.AsyncOpenAI(api_key="any", base_url=demo.base_url) as client,
            anthropic.AsyncAnthropic(api_key="any", base_url=demo.url) as claude,
        ):
            chunks = await client.chat.completions.create(model="m", messages=user(FRANCE), stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
            message = await claude.messages.create(model="m", max_tokens=99, messages=user(FRANCE))
            block = message.content[0]
            return text, block.text if block.type == "text" else ""

    assert asyncio.run(ask()) == (FRANCE_ANSWER, FRANCE_ANSWER)


# Refusals


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b'{"model": ', 400, None),
        (b"[]", 400, None),
        ({"messages": user("x")}, 400, "model"),
        ({"model": "m"}, 400, "messages"),
        ({"model": "m", "messages": []}, 400, "messages"),
        ({"model": "m", "messages": [{"role": "robot", "content": "x"}]}, 400, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user"}]}, 400, "messages[0].content"),
        (chat_body(temperature=2.1), 400, "temperature"),
        (chat_body(temperature="hot"), 400, "temperature"),
        (chat_body(cache={"ttl": 1}), 400, "cache"),
        (chat_body(stream_options={"include_usage": True}), 400, "stream_options"),
        (chat_body(max_tokens=0), 400, "max_tokens"),
        (chat_body(tools=[{"type": "function"}]), 400, "tools"),
        (chat_body("[demo: fial=500]"), 400, None),
    ],
)
def test_a_wrong_body_is_refused_as_the_provider_does(
    demo: DemoProvider, body: Any, status: int, param: str | None
) -> None:
    answered = send(demo, body)
    assert answered.status == status
    error = answered.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"),
    [
        ({"model": "m", "max_tokens": 9, "messages": user("x")}, {}, 401, "authentication_error"),
        ({"model": "m", "messages": user("x")}, KEY, 400, "invalid_request_error"),
        (
            {"model": "m", "max_tokens": 9, "messages": user("x"), "cache": {}},
            KEY,
            400,
            "invalid_request_error",
        ),
        ({"model": "m", "max_tokens": 9, "messages": user("x")}, OPENAI_KEY, 400, "invalid_request_error"),
        ({"model": "m", "max_tokens": 9, "messages": user("[demo: fail=529]")}, KEY, 529, "overloaded_error"),
    ],
)
def test_a_wrong_message_is_refused_in_the_other_shape(
    demo: DemoProvider, body: Any, headers: dict[str, str], status: int, kind: str
) -> None:
    answered = send(demo, body, path="/v1/messages", headers=headers)
    assert answered.status == status
    assert answered.json["type"] == "error"
    assert answered.json["error"]["type"] == kind
    assert answered.json["request_id"] == answered.headers["request-id"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic eA=="}])
def test_a_call_without_a_key_is_refused(demo: DemoProvider, headers: dict[str, str]) -> None:
    answered = send(demo, chat_body(), headers=headers)
    assert answered.status == 401
    assert answered.json["error"]["code"] == "invalid_api_key"


def test_an_unknown_path_or_method_is_refused(demo: DemoProvider) -> None:
    assert send(demo, {}, path="/v1/nothing").status == 404
    assert send(demo, method="GET").status == 405


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"model": "m", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\\ud83d"}]}',
        b'{"model": "m", "seed": ' + b"9" * 400 + b', "messages": [{"role": "user", "content": "x"}]}',
    ],
    ids=["byte order mark", "half a surrogate pair", "number of 400 digits"],
)
def test_what_lenient_providers_read_is_read(demo: DemoProvider, body: bytes) -> None:
    assert send(demo, body).status == 200


# Told to misbehave


def test_a_question_can_carry_its_own_fault(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="m", messages=user("Hi [demo: fail=429 retry_after=2]"))
    assert caught.value.response.headers["retry-after"] == "2"
    assert client.chat.completions.create(model="m", messages=user("Hi")).choices


def test_metadata_can_carry_it_too(demo: DemoProvider) -> None:
    assert send(demo, chat_body(metadata={"demo": '{"fail_status": 503}'})).status == 503
    assert send(demo, chat_body(metadata={"demo": "no json"})).json["error"]["param"] == "metadata.demo"


def test_a_directive_is_no_part_of_the_question(demo: DemoProvider) -> None:
    told = send(demo, chat_body(f"{FRANCE} [demo: delay=0.01]")).json
    assert told["choices"][0]["message"]["content"] == FRANCE_ANSWER


def test_it_fails_as_often_as_told(demo: DemoProvider) -> None:
    demo.control(fail_status=500, fail_times=2, fail_body="<h1>Bad day</h1>")
    statuses = [send(demo, chat_body()) for _ in range(3)]
    assert [answered.status for answered in statuses] == [500, 500, 200]
    assert [call["status"] for call in demo.calls()] == [500, 500, 200]
    assert statuses[0].raw == b"<h1>Bad day</h1>"
    assert statuses[0].headers["content-type"] == "text/html"


def test_a_refusal_of_its_own_keeps_its_body_while_told_another(demo: DemoProvider) -> None:
    demo.control(fail_status=500, fail_times=0, fail_body="never seen")
    assert send(demo, chat_body(temperature=9)).json["error"]["param"] == "temperature"


def test_a_delay_comes_before_the_first_byte(demo: DemoProvider) -> None:
    started = time.monotonic()
    send(demo, chat_body("Hi [demo: delay=0.2]"))
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("settings", [{"cut_after_chunks": 2}, {"cut_after_chunks": 99}, {"cut_after_chunks": 0}])
def test_a_cut_stream_has_no_end(demo: DemoProvider, settings: dict[str, Any]) -> None:
    demo.control(**settings)
    with pytest.raises(http.client.IncompleteRead) as caught:
        send(demo, chat_body(stream=True))
    partial = caught.value.partial
    assert b"[DONE]" not in partial
    assert b'"finish_reason":"stop"' not in partial
    assert partial.count(b'"delta":{"content"') == min(settings["cut_after_chunks"], 3)


def test_a_cut_stream_may_end_inside_a_character(demo: DemoProvider) -> None:
    demo.control(cut_after_chunks=1, half_utf8=True)
    with pytest.raises(http.client.IncompleteRead) as caught:
        send(demo, chat_body(stream=True))
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        caught.value.partial.decode()


def test_a_cut_body_stops_half_way(demo: DemoProvider) -> None:
    demo.control(cut_after_chunks=2)
    with pytest.raises(http.client.IncompleteRead):
        send(demo, chat_body())


def test_a_connection_can_close_before_any_answer(demo: DemoProvider) -> None:
    demo.control(drop_before_headers=True, fail_times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        send(demo, chat_body())
    assert send(demo, chat_body()).status == 200


def test_a_stream_can_end_in_an_error_event(
    demo: DemoProvider, client: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    demo.control(error_after_chunks=1)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="m", messages=user(FRANCE), stream=True))
    with pytest.raises(anthropic.APIError):
        list(claude.messages.create(model="m", max_tokens=99, messages=user(FRANCE), stream=True))
    assert b"[DONE]" not in send(demo, chat_body(stream=True)).raw


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"crlf": True}, b"\r\n\r\ndata: "),
        ({"comments": True}, b": still here\n\n"),
        ({"no_space_after_data": True}, b"data:{"),
        ({"byte_by_byte": True}, b"data: {"),
        ({"stamp_chunks": True}, b'"demo_sent_unix_seconds":'),
        ({"chunk_delay_seconds": 0.001}, b"data: {"),
    ],
)
def test_odd_streams_say_the_same(demo: DemoProvider, settings: dict[str, Any], seen: bytes) -> None:
    demo.control(**settings)
    answered = send(demo, chat_body(stream=True))
    assert seen in answered.raw
    assert answered.text == FRANCE_ANSWER
    assert answered.events[-1] == "[DONE]"


def test_writes_can_end_inside_a_character(demo: DemoProvider) -> None:
    demo.control(half_utf8=True)
    raw = b""
    with opened(demo, chat_body(stream=True)) as link:
        while not raw.endswith(b"0\r\n\r\n"):
            raw += link.recv(65536)
    # A chunk's own frame stands between the first byte of a character and the rest of it.
    assert "日".encode()[:1] + b"\r\n" in raw
    assert "日本語" in send(demo, chat_body(stream=True)).text


def test_gzip_is_sent_when_told_whole_and_streamed(demo: DemoProvider) -> None:
    demo.control(content_encoding="gzip")
    whole = send(demo, chat_body())
    assert whole.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(whole.raw))["choices"][0]["message"]["content"] == FRANCE_ANSWER
    assert gzip.decompress(send(demo, chat_body(stream=True)).raw).endswith(b"data: [DONE]\n\n")


def test_sizes_are_as_told(demo: DemoProvider) -> None:
    def chunks_with_text(text: str) -> list[str]:
        deltas = [chunk["choices"][0]["delta"] for chunk in send(demo, chat_body(text, stream=True)).chunks]
        return [delta["content"] for delta in deltas if delta.get("content")]

    assert len(chunks_with_text("Hi [demo: chunks=40]")) == 40
    assert send(demo, chat_body("Hi [demo: tokens=200]")).json["usage"]["completion_tokens"] == 200
    assert len(send(demo, chat_body("Hi [demo: body_bytes=100000]")).raw) >= 100_000
    assert len(chunks_with_text("Hi [demo: long_line_bytes=70000]")[0]) >= 70_000


def test_answers_can_be_empty_refused_or_reasoned(demo: DemoProvider) -> None:
    empty = send(demo, chat_body("Hi [demo: empty_answer]")).json["choices"][0]
    assert empty["message"]["content"] == ""
    refused = send(demo, chat_body("Hi [demo: refusal]")).json["choices"][0]
    assert refused["message"]["content"] is None
    assert refused["message"]["refusal"]
    reasoned = send(demo, chat_body("Hi [demo: reasoning=hmm]")).json
    assert reasoned["choices"][0]["message"]["reasoning_content"] == "hmm"
    assert reasoned["usage"]["completion_tokens_details"]["reasoning_tokens"] == 1
    filtered = send(demo, chat_body("Hi [demo: finish_reason=content_filter]")).json["choices"][0]
    assert filtered["finish_reason"] == "content_filter"


def test_usage_can_be_missing_cached_or_in_an_odd_chunk(demo: DemoProvider) -> None:
    assert "usage" not in send(demo, chat_body("Hi [demo: no_usage]")).json
    cached = send(demo, chat_body("Hi [demo: cached_tokens=1024]")).json["usage"]
    assert cached["prompt_tokens_details"]["cached_tokens"] == 1024 <= cached["prompt_tokens"]
    odd = send(demo, chat_body("Hi [demo: usage_in_odd_chunk]", stream=True)).chunks
    with_usage = [chunk for chunk in odd if chunk.get("usage")]
    assert with_usage == [odd[0], odd[-1]]
    assert odd[-1]["choices"][0]["finish_reason"] == "stop"


# The log of calls, and control over HTTP


def test_each_call_is_remembered_as_it_came(demo: DemoProvider) -> None:
    body = json.dumps(chat_body(stream=True)).encode()
    send(demo, body, headers={"Authorization": "Bearer sk-secret", "X-Thing": "kept"})
    assert demo.wait(ended=1)
    (call,) = demo.calls()
    assert call["path"] == "/v1/chat/completions"
    assert (call["model"], call["stream"], call["status"]) == ("demo-small", True, 200)
    assert call["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert call["headers"]["authorization"] == "Bearer sk-secret"
    assert call["headers"]["x-thing"] == "kept"
    assert (call["finished"], call["client_gone"]) == (True, False)


@pytest.mark.parametrize("text", ["Hi [demo: chunks=50 chunk_delay=0.1]", "Hi [demo: delay=30]"])
def test_a_caller_that_leaves_is_noticed_at_once(demo: DemoProvider, text: str) -> None:
    with opened(demo, chat_body(text, stream=True)):
        assert demo.wait(arrived=1)
    assert demo.wait(ended=1, timeout_seconds=5)
    (call,) = demo.calls()
    assert (call["finished"], call["client_gone"]) == (False, True)


def test_control_over_http_sets_reports_and_resets(demo: DemoProvider) -> None:
    told = send(demo, {"cached_tokens": 7}, path="/control", headers={})
    assert told.json["settings"]["cached_tokens"] == 7
    send(demo, chat_body())
    report = send(demo, path="/control?arrived=1&ended=1&timeout=5", method="GET", headers={}).json
    assert report["calls_by_path"] == {"/v1/chat/completions": 1}
    assert len(report["calls"]) == 1
    cleared = send(demo, {"reset": True}, path="/control", headers={}).json
    assert (cleared["calls_total"], cleared["calls"], cleared["settings"]["cached_tokens"]) == (0, [], 0)


@pytest.mark.parametrize("settings", [{"fial": 1}, {"crlf": 1}, {"chunks": True}, {"content_encoding": "br"}])
def test_a_mistyped_setting_is_refused(demo: DemoProvider, settings: dict[str, Any]) -> None:
    assert send(demo, settings, path="/control", headers={}).status == 400


def test_a_wait_for_what_does_not_come_says_so(demo: DemoProvider) -> None:
    assert send(demo, path="/control?arrived=1&timeout=0.01", method="GET", headers={}).status == 408


# The wire


def test_answers_carry_the_headers_of_their_protocol(demo: DemoProvider) -> None:
    chat = send(demo, chat_body()).headers
    assert {"x-request-id", "openai-processing-ms", "x-ratelimit-limit-requests"} <= set(chat)
    assert chat["openai-organization"] == "demo"
    message = {"model": "m", "max_tokens": 9, "messages": user("x")}
    assert "request-id" in send(demo, message, path="/v1/messages", headers=KEY).headers


def test_one_connection_serves_many_calls_also_in_chunks(demo: DemoProvider) -> None:
    host = demo.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=10)) as connection:
        for stream in (False, True, False):
            body = json.dumps(chat_body(stream=stream)).encode()
            connection.request("POST", "/v1/chat/completions", iter([body[:9], body[9:]]), OPENAI_KEY)
            local = connection.sock.getsockname()
            assert Answered(connection.getresponse()).status == 200
            assert connection.sock.getsockname() == local


def test_a_hundred_slow_streams_run_side_by_side(demo: DemoProvider) -> None:
    texts: list[str] = []
    asked = chat_body("Hi [demo: delay=0.2 chunks=3 chunk_delay=0.01]", stream=True)
    threads = [threading.Thread(target=lambda: texts.append(send(demo, asked).text)) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 100
    assert set(texts) == {texts[0]}
    assert demo.report()["most_under_way"] > 20


def test_leaving_the_block_ends_calls_under_way() -> None:
    with DemoProvider() as demo:
        caller = threading.Thread(target=_ask_in_vain, args=(demo,))
        caller.start()
        assert demo.wait(arrived=1)
    caller.join(5)
    assert not caller.is_alive()


def _ask_in_vain(demo: DemoProvider) -> None:
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        send(demo, chat_body("Hi [demo: delay=60]"))


def test_counted_tokens_are_plausible() -> None:
    assert count_tokens(FRANCE) == 8
    assert count_tokens("") == 0
    assert count_tokens("word " * 10_000) == pytest.approx(10_000, rel=0.3)


def test_as_a_process_it_says_where_it_listens_and_ends_on_sigterm() -> None:
    command = [sys.executable, "-m", "cacheai.demo_provider", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = line.removeprefix("demo provider on http://").removesuffix("/v1\n")
        with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
            connection.request("GET", "/v1/models", headers=OPENAI_KEY)
            assert connection.getresponse().status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=5) == 0
