"""Does a caller of Anthropic's Messages get the provider's answers, and the same again from the cache?"""

import json
from typing import Any

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Answer, Api
from tests.db.calls import query
from tests.fakes import FixedEmbedder

FRANCE = "What is the capital of France?"
FRANCE_TOO = "Which city is the capital of France?"
PARIS = "The capital of France is Paris. (demo answer)"
VERSION = {"anthropic_version": "2023-06-01"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
DEEP = b'{"model":"demo-small","messages":[' + b'{"role":"user","content":[' * 300 + b"]}" * 300 + b"]}"
STATION = {
    "name": "find_station",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def ask(api: Api, question: Any = FRANCE, *, path: str = "/v1/messages", headers: Any = None, **fields: Any) -> Answer:
    body = {"model": "demo-small", "max_tokens": 99, "messages": [{"role": "user", "content": question}], **fields}
    return api.post(path, body, **(VERSION if headers is None else headers))


def events_of(answer: Answer) -> list[Any]:
    return [json.loads(line[6:]) for line in answer.body.decode().split("\n") if line.startswith("data: ")]


def text_of(answer: Answer) -> str:
    if "event-stream" not in answer.headers["content-type"]:
        return "".join(block.get("text", "") for block in answer.json["content"])
    deltas = [event["delta"] for event in events_of(answer) if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


def told(answer: Answer) -> tuple[str, str]:
    return answer.headers["x-cacheai-decision"], answer.headers["x-cacheai-reason"]


# -- hits


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("path", ["/v1/messages", "/messages"])
def test_a_stream_and_a_body_share_an_entry(api: Api, demo: DemoProvider, first: bool, path: str) -> None:
    bought = ask(api, path=path, stream=first)
    again = [ask(api, stream=stream) for stream in (False, True)]

    assert [told(answer) for answer in (bought, *again)] == [("miss", "no_candidate"), *[("hit", "exact")] * 2]
    assert {text_of(answer) for answer in (bought, *again)} == {PARIS}
    assert len(demo.calls()) == 1
    body, message = again[0].json, events_of(again[1])[0]["message"]
    ids = {body["id"], message["id"], events_of(bought)[0]["message"]["id"] if first else bought.json["id"]}
    assert len(ids) == 3
    assert all(one.startswith("msg_") for one in ids)
    assert body["usage"]["output_tokens"] == events_of(again[1])[-2]["usage"]["output_tokens"] > 1


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_says_what_was_decided(api: Api, stream: bool) -> None:
    for decision in "miss", "hit":
        answer = ask(api, stream=stream)
        signals = events_of(answer)[-2] if stream else answer.json
        assert signals.get("type") == ("message_delta" if stream else "message")
        assert signals["cacheai"]["decision"] == answer.headers["x-cacheai-decision"] == decision
        assert signals["cacheback_hit"] is (decision == "hit")
        ours = answer.headers["x-cacheai-request-id"]
        # The client shows this header as the request's id: the provider's own wherever it was asked.
        assert (answer.headers["request-id"] == ours) is (decision == "hit")
        assert signals["cacheai"]["request_id"] == ours


def test_the_same_in_other_words_is_a_hit(api: Api, embedder: FixedEmbedder, demo: DemoProvider) -> None:
    embedder.near[FRANCE_TOO] = (FRANCE, 0.97)
    ask(api, system="Be brief.")

    assert told(ask(api, FRANCE_TOO, system="Be brief.")) == ("hit", "similar")
    assert told(ask(api, FRANCE_TOO, system="Be long.")) == ("miss", "no_candidate")
    assert len(demo.calls()) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_comes_back_as_it_was(api: Api, stream: bool) -> None:
    bought, again = (ask(api, "Please find station in Paris", tools=[STATION], stream=stream) for _ in range(2))

    assert told(bought) == ("miss", "exact_only")
    assert told(again) == ("hit", "exact")
    if stream:
        parts = [event.get("delta", {}).get("partial_json", "") for event in events_of(again)]
        assert json.loads("".join(parts)) == {"city": "Paris"}
    else:
        assert again.json["content"] == bought.json["content"]
        assert again.json["stop_reason"] == "tool_use"


def test_a_picture_is_matched_by_its_bytes_alone(api: Api, embedder: FixedEmbedder) -> None:
    ask(api, [PICTURE, {"type": "text", "text": FRANCE}])
    assert told(ask(api, [PICTURE, {"type": "text", "text": FRANCE}])) == ("hit", "exact")
    assert embedder.asked == []

    elsewhere = {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}}
    for _ in range(2):
        assert told(ask(api, [elsewhere, {"type": "text", "text": FRANCE}])) == ("bypass", "unsupported_content")


def test_tools_of_the_provider_s_own_are_not_cached(api: Api) -> None:
    for _ in range(2):
        answer = ask(api, tools=[{"type": "web_search_20250305", "name": "web_search"}])
        assert told(answer) == ("bypass", "stateful")


# -- what is not stored


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{"finish_reason": "max_tokens"}, {"finish_reason": "pause_turn"}, {"refusal": True}, {"empty_answer": True}],
)
def test_what_is_no_finished_answer_is_not_stored(
    api: Api, demo: DemoProvider, settings: dict[str, Any], stream: bool
) -> None:
    demo.control(**settings)
    for _ in range(2):
        assert told(ask(api, stream=stream)) == ("miss", "no_candidate")


