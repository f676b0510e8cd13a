"""Nothing secret in logs: no prompt, no answer, no key. (Law 9)

Words that occur nowhere else are sent through a running service by every road, errors too. Then all it wrote is
searched: logs, spool and other files, what Redis holds, each text, JSON and bytes of each table, figures.
"""

from collections.abc import Iterator
from secrets import token_hex
from typing import Any

import psycopg
import pytest
import redis
import requests
from psycopg import sql

from cacheai import embedded
from tests.e2e.conftest import Stack

# The database's own files hold the same as its tables, and are searched there. Mails and exports are for people.
NOT_SEARCHED = ("pgdata", "sockets", "mail", "exports")
TIMEOUT_SECONDS = 60


class Canaries:
    """One word for each thing that is secret, and every way it might be written."""

    def __init__(self) -> None:
        self.prompt, self.system, self.answer, self.provider_key, self.own_key = (
            f"canary{kind}{token_hex(8)}" for kind in ("prompt", "system", "answer", "provider", "caller")
        )
        self.api_keys: list[str] = []

    def found_in(self, text: bytes) -> set[str]:
        words = [self.prompt, self.system, self.answer, self.provider_key, self.own_key, *self.api_keys]
        return {word for word in words if word.encode() in text or word.encode().hex().encode() in text}


@pytest.fixture(scope="module")
def canaries(stack: Stack) -> Canaries:
    """A tenant whose every secret is known, after a busy day."""
    known = Canaries()
    made = stack.manage("create_tenant", "--name", "Canaries", "--email", "canary@example.test").split()
    tenant = made[made.index("tenant") + 1]
    key = stack.manage("create_key", "--tenant", tenant, "--scopes", "proxy,cache:*,stats:read,tenant:manage").split()
    known.api_keys.append(key[key.index("key") + 1])
    busy_day(stack, known)
    return known


def busy_day(stack: Stack, known: Canaries) -> None:
    mine = {"Authorization": f"Bearer {known.api_keys[0]}"}
    answered = f"[demo: reasoning={known.answer}]"

    def call(method: str, path: str, headers: Any = None, **options: Any) -> requests.Response:
        return requests.request(
            method, stack.root + path, headers={**mine, **(headers or {})}, timeout=TIMEOUT_SECONDS, **options
        )

    def chat(text: str, headers: Any = None, **more: Any) -> requests.Response:
        said = [{"role": "system", "content": known.system}, {"role": "user", "content": text}]
        body = {"model": "demo-small", "messages": said, **more}
        return call("POST", "/v1/chat/completions", headers, json=body)

    stored = call("PUT", "/v1/provider_keys/demo", json={"secret": f"sk-{known.provider_key}"})
    assert stored.status_code == 200, stored.text
    for text in (known.prompt, known.prompt, f"{known.prompt} {answered}", f"{known.prompt} again?"):
        assert chat(text).status_code == 200
        assert chat(text, stream=True).status_code == 200
    chat(known.prompt, {"X-CacheAI-Backend-API-Key": f"sk-{known.own_key}"})
    chat(known.prompt, {"X-CacheAI-Backend-Base-URL": f"https://127.0.0.1/{known.own_key}"})
    chat(f"{known.prompt} [demo: fail=500]")
    chat(f"{known.prompt} [demo: cut_after=1]", stream=True)
    chat(known.prompt, {"X-CacheAI-TTL": known.prompt})
    chat(known.prompt, temperature="hot")
    call("POST", "/v1/chat/completions", data=f'{{"model": "demo-small", "messages": "{known.prompt}"')
    call("POST", "/v1/responses", json={"model": "demo-small", "input": known.prompt})
    call("POST", "/v1/messages", json={"model": "demo-small", "max_tokens": 9, "messages": []})
    call("POST", "/v1/embeddings", json={"model": "demo-embedding", "input": [known.prompt]})
    entry = {"question": known.prompt, "model": "demo-small", "answer": known.answer}
    call("POST", "/v1/cache/entries", json=entry)
    call("POST", "/v1/cache/entries", json={**entry, "model": 5})
    call("POST", "/v1/cache/lookup", json={"question": known.prompt, "model": "demo-small"})
    call("GET", "/v1/cache/entries", params={"q": known.prompt, "include": "answer"})
    call("POST", "/v1/cache/blocklist", json={"query": known.prompt, "reason": known.answer})
    call("POST", "/v1/cache/query", json={"prompt": known.prompt, "model": "demo-small"})
    lines = f'{{"question": "{known.prompt} imported", "model": "demo-small", "answer": "{known.answer}"}}\n'
    call("POST", "/v1/cache/entries", {"Content-Type": "application/x-ndjson"}, data=lines)
    made = call("POST", "/v1/keys", json={"name": "narrow", "scopes": ["proxy"]})
    if made.ok:
        known.api_keys.append(made.json()["key"])
    # Keys of ours that are none, as someone may mistype or guess them.
    stranger = f"ca-{known.own_key}"
    assert requests.get(f"{stack.root}/v1/cache/stats", headers={"X-API-Key": stranger}, timeout=60).status_code == 401
    call("GET", f"/v1/cache/{'f' * 64}")
    assert call("GET", "/metrics").status_code == 200
    stack.manage("ledger_recount")


