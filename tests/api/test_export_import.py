"""Do all entries leave a project whole, and come back, here or elsewhere, once each?"""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from tests.api.conftest import Answer, Api
from tests.api.test_entries import ENTRIES, listed, put, questions
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

EXPORT = "/v1/cache/export"
LINES = "application/x-ndjson"
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "So."}, "finish_reason": "stop"}]}


def exported(api: Api, **query: Any) -> list[Any]:
    answer = api.get(EXPORT, urlencode(query))
    assert (answer.status, answer.headers["content-type"]) == (200, LINES), answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def send(api: Api, *lines: Any, **headers: str) -> Answer:
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return api("POST", ENTRIES, raw=raw, content_type=LINES, **headers)


def imported(api: Api, *lines: Any, **headers: str) -> Any:
    """What the job says when it is done."""
    sent = send(api, *lines, **headers)
    assert sent.status == 202, sent.body
    path = f"/v1/cache/jobs/{sent.json['job_id']}"
    assert api.get(path).json["status"] == "queued"
    work()
    told = api.get(path).json
    assert told["status"] == "done"
    return told


def work() -> None:
    """What the default worker does."""
    from cache_api import jobs

    while found := jobs.unfinished(timezone.now()):
        for tenant_id, job_id in found:
            jobs.run(tenant_id, job_id)


def fill(embedder: FixedEmbedder) -> int:
    from cache_api import maintenance

    return maintenance.fill_vectors(embedder, timezone.now())


def purge(api: Api) -> None:
    assert api.post("/v1/cache/purge", {"all": True}).status == 200


# -- export


def test_an_export_holds_entry_request_and_response(api: Api, embedder: FixedEmbedder) -> None:
    bought = api.chat("Who made it?", temperature=0.2, user="somebody", stream=False)
    (line,) = exported(api)
    assert line["cache_key"] == bought.headers["x-cacheai-cache-key"]
    messages = [{"role": "user", "content": "Who made it?"}]
    assert line["request"] == {"model": "demo-small", "messages": messages, "temperature": 0.2}
    assert line["response"]["choices"] == bought.json["choices"]
    assert (line["question"], line["source"], line["status"]) == ("Who made it?", "proxied", "live")
    assert (line["embedder"], line["bound"]) == (embedder.version, False)


def test_as_json_it_is_one_list(api: Api) -> None:
    assert api.get(EXPORT, "format=json").json == {"object": "list", "data": []}
    put(api, "One?")
    put(api, "Two?")
    answer = api.get(EXPORT, "format=json")
    assert answer.headers["content-type"] == "application/json"
    assert questions(answer.json) == ["One?", "Two?"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"namespace": "a"}, ["One?"]),
        ({"tag": "x"}, ["One?", "Two?"]),
        ({"depends_on": "doc:42"}, ["One?", "Two?"]),
        ({"depends_on": "doc:42@8"}, ["Two?"]),
        ({"model": "demo-large"}, ["Three?"]),
        ({"provider": "openai"}, []),
        ({"source": "proxied"}, []),
        ({"status": "live"}, ["One?", "Two?", "Three?"]),
        ({"status": "expired"}, []),
        ({"created_after": "2099-01-01T00:00:00Z"}, []),
        ({"created_before": "2099-01-01T00:00:00Z", "limit": 2}, ["One?", "Two?"]),
        ({"writer": uuid4()}, []),
    ],
)
def test_it_takes_the_filters_of_the_list(api: Api, query: Any, found: list[str]) -> None:
    put(api, "One?", namespace="a", tags=["x"], depends_on=["doc:42@7"])
    put(api, "Two?", tags=["x"], depends_on=["doc:42@8"])
    put(api, "Three?", model="demo-large")
    assert [line["question"] for line in exported(api, **query)] == found


