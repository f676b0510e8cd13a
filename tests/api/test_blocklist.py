"""Is what a project does not want answered left unanswered, and nothing else?"""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Api, Rules
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

LISTED = "How do I build a bomb?"
REWORDED = "How does one build a bomb?"
FAR = "How do I build a house?"


@pytest.fixture(autouse=True)
def _near(embedder: FixedEmbedder) -> None:
    embedder.near.update({REWORDED: (LISTED, 0.9), FAR: (LISTED, 0.8)})


def block(api: Api, query: str = LISTED, **fields: Any) -> Any:
    answer = api.post("/v1/cache/blocklist", {"query": query, **fields})
    assert answer.status in {200, 201}, answer.body
    return answer.json


def listed(api: Api, query: str = "") -> Any:
    return api.get("/v1/cache/blocklist", query).json["data"]


@pytest.mark.parametrize(("asked", "similarity"), [(LISTED, "1.0000"), (REWORDED, "0.9000")])
def test_a_listed_question_is_refused_and_nobody_is_asked(
    api: Api, demo: DemoProvider, asked: str, similarity: str
) -> None:
    number = block(api, reason="dangerous")["id"]

    answer = api.chat(asked)

    assert answer.status == 403
    assert answer.json["error"] == {
        "message": f"Blocked (similarity {similarity}): dangerous",
        "type": "permission_error",
        "param": None,
        "code": "blocked",
        "blocklist_id": number,
    }
    headers = answer.headers
    assert (headers["x-cacheai-decision"], headers["x-cacheai-reason"]) == ("blocked", "blocklist")
    assert (headers["x-cacheai-threshold"], headers["x-cacheback-hit"]) == ("0.85", "false")
    assert headers["cache-status"] == "CacheAI; detail=blocklist"
    assert headers["x-request-id"] == headers["x-cacheai-request-id"]
    assert "x-cacheai-cache-key" not in headers
    assert demo.calls() == []
    assert api.get("/v1/cache/stats").json["decisions"] == {"hit": 0, "miss": 0, "bypass": 0, "blocked": 1}


def test_what_is_far_from_it_is_answered(api: Api) -> None:
    block(api)

    assert api.chat(FAR).status == 200
    assert listed(api)[0]["hit_count"] == 0


@pytest.mark.parametrize("asked", [LISTED, REWORDED])
def test_what_is_stored_is_not_served_any_more(api: Api, demo: DemoProvider, asked: str) -> None:
    assert [api.chat(LISTED).status, api.chat(REWORDED).status] == [200, 200]
    block(api)

    assert api.chat(asked).status == 403
    assert api.chat(asked, headers={"x_cacheai_enable_cache": "false"}).status == 403
    assert listed(api)[0]["hit_count"] == 2


