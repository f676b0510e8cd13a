"""What does a caller see of a provider's stream that breaks off, in every dialect, and is nothing of it stored?"""

import json
from typing import Any

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Answer, Api

QUESTION = "What is the capital of France?"
USER = [{"role": "user", "content": QUESTION}]
CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": USER},
    "/v1/completions": {"prompt": QUESTION},
    "/v1/messages": {"messages": USER, "max_tokens": 99},
    "/v1/responses": {"input": QUESTION},
}
OURS = "The provider's stream broke off."
# How it breaks off, and whether the provider says so itself.
BROKEN: list[tuple[dict[str, Any], bool]] = [
    ({"cut_after_chunks": 0}, False),
    ({"cut_after_chunks": 2}, False),
    ({"cut_after_chunks": 1, "half_utf8": True}, False),
    ({"error_after_chunks": 1}, True),
]


def ask(api: Api, path: str, *, stream: bool) -> Answer:
    return api.post(path, {"model": "demo-small", "stream": stream, **CALLS[path]})


def errors_of(answer: Answer) -> list[Any]:
    lines = [line[6:] for line in answer.body.decode(errors="replace").split("\n") if line.startswith("data: ")]
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return [event for event in events if event.get("type") == "error" or event.get("error")]


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(("mood", "told_by_provider"), BROKEN)
def test_it_ends_in_one_error_event_of_the_dialect_and_is_not_stored(
    api: Api, demo: DemoProvider, path: str, mood: dict[str, Any], told_by_provider: bool
) -> None:
    demo.control(**mood)
    answer = ask(api, path, stream=True)
    demo.reset()

    assert answer.status == 200
    (error,) = errors_of(answer)
    assert (OURS in json.dumps(error)) is not told_by_provider
    if path == "/v1/messages":
        assert error["type"] == "error"
        assert set(error["error"]) == {"type", "message"}
    elif path == "/v1/responses":
        assert (error["type"], error["code"] == "upstream_stream_broken") == ("error", not told_by_provider)
    elif not told_by_provider:
        assert (error["error"]["type"], error["error"]["code"]) == ("proxy_error", "upstream_stream_broken")
    assert b"[DONE]" not in answer.body
    assert ask(api, path, stream=True).headers["x-cacheai-decision"] == "miss"


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_before_the_first_byte_is_a_plain_error(
    api: Api, demo: DemoProvider, path: str, stream: bool
) -> None:
    demo.control(drop_before_headers=True)
    answer = ask(api, path, stream=stream)
    demo.reset()

    assert answer.status == 502
    assert answer.json["error"]["type"] == ("api_error" if path == "/v1/messages" else "proxy_error")
    assert ask(api, path, stream=stream).headers["x-cacheai-decision"] == "miss"


@pytest.mark.parametrize("path", CALLS)
def test_half_a_body_is_an_error_and_not_stored(api: Api, demo: DemoProvider, path: str) -> None:
    demo.control(cut_after_chunks=2)
    answer = ask(api, path, stream=False)
    demo.reset()

    assert (answer.status, answer.json["error"]["message"]) == (502, "The provider's answer broke off.")
    assert ask(api, path, stream=False).headers["x-cacheai-decision"] == "miss"