def test_files_hold_none_of_it(stack: Stack, canaries: Canaries) -> None:
    """Logs, tracebacks, the spool, and whatever else there is."""
    found = {
        (str(path.relative_to(stack.home)), word)
        for path in stack.home.rglob("*")
        if path.is_file() and path.relative_to(stack.home).parts[0] not in NOT_SEARCHED
        for word in canaries.found_in(path.read_bytes())
    }

    assert found == set()
    assert "web" in {path.stem for path in (stack.home / "logs").glob("*.log")}


def test_redis_holds_none_of_it(stack: Stack, canaries: Canaries) -> None:
    with redis.Redis.from_url(embedded.addresses(stack.home).redis_url) as client:
        keys = list(client.scan_iter(count=1000))
        said = [(key, client.dump(key) or b"") for key in keys]

    assert {(key, word) for key, value in said for word in canaries.found_in(key + b"|" + value)} == set()


def test_no_column_of_any_table_holds_any_of_it(stack: Stack, canaries: Canaries) -> None:
    found, searched = set(), 0
    with psycopg.connect(embedded.addresses(stack.home).owner_url, autocommit=True) as connection:
        for table, column, kind in columns(connection):
            value = sql.SQL("encode({}, 'escape')" if kind == "bytea" else "{}::text").format(sql.Identifier(column))
            rows = connection.execute(
                sql.SQL("SELECT {} FROM {} WHERE {} IS NOT NULL").format(
                    value, sql.Identifier(table), sql.Identifier(column)
                )
            )
            for (text,) in rows:
                searched += 1
                found |= {(table, column, word) for word in canaries.found_in(text.encode())}

    assert found == set()
    assert searched > 1_000


def columns(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, str, str]]:
    yield from connection.execute(
        """
        SELECT table_name, column_name, data_type FROM information_schema.columns JOIN information_schema.tables
        USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
        """
    ).fetchall()


def test_figures_and_operation_tell_none_of_it(stack: Stack, canaries: Canaries) -> None:
    mine = {"Authorization": f"Bearer {canaries.api_keys[0]}"}
    for path in ("/metrics", "/health", "/readyz", "/v1/cache/stats", "/v1/usage?group_by=key", "/v1/audit", "/v1/keys",
                 "/v1/provider_keys", "/v1/calls"):  # fmt: skip
        answer = requests.get(stack.root + path, headers=mine, timeout=TIMEOUT_SECONDS)
        assert canaries.found_in(answer.content + repr(answer.headers).encode()) == set(), path


def test_the_search_would_find_it(stack: Stack, canaries: Canaries) -> None:
    """Where it may be: in the answer to its owner."""
    mine = {"Authorization": f"Bearer {canaries.api_keys[0]}"}
    answer = requests.get(f"{stack.root}/v1/cache/export", headers=mine, timeout=TIMEOUT_SECONDS)

    assert {canaries.prompt, canaries.answer} <= canaries.found_in(answer.content)