def test_an_image_beside_it_or_a_strange_number_hides_nothing(api: Api) -> None:
    block(api)
    parts = [{"type": "text", "text": LISTED}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    body = {"model": "demo-small", "messages": [{"role": "user", "content": parts}]}

    assert api.post("/v1/chat/completions", body).status == 403
    raw = b'{"model": "demo-small", "seed": NaN, "messages": [{"role": "user", "content": "' + LISTED.encode() + b'"}]}'
    assert api("POST", "/v1/chat/completions", raw=raw).status == 403


def test_a_list_of_texts_to_embed_must_hold_none(api: Api, demo: DemoProvider, rules: Rules) -> None:
    block(api)
    asked = {"model": "demo-embedding", "input": [FAR, LISTED]}

    assert api.post("/v1/embeddings", asked).status == 403
    rules(blocklist="skip")  # no vector says that it was held back
    assert api.post("/v1/embeddings", asked).status == 403
    assert api.post("/v1/embeddings", {**asked, "input": [FAR, "Else?"]}).status == 200
    assert len(demo.calls()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_stream_that_is_refused_is_a_plain_error(api: Api, stream: bool) -> None:
    block(api)

    answer = api.chat(LISTED, stream=stream)

    assert (answer.status, answer.headers["content-type"]) == (403, "application/json")


def test_skipped_it_is_answered_by_the_projects_own_text(api: Api, demo: DemoProvider, rules: Rules) -> None:
    rules(blocklist="skip", blocklist_text="Ask something else.")
    block(api)

    whole = api.chat(LISTED)
    stream = api.chat(LISTED, stream=True)

    assert (whole.status, whole.headers["x-cacheai-decision"]) == (200, "blocked")
    (choice,) = whole.json["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Ask something else.", "content_filter")
    assert whole.json["usage"]["total_tokens"] == 0
    assert whole.json["cacheai"]["reason"] == "blocklist"
    assert (stream.status, stream.body.endswith(b"data: [DONE]\n\n")) == (200, True)
    assert b'"finish_reason":"content_filter"' in stream.body
    assert demo.calls() == []
    assert api.get("/v1/cache/stats").json["decisions"]["blocked"] == 2


@pytest.mark.parametrize(
    ("path", "body", "end"),
    [
        ("messages", {"max_tokens": 9, "messages": [{"role": "user", "content": LISTED}]}, b'"stop_reason":"refusal"'),
        ("responses", {"input": LISTED}, b'"incomplete_details":{"reason":"content_filter"}'),
        ("completions", {"prompt": LISTED}, b'"finish_reason":"content_filter"'),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_dialect_says_it_in_its_own_words(
    api: Api, demo: DemoProvider, rules: Rules, path: str, body: Any, end: bytes, stream: bool
) -> None:
    number = block(api)["id"]
    asked = {"model": "demo-small", "stream": stream, **body}

    refused = api.post(f"/v1/{path}", asked)
    rules(blocklist="skip", blocklist_text="No.")
    skipped = api.post(f"/v1/{path}", asked)

    assert (refused.status, refused.json["error"]["blocklist_id"]) == (403, number)
    assert refused.json["error"]["type"] == "permission_error"
    assert (skipped.status, end in skipped.body, b"No." in skipped.body) == (200, True, True)
    assert demo.calls() == []


def test_a_query_is_refused_or_skipped_in_its_own_words(api: Api, demo: DemoProvider, rules: Rules) -> None:
    number = block(api, reason="dangerous")["id"]
    asked = {"prompt": LISTED, "model": "demo-small"}

    refused = api.post("/v1/cache/query", asked)
    rules(blocklist="skip", blocklist_text="No.")
    skipped = api.post("/v1/cache/query", asked)

    message = "Blocked (similarity 1.0000): dangerous"
    assert (refused.status, refused.headers["x-cacheai-decision"]) == (403, "blocked")
    assert refused.json == {"detail": message, "message": message, "error": "blocked", "blocklist_id": number}
    assert (skipped.status, skipped.json["response"], skipped.json["cache_hit"]) == (200, "No.", False)
    assert demo.calls() == []


def test_a_project_that_observes_only_counts(api: Api, rules: Rules) -> None:
    rules(blocklist="observe")
    block(api)

    assert api.chat(LISTED).headers["x-cacheai-decision"] == "miss"
    assert api.chat(LISTED).headers["x-cacheai-decision"] == "hit"
    assert listed(api)[0]["hit_count"] == 2


def test_without_the_embedder_the_very_text_is_still_blocked(api: Api, embedder: FixedEmbedder) -> None:
    block(api)
    embedder.down = True

    assert api.chat(LISTED).status == 403
    assert api.chat(f"  {LISTED.upper()} \n").status == 403
    assert api.chat(REWORDED).status == 200
    assert api.post("/v1/cache/blocklist/check", {"query": REWORDED}).status == 503


def test_what_is_listed_without_the_embedder_is_found_by_its_text_until_it_has_a_vector(
    api: Api, embedder: FixedEmbedder
) -> None:
    from django.utils import timezone

    from cache_api import maintenance

    embedder.down = True
    assert block(api)["created"]
    assert not block(api)["created"]
    embedder.down = False

    assert api.chat(LISTED).status == 403
    assert api.chat(REWORDED).status == 200
    assert [maintenance.fill_vectors(embedder, timezone.now()) for _ in range(2)] == [1, 0]
    assert api.chat(REWORDED).status == 403


def test_a_project_without_a_list_embeds_nothing_for_an_exact_hit(api: Api, embedder: FixedEmbedder) -> None:
    from cache_api import wiring

    api.chat(LISTED)
    embedder.asked.clear()
    wiring.parts().blocklist.match = None  # type: ignore[method-assign, assignment]  # whoever asked it would fail

    assert api.chat(LISTED).headers["x-cacheai-decision"] == "hit"
    assert embedder.asked == []


def test_one_text_is_embedded_once(api: Api, embedder: FixedEmbedder) -> None:
    block(api)
    embedder.asked.clear()

    api.chat(FAR)

    assert embedder.asked == [FAR]


def test_a_lookup_tells_and_does_not_count(api: Api) -> None:
    block(api)

    found = api.post("/v1/cache/lookup", {"question": REWORDED, "model": "demo-small"}).json

    assert (found["decision"], found["reason"], found["similarity"]) == ("blocked", "blocklist", 0.9)
    assert listed(api)[0]["hit_count"] == 0


def test_a_check_names_what_would_block(api: Api) -> None:
    number = block(api, reason="dangerous", category="safety", severity=4)["id"]
    check = "/v1/cache/blocklist/check"

    assert api.post(check, {"query": REWORDED}).json["match"] == {
        "id": number,
        "query": LISTED,
        "reason": "dangerous",
        "category": "safety",
        "severity": 4,
        "similarity": 0.9,
        "hit_count": 0,
    }
    assert api.post(check, {"query": FAR}).json == {"match": None}


def test_of_what_means_the_same_there_is_one(api: Api, embedder: FixedEmbedder) -> None:
    embedder.near.update({"Same?": (LISTED, 0.981), "Other?": (LISTED, 0.97)})

    first = block(api)
    assert first["created"]
    assert block(api) == block(api, "Same?") == {"id": first["id"], "created": False}
    assert block(api, "Other?") == {"id": listed(api)[0]["id"], "created": True}
    assert len(listed(api)) == 2


def test_the_list_shows_what_was_said_newest_first(api: Api) -> None:
    block(api, "One?", category="a", severity=5, reason="why", metadata={"ticket": 7, "nul": "\0"}, ttl="2h")
    block(api, "Two?")

    two, one = listed(api)
    assert [one["query"] for one in listed(api, "category=a")] == ["One?"]
    assert [one["query"] for one in listed(api, "limit=1")] == ["Two?"]
    assert (two["category"], two["severity"], two["reason"], two["metadata"]) == ("general", 1, "", {})
    assert (one["severity"], one["reason"], one["metadata"]) == (5, "why", {"ticket": 7, "nul": "\0"})
    assert (one["hit_count"], one["false_positives"]) == (0, 0)
    assert one["expires_at"][:19] > one["created_at"][:19] < two["expires_at"]


def test_removed_it_is_answered_and_its_number_is_not_given_again(api: Api) -> None:
    first = block(api)["id"]

    assert api.delete(f"/v1/cache/blocklist/{first}").json == {"id": first, "deleted": True}
    assert api.chat(LISTED).status == 200
    assert api.delete(f"/v1/cache/blocklist/{first}").status == 404
    assert block(api)["id"] > first


def test_the_fifth_report_of_a_false_positive_removes_it(api: Api) -> None:
    number = block(api)["id"]
    path = f"/v1/cache/blocklist/{number}/false-positive"

    assert [api.post(path).json for _ in range(5)] == [
        {"id": number, "false_positives": reports, "removed": reports == 5} for reports in range(1, 6)
    ]
    assert api.post(path).status == 404
    assert api.chat(LISTED).status == 200


def test_what_ran_out_blocks_no_more_and_may_be_listed_again(api: Api, cast: Cast) -> None:
    from cache_api import wiring
    from cache_api.models import BlocklistEntry
    from tenants.isolation import as_tenant

    first, other = block(api), block(api, "Another that has not?")
    with as_tenant(cast.owner.tenant_id):
        BlocklistEntry.objects.filter(id=first["id"]).update(expires_at="2020-01-01T00:00:00Z")

    assert api.chat(LISTED).status == 200
    assert [one["id"] for one in listed(api)] == [other["id"]]
    assert api.post(f"/v1/cache/blocklist/{first['id']}/false-positive").status == 404
    again = block(api)
    assert again["created"] and again["id"] != first["id"]
    assert api.chat(LISTED).status == 403

    with as_tenant(cast.owner.tenant_id):
        BlocklistEntry.objects.update(expires_at="2020-01-01T00:00:00Z")
    policies = wiring.parts().policies
    policies.forget(cast.owner.tenant_id, cast.owner.project_id)
    assert policies.of(cast.owner.tenant_id, cast.owner.project_id).blocklist == "off"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": " \n"}, "query"),
        ({"query": 7}, "query"),
        ({"query": "a", "severity": 6}, "severity"),
        ({"query": "a", "severity": 0}, "severity"),
        ({"query": "a", "category": "x" * 129}, "category"),
        ({"query": "a", "category": "a\nb"}, "category"),
        ({"query": "a", "metadata": []}, "metadata"),
        ({"query": "a", "ttl": "soon"}, "ttl"),
        ({"query": "a", "ttl": 0}, "ttl"),
    ],
)
def test_what_cannot_be_listed_is_told_so(api: Api, body: Any, param: str) -> None:
    answer = api.post("/v1/cache/blocklist", body)

    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert listed(api) == []


def test_what_is_to_stay_for_ever_stays_ten_years(api: Api) -> None:
    assert api.post("/v1/cache/blocklist", {"query": "For ever?", "ttl": "9999999999d"}).status == 201

    (kept,) = listed(api)
    ends, began = (datetime.fromisoformat(kept[name]) for name in ("expires_at", "created_at"))
    assert (ends - began).days == 3650


def test_a_list_has_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api.adapters import blocklist

    monkeypatch.setattr(blocklist, "ENTRIES_MAX", 1)
    block(api)

    assert "holds 1 questions" in api.post("/v1/cache/blocklist", {"query": "Two?"}).json["error"]["message"]
    assert not block(api)["created"]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "", "cache:read"),
        ("POST", "/check", "cache:read"),
        ("POST", "", "cache:write"),
        ("DELETE", "/1", "cache:purge"),
        ("POST", "/1/false-positive", "cache:purge"),
    ],
)
def test_each_deed_has_its_scope(key_with: Any, method: str, path: str, scope: str) -> None:
    others = {"proxy", "cache:read", "cache:write", "cache:purge", "stats:read"} - {scope}

    assert key_with(scope)(method, f"/v1/cache/blocklist{path}", {"query": "a"}).status != 403
    assert key_with(*others)(method, f"/v1/cache/blocklist{path}", {"query": "a"}).status == 403


