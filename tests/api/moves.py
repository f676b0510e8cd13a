"""What can a team do over HTTP, and what does the clock do meanwhile?

MOVES is the table of the isolation tests: a path, a method or a task that is missing from it fails them. A new one is
a line there: a name, and what a team calls. Each is done with a small number that chooses among questions and among
what the team made before.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from cache_api import jobs
from tests.api.conftest import Answer, Api

# The first two mean the same to the embedder of these tests. Each team has them in words of its own, too.
QUESTIONS = ("How do I reset my password?", "How can I reset my password?", "What is the capital of France?")
NOBODYS_NUMBER = 999_999_999
NOBODYS_KEY = "f" * 64


@dataclass
class Team:
    """A tenant as its programs see it, and what they remember."""

    tenant_id: UUID
    project_id: UUID
    key_id: UUID
    api: Api
    canary: str
    cache_keys: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # of its blocklist
    jobs: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    made: dict[str, list[str]] = field(default_factory=dict)  # under other resources
    visited: set[tuple[str, str]] = field(default_factory=set)
    names: int = 0

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        self.visited.add((method, path))
        return self.api(method, path, body, **more)

    def question(self, n: int) -> str:
        """Half of them are anybody's, half say whose they are."""
        asked = QUESTIONS[n % len(QUESTIONS)]
        return asked if n % 2 else f"{asked} {self.canary}"

    def name(self) -> str:
        self.names += 1
        return f"{self.canary} {self.names}"

    def one_of(self, remembered: list[Any], n: int, otherwise: Any) -> Any:
        return remembered[n % len(remembered)] if remembered else otherwise


Move = Callable[[Team, int], Answer]


