"""Is of a list of texts only that bought which is not here already?"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Answer, Api
from tests.conftest import Cast
from tests.db.calls import query

RED, BLUE, GREEN = "red car", "blue sky", "green grass of home"


def embed(api: Api, asked: Any, *, headers: Any = None, **body: Any) -> Answer:
    return api.post("/v1/embeddings", {"model": "demo-embed", "input": asked, **body}, **(headers or {}))


def vectors(answer: Answer) -> list[Any]:
    assert [datum["index"] for datum in answer.json["data"]] == list(range(len(answer.json["data"])))
    return [datum["embedding"] for datum in answer.json["data"]]


def decision(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.headers["x-cacheai-decision"], answer.headers["x-cacheai-reason"]


def ledger(cast: Cast) -> list[tuple[Any, ...]]:
    from tenants import isolation

    columns = "decision, reason, in_total, dialect, model_asked, status, billable, stream"
    return isolation.read(
        cast.owner.tenant_id,
        f"SELECT {columns} FROM call WHERE tenant_id = %s ORDER BY at, id",
        (cast.owner.tenant_id,),
        deadline_seconds=5,
    )


def asked_of(demo: DemoProvider) -> int:
    return sum(call["path"] == "/v1/embeddings" for call in demo.calls())


def test_only_the_missing_items_are_bought(api: Api, demo: DemoProvider, cast: Cast) -> None:
    first = embed(api, [RED, BLUE])
    second = embed(api, [GREEN, RED, BLUE])
    third = embed(api, [BLUE, GREEN, RED])

    assert [decision(answer) for answer in (first, second, third)] == [
        (200, "miss", "exact_only"),
        (200, "miss", "exact_only"),
        (200, "hit", "exact"),
    ]
    red, blue = vectors(first)
    green = vectors(embed(api, GREEN))[0]
    assert vectors(second) == [green, red, blue]
    assert vectors(third) == [blue, green, red]
    assert [call["body_bytes"] for call in demo.calls()] == [
        len(json.dumps({"model": "demo-embed", "input": [RED, BLUE]})),
        len(b'{"model":"demo-embed","input":["green grass of home"]}'),
    ]
    whole = first.json["usage"]["prompt_tokens"] + embed(api, GREEN).json["usage"]["prompt_tokens"]
    assert second.json["usage"] == third.json["usage"] == {"prompt_tokens": whole, "total_tokens": whole}


def test_the_ledger_has_a_row_for_each_call_with_what_was_billed(api: Api, cast: Cast) -> None:
    first, second, third = embed(api, [RED, BLUE]), embed(api, [GREEN, RED]), embed(api, [BLUE, GREEN, BLUE])

    bought = second.json["usage"]["prompt_tokens"] - embed(api, RED).json["usage"]["prompt_tokens"]
    rows = ledger(cast)[:3]
    assert [row[:3] for row in rows] == [
        ("miss", "exact_only", first.json["usage"]["prompt_tokens"]),
        ("miss", "exact_only", bought),
        ("hit", "exact", third.json["usage"]["prompt_tokens"]),
    ]
    assert all(row[3:] == ("openai_embeddings", "demo-embed", 200, True, False) for row in rows)


def test_what_the_stored_part_of_a_list_would_have_cost_is_saved(api: Api, cast: Cast) -> None:
    """0.02 dollars a million tokens; what is bought beside it is paid as ever."""
    from cache_api import accounting, selectors

    red = embed(api, RED).json["usage"]["prompt_tokens"]
    both = embed(api, [GREEN, RED, RED]).json["usage"]["prompt_tokens"]
    embed(api, [RED, BLUE], headers={"X_Stainless_Retry_Count": "1"})
    accounting.price_calls(datetime.now(UTC))

    found = query("SELECT in_total, in_served, cost_usd, list_usd, saved_usd FROM call ORDER BY at")
    rate = found[0][2] / red
    assert found[1] == (both - 2 * red, 2 * red, (both - 2 * red) * rate, 2 * red * rate, 2 * red * rate)
    assert found[2][-1] == 0
    figures = selectors.figures(
        cast.owner.tenant_id, None, datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
    )
    assert (figures.misses, figures.hits, figures.tokens_saved) == (3, 0, 2 * red)
    assert figures.saved_usd == figures.list_usd == 2 * red * rate


def test_one_text_and_a_list_of_one_share_an_entry_and_say_its_key(api: Api, demo: DemoProvider) -> None:
    first, second = embed(api, RED), embed(api, [RED])

    assert asked_of(demo) == 1
    assert decision(second) == (200, "hit", "exact")
    assert second.json["data"] == first.json["data"]
    assert second.headers["x-cacheai-cache-key"] == first.headers["x-cacheai-cache-key"]
    assert "x-cacheai-cache-key" not in embed(api, [RED, RED]).headers
    entry = api.get(f"/v1/cache/{second.headers['x-cacheai-cache-key']}").json
    assert (entry["endpoint"], entry["question"], entry["response"]["data"]) == ("embeddings", RED, first.json["data"])


def test_an_answer_is_the_provider_s_own_and_gains_nothing(api: Api) -> None:
    for answer in (embed(api, [RED, BLUE]), embed(api, [RED, BLUE])):
        assert set(answer.json) == {"object", "data", "model", "usage", "demo_provider"}
        assert answer.headers["x-cacheai-request-id"]


def test_the_same_text_twice_is_bought_once(api: Api, demo: DemoProvider) -> None:
    first = embed(api, [RED, BLUE, RED])
    red, blue, again = vectors(first)

    assert red == again != blue
    assert demo.calls()[0]["body_bytes"] == len(b'{"model":"demo-embed","input":["red car","blue sky"]}')
    assert decision(embed(api, [RED, RED, BLUE])) == (200, "hit", "exact")


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_each_encoding_is_kept_as_it_came(api: Api, demo: DemoProvider, encoding: str) -> None:
    first = embed(api, [RED, BLUE], encoding_format=encoding)
    second = embed(api, [BLUE, RED], encoding_format=encoding)
    assert vectors(second) == vectors(first)[::-1]
    assert isinstance(vectors(second)[0], str if encoding == "base64" else list)


def test_lists_of_tokens_are_items_too_and_no_texts(api: Api, demo: DemoProvider) -> None:
    first = embed(api, [[1, 2, 3], [4]])
    assert vectors(embed(api, [[4], [5, 6]]))[0] == vectors(first)[1]
    assert decision(embed(api, [1, 2, 3])) == (200, "hit", "exact")
    assert decision(embed(api, "1 2 3"))[1] == "miss"
    assert asked_of(demo) == 3


@pytest.mark.parametrize(
    "other",
    [{"dimensions": 8}, {"encoding_format": "float"}, {"model": "demo-small"}, {"input_type": "query"}],
)
def test_what_may_change_a_vector_is_another_entry(api: Api, demo: DemoProvider, other: Any) -> None:
    embed(api, [RED, BLUE])
    assert decision(embed(api, [RED, BLUE], **other))[1] == "miss"


def test_who_asks_for_it_does_not_change_a_vector(api: Api) -> None:
    embed(api, [RED, BLUE])
    assert decision(embed(api, [RED, BLUE], user="somebody"))[1] == "hit"


@pytest.mark.parametrize("asked", [[], "", [RED, ""], None, [{"type": "text", "text": RED}], [RED, [1]], ["x"] * 2049])
def test_what_is_no_list_of_texts_is_the_provider_s_to_judge(api: Api, demo: DemoProvider, asked: Any) -> None:
    embed(api, RED)
    answer = embed(api, asked)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert "Traceback" not in answer.json["error"]["message"]
    assert asked_of(demo) == 2


def test_a_long_list_is_looked_up_whole(api: Api, demo: DemoProvider) -> None:
    words = [f"text number {number}, which is about nothing" for number in range(2048)]
    embed(api, words[:1500], encoding_format="base64")
    answer = embed(api, words, encoding_format="base64")
    again = embed(api, words, encoding_format="base64")

    assert len(vectors(answer)) == 2048
    assert decision(again) == (200, "hit", "exact")
    assert vectors(again) == vectors(answer)
    assert asked_of(demo) == 2


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_provider_s_error_is_passed_on_and_not_stored(api: Api, demo: DemoProvider, status: int) -> None:
    embed(api, RED)
    demo.control(fail_status=status, retry_after=3, fail_body={"error": {"message": "no"}})
    failed = embed(api, [RED, BLUE])
    assert (failed.status, failed.json) == (status, {"error": {"message": "no"}})
    assert failed.headers["retry-after"] == "3"

    demo.reset()
    assert decision(embed(api, [RED, BLUE]))[:2] == (200, "miss")
    assert decision(embed(api, [RED, BLUE]))[:2] == (200, "hit")


def test_the_caller_s_wishes_hold(api: Api, demo: DemoProvider) -> None:
    assert embed(api, [RED, BLUE], headers={"X_CacheAI_Only_If_Cached": "true"}).status == 504
    assert decision(embed(api, [RED, BLUE], cache={"no-store": True}))[1] == "miss"
    assert decision(embed(api, [RED, BLUE]))[1] == "miss"
    assert decision(embed(api, [RED, BLUE], cache={"use-cache": False})) == (200, "bypass", "caller")
    assert decision(embed(api, [RED, BLUE], cache={"no-cache": True})) == (200, "miss", "refresh")
    assert decision(embed(api, [RED, BLUE], cache={"namespace": "n"}))[1] == "miss"
    assert decision(embed(api, [RED, BLUE], headers={"X_CacheAI_Only_If_Cached": "true"}))[1] == "hit"
    partly = embed(api, [RED, GREEN], headers={"X_CacheAI_Only_If_Cached": "true"})
    assert (partly.status, partly.json["error"]["code"]) == (504, "not_cached")
    assert asked_of(demo) == 5


def test_a_broken_store_passes_the_caller_s_own_bytes(
    api: Api, demo: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache_api import wiring
    from cache_api.ports import CacheUnavailable

    def broken(*_: Any) -> Any:
        raise CacheUnavailable("deadline")

    embed(api, RED)
    monkeypatch.setattr(wiring.parts().store, "find_many", broken)
    raw = b'{"model": "demo-embed",  "input": ["red car", "red car", "blue sky"]}'
    answer = api("POST", "/v1/embeddings", raw=raw)

    assert decision(answer) == (200, "bypass", "deadline")
    assert len(vectors(answer)) == 3
    assert demo.calls()[-1]["body_bytes"] == len(raw)


def test_a_store_that_cannot_be_written_fails_no_call(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api import wiring
    from cache_api.ports import CacheUnavailable

    def broken(*_: Any) -> Any:
        raise CacheUnavailable

    monkeypatch.setattr(wiring.parts().store, "put_many", broken)
    answer = embed(api, [RED, BLUE])
    assert (answer.status, "stored" in answer.headers["cache-status"]) == (200, False)


def test_an_entry_that_cannot_be_read_is_bought_anew(api: Api, cast: Cast, demo: DemoProvider) -> None:
    from tenants import isolation

    first = embed(api, [RED, BLUE])
    spoil = "UPDATE entry SET body = '\\x01' WHERE tenant_id = %s AND id = (SELECT min(id::text)::uuid FROM entry)"
    isolation.write(cast.owner.tenant_id, spoil, (cast.owner.tenant_id,), deadline_seconds=5)
    assert vectors(embed(api, [RED, BLUE])) == vectors(first)
    assert decision(embed(api, [RED, BLUE]))[1] == "hit"
    assert asked_of(demo) == 2


def test_others_see_nothing_of_it(api: Api, outsider: Api, sibling: Api, cast: Cast) -> None:
    embed(api, [RED, BLUE])
    assert [decision(embed(who, [RED, BLUE]))[1] for who in (outsider, sibling)] == ["miss", "miss"]
    assert UUID(int=0) != cast.owner.tenant_id


def test_a_key_twice_in_a_long_body_is_refused_as_in_a_short_one(api: Api) -> None:
    long = json.dumps("word " * 20_000)
    raw = f'{{"model": "demo-embed", "input": ["a"], "input": [{long}]}}'.encode()
    assert api("POST", "/v1/embeddings", raw=raw).json["error"]["code"] == "invalid_request"


def test_what_the_parser_cannot_stand_behind_passes_uncached(api: Api) -> None:
    answer = api("POST", "/v1/embeddings", raw=b'{"model":"demo-embed","input":["a \\ud83d", "b"]}')
    assert decision(answer) == (200, "bypass", "unparsed")


def test_the_path_without_v1_and_other_methods(api: Api) -> None:
    assert decision(api.post("/embeddings", {"model": "demo-embed", "input": RED}))[1] == "miss"


def test_a_look_up_finds_an_item_and_an_answer_put_by_hand_is_served(api: Api) -> None:
    body = {"model": "demo-embed", "input": RED}
    first = embed(api, RED)
    assert api.post("/v1/cache/lookup", {"endpoint": "embeddings", "request": body}).json["decision"] == "hit"

    mine = {**first.json, "data": [{"object": "embedding", "index": 0, "embedding": [1.0, 0.0]}]}
    put = {"endpoint": "embeddings", "request": {**body, "input": BLUE}, "response": mine}
    assert api.post("/v1/cache/entries", put).status == 201
    assert vectors(embed(api, [BLUE, RED])) == [[1.0, 0.0], vectors(first)[0]]
    text = api.post("/v1/cache/entries", {"endpoint": "embeddings", "request": body, "answer": "words"})
    assert text.status == 400