def test_it_goes_on_page_after_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api.adapters import catalogue

    monkeypatch.setattr(catalogue, "EXPORTED_AT_A_TIME", 2)
    monkeypatch.setattr(catalogue, "EXPORTED_BYTES", 1)
    asked = [f"Question {number}?" for number in range(5)]
    for question in asked:
        put(api, question)
    assert [line["question"] for line in exported(api)] == asked
    assert [line["question"] for line in exported(api, limit=3)] == asked[:3]


def test_no_connection_is_held_while_a_caller_reads_slowly(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connections

    from cache_api.adapters import catalogue
    from cache_api.adapters.catalogue import Filters, Place

    monkeypatch.setattr(catalogue, "EXPORTED_AT_A_TIME", 1)
    put(api, "One?")
    put(api, "Two?")
    (line, _) = exported(api)
    with_them = Place(tenant_of(line, api), UUID(line["project_id"]))
    entries = catalogue.every(with_them, Filters(), now=timezone.now(), limit=None)
    seen = [next(entries), next(entries)]
    assert connections["default"].connection is None
    assert [one.entry.model for one in seen] == ["demo-small"] * 2


def tenant_of(line: Any, api: Api) -> UUID:
    from tenants import api_keys

    (known,) = api_keys.keys_matching(api.key)
    return known.tenant_id


@pytest.mark.parametrize("query", ["format=xml", "status=gone", "limit=0", "writer=me", "created_after=yesterday"])
def test_a_bad_export_is_refused_before_its_first_byte(api: Api, query: str) -> None:
    answer = api.get(EXPORT, query)
    assert (answer.status, answer.json["error"]["param"]) == (400, query.partition("=")[0])


# -- there and back


def test_what_was_exported_comes_back_as_it_was(api: Api, embedder: FixedEmbedder) -> None:
    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    api.chat("Who made it?", headers={"X_CACHEAI_TAGS": "faq", "X_CACHEAI_NAMESPACE": "n"})
    put(api, "What is it?", tags=["a", "b"], depends_on=["doc:1@2"], ttl="1h")
    api.put("/v1/cache/my:key", {"value": {"a": [1]}, "model": "m", "team": "blue"})
    api.put("/v1/cache/nothing", {"value": None})
    before = exported(api)
    purge(api)
    told = imported(api, *before)
    assert (told["total"], told["done"], told["rejected"], told["errors"]) == (4, 4, 0, [])

    after = {line["cache_key"]: line for line in exported(api)}
    assert after.keys() == {line["cache_key"] for line in before}
    unchanged = ("question", "request", "response", "answer", "tags", "depends_on", "namespace", "expires_at", "usage")
    for line in before:
        back = after[line["cache_key"]]
        assert [back.get(name) for name in unchanged] == [line.get(name) for name in unchanged]
        assert (back["created_at"], back["cost_usd"]) == (line["created_at"], line["cost_usd"])
        assert back["source"] == ("keyed" if line["source"] == "keyed" else "import")
    assert api.get("/v1/cache/my:key").json["metadata"] == {"team": "blue"}
    in_n = {"X_CACHEAI_NAMESPACE": "n"}
    assert api.chat("Who made it?", headers=in_n).headers["x-cacheai-reason"] == "exact"

    asked = len(embedder.asked)
    assert fill(embedder) == 2
    assert embedder.asked[asked:] == ["ready"]  # its vector was in the file
    assert api.chat("Who built it?", headers=in_n).headers["x-cacheai-reason"] == "similar"


def test_run_twice_it_doubles_nothing_and_moves_nothing(api: Api, embedder: FixedEmbedder) -> None:
    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    put(api, "Who made it?", tags=["x"])
    lines = exported(api)
    before = listed(api)["data"]
    for _ in range(2):
        assert imported(api, *lines, *lines)["done"] == 2
    assert listed(api)["data"] == before
    assert api.chat("Who built it?").headers["x-cacheai-reason"] == "similar"


def test_an_edited_line_takes_the_entry_s_place(api: Api, embedder: FixedEmbedder) -> None:
    put(api, "Who made it?", "We did.")
    (line,) = exported(api)
    line["response"]["choices"][0]["message"]["content"] = "They did."
    imported(api, {**line, "tags": ["edited"]})
    (entry,) = listed(api, include="answer")["data"]
    assert (entry["answer"], entry["tags"], entry["cache_key"]) == ("They did.", ["edited"], line["cache_key"])
    assert api.chat("Who made it?").json["choices"][0]["message"]["content"] == "They did."


def test_another_project_takes_it_in_under_its_own_keys(api: Api, outsider: Api, embedder: FixedEmbedder) -> None:
    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    key = put(api, "Who made it?", "We did.", system="Be brief.", params={"temperature": 0})
    api.chat("Where are you?")
    api.put("/v1/cache/mine", {"value": 1})
    lines = exported(api)
    assert imported(outsider, *lines)["done"] == 3
    assert outsider.get(f"/v1/cache/{key}").status == 404
    assert outsider.chat("Where are you?").headers["x-cacheai-reason"] == "exact"
    assert outsider.get("/v1/cache/mine").json["answer"] == 1
    fill(embedder)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who built it?"}]
    body = {"model": "demo-small", "messages": messages, "temperature": 0}
    assert outsider.post("/v1/chat/completions", body).headers["x-cacheai-reason"] == "similar"


def test_another_project_counts_its_tokens_as_they_were_counted(api: Api, outsider: Api) -> None:
    """Also where the answer itself does not tell: they are not estimated anew."""
    counted = {"prompt_tokens": 700, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 500}}
    put(api, "Who made it?", "We did.", usage=counted)
    (line,) = exported(api)
    del line["response"]["usage"]
    imported(outsider, line)
    (there,) = exported(outsider)
    assert (there["usage"]["in_total"], there["usage"]["in_cached"], there["usage"]["out_total"]) == (700, 500, 9)
    assert there["usage"] == line["usage"]


