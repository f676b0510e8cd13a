"""How the older completions are parsed, relayed, joined and replayed."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from cache_api.dialects import openai_completions
from cache_api.dialects.errors import Refused
from cache_api.domain.request import Request, Target
from cache_api.domain.usage import Usage
from tests.unit.builders import call_of

SIGNALS = {"cacheai": {"decision": "miss"}, "cacheback_hit": False, "cacheback_synthesized": False}
NOW = datetime(2026, 11, 1, tzinfo=UTC)
PROMPT = "Say this is a test"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
LONG = "A long answer, of more words than go into one piece of eighty characters, and then some more of them."


def request_of(prompt: Any = PROMPT, **body: Any) -> Request:
    return call_of(openai_completions, orjson.dumps({"model": "demo-small", "prompt": prompt, **body}))


def choice(text: str = "", index: int = 0, finish: str | None = None, **said: Any) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish, **said}


def whole(*choices: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m-1",
        "choices": list(choices) or [choice("Up there.", finish="stop")],
        "usage": USAGE,
        **said,
    }


def chunk_of(one: dict[str, Any]) -> dict[str, Any]:
    return {"id": "c1", "object": "text_completion", "created": 1, "model": "m-1", "choices": [one]}


CHUNKS = [
    chunk_of(choice("Hello ")),
    chunk_of(choice("wörld")),
    chunk_of(choice(finish="stop")),
    {**chunk_of(choice()), "choices": [], "usage": USAGE},
]


def streamed(chunks: list[dict[str, Any]], *, done: bool = True) -> bytes:
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return body + (b"data: [DONE]\n\n" if done else b"")


def run(chunks: list[dict[str, Any]], *, include_usage: bool = False, done: bool = True) -> tuple[Any, list[Any]]:
    request = request_of(stream=True, stream_options={"include_usage": include_usage})
    tape = openai_completions.tape(request, status=200, streamed=True, signals=SIGNALS)
    out = tape.take(streamed(chunks, done=done))
    tape.end(complete=True)
    return tape.heard, events(out + tape.closing)


def events(raw: bytes) -> list[Any]:
    lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def replayed(request: Request, answer: dict[str, Any]) -> list[Any]:
    return events(b"".join(openai_completions.replay(request, answer, SIGNALS, NOW)))  # type: ignore[arg-type]


# -- what is asked


def test_a_prompt_of_one_text_is_the_question() -> None:
    parsed = request_of(temperature=0.2).parsed
    assert (parsed.question, parsed.texts, parsed.prompt_texts) == (PROMPT, (PROMPT,), (PROMPT,))
    assert (parsed.temperature, parsed.choices, parsed.stream, parsed.tools) == (0.2, 1, False, False)


@pytest.mark.parametrize(
    ("prompt", "body"),
    [
        ([PROMPT], {}),
        ([PROMPT, "and another"], {}),
        ([1, 2, 3], {}),
        ([[1, 2], [3]], {}),
        (None, {}),
        (PROMPT, {"echo": True}),
        (PROMPT, {"suffix": " the end"}),
    ],
)
def test_all_else_is_exact_only(prompt: Any, body: Any) -> None:
    assert request_of(prompt, **body).question is None


OTHERS: list[tuple[Any, Any]] = [
    ("Say that is a test", {}),
    ([PROMPT], {}),
    ([1, 2], {}),
    (None, {}),
    *((PROMPT, {name: 2}) for name in ("best_of", "logprobs", "max_tokens", "seed", "top_p", "something_new")),
    (PROMPT, {"echo": True}),
    (PROMPT, {"suffix": "."}),
    (PROMPT, {"model": "demo-large"}),
]


def test_whatever_may_change_the_answer_is_in_the_fingerprint() -> None:
    asked = [request_of(), *(request_of(prompt, **body) for prompt, body in OTHERS)]
    assert len({request.fingerprint for request in asked}) == len(asked)


def test_only_the_prompt_is_fuzzy() -> None:
    assert request_of("Say that is a test").scope == request_of().scope != request_of(max_tokens=5).scope


@pytest.mark.parametrize("body", [{"stream": True}, {"user": "u"}, {"stream_options": {"include_usage": True}}])
def test_how_it_is_delivered_is_not_in_the_fingerprint(body: Any) -> None:
    assert request_of(**body).fingerprint == request_of().fingerprint


def test_a_body_without_a_model_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        openai_completions.parse({"prompt": PROMPT})
    assert json.loads(openai_completions.error(refused.value))["error"]["param"] == "model"


def test_usage_is_asked_for_on_a_stream_where_the_provider_takes_it() -> None:
    assert json.loads(openai_completions.upstream_body(request_of(stream=True)))["stream_options"] == {
        "include_usage": True
    }
    target = Target("custom", "https://example.com/v1", "demo-small", takes_stream_options=False)
    raw = orjson.dumps({"model": "demo-small", "prompt": PROMPT, "stream": True})
    assert openai_completions.upstream_body(call_of(openai_completions, raw, target=target)) == raw


# -- what is answered


def test_a_whole_answer_keeps_its_bytes_and_gains_ours() -> None:
    body = json.dumps(whole(future={"a": 1})).encode()
    tape = openai_completions.tape(request_of(), status=200, streamed=False, signals=SIGNALS)

    assert tape.take(body) == b""
    tape.end(complete=True)

    assert tape.closing.startswith(body[:-1])
    assert json.loads(tape.closing)["cacheai"] == {"decision": "miss"}
    assert tape.heard.answer == whole(future={"a": 1})
    assert tape.heard.usage == Usage(in_total=5, out_total=2)


@pytest.mark.parametrize(
    "body",
    [
        whole(choice("cut", finish="length")),
        whole(choice("", finish="stop")),
        whole(choice("x", finish="content_filter")),
        whole(choice("a", finish="stop"), choice("b", 1, finish="length")),
        whole(choice("x")),
        {**whole(), "choices": []},
        {**whole(), "error": {"message": "m"}},
    ],
)
def test_what_is_not_finished_is_not_stored(body: Any) -> None:
    heard = openai_completions.read_answer(body)
    assert heard.recognised
    assert heard.answer is None


def test_the_answers_to_several_prompts_are_stored_together() -> None:
    body = whole(choice("a", finish="stop"), choice("b", 1, finish="stop"))
    assert openai_completions.read_answer(body).answer == body
    assert openai_completions.answer_text(body) == "a\n\nb"


# -- streams


def test_a_stream_becomes_the_whole_answer() -> None:
    heard, out = run(CHUNKS)

    assert heard.answer == whole(choice("Hello wörld", finish="stop"), id="c1")
    assert [event["choices"][0]["text"] for event in out[:-1]] == ["Hello ", "wörld", ""]
    assert out[2]["cacheai"] == {"decision": "miss"}
    assert out[-1] == "[DONE]"


def test_usage_goes_on_only_to_who_asked() -> None:
    assert [event["choices"] == [] for event in run(CHUNKS, include_usage=True)[1][:-1]] == [False, False, False, True]
    assert all(event["choices"] for event in run(CHUNKS)[1][:-1])


def test_log_probabilities_and_several_answers_are_joined_each_with_its_own() -> None:
    def said(token: str, offset: int) -> dict[str, Any]:
        return {"tokens": [token], "token_logprobs": [-0.5], "top_logprobs": [{token: -0.5}], "text_offset": [offset]}

    heard, _ = run(
        [
            chunk_of(choice("a", 1, logprobs=said("a", 0))),
            chunk_of(choice("x", 0)),
            chunk_of(choice("b", 1, logprobs=said("b", 1))),
            chunk_of(choice("", 1, finish="stop")),
            chunk_of(choice("", 0, finish="stop")),
        ]
    )
    joined = {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"a": -0.5}, {"b": -0.5}],
        "text_offset": [0, 1],
    }
    assert heard.answer["choices"] == [choice("x", finish="stop"), choice("ab", 1, "stop", logprobs=joined)]


def test_a_stream_that_breaks_off_is_not_stored_and_says_so() -> None:
    heard, out = run(CHUNKS[:2], done=False)
    assert heard.answer is None
    assert out[-1]["error"]["code"] == "upstream_stream_broken"


def test_what_the_provider_says_of_its_end_is_not_said_again() -> None:
    failure = {"error": {"message": "broken"}}
    heard, out = run([*CHUNKS[:2], failure], done=False)
    assert (heard.answer, heard.broken) == (None, True)
    assert [event for event in out if "error" in event] == [failure]


def test_a_chunk_of_another_shape_passes_and_is_not_stored() -> None:
    heard, out = run([*CHUNKS[:2], chunk_of(choice(text=7, finish="stop"))])  # type: ignore[arg-type]
    assert heard.answer is None
    assert out[2]["choices"][0]["text"] == 7


# -- a hit


def test_a_hit_has_an_id_and_a_time_of_its_own() -> None:
    body = json.loads(openai_completions.replay(request_of(), whole(), SIGNALS, NOW))  # type: ignore[arg-type]
    assert body["id"].startswith("cmpl-") and body["id"] != "cmpl-1"
    assert body["created"] == int(NOW.timestamp())
    assert {name: body[name] for name in ("object", "model", "choices", "usage")} == {
        name: whole()[name] for name in ("object", "model", "choices", "usage")
    }
    assert body["cacheai"] == {"decision": "miss"}


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_hit_is_replayed_in_pieces_that_join_to_the_same_answer(include_usage: bool) -> None:
    answer = whole(choice(LONG, finish="stop"), choice("two", 1, finish="stop"))
    request = request_of(stream=True, stream_options={"include_usage": include_usage})

    out = replayed(request, answer)
    heard, _ = run(out[:-1], include_usage=include_usage)

    texts = [event["choices"][0]["text"] for event in out[:-1] if event["choices"]]
    assert max(map(len, texts)) <= 80 < len(LONG)
    assert heard.answer["choices"] == answer["choices"]
    assert [("cacheai" in event) for event in out[:-1]].count(True) == 1
    assert (out[-2].get("usage") == USAGE) is include_usage
    assert out[-1] == "[DONE]"


def test_log_probabilities_are_replayed_beside_the_whole_text() -> None:
    said = {"tokens": [LONG], "token_logprobs": [-0.1], "top_logprobs": None, "text_offset": [0]}
    answer = whole(choice(LONG, finish="stop", logprobs=said))
    out = replayed(request_of(stream=True, logprobs=1), answer)
    assert out[0]["choices"][0] == choice(LONG, logprobs=said)
    assert run(out[:-1])[0].answer["choices"] == answer["choices"]
