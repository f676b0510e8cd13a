"""Do entries leave as lines of JSON and come in again, without ever all being held?"""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

import cacheai
from cacheai import _transfer

from .sdk_server import AsyncSide, Server, SyncSide

# A line separator of Unicode inside a text is no end of a line of JSON.
ENTRIES = [
    {
        "cache_key": f"{number}" * 64,
        "question": "Why?\u2028And how?",
        "created_at": "2026-03-01T12:00:00Z",
        "cost_usd": "0.00000096",
        "latency_ms": 12,
        "expires_at": None,
        "request": {"model": "m"},
        "response": {"id": "r", "n": 0.1},
        "vector": "AAAA",
    }
    for number in range(3)
]
LINES = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in ENTRIES).encode()
DONE = {"status": "done", "total": 3, "done": 3, "rejected": 0, "errors": [], "unindexed": 2}


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> SyncSide:
    return request.param(Server())


def exported(side: SyncSide, **filters: Any) -> list[cacheai.Entry]:
    entries = side.client().cache.export(**filters)
    if not isinstance(side, AsyncSide):
        return list(entries)

    async def read() -> list[cacheai.Entry]:
        return [entry async for entry in entries]

    return asyncio.run(read())


def jsonl(body: bytes = LINES) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "application/x-ndjson"}, content=body)


@pytest.mark.parametrize("body", [LINES, LINES.rstrip(b"\n"), LINES.replace(b"\n", b"\n\n")])
def test_an_export_gives_every_entry_with_its_types(side: SyncSide, body: bytes) -> None:
    side.server.answers = [jsonl(body)]
    entries = exported(side, tag="faq", created_after=datetime(2026, 3, 1, tzinfo=UTC), limit=3)

    assert [entry.cache_key for entry in entries] == [entry["cache_key"] for entry in ENTRIES]
    assert entries[0].created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert entries[0].model_extra == {"request": {"model": "m"}, "response": {"id": "r", "n": 0.1}, "vector": "AAAA"}
    (request,) = side.server.asked
    assert (request.method, request.url.path) == ("GET", "/v1/cache/export")
    assert dict(request.url.params) == {
        "tag": "faq",
        "created_after": "2026-03-01T00:00:00+00:00",
        "limit": "3",
        "format": "jsonl",
    }


def test_an_entry_that_was_exported_is_written_as_it_came(side: SyncSide) -> None:
    side.server.answers = [jsonl()]
    assert [json.loads(entry.to_json()) for entry in exported(side)] == ENTRIES


def test_an_entry_of_tomorrow_is_taken_as_it_is(side: SyncSide) -> None:
    odd = {**ENTRIES[0], "hits": "many"}
    side.server.answers = [jsonl(json.dumps(odd).encode())]
    (entry,) = exported(side)
    assert json.loads(entry.to_json(warnings=False)) == odd


def test_an_export_that_is_refused_or_no_export_says_so(side: SyncSide) -> None:
    side.server.refuse(403, "insufficient_scope")
    with pytest.raises(cacheai.PermissionDeniedError):
        exported(side)

    for not_ours in ({"text": "<html>"}, {"json": {}}, {"json": []}):
        side.server.answers = [httpx2.Response(200, **not_ours)]
        with pytest.raises(cacheai.CacheError, match="base_url"):
            exported(side)


def test_an_export_that_breaks_off_is_an_error_and_no_short_export() -> None:
    class Broken(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield LINES
            raise httpx2.RemoteProtocolError("peer closed connection")

    client = cacheai.Client(
        api_key="ca-x",
        http_client=httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Broken()))),
    )
    entries = client.cache.export()
    assert [next(entries).cache_key for _ in ENTRIES] == [entry["cache_key"] for entry in ENTRIES]
    with pytest.raises(cacheai.ConnectionError, match="broke off"):
        next(entries)


def sources(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "entries.jsonl"
    path.write_bytes(LINES)
    return {
        "path": path,
        "text of a path": str(path),
        "open file": io.BytesIO(LINES),
        "open text": io.StringIO(LINES.decode(), newline="\n"),
        "mappings": ENTRIES,
        "entries": [cacheai.Entry.construct(**entry) for entry in ENTRIES],
        "lines": LINES.decode().split("\n")[:-1],
    }


KINDS = ["path", "text of a path", "open file", "open text", "mappings", "entries", "lines"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_load_sends_lines_of_json_and_waits_for_them(side: SyncSide, tmp_path: Path, kind: str) -> None:
    side.server.answers = [{"job_id": "j1"}, {"status": "running", "total": 3, "done": 1}, DONE]
    job = side.get(side.client().cache.load(sources(tmp_path)[kind], namespace="docs", tags=["a", "b"], ttl="2h"))

    assert (job.status, job.total, job.done, job.rejected, job.unindexed) == ("done", 3, 3, 0, 2)
    assert side.server.paths == [
        ("POST", "/v1/cache/entries"),
        ("GET", "/v1/cache/jobs/j1"),
        ("GET", "/v1/cache/jobs/j1"),
    ]
    put = side.server.asked[0]
    assert put.headers["content-type"] == "application/x-ndjson"
    assert side.server.headers(0) == {
        "x-cacheai-namespace": "docs",
        "x-cacheai-tags": "a,b",
        "x-cacheai-ttl": "2h",
    }
    assert [json.loads(line) for line in put.content.split(b"\n")[:-1]] == ENTRIES


def test_a_long_load_goes_in_parts_and_counts_lines_from_the_first(
    side: SyncSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_transfer, "PART_MAX_BYTES", 600)
    side.server.answers = [
        {"job_id": "j1"},
        {"job_id": "j2"},
        {"status": "done", "total": 2, "done": 2, "rejected": 0},
        {"status": "done", "total": 1, "done": 0, "rejected": 1, "errors": [{"line": 1, "reason": "no answer"}]},
    ]
    job = side.get(side.client().cache.load(ENTRIES))

    assert [request.content.count(b"\n") for request in side.server.asked[:2]] == [2, 1]
    assert (job.status, job.total, job.done, job.rejected) == ("done", 3, 2, 1)
    assert [(error.line, error.reason) for error in job.errors] == [(3, "no answer")]


def test_a_failed_part_makes_a_failed_load(side: SyncSide) -> None:
    side.server.answers = [{"job_id": "j1"}, {"status": "failed", "done": 1}]
    assert side.get(side.client().cache.load(ENTRIES)).status == "failed"


def test_nothing_to_load_is_done_at_once(side: SyncSide) -> None:
    job = side.get(side.client().cache.load([]))
    assert (job.status, job.total) == ("done", 0)
    assert side.server.asked == []


def test_an_async_load_takes_an_async_export() -> None:
    async def copied() -> cacheai.Job:
        async def entries() -> AsyncIterator[dict[str, Any]]:
            for entry in ENTRIES:
                yield entry

        server.answers = [{"job_id": "j1"}, DONE]
        return await AsyncSide(server).client().cache.load(entries())

    server = Server()
    assert asyncio.run(copied()).done == 3
    assert server.asked[0].content.count(b"\n") == 3


def test_a_job_can_be_looked_at(side: SyncSide) -> None:
    side.server.answers = [DONE]
    assert side.get(side.client().cache.job("j1")).status == "done"
    with pytest.raises(cacheai.ValidationError, match="id of a job"):
        side.get(side.client().cache.job("../stats"))