def test_vectors_make_way_for_work_that_somebody_waits_for(api: Api, embedder: FixedEmbedder) -> None:
    from cache_api import jobs, maintenance

    put(api, "Who made it?")
    lines = exported(api)
    purge(api)
    imported(api, *lines)
    send(api, *lines)
    assert jobs.some_wait()
    assert maintenance.fill_vectors(embedder, timezone.now(), others_wait=jobs.some_wait) == 0
    work()
    assert maintenance.fill_vectors(embedder, timezone.now(), others_wait=jobs.some_wait) == 1


def test_what_belongs_to_an_end_user_stays_theirs(api: Api, outsider: Api) -> None:
    as_ann = {"X_CACHEAI_END_USER": "ann"}
    key = api.chat("What do I owe?", headers=as_ann).headers["x-cacheai-cache-key"]
    with_own_key = {"X_CACHEAI_BACKEND_API_KEY": "sk-own"}
    api.chat("And what else?", headers=with_own_key)
    lines = exported(api)
    assert [line["bound"] for line in lines] == [True, True]

    told = imported(outsider, *lines)
    assert (told["done"], told["rejected"]) == (0, 2)
    assert "belongs to an end user" in told["errors"][0]["reason"]

    purge(api)
    assert imported(api, {**lines[0], "question": "Anything?"}, lines[1])["rejected"] == 1
    assert imported(api, *lines)["done"] == 2
    assert api.chat("What do I owe?", headers=as_ann).headers["x-cacheai-cache-key"] == key
    assert api.chat("What do I owe?").headers["x-cacheai-decision"] == "miss"
    assert api.chat("And what else?", headers=with_own_key).headers["x-cacheai-reason"] == "exact"


