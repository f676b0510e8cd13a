"""A CacheAI for the command to talk to without a socket: it holds entries, and refuses what the real one would."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
from openai import DefaultHttpxClient

from cacheai import Client

KEY = "ca-000A7dl5PEW67zZCpFU9uKaHnGgOvQKAR2D5xqf"  # no-real-key
BASE_URL = "https://cache.example.com/v1"
FILTERS = {"provider", "model", "namespace", "tag"}
LISTED = FILTERS | {"q", "status", "limit", "offset", "cursor"}
SELECTORS = FILTERS | {"keys", "expired", "all", "older_than_days", "writer", "depends_on"}
LOOKED_UP = {"question", "model", "provider", "system", "similarity_threshold", "limit", "include_answer"}
PAGE_MAX = 200
BROKEN_TOLD = 100


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Lines(httpx2.SyncByteStream):
    """A body that comes line by line, and may break off after some of them."""

    def __init__(self, lines: list[bytes], breaks_after: int | None) -> None:
        self.lines, self.breaks_after = lines, breaks_after

    def __iter__(self) -> Iterator[bytes]:
        for number, line in enumerate(self.lines):
            if number == self.breaks_after:
                raise httpx2.RemoteProtocolError("peer closed connection without sending complete message body")
            yield line + b"\n"


@dataclass
class CommandServer:
    entries: list[dict[str, Any]] = field(default_factory=list)
    blocked: dict[int, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    unindexed: int = 0
    scopes: set[str] = field(
        default_factory=lambda: {"proxy", "cache:read", "cache:write", "cache:purge", "stats:read"}
    )
    degraded: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=lambda: ["gpt-5", "gpt-5-mini"])
    provider_error: tuple[int, str] | None = None
    ahead: timedelta = timedelta()
    export_breaks_after: int | None = None
    purges_later: bool = False
    down: Exception | httpx2.Response | None = None  # what comes in the place of an answer
    speaks: bool = True
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def connect(self, **options: Any) -> Client:
        http_client = DefaultHttpxClient(transport=httpx2.MockTransport(self.handle))
        options["base_url"] = options.get("base_url") or BASE_URL
        return Client(**{"max_retries": 0, **options, "http_client": http_client})

    def hold(self, count: int, **more: Any) -> None:
        for _ in range(count):
            number = len(self.entries)
            self.entries.append(entry(f"{number:064x}", question=f"Question {number}?", **more))

    @property
    def keys(self) -> list[str]:
        return [one["cache_key"] for one in self.entries]

    # -- the wire

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        if isinstance(self.down, httpx2.Response):
            return self.down
        if self.down is not None:
            raise self.down
        if not self.speaks:
            return httpx2.Response(200, html="<h1>Welcome</h1>")
        try:
            answer = self._answer(request)
        except Refused as refused:
            error = {"message": str(refused), "type": "any", "param": None, "code": refused.code}
            answer = httpx2.Response(refused.status, json={"error": error})
        told = answer if isinstance(answer, httpx2.Response) else httpx2.Response(200, json=answer)
        told.headers["date"] = format_datetime(datetime.now(UTC) + self.ahead, usegmt=True)
        told.headers["x-cacheai-request-id"] = "req_1"
        return told

    def _answer(self, request: httpx2.Request) -> Any:
        path = request.url.path
        if path == "/readyz":
            return {"status": "ready", "degraded": self.degraded}
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refused(401, "invalid_api_key", "Invalid or missing API key")
        if not path.startswith("/v1/"):
            raise Refused(404, "not_found", "There is nothing here.")
        params = dict(request.url.params)
        content_type = request.headers.get("content-type", "")
        body = json.loads(request.read() or b"{}") if content_type == "application/json" else request.read()
        self.asked.append((request.method, path.removeprefix("/v1"), body if request.method == "POST" else params))
        match request.method, path.removeprefix("/v1").split("/")[1:]:
            case "GET", ["models"]:
                return self._models()
            case "GET", ["cache", "stats"]:
                return self._stats(params)
            case "GET", ["cache", "entries"]:
                return self._list(params)
            case "POST", ["cache", "entries"]:
                return self._load(request, body) if content_type == "application/x-ndjson" else self._put(body)
            case "GET", ["cache", "export"]:
                return self._export(params)
            case "POST", ["cache", "purge"]:
                return self._purge(body)
            case "POST", ["cache", "lookup"]:
                return self._lookup(body)
            case "POST", ["backtest"]:
                return self._backtest(body)
            case "GET", ["cache", "jobs", job]:
                return self.jobs[job]
            case method, ["cache", "blocklist", *rest]:
                return self._blocklist(method, rest, body, params)
            case "GET", ["cache", key]:
                return self._found(key)
            case "DELETE", ["cache", key]:
                self.entries.remove(self._found(key))
                return {"cache_key": key, "deleted": True}
        raise Refused(404, "not_found", "There is nothing here.")

    def _models(self) -> Any:
        if self.provider_error:
            raise Refused(*self.provider_error, "The provider's own words.")
        return {"object": "list", "data": [{"id": name} for name in self.models]}

    def _stats(self, params: dict[str, Any]) -> Any:
        self._require("stats:read")
        if "since" in params:
            assert datetime.fromisoformat(params["since"]).tzinfo
        spent = {"count": 3, "total_cost": "0.0012", "total_tokens": 90}
        return {
            "hits": 2,
            "misses": 1,
            "total_lookups": 3,
            "hit_rate": 2 / 3,
            "entries": len(self.entries),
            "embedder": "minilm",
            "total_cost_saved_usd": "0.0034",
            "total_tokens_saved": 1500,
            "unpriced": 0,
            "oldest_entry": None,
            "newest_entry": None,
            "decisions": {"hit": 2, "miss": 1},
            "provider_stats": {"openai": spent},
            "model_stats": {"gpt-5": spent},
            "feedback": {"right": 1, "wrong": 0},
        }

    def _list(self, params: dict[str, Any]) -> Any:
        self._require("cache:read")
        _refuse_unknown(params, LISTED)
        limit, offset = int(params.get("limit", 50)), int(params.get("cursor", params.get("offset", 0)))
        if not 1 <= limit <= PAGE_MAX:
            raise Refused(400, "invalid_request", f"limit: at most {PAGE_MAX}")
        fitting = [one for one in self.entries if _fits(one, params)]
        if "status" in params:
            fitting = [one for one in fitting if one["status"] == params["status"]]
        more = len(fitting) > offset + limit
        page = fitting[offset : offset + limit]
        next_cursor = str(offset + limit) if more else None
        return {"object": "list", "data": page, "has_more": more, "next_cursor": next_cursor}

    def _put(self, body: dict[str, Any]) -> Any:
        self._require("cache:write")
        key = f"{len(self.entries):064x}"
        self.entries.append(entry(key, question=body["question"], model=body["model"]))
        return httpx2.Response(201, json={"cache_key": key, "status": "created"})

    def _load(self, request: httpx2.Request, body: bytes) -> Any:
        self._require("cache:write")
        errors = []
        for number, line in enumerate(body.splitlines(), 1):
            try:
                row = json.loads(line)
            except ValueError:
                errors.append({"line": number, "reason": "This is no JSON."})
                continue
            namespace = request.headers.get("x-cacheai-namespace", "")
            if row["cache_key"] not in self.keys:
                self.entries.append({**row, "namespace": row.get("namespace") or namespace})
        job = f"job{len(self.jobs)}"
        total = len(body.splitlines())
        told = {"status": "done", "total": total, "done": total, "rejected": len(errors), "errors": errors}
        self.jobs[job] = {**told, "unindexed": self.unindexed}
        return httpx2.Response(202, json={"job_id": job})

    def _backtest(self, body: bytes) -> Any:
        self._require("cache:read")
        lines = [(number, line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
        broken = [number for number, line in lines if not line.startswith(b"{")]
        tried = len(lines) - len(broken)
        result = {"questions": tried, "looked_up": tried, "unpriced": tried, "settings": [], "borderline": []}
        told = {"status": "done", "total": len(lines), "done": len(lines), "rejected": len(broken)}
        errors = [{"line": number, "reason": "This is no JSON."} for number in broken]
        self.jobs["backtest"] = {**told, "result": {**result, "errors": errors[:BROKEN_TOLD]}}
        return httpx2.Response(202, json={"job_id": "backtest"})

    def _export(self, params: dict[str, Any]) -> Any:
        self._require("cache:read")
        _refuse_unknown(params, FILTERS | {"format", "limit"})
        lines = [json.dumps(one).encode() for one in self.entries if _fits(one, params)]
        headers = {"content-type": "application/x-ndjson"}
        return httpx2.Response(200, headers=headers, stream=Lines(lines, self.export_breaks_after))

    def _purge(self, body: dict[str, Any]) -> Any:
        self._require("cache:purge")
        dry_run = body.pop("dry_run", False)
        _refuse_unknown(body, SELECTORS)
        if not body:
            raise Refused(400, "invalid_request", "Say which entries.")
        gone = [one for one in self.entries if _fits(one, body) and one["cache_key"] in body.get("keys", self.keys)]
        if body.get("expired"):
            gone = [one for one in gone if one["status"] == "expired"]
        if dry_run:
            return {"matched": len(gone), "deleted": 0, "dry_run": True}
        self.entries = [one for one in self.entries if one not in gone]
        if self.purges_later:
            self.jobs["late"] = {"status": "done", "total": len(gone), "done": len(gone), "rejected": 0, "errors": []}
            return httpx2.Response(202, json={"job_id": "late"})
        return {"matched": len(gone), "deleted": len(gone), "dry_run": False}

    def _lookup(self, body: dict[str, Any]) -> Any:
        self._require("cache:read")
        _refuse_unknown(body, LOOKED_UP)
        hits = [one for one in self.entries if one["question"] == body["question"]]
        told = {"layer": None, "threshold": 0.9, "timings_ms": {"embed": 4, "lookup": 1, "total": 6}}
        near = {"cache_key": "b" * 64, "question": "Another question?", "age": 5, "ttl": None}
        if hits:
            candidate = {**near, "cache_key": hits[0]["cache_key"], "similarity": 1.0, "accepted": True, "reason": None}
            answer = hits[0]["answer"]
            return {**told, "decision": "hit", "reason": "exact", "answer": answer, "candidates": [candidate]}
        refused = {**near, "similarity": 0.7123, "accepted": False, "reason": "floor"}
        return {**told, "decision": "miss", "reason": "below_threshold", "candidates": [refused]}

    def _blocklist(self, method: str, rest: list[str], body: Any, params: dict[str, Any]) -> Any:
        match method, rest:
            case "POST", []:
                self._require("cache:write")
                _refuse_unknown(body, {"query", "reason", "category", "severity"})
                for number, one in self.blocked.items():
                    if one["query"] == body["query"]:
                        return {"id": number, "created": False}
                number = len(self.blocked) + 1
                self.blocked[number] = {"id": number, "category": "general", "severity": 1, "hit_count": 0, **body}
                return {"id": number, "created": True}
            case "POST", ["check"]:
                for one in self.blocked.values():
                    if one["query"] == body["query"]:
                        return {"match": {**one, "similarity": 1.0}}
                return {"match": None}
            case "GET", []:
                _refuse_unknown(params, {"limit", "category"})
                category = params.get("category")
                found = [one for one in self.blocked.values() if category in (None, one["category"])]
                return {"object": "list", "data": found[: int(params["limit"])]}
            case (("DELETE" | "POST"), [number, *what]):
                if int(number) not in self.blocked:
                    raise Refused(404, "not_found", "There is no such blocked question.")
                if method == "POST" and what == ["false-positive"]:
                    return {"id": int(number), "false_positives": 1, "removed": False}
                del self.blocked[int(number)]
                return {"id": int(number), "deleted": True}
        raise Refused(404, "not_found", "There is nothing here.")

    def _found(self, key: str) -> dict[str, Any]:
        self._require("cache:read")
        for one in self.entries:
            if one["cache_key"] == key:
                return one
        raise Refused(404, "not_found", "There is no entry under this cache key.")

    def _require(self, scope: str) -> None:
        if scope not in self.scopes:
            raise Refused(403, "insufficient_scope", f"This API key lacks the scope {scope}.")


def entry(key: str, **more: Any) -> dict[str, Any]:
    return {
        "cache_key": key,
        "provider": "openai",
        "model": "gpt-5",
        "namespace": "",
        "tags": [],
        "status": "live",
        "hits": 0,
        "created_at": "2026-11-01T12:00:00+00:00",
        "answer": "Rayleigh.",
        "question": "Why?",
        **more,
    }


def _refuse_unknown(given: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(given.keys() - known):
        raise Refused(400, "invalid_request", f"{unknown[0]}: there is no such field")


def _fits(one: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if "tag" in wanted and wanted["tag"] not in one["tags"]:
        return False
    return all(one[name] == wanted[name] for name in ("provider", "model", "namespace") if name in wanted)
