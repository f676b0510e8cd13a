"""May a client ask its own model and put the answer back, as cacheai 0.2.0 does?"""

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.fakes import FixedEmbedder

PRIVATE = {
    "x_cacheai_baseline_model_provider": "custom",
    "x_cacheai_baseline_model_api_key": "sk-own",
    "x_cacheai_baseline_model_base_url": "http://10.0.0.5:8000/v1",
}
ANSWER = {"output": "Because.", "model_id": "llama", "prompt": "user: Why?"}


def ask(api: Api, question: str = "Why?", **more: Any) -> Any:
    return api.chat(question, model="llama", headers={**PRIVATE, **more})


def test_the_answer_comes_back_and_is_a_hit_from_then_on(api: Api, embedder: FixedEmbedder) -> None:
    asked = ask(api)
    assert (asked.status, asked.json["requires_baseline_model"]) == (200, True)
    key = asked.json["cache_key"]

    put = api.put(f"/v1/cache/{key}", ANSWER)
    assert put.json == {"cache_key": key, "updated_fields": ["model_id", "output"], "created": True}
    hit = ask(api)
    assert hit.headers["x-cacheai-decision"] == "hit"
    assert hit.json["choices"][0]["message"]["content"] == "Because."
    assert hit.json["choices"][0]["finish_reason"] == "stop"
    assert hit.json["usage"]["total_tokens"] > 0
    shown = api.get(f"/v1/cache/{key}").json
    assert (shown["source"], shown["output"], shown["question"]) == ("baseline", "Because.", "Why?")
    assert shown["tokens"]["estimated"] is True

    embedder.near["But why?"] = ("Why?", 0.98)
    assert ask(api, "But why?").headers["x-cacheai-reason"] == "similar"


def test_it_is_told_why_as_with_any_miss(api: Api) -> None:
    asked = ask(api)
    told = {name: asked.headers[f"x-cacheai-{name}"] for name in ("decision", "reason", "cache-key")}
    assert told == {"decision": "miss", "reason": "no_candidate", "cache-key": asked.json["cache_key"]}
    assert asked.headers["x-cacheai-request-id"].startswith("req_")
    assert asked.headers["cache-status"].startswith("CacheAI; fwd=uri-miss;")
    assert ask(api, cache_control="no-cache").headers["x-cacheai-reason"] == "refresh"
    assert set(asked.json) == {"requires_baseline_model", "cache_key"}


def test_an_answer_put_twice_is_no_error(api: Api) -> None:
    key = ask(api).json["cache_key"]
    assert [api.put(f"/v1/cache/{key}", ANSWER).status for _ in range(2)] == [200, 200]


def test_a_new_answer_to_an_old_question_takes_the_entry_s_place(api: Api) -> None:
    key = ask(api).json["cache_key"]
    api.put(f"/v1/cache/{key}", ANSWER)
    assert ask(api, cache_control="no-cache").json["requires_baseline_model"] is True
    assert api.put(f"/v1/cache/{key}", {**ANSWER, "output": "For this."}).json["created"] is True
    assert ask(api).json["choices"][0]["message"]["content"] == "For this."


@pytest.mark.parametrize("headers", [{"cache_control": "no-store"}, {"x_cacheai_enable_cache": "false"}])
def test_where_nothing_may_be_stored_the_put_is_no_error(api: Api, headers: Any) -> None:
    key = ask(api, **headers).json["cache_key"]
    put = api.put(f"/v1/cache/{key}", ANSWER)
    assert (put.status, put.json["created"]) == (200, False)
    assert api.get(f"/v1/cache/{key}").status == 404


def test_a_key_that_may_not_write_hears_no_error_either(api: Api, key_with: Any) -> None:
    reader = key_with("proxy", "cache:read")
    key = ask(reader).json["cache_key"]
    assert reader.put(f"/v1/cache/{key}", ANSWER).status == 200
    assert api.get(f"/v1/cache/{key}").status == 404


def test_only_the_asker_s_project_is_awaited(api: Api, outsider: Api, sibling: Api) -> None:
    key = ask(api).json["cache_key"]
    assert outsider.put(f"/v1/cache/{key}", ANSWER).status == 404
    assert sibling.put(f"/v1/cache/{key}", ANSWER).status == 404


def test_what_waits_is_sealed_and_names_no_credential(api: Api, cast: Any) -> None:
    from tenants.isolation import as_owner

    ask(api)
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT body FROM pending_miss")
        ((body,),) = cursor.fetchall()
    assert b"Why?" not in bytes(body)

    from cache_api.adapters import pending
    from tenants import vault

    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT fingerprint FROM pending_miss")
        ((fingerprint,),) = cursor.fetchall()
    row_id = pending._row_id(bytes(fingerprint))
    plain = vault.unseal(cast.owner.tenant_id, bytes(body), column=pending.COLUMN, row_id=row_id)
    assert b"Why?" in plain
    assert b"sk-own" not in plain


@pytest.mark.parametrize("path", ["responses", "completions"])
def test_only_a_chat_is_handed_back(api: Api, path: str) -> None:
    """No client of another protocol looks for it: it would read an answer without anything in it."""
    body = {"model": "demo-small", "input" if path == "responses" else "prompt": "Why is the sky blue?"}
    refused = api.post(f"/v1/{path}", body, **{**PRIVATE, "x_cacheai_baseline_model_provider": "openai"})
    assert (refused.status, refused.json["error"]["code"]) == (400, "base_url_not_allowed")
