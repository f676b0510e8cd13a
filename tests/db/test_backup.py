"""Does what docs/operating.md says about backups bring everything back?"""

import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cacheai.embedded import _postgres_program
from tenants import provider_keys, selfcheck, vault
from tenants.isolation import tenant_tables
from tests.conftest import Cast, Servers, _as_operator, _django_database, point
from tests.rows import fill_tables, rows_of

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"


def said(program: str) -> list[str]:
    """The options of a command as the page gives it, but for those that name a place."""
    found = re.search(rf"^{program} (.*)$", OPERATING.read_text(), re.MULTILINE)
    assert found is not None
    return [word for word in found[1].split() if word.startswith("--") and not word.startswith(("--file", "--dbname"))]


@pytest.fixture
def restored(servers: Servers, database: str, cast: Cast, tmp_path: Path) -> Iterator[str]:
    """Another database, of what was dumped of this one."""
    provider_keys.provider_key_put(tenant_id=cast.owner.tenant_id, provider="openai", secret="sk-1234")
    for tenant_id in (cast.owner.tenant_id, cast.outsider.tenant_id):
        fill_tables(tenant_id)
    file = tmp_path / "cacheai.dump"
    subprocess.run([_postgres_program("pg_dump"), *said("pg_dump"), f"--file={file}", database], check=True)
    name = f"test_restored_{secrets.token_hex(4)}"
    _as_operator(servers.owner_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        url = make_conninfo(database, dbname=name)
        subprocess.run([_postgres_program("pg_restore"), *said("pg_restore"), f"--dbname={url}", str(file)], check=True)
        yield name
    finally:
        _as_operator(servers.owner_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_restored_database_holds_every_row_and_the_net(restored: str, cast: Cast, servers: Servers) -> None:
    tenant_id = cast.owner.tenant_id
    before, tables = rows_of(tenant_id), tenant_tables()
    assert before.keys() == set(tables)
    here = {alias: dict(connections.settings[alias]) for alias in ("default", "owner")}
    connections["default"].close_pool()
    try:
        app = _django_database(servers.app_url or servers.owner_url, restored)
        app["OPTIONS"]["pool"] = here["default"]["OPTIONS"]["pool"]
        if not servers.app_url:
            app["OPTIONS"]["options"] = "-c role=cacheai_app"
        point("default", app)
        point("owner", _django_database(servers.owner_url, restored))
        vault.forget(tenant_id)

        assert rows_of(tenant_id) == before
        assert selfcheck.problems() == []
        found = vault.provider_key_of(tenant_id, "openai")
        assert found is not None and found.secret == "sk-1234"
    finally:
        connections["default"].close()
        connections["default"].close_pool()
        connections["owner"].close()
        for alias, values in here.items():
            point(alias, values)


def test_without_the_secrets_the_texts_of_a_backup_are_noise(database: str, cast: Cast) -> None:
    """What the page says of keeping them apart."""
    provider_keys.provider_key_put(tenant_id=cast.owner.tenant_id, provider="openai", secret="sk-1234")
    program = [_postgres_program("pg_dump"), "--format=plain", "--enable-row-security", database]

    dumped = subprocess.run(program, check=True, capture_output=True).stdout
    assert b"sk-1234" not in dumped and b"sk-1234".hex().encode() not in dumped
    assert cast.owner.api_key.encode() not in dumped
