"""How does a tenant come to have a hundred thousand entries within a minute?

A few hundred are asked for, as a client would. The others are written with the store's own statement, sealed as always,
around the vectors of those few; the vector index is built once they are in, not entry by entry.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
from django.conf import settings

from cache_api.adapters.ledger import app_conninfo as app_conninfo
from cache_api.adapters.store import _PUT, _REPLACING, _ROW, put_statement
from cache_api.domain.entry import NewEntry, Vector
from cache_api.domain.usage import Usage
from tenants import api_keys, projects, services
from tenants.services import Limits

# The limits are there to be kept, and are not what is measured.
LIMITS = Limits(plan="bench", rpm=100_000_000, requests_included=100_000_000, entries_max=10_000_000, projects_max=None)
BATCH = 500
PUT = _PUT + _ROW + _REPLACING
COLUMNS = PUT.count("%s")
INDEX = "entry_vector"
BUILD_MEMORY = "512MB"
# So far from the vectors it is mixed of that no synthetic entry is near enough to be served.
NOISE = 0.04
MIXED = 3


@dataclass(frozen=True)
class Team:
    tenant_id: UUID
    project_id: UUID
    api_key: str


def team_named(name: str) -> Team:
    """One that was made here, with a key of its own."""
    with _owner() as connection:
        row = connection.execute("SELECT tenant_id, id FROM project WHERE name = %s", [name]).fetchone()
    if row is None:
        raise LookupError(name)
    tenant_id, project_id = row
    return Team(tenant_id, project_id, api_keys.key_create(tenant_id=tenant_id, project_id=project_id).secret)


def team_create(name: str, *, beside: Team | None = None) -> Team:
    """A tenant with one project; or another project of the tenant of `beside`."""
    tenant_id = beside.tenant_id if beside else services.tenant_create(name=name, limits=LIMITS)
    project_id = projects.project_create(tenant_id=tenant_id, name=name)
    return Team(tenant_id, project_id, api_keys.key_create(tenant_id=tenant_id, project_id=project_id).secret)


def waiting_vectors(team: Team) -> int:
    counted = "SELECT count(*) FROM waiting_vector WHERE tenant_id = %s"
    with _owner() as connection:
        row = connection.execute(counted, [team.tenant_id]).fetchone()
    return int(row[0]) if row else 0


def fill(team: Team, wanted: int, *, progress: Callable[[int], None], say: Callable[[str], None]) -> None:
    """Up to `wanted` entries, all in the scope of those that are there."""
    with _owner() as connection:
        like = _one_of(connection, team)
        vectors = _vectors_of(connection, team)
        there = len(vectors)
        index = _definition(connection) if wanted - there > 10_000 else ""
        connection.execute("SET synchronous_commit = off")
        if index:
            connection.execute(f"DROP INDEX {INDEX}")
        try:
            made = 0
            cursor = connection.cursor()
            for batch in _batches(like, vectors, wanted - there):
                # The insert alone, prepared: a new entry has no tags of an older one to forget.
                cursor.executemany(PUT, [put_statement([entry])[1][:COLUMNS] for entry in batch])
                made += len(batch)
                progress(there + made)
        finally:
            if index:
                say("building the vector index, which takes a minute or two")
                connection.execute(f"SET maintenance_work_mem = '{BUILD_MEMORY}'")
                connection.execute(index)
        connection.execute("ANALYZE entry")


def _owner() -> "psycopg.Connection[Any]":
    return psycopg.connect(settings.DATABASE_URL, autocommit=True)


def _definition(connection: "psycopg.Connection[Any]") -> str:
    row = connection.execute(f"SELECT pg_get_indexdef('{INDEX}'::regclass)").fetchone()
    assert row is not None
    return str(row[0]).replace(" ON ONLY ", " ON ")  # Of the parent alone it would not be usable.


def _one_of(connection: "psycopg.Connection[Any]", team: Team) -> NewEntry:
    """The pattern for all others."""
    row = connection.execute(
        "SELECT fingerprint, scope, namespace, provider, model, endpoint, embedder FROM entry "
        "WHERE tenant_id = %s AND vector IS NOT NULL LIMIT 1",
        [team.tenant_id],
    ).fetchone()
    if row is None:
        raise LookupError("no entry with a vector was stored, so there is nothing to fill up around")
    fingerprint, scope, namespace, provider, model, endpoint, embedder = row
    now = datetime.now(UTC)
    return NewEntry(
        id=uuid4(),
        tenant_id=team.tenant_id,
        project_id=team.project_id,
        fingerprint=fingerprint,
        scope=scope,
        namespace=namespace,
        provider=provider,
        model=model,
        endpoint=endpoint,
        question="",
        request=None,
        answer={},
        vector=Vector(b"", embedder=embedder),
        matchable=True,
        usage=Usage(),
        cost_usd=None,
        latency_ms=0,
        writer_id=None,
        source="import",
        created_at=now,
        expires_at=now + timedelta(days=7),
    )


def _vectors_of(connection: "psycopg.Connection[Any]", team: Team) -> "np.ndarray[Any, Any]":
    rows = connection.execute(
        "SELECT vector::text FROM entry WHERE tenant_id = %s AND vector IS NOT NULL", [team.tenant_id]
    ).fetchall()
    return np.array([np.fromstring(row[0].strip("[]"), sep=",", dtype=np.float32) for row in rows])


def _batches(like: NewEntry, vectors: "np.ndarray[Any, Any]", wanted: int) -> Iterator[list[NewEntry]]:
    chance = np.random.default_rng(7)
    words = random.Random(7)
    for start in range(0, wanted, BATCH):
        size = min(BATCH, wanted - start)
        chosen = vectors[chance.integers(len(vectors), size=(size, MIXED))].sum(axis=1)
        noisy = chosen + NOISE * np.sqrt(MIXED) * chance.standard_normal(chosen.shape).astype(np.float32)
        unit = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype("<f4")
        yield [_entry(like, start + at, unit[at].tobytes(), words) for at in range(size)]


def _entry(like: NewEntry, number: int, vector: bytes, words: random.Random) -> NewEntry:
    text = " ".join(words.choices(("some", "answer", "that", "is", "about", "as", "long", "as", "others"), k=60))
    answer = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1,
        "model": like.model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    }
    fields = {name: getattr(like, name) for name in NewEntry.__slots__}
    fields |= {
        "id": uuid4(),
        "fingerprint": words.randbytes(32),
        "created_at": like.created_at - timedelta(seconds=number),
        "question": f"Invented question {number:08}",
        "request": {
            "model": like.model,
            "messages": [{"role": "user", "content": f"Invented question {number:08}"}],
        },
        "answer": answer,
        "vector": Vector(vector, embedder=like.vector.embedder if like.vector is not None else ""),
    }
    return NewEntry(**fields)