def test_headers_of_the_upload_hold_for_every_line(api: Api) -> None:
    put(api, "Who made it?", tags=["old"], namespace="a", ttl="3d")
    lines = exported(api)
    purge(api)
    imported(api, *lines, X_CACHEAI_NAMESPACE="b", X_CACHEAI_TAGS="new", X_CACHEAI_TTL="60")
    (entry,) = listed(api)["data"]
    assert (entry["namespace"], entry["tags"]) == ("b", ["new", "old"])
    assert datetime.fromisoformat(entry["expires_at"]) <= datetime.now(UTC) + timedelta(seconds=60)
    in_b = {"X_CACHEAI_NAMESPACE": "b"}
    assert api.chat("Who made it?", headers=in_b).headers["x-cacheai-reason"] == "exact"


# -- other lines


def test_the_fields_of_a_put_and_another_system_s_rows_are_lines_too(api: Api) -> None:
    row = {
        "key": "0" * 64,
        "provider": "demo",
        "model": "demo-small",
        "endpoint": "chat.completions",
        "request_data": {"model": "demo-small", "messages": [{"role": "user", "content": "Two?"}], "stream": False},
        "response_data": ANSWER,
        "response_text": "So.",
        "created_at": "2026-01-01T00:00:00",
        "expires_at": None,
        "status": "completed",
    }
    only_text = {**row, "request_data": {"messages": [{"role": "user", "content": "Three?"}]}, "response_data": None}
    put_fields = {"question": "One?", "answer": "Yes.", "model": "demo-small", "tags": "a,b"}
    assert imported(api, put_fields, row, only_text)["done"] == 3
    assert [api.chat(asked).headers["x-cacheai-reason"] for asked in ("One?", "Two?", "Three?")] == ["exact"] * 3
    assert [entry["source"] for entry in listed(api)["data"]] == ["import"] * 3


BROKEN = [
    (b"{", "no JSON"),
    (b"[1]", "an object"),
    ({"question": "A?", "model": "demo-small"}, "Field required: answer"),
    ({"question": "A?", "model": "demo-small", "answer": " "}, "answer must not be empty"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "endpoint": "images"}, "endpoint must be one of"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "tags": ["x" * 65]}, "tags"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "namespace": "a\0"}, "namespace"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "provider": "nobody"}, "nobody"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "provider": 5}, "provider must be a string"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "ttl": "soon"}, "ttl"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "expires_at": "soon"}, "expires_at must be a time"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "expires_at": "2020-01-01T00:00:00Z"}, "it expired"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "metadata": [1]}, "metadata must be an object"),
    ({"question": "A?", "answer": "B", "model": "demo-small", "metadata": {"a": "\0"}}, "without NUL"),
    ({"question": "What is the weather today?", "answer": "B", "model": "demo-small"}, "bypass the cache: volatile"),
    ({"question": "A?", "answer": "x" * 1_100_000, "model": "demo-small"}, "over 1 MiB"),
    ({"endpoint": "keyed", "answer": 1}, "cache_key must be"),
    ({"endpoint": "keyed", "cache_key": "a"}, "Field required: answer"),
    ({"request": "x", "response": ANSWER}, "Field required: request"),
    ({"request": {"model": "demo-small", "messages": []}, "response": ANSWER}, "messages must be an array"),
]


@pytest.mark.parametrize(
    "header", [{"X-CacheAI-TTL": "soon"}, {"X-CacheAI-Tags": "x" * 65}, {"X-CacheAI-Namespace": "n" * 129}]
)
def test_a_header_that_holds_for_no_line_is_refused_before_any_is_taken(api: Api, header: dict[str, str]) -> None:
    refused = send(api, {"question": "Good?", "answer": "Yes.", "model": "demo-small"}, **header)
    assert (refused.status, refused.json["error"]["code"]) == (400, "invalid_control")
    (name,) = header
    assert refused.json["error"]["param"].lower() == name.lower()