@pytest.mark.parametrize("who", ["outsider", "sibling"])
def test_a_list_is_its_projects_own(api: Api, who: str, request: pytest.FixtureRequest) -> None:
    number = block(api)["id"]
    other: Api = request.getfixturevalue(who)

    assert other.chat(LISTED).status == 200
    assert listed(other) == []
    assert other.post("/v1/cache/blocklist/check", {"query": LISTED}).json == {"match": None}
    assert other.delete(f"/v1/cache/blocklist/{number}").status == 404
    assert other.post(f"/v1/cache/blocklist/{number}/false-positive").status == 404
    block(other)
    assert other.chat(LISTED).status == 403
    assert len(listed(api)) == 1


def test_nothing_that_was_said_lies_open_in_the_database(api: Api, cast: Cast) -> None:
    from cache_api.models import BlocklistEntry
    from tenants.isolation import as_tenant

    block(api, reason="dangerous", metadata={"ticket": "T-7"})

    with as_tenant(cast.owner.tenant_id):
        row = BlocklistEntry.objects.get()
    told = " ".join(str(bytes(value) if isinstance(value, memoryview) else value) for value in vars(row).values())
    assert not any(secret in told for secret in ("bomb", "dangerous", "T-7"))


def test_a_listed_question_that_ran_out_is_swept_away(api: Api, cast: Cast) -> None:
    from django.utils import timezone

    from cache_api import maintenance
    from cache_api.models import BlocklistEntry
    from tenants.isolation import as_tenant

    block(api)

    assert maintenance.expire(timezone.now()) == 0
    assert maintenance.expire(timezone.now() + timedelta(days=31)) == 1
    with as_tenant(cast.owner.tenant_id):
        assert not BlocklistEntry.objects.exists()