@pytest.mark.parametrize("broken", [{"cut_after_chunks": 1}, {"error_after_chunks": 1}])
def test_a_stream_that_breaks_off_ends_in_one_error_event_and_is_not_stored(
    api: Api, demo: DemoProvider, broken: dict[str, Any]
) -> None:
    demo.control(**broken)
    answer = ask(api, stream=True)
    demo.reset()

    events = events_of(answer)
    assert answer.status == 200
    assert [event["type"] for event in events].count("error") == 1
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == ("api_error" if "cut_after_chunks" in broken else "overloaded_error")
    assert told(ask(api, stream=True)) == ("miss", "no_candidate")


# -- what goes up


def test_the_callers_bytes_and_headers_go_up(api: Api, demo: DemoProvider) -> None:
    raw = b'{ "model" : "demo-small", "max_tokens":99, "messages":[{"role":"user","content":"x"}], "odd": 1.50 }'
    api("POST", "/v1/messages", raw=raw, anthropic_beta="a-beta", user_agent="me/1")

    (call,) = demo.calls()
    assert call["body_bytes"] == len(raw)
    assert call["headers"]["anthropic-version"] == "2023-06-01"  # the caller named none
    assert call["headers"]["anthropic-beta"] == "a-beta"
    assert call["headers"]["user-agent"] == "me/1"


def test_a_version_that_was_named_goes_up(api: Api, demo: DemoProvider) -> None:
    ask(api, headers={"anthropic_version": "2024-01-01"})

    assert demo.calls()[0]["headers"]["anthropic-version"] == "2024-01-01"


def test_an_answer_with_a_beta_feature_is_none_without_it(api: Api) -> None:
    ask(api, headers={"anthropic_beta": "one,two"})

    assert told(ask(api, headers={"anthropic_beta": "two, one"})) == ("hit", "exact")
    assert told(ask(api, headers={})) == ("miss", "no_candidate")


@pytest.mark.parametrize("ours_as", ["x_api_key", "authorization"])
def test_the_spare_auth_header_has_the_caller_s_own_key_for_the_provider(
    api: Api, demo: DemoProvider, ours_as: str
) -> None:
    theirs = {"x_api_key": {"authorization": "Bearer sk-ant"}, "authorization": {"x_api_key": "sk-ant"}}[ours_as]
    ours = {"x_api_key": api.key} if ours_as == "x_api_key" else {"authorization": f"Bearer {api.key}"}
    answer = ask(
        Api(""),
        model="claude-sonnet-4-5",
        headers={
            **ours,
            **theirs,
            "x_cacheai_backend_provider": "anthropic",
            "x_cacheai_backend_base_url": demo.base_url,
        },
    )

    assert answer.status == 200
    (call,) = demo.calls()
    assert call["headers"]["x-api-key"] == "sk-ant"
    assert "authorization" not in call["headers"]
    assert api.key not in json.dumps(call)


def test_our_controls_are_honoured_and_never_sent(api: Api, demo: DemoProvider) -> None:
    assert told(ask(api, cache={"use-cache": False})) == ("bypass", "caller")
    ask(api, cache={"no-store": True})
    assert told(ask(api)) == ("miss", "no_candidate")
    assert told(ask(api, cache={"no-cache": True})) == ("miss", "refresh")
    assert told(ask(api, headers={"x_cacheai_namespace": "other"})) == ("miss", "no_candidate")
    assert not any("cacheai" in name for call in demo.calls() for name in call["headers"])
    assert all(call["status"] == 200 for call in demo.calls())  # it refuses a body with `cache`