def test_broken_lines_are_told_by_number_and_the_good_ones_are_in(api: Api) -> None:
    good = {"question": "Good?", "answer": "Yes.", "model": "demo-small"}
    lines = [line for broken, _ in BROKEN for line in (b"", broken)]
    told = imported(api, *lines, {**good, "question": "First?"}, good)
    assert (told["total"], told["done"], told["rejected"]) == (len(BROKEN) + 2, 2, len(BROKEN))
    assert [error["line"] for error in told["errors"]] == [2 * place for place in range(1, len(BROKEN) + 1)]
    for error, (_, wanted) in zip(told["errors"], BROKEN, strict=True):
        assert wanted in error["reason"]
    assert questions(listed(api, order="created")) == ["First?", "Good?"]


def test_a_finished_import_says_how_many_are_to_be_indexed_yet(api: Api, embedder: FixedEmbedder) -> None:
    line = {"answer": "Yes.", "model": "demo-small"}
    told = imported(api, {**line, "question": "Who made it?"}, {**line, "question": "What is it?"}, b"{")
    assert (told["done"], told["unindexed"]) == (2, 2)
    assert api.chat("Who made it?").headers["x-cacheai-reason"] == "exact"
    assert fill(embedder) == 2
    assert api.get(f"/v1/cache/jobs/{told['job_id']}").json["unindexed"] == 0


def test_errors_are_counted_beyond_those_that_are_kept(api: Api) -> None:
    told = imported(api, *[b"{"] * 150)
    assert (told["rejected"], len(told["errors"]), told["done"]) == (150, 100, 0)


VECTORS: list[tuple[str, Any]] = [
    ("of another embedder", {"embedder": "other"}),
    ("of other numbers", {"vector": b64encode(b"\x00\x3c" * 384).decode()}),
    ("no text", {"vector": 5}),
    ("missing", {"vector": None}),
]


@pytest.mark.parametrize("changes", [pytest.param(changes, id=name) for name, changes in VECTORS])
def test_a_vector_that_was_not_exported_so_is_made_anew(api: Api, embedder: FixedEmbedder, changes: Any) -> None:
    embedder.near["Who built it?"] = ("Who made it?", 0.98)
    put(api, "Who made it?")
    (line,) = exported(api)
    purge(api)
    imported(api, {**line, **changes})
    embedder.asked.clear()
    assert fill(embedder) == 1
    assert embedder.asked == ["ready", "Who made it?"]
    assert api.chat("Who built it?").headers["x-cacheai-reason"] == "similar"


# -- uploads


def test_an_empty_upload_is_refused(api: Api) -> None:
    for raw in b"", b"\n \n":
        assert send(api, raw).status == 400


