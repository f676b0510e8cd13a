"""Calls as the service would record them, and the ledger they go to."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cache_api.adapters import ledger
from cache_api.adapters.ledger import PostgresLedger
from cache_api.domain.call import Call, Timings, new_id
from cache_api.domain.usage import Usage
from tenants.isolation import as_owner
from tests.conftest import Cast

# What the anchors of the price list were taken with.
GPT5_USAGE = Usage(in_total=1200, in_cached=1024, out_total=300)


def call_of(tenant_id: UUID, project_id: UUID, *, at: datetime | None = None, **fields: Any) -> Call:
    """A miss of gpt-5; `fields` are what is different."""
    return Call(
        **{  # type: ignore[arg-type]
            "id": new_id(at or datetime.now(UTC)),
            "tenant_id": tenant_id,
            "project_id": project_id,
            "key_id": UUID(int=7),
            "dialect": "chat.completions",
            "provider": "openai",
            "model_asked": "gpt-5",
            "model_served": "gpt-5",
            "stream": False,
            "status": 200,
            "decision": "miss",
            "layer": "",
            "reason": "no_candidate",
            "usage": GPT5_USAGE,
            "timings": Timings(total=900, upstream=880),
            **fields,
        }
    )


def hit_of(tenant_id: UUID, project_id: UUID, **fields: Any) -> Call:
    plain = {"decision": "hit", "layer": "exact", "reason": "exact", "timings": Timings(total=2), "entry_id": uuid4()}
    return call_of(tenant_id, project_id, **{**plain, **fields})


def ledger_in(folder: Path, *, conninfo: str | None = None, hints: list[int] | None = None) -> PostgresLedger:
    return PostgresLedger(
        conninfo=conninfo, spool_folder=folder, hint=lambda: None if hints is None else hints.append(1)
    )


def write(calls: Sequence[Call]) -> None:
    """Straight into the table."""
    with ledger.connect(ledger.app_conninfo()) as connection:
        ledger.put_rows(connection, [ledger.row_of(call) for call in calls])


def query(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def execute(sql: str, params: Sequence[Any] = ()) -> None:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(sql, params)


def put_entry(
    cast: Cast, entry_id: UUID | None, *, cost: str | None = None, expires_at: datetime | None = None
) -> None:
    entry_id = entry_id or uuid4()
    execute(
        "INSERT INTO entry (tenant_id, id, project_id, fingerprint, scope, provider, model, endpoint, body,"
        " size_bytes, cost_usd, expires_at) VALUES (%s, %s, %s, %s, %s, 'openai', 'gpt-5', 'chat', %s, 7, %s, %s)",
        [
            cast.owner.tenant_id,
            entry_id,
            cast.owner.project_id,
            entry_id.bytes * 2,
            b"s" * 32,
            b"sealed",
            cost,
            expires_at,
        ],
    )