def _messages(team: Team, n: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": team.question(n)}]


def _prefix(n: int) -> str:
    return "/v1" if n % 4 else ""


def chat(team: Team, n: int) -> Answer:
    body = {"model": "demo-small", "messages": _messages(team, n), "stream": n % 3 == 0}
    marks = {"tags": [team.canary], "namespace": team.canary} if n % 5 == 0 else {}
    answer = team("POST", f"{_prefix(n)}/chat/completions", {**body, "cache": {**marks, "task": team.canary}})
    if key := answer.headers.get("x-cacheai-cache-key"):
        team.cache_keys.append(key)
    return answer


def responses(team: Team, n: int) -> Answer:
    return team("POST", f"{_prefix(n)}/responses", {"model": "demo-small", "input": team.question(n), "store": False})


def messages(team: Team, n: int) -> Answer:
    body = {"model": "demo-small", "max_tokens": 64, "messages": _messages(team, n)}
    return team("POST", f"{_prefix(n)}/messages", body, x_cacheai_backend_provider="demo")


def completions(team: Team, n: int) -> Answer:
    return team("POST", f"{_prefix(n)}/completions", {"model": "demo-small", "prompt": team.question(n)})


def embeddings(team: Team, n: int) -> Answer:
    texts = [team.question(n), team.question(n + 1)]
    return team("POST", f"{_prefix(n)}/embeddings", {"model": "demo-embedding", "input": texts})


def provider_models(team: Team, n: int) -> Answer:
    path = "/models/demo-small" if n % 2 else "/models"
    return team("GET", f"{_prefix(n // 2)}{path}", x_cacheai_backend_provider="demo")


def passed_through(team: Team, n: int) -> Answer:
    path = ("/v1/files/x", "/v1/messages/count_tokens", "/messages/count_tokens")[n % 3]
    method = ("POST", "GET", "DELETE")[n // 3 % 3]
    body = {"model": "demo-small"} if method == "POST" else None
    return team(method, path, body, x_cacheai_backend_provider="demo")


def query(team: Team, n: int) -> Answer:
    body = {"prompt": team.question(n), "model": "demo-small", "include_debug": True}
    return team("POST", "/v1/cache/query", body)


def trial(team: Team, n: int) -> Answer:
    body = {"project_id": str(team.project_id), "prompt": team.question(n), "model": "demo-small"}
    return team("POST", "/v1/cache/test", body)


def clear(team: Team, n: int) -> Answer:
    return team("POST", "/v1/cache/clear", {"older_than_hours": n % 2})


def project_stats(team: Team, n: int) -> Answer:
    return team("GET", f"/v1/cache/projects/{team.project_id}/stats")


def similar(team: Team, n: int) -> Answer:
    return team("GET", f"/v1/cache/projects/{team.project_id}/similar", query=f"query={team.question(n)}")


def lookup(team: Team, n: int) -> Answer:
    body = {"question": team.question(n), "model": "demo-small", "include_answer": True, "similarity_threshold": 0.7}
    return team("POST", "/v1/cache/lookup", body)


def entry_put(team: Team, n: int) -> Answer:
    entry = {"question": team.question(n), "model": "demo-small", "answer": f"Answered by {team.canary}"}
    body = {"entries": [entry, {**entry, "depends_on": [f"doc:{team.canary}"]}]} if n % 2 else entry
    answer = team("POST", "/v1/cache/entries", body)
    told = answer.json.get("results", [answer.json])
    team.cache_keys.extend(one["cache_key"] for one in told if one.get("cache_key"))
    return answer


def imported(team: Team, n: int) -> Answer:
    line = {"question": team.question(n), "model": "demo-small", "answer": f"Imported by {team.canary}"}
    raw = json.dumps(line).encode()
    answer = team("POST", "/v1/cache/entries", raw=raw, content_type="application/x-ndjson")
    if answer.status == 202:
        _finish(team, answer)
    return answer


def _finish(team: Team, answer: Answer) -> None:
    """At once, and so at the same moment in every world."""
    team.jobs.append(answer.json["job_id"])
    while jobs.run(team.tenant_id, UUID(answer.json["job_id"])):
        pass


def backtest(team: Team, n: int) -> Answer:
    answer = team("POST", "/v1/backtest", {"days": n + 1})
    if answer.status == 202:
        _finish(team, answer)
    return answer


def entries(team: Team, n: int) -> Answer:
    choices = (
        "include=answer",
        f"tag={team.canary}",
        f"q={team.question(n)}&include=answer",
        f"namespace={team.canary}",
        f"depends_on=doc:{team.canary}",
        "limit=1&order=created",
    )
    return team("GET", "/v1/cache/entries", query=choices[n % len(choices)])


def export(team: Team, n: int) -> Answer:
    return team("GET", "/v1/cache/export", query="format=json" if n % 2 else "")


def job(team: Team, n: int) -> Answer:
    return team("GET", f"/v1/cache/jobs/{team.one_of(team.jobs, n, uuid4())}")


def purge(team: Team, n: int) -> Answer:
    choices: tuple[Mapping[str, Any], ...] = (
        {"all": True},
        {"tag": team.canary},
        {"model": "demo-small", "dry_run": True},
        {"keys": [team.one_of(team.cache_keys, n, NOBODYS_KEY)]},
    )
    return team("POST", "/v1/cache/purge", choices[n % len(choices)])


def blocked(team: Team, n: int) -> Answer:
    body = {"query": f"Never {team.question(n)}", "reason": team.canary, "category": team.canary}
    answer = team("POST", "/v1/cache/blocklist", body)
    if "id" in answer.json:
        team.numbers.append(answer.json["id"])
    return answer


def blocklist(team: Team, n: int) -> Answer:
    return team("GET", "/v1/cache/blocklist")


def blocklist_check(team: Team, n: int) -> Answer:
    return team("POST", "/v1/cache/blocklist/check", {"query": f"Never {team.question(n)}"})


def unblocked(team: Team, n: int) -> Answer:
    return team("DELETE", f"/v1/cache/blocklist/{team.one_of(team.numbers, n, NOBODYS_NUMBER)}")


def false_positive(team: Team, n: int) -> Answer:
    return team("POST", f"/v1/cache/blocklist/{team.one_of(team.numbers, n, NOBODYS_NUMBER)}/false-positive")


def feedback(team: Team, n: int) -> Answer:
    verdict = "wrong" if n % 2 else "right"
    key = team.one_of(team.cache_keys, n, NOBODYS_KEY)
    return team("POST", "/v1/cache/feedback", {"cache_key": key, "verdict": verdict, "question": team.question(n)})


def stats(team: Team, n: int) -> Answer:
    return team("GET", "/v1/cache/stats")


def usage(team: Team, n: int) -> Answer:
    group = ("model", "key", "task", "decision")[n % 4]
    return team("GET", "/v1/usage", query=f"group_by={group}&bucket=day")


def calls(team: Team, n: int) -> Answer:
    return team("GET", "/v1/calls", query=("", "format=csv", f"task={team.canary}", "limit=1")[n % 4])


def price_put(team: Team, n: int) -> Answer:
    prices = {"cost_per_million_input_tokens": "1.5", "cost_per_million_output_tokens": f"{n}"}
    return team("PUT", "/v1/pricing", {"provider": "demo", "model": f"own-{team.canary}", **prices})


def price_delete(team: Team, n: int) -> Answer:
    return team("DELETE", "/v1/pricing", query=f"provider=demo&model=own-{team.canary}")


def prices(team: Team, n: int) -> Answer:
    return team("GET", "/v1/pricing")


def entry(team: Team, n: int) -> Answer:
    return team("GET", f"/v1/cache/{team.one_of(team.cache_keys, n, NOBODYS_KEY)}")


def entry_under_a_name(team: Team, n: int) -> Answer:
    """The same name in both teams."""
    return team("GET" if n % 2 else "DELETE", "/v1/cache/faq.refunds")


def entry_change(team: Team, n: int) -> Answer:
    if n % 2:
        return team("PUT", "/v1/cache/faq.refunds", {"value": {"said": team.canary}, "model": "demo-small"})
    key = team.one_of(team.cache_keys, n, NOBODYS_KEY)
    return team("PUT", f"/v1/cache/{key}", {"output": f"Changed by {team.canary}", "tags": [team.canary]})


def entry_delete(team: Team, n: int) -> Answer:
    return team("DELETE", f"/v1/cache/{team.one_of(team.cache_keys, n, NOBODYS_KEY)}")


def tenant(team: Team, n: int) -> Answer:
    return team("GET", "/v1/tenant")


def project_make(team: Team, n: int) -> Answer:
    answer = team("POST", "/v1/projects", {"name": team.name()})
    team.projects.append(answer.json["id"])
    return answer


def projects(team: Team, n: int) -> Answer:
    return team("GET", "/v1/projects")


def project(team: Team, n: int) -> Answer:
    return team("GET", f"/v1/projects/{team.one_of(team.projects, n, uuid4())}")


def project_change(team: Team, n: int) -> Answer:
    return team("PATCH", f"/v1/projects/{team.one_of(team.projects, n, uuid4())}", {"name": team.name()})


def project_delete(team: Team, n: int) -> Answer:
    return team("DELETE", f"/v1/projects/{team.one_of(team.projects, n, uuid4())}")


def key_make(team: Team, n: int) -> Answer:
    answer = team("POST", "/v1/keys", {"name": team.name(), "scopes": ["proxy"]})
    team.keys.append(answer.json["id"])
    return answer


def api_keys(team: Team, n: int) -> Answer:
    return team("GET", "/v1/keys")


def key(team: Team, n: int) -> Answer:
    return team("GET", f"/v1/keys/{team.one_of(team.keys, n, uuid4())}")


def key_change(team: Team, n: int) -> Answer:
    changes = {"name": team.name(), "models_allowed": [team.name()], "rpm": 1_000 + n}
    return team("PATCH", f"/v1/keys/{team.one_of(team.keys, n, uuid4())}", changes)


def key_rotate(team: Team, n: int) -> Answer:
    answer = team("POST", f"/v1/keys/{team.one_of(team.keys, n, uuid4())}/rotate", {"grace": "1h"})
    if answer.status == 201:
        team.keys.append(answer.json["id"])
    return answer


def key_revoke(team: Team, n: int) -> Answer:
    return team("DELETE", f"/v1/keys/{team.one_of(team.keys, n, uuid4())}")


def provider_keys(team: Team, n: int) -> Answer:
    return team("GET", "/v1/provider_keys")


def provider_key_put(team: Team, n: int) -> Answer:
    return team("PUT", "/v1/provider_keys/demo", {"secret": f"sk-{team.canary}-{n}000"})


def provider_key_test(team: Team, n: int) -> Answer:
    return team("POST", "/v1/provider_keys/demo/test")


def provider_key_delete(team: Team, n: int) -> Answer:
    return team("DELETE", "/v1/provider_keys/demo")


def budget_put(team: Team, n: int) -> Answer:
    answer = team("PUT", "/v1/budgets", {"amount_usd": f"{n + 1}", "task": team.canary if n % 2 else ""})
    if answer.status == 200:
        team.made.setdefault("budgets", []).append(answer.json["id"])
    return answer


def budgets(team: Team, n: int) -> Answer:
    return team("GET", "/v1/budgets")


def budget_delete(team: Team, n: int) -> Answer:
    return team("DELETE", f"/v1/budgets/{team.one_of(team.made.get('budgets', []), n, uuid4())}")


def audit(team: Team, n: int) -> Answer:
    return team("GET", "/v1/audit", query="limit=200")


def metrics(team: Team, n: int) -> Answer:
    return team("GET", f"{_prefix(n)}/metrics")


def health(team: Team, n: int) -> Answer:
    return team("GET", ("/health", "/healthz", "/readyz", "/health/ready", "/v1/schema")[n % 5])


MOVES: tuple[Move, ...] = (
    *(chat, responses, messages, completions, embeddings, provider_models, passed_through),
    *(query, trial, project_stats, similar, lookup),
    *(entry_put, feedback, imported, backtest, entries, export, job, purge, clear),
    *(entry_change, entry, entry_under_a_name, entry_delete),
    *(blocked, blocklist, blocklist_check, unblocked, false_positive),
    *(stats, usage, calls, price_put, prices, price_delete, metrics, health),
    *(tenant, project_make, projects, project, project_change, project_delete),
    *(key_make, api_keys, key, key_change, key_rotate, key_revoke),
    *(provider_key_put, provider_keys, provider_key_test, provider_key_delete),
    *(budget_put, budgets, budget_delete, audit),
)

# What runs by itself, for all tenants together.
CLOCK = (
    *(f"cache_api.accounting.{name}" for name in ("price", "roll_up", "months", "prove", "rates", "alerts")),
    *(f"cache_api.default.{name}" for name in ("expire", "fill_vectors", "find_jobs", "find_exports", "renew_keys")),
    *(f"cache_api.default.{name}" for name in ("erase_tenants", "hold_to_limits", "recalibrate", "verify")),
    *("cache_api.default.send_webhooks", "tenants.audit_check", "tenants.expiry_mails"),
    *("billing.act", "billing.limits", "billing.push", "billing.nightly"),
)

# Tasks that are no part of random histories, and why. Those of one tenant have tests of their own beside them.
OTHER_TASKS = {
    "cache_api.embed": "has no rows: texts in, vectors out",
    "cache_api.default.run_job": "of one job; a move that imports does the same",
    "cache_api.default.run_export": "of one export: tests/db/test_exports.py",
    "tenants.mail": "sends what has no tenant",
}

_TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?")
_CHANCE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32,}\b|ca-[0-9A-Za-z]{39}"
    r"|\b(?:chatcmpl|cmpl|msg|resp|rs|req|fc|call|toolu)[-_][0-9A-Za-z_-]+|ttl=\d+"
)
# What differs between two runs of the same: times and sizes, and what is made of chance.
_BY_CHANCE = re.compile(
    r"_ms$|_mb$|^ms_|_at$|^(?:call|created|hint|signature|age|ttl|timestamp|duration|details|response_time|vector|scope|size|bytes|hash"
    r"|next_cursor|started|latency_seconds)$"
)
_HEADERS = re.compile(r"ratelimit|request-id|processing-ms|-(?:age|ttl)$|content-length|retry-after")


def told(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """What an answer says but for what is made of time or chance."""
    headers = {name: _plain(value) for name, value in answer.headers.items() if not _HEADERS.search(name)}
    return answer.status, headers, _told(answer.body, headers.get("content-type", ""))


def _told(body: bytes, kind: str) -> Any:
    text = body.decode(errors="replace")
    if kind.startswith("text/csv"):
        return _without_chance(list(csv.DictReader(io.StringIO(text))))
    try:
        return _without_chance(json.loads(text))
    except ValueError:
        return sorted(map(_line, text.splitlines()))


def _line(line: str) -> str:
    if line.startswith("cacheai_latency"):
        return line.rpartition(" ")[0]
    head, found, rest = line.partition("{")
    try:
        return head + json.dumps(_without_chance(json.loads(found + rest)), sort_keys=True)
    except ValueError:
        return _plain(line)


def _without_chance(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(key): "…" if _BY_CHANCE.search(key) else _without_chance(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted((_without_chance(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    return _plain(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    return _CHANCE.sub("<id>", _TIMES.sub("<time>", text))