# -- errors


@pytest.mark.parametrize(
    ("asked", "status", "kind", "said"),
    [
        ({"raw": b"{"}, 400, "invalid_request_error", "Invalid JSON"),
        ({"raw": b"[]"}, 400, "invalid_request_error", "JSON object"),
        ({"raw": DEEP}, 400, "invalid_request_error", "nested too deeply"),
        ({"fields": {"model": None}}, 400, "invalid_request_error", "model"),
        ({"fields": {"messages": []}}, 400, "invalid_request_error", "messages"),
        ({"fields": {"cache": {"ttl": "soon"}}}, 400, "invalid_request_error", "cache.ttl"),
        ({"fields": {"model": "gpt-4o"}}, 400, "invalid_request_error", "does not speak /v1/messages"),
        ({"fields": {"model": "claude-sonnet-4-5"}}, 400, "invalid_request_error", "No key for anthropic"),
        ({"fields": {"cache": {"only-if-cached": True}}}, 504, "api_error", "No stored answer"),
        ({"key": "ca-wrong"}, 401, "authentication_error", "Invalid or missing API key"),
        ({"method": "PATCH"}, 405, "invalid_request_error", "Use "),
    ],
)
def test_errors_have_the_protocol_s_own_shape(
    api: Api, asked: dict[str, Any], status: int, kind: str, said: str
) -> None:
    body = {"model": "demo-small", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    caller = Api(asked.get("key", api.key))
    for path in "/v1/messages", "/messages":
        answer = caller(asked.get("method", "POST"), path, {**body, **asked.get("fields", {})}, raw=asked.get("raw"))

        assert answer.status == status
        assert answer.json["type"] == "error"
        assert answer.json["error"]["type"] == kind
        assert said in answer.json["error"]["message"]
        assert answer.json["request_id"] == answer.headers["request-id"] == answer.headers["x-cacheai-request-id"]


def test_a_provider_s_error_passes_unchanged_and_is_not_stored(api: Api, demo: DemoProvider) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_x"}
    demo.control(fail_status=529, fail_body=body, retry_after=7)
    for stream in False, True:
        answer = ask(api, stream=stream)
        assert (answer.status, answer.json, answer.headers["retry-after"]) == (529, body, "7")
    demo.reset()

    assert told(ask(api)) == ("miss", "no_candidate")


def test_a_provider_out_of_reach_is_an_error_of_this_shape(api: Api, demo: DemoProvider) -> None:
    demo.control(drop_before_headers=True)
    answer = ask(api)
    assert (answer.status, answer.json["error"]["type"]) == (502, "api_error")


# -- the ledger and the entries


def test_a_row_counts_as_the_provider_does(api: Api, demo: DemoProvider) -> None:
    demo.control(cached_tokens=7)
    whole = ask(api, "word " * 50).json["usage"]
    demo.control(no_usage=True)
    ask(api, "Something that nobody counts?", stream=True)

    counted, estimated = query(
        "SELECT dialect, in_total, in_cached, out_total, tokens_estimated, service_tier FROM call ORDER BY at"
    )
    assert counted == ("anthropic_messages", whole["input_tokens"] + 7, 7, whole["output_tokens"], False, "standard")
    assert estimated[4] is True
    assert estimated[1] > 3


def test_entries_of_this_endpoint_are_put_shown_and_looked_up(api: Api, demo: DemoProvider) -> None:
    request = {"max_tokens": 99, "system": [{"type": "text", "text": "Be brief."}]}
    request["messages"] = [{"role": "user", "content": FRANCE}]
    whole = {"endpoint": "messages", "model": "demo-small", "request": request}
    usage = {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 2}
    put = api.post("/v1/cache/entries", {**whole, "answer": "Paris.", "usage": usage})
    key = put.json["cache_key"]

    hit = ask(api, system="Be brief.")
    assert (told(hit), hit.json["content"]) == (("hit", "exact"), [{"type": "text", "text": "Paris."}])
    assert hit.json["usage"]["cache_read_input_tokens"] == 3
    shown = api.get(f"/v1/cache/{key}").json
    assert (shown["endpoint"], shown["context"], shown["answer"]) == ("messages", "Be brief.", "Paris.")
    assert shown["tokens"]["input"] == 8
    assert api.post("/v1/cache/lookup", {**whole, "include_answer": True}).json["answer"] == "Paris."
    assert demo.calls() == []