def test_more_than_an_import_takes_is_refused_and_nothing_of_it_stays(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache_api import jobs
    from cache_api.models import Job
    from tenants.isolation import as_owner

    monkeypatch.setattr(jobs, "PART_BYTES", 10)
    line = {"question": "A?", "answer": "B", "model": "demo-small"}
    for name, limit in ("ENTRIES_MAX", 2), ("BYTES_MAX", 100), ("LINE_MAX_BYTES", 20):
        with monkeypatch.context() as patch:
            patch.setattr(jobs, name, limit)
            answer = send(api, line, line, line)
            assert (answer.status, answer.json["error"]["code"]) == (413, "request_too_large")
    with as_owner():
        assert not Job.objects.exists()


def test_an_upload_that_breaks_off_leaves_nothing(api: Api) -> None:
    from cache_api.models import Job
    from tenants.isolation import as_owner

    whole = json.dumps({"question": "A?"}).encode()
    assert api("POST", ENTRIES, raw=whole, content_type=LINES, declared=str(len(whole) + 5)).status == 400
    with as_owner():
        assert not Job.objects.exists()


def test_lines_are_numbered_across_parts(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api import jobs

    monkeypatch.setattr(jobs, "PART_BYTES", 64)
    lines = [{"question": f"Question {n}?", "answer": "B", "model": "demo-small"} for n in range(20)]
    lines[7] = lines[15] = {}
    told = imported(api, *lines)
    assert [error["line"] for error in told["errors"]] == [8, 16]
    assert told["done"] == 18


def _so(answer: str, **fields: Any) -> dict[str, Any]:
    return {"question": "Which one stays?", "answer": answer, "model": "demo-small", **fields}


def _answers(api: Api) -> list[tuple[str, list[str]]]:
    return [(line["answer"], line["tags"]) for line in exported(api)]


def test_of_equal_lines_the_last_one_stays_whoever_comes_first(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api import jobs
    from cache_api.adapters import jobs as kept
    from cache_api.imports import Importer

    monkeypatch.setattr(jobs, "PART_BYTES", 1)
    sent = send(api, _so("the first", tags=["a"]), _so("the last", tags=["b"]))
    now = timezone.now()
    ((tenant_id, job_id),) = jobs.unfinished(now)
    assert str(job_id) == sent.json["job_id"]
    job = kept.begin(tenant_id, job_id, now)
    assert job is not None
    parts = [kept.take_part(job, now) for _ in range(2)]
    for part in reversed(parts):
        assert part is not None
        taken, rejected = Importer(job).read(part)
        kept.part_done(job, part.number, taken, rejected, now)

    assert _answers(api) == [("the last", ["b"])]


def test_in_turn_the_last_one_stays_too_with_its_tags_alone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api import jobs

    monkeypatch.setattr(jobs, "PART_BYTES", 1)
    imported(api, _so("the first", tags=["a"]), _so("the last", tags=["b"]))
    assert _answers(api) == [("the last", ["b"])]


def test_what_was_stored_after_an_upload_stays(api: Api) -> None:
    imported(api, _so("of an earlier upload"))
    send(api, _so("of the upload", tags=["a"]))
    put(api, "Which one stays?", answer="stored since")
    work()
    assert _answers(api) == [("stored since", [])]


def test_what_waits_to_be_imported_is_sealed(api: Api) -> None:
    from cache_api.models import JobPart
    from tenants.isolation import as_owner

    send(api, {"question": "canary-question", "answer": "canary-answer", "model": "demo-small"})
    with as_owner():
        (part,) = JobPart.objects.all()
        assert b"canary" not in bytes(part.body)
    work()
    with as_owner():
        assert not JobPart.objects.exists()


# -- who may


def test_a_job_is_its_project_s_own(api: Api, outsider: Api, sibling: Api, key_with: Any) -> None:
    job_id = send(api, {"question": "A?", "answer": "B", "model": "demo-small"}).json["job_id"]
    path = f"/v1/cache/jobs/{job_id}"
    assert [caller.get(path).status for caller in (api, outsider, sibling)] == [200, 404, 404]
    assert api.get(f"/v1/cache/jobs/{uuid4()}").status == 404
    assert key_with("cache:write").get(path).status == 403
    assert key_with("cache:write").get(EXPORT).status == 403
    assert send(key_with("cache:read"), {}).status == 403


def test_an_export_shows_a_stranger_nothing(api: Api, outsider: Api, sibling: Api) -> None:
    put(api, "Who made it?")
    assert exported(outsider) == exported(sibling) == []


# -- purge


def test_a_large_purge_is_a_job(api: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api.adapters import catalogue
    from cache_api.http import entries

    monkeypatch.setattr(entries, "PURGED_AT_ONCE", 3)
    monkeypatch.setattr(catalogue, "DELETED_AT_A_TIME", 2)
    for number in range(5):
        put(api, f"Question {number}?", tags=["x"])
    put(api, "Kept?")
    selector = {"tag": "x", "writer": str(cast.owner.key_id), "older_than_days": 0}
    assert api.post("/v1/cache/purge", {**selector, "dry_run": True}).json["matched"] == 5
    asked = api.post("/v1/cache/purge", selector)
    assert asked.status == 202
    put(api, "Stored since?", tags=["x"])
    work()
    told = api.get(f"/v1/cache/jobs/{asked.json['job_id']}").json
    assert (told["status"], told["total"], told["done"]) == ("done", 5, 5)
    assert questions(listed(api)) == ["Stored since?", "Kept?"]
