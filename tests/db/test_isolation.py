"""A tenant sees nothing of another tenant, by the ORM filter and, under it, by row-level security. (Law 8)"""

import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connections
from django.db.utils import ProgrammingError

from tenants import isolation, selectors
from tenants.isolation import as_owner, as_person, as_tenant, read, read_before_tenant, write
from tenants.models import ApiKey, Project
from tests.conftest import Cast

SOON = 5.0
ROOT = Path(__file__).parent.parent.parent
# Who works across tenants. Each is a job or an operator's command; no call and no page is among them.
OWNER_CALLERS = {
    "tenants/api_keys.py": "an operator names a key without its tenant",
    "tenants/key_expiry.py": "finds the keys that end soon",
    "tenants/selectors.py": "the list of tenants, for jobs",
    "cache_api/accounting.py": "prices and rolls up all tenants' calls",
    "cache_api/proving.py": "proves all tenants' books, and lets old calls go",
    "cache_api/adapters/books.py": "whose books have something to do",
    "billing/leaving.py": "events that name a tenant that is erased",
    "tenants/erasure.py": "removes a tenant whole, and what is late of it",
    "tenants/second_factors.py": "seals people's second factors by a new master key",
    "tenants/vault.py": "wraps all tenants' keys by a new master key",
    "cache_api/exports.py": "exports that a dead worker left, and old ones",
    "cache_api/sealed.py": "finds whose keys are to be renewed",
    "cache_api/adapters/checks.py": "finds what is to be looked at, and whose checks are new",
    "cache_api/adapters/jobs.py": "jobs that a dead worker left, and old ones",
    "cache_api/maintenance.py": "expiry, and whose entries are too many",
    "cache_api/alerts.py": "who called lately, and may have reached a limit",
    "tenants/webhooks.py": "sends what is due, and lets old deliveries go",
    "tenants/mailing.py": "sends what everybody wrote",
    "billing/admin/across.py": "operators find tenants, and see what waits for somebody",
    "billing/accounts.py": "whose a customer of Stripe's is; the nightly look at all of them",
    "billing/events.py": "what Stripe told, of whichever tenant",
    "billing/limits.py": "whose limits change by themselves",
    "billing/metering.py": "who is billed by use",
    "billing/operating.py": "an operator links a customer, and resends credits",
}

TENANT_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
"""


def _as(tenant_id: UUID, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    return read(tenant_id, sql, params, deadline_seconds=SOON)


def test_a_read_sees_its_own_tenant_alone(cast: Cast) -> None:
    assert set(_as(cast.owner.tenant_id, "SELECT id FROM api_key")) == {(cast.owner.key_id,), (cast.teammate.key_id,)}
    assert _as(cast.outsider.tenant_id, "SELECT id FROM api_key") == [(cast.outsider.key_id,)]


def test_the_outsider_sees_nothing_in_any_table(cast: Cast) -> None:
    tables = [row[0] for row in _as(cast.outsider.tenant_id, TENANT_TABLES)]

    assert {"api_key", "project", "member", "data_key", "provider_key", "blocklist_entry", "blocklist_number"} <= set(
        tables
    )
    for table in tables:
        counted = f"SELECT count(*) FROM {table} WHERE tenant_id = %s"
        try:
            assert _as(cast.outsider.tenant_id, counted, cast.owner.tenant_id) == [(0,)], table
        except psycopg.errors.InsufficientPrivilege:
            continue


def test_the_outsider_cannot_change_or_take_away(cast: Cast) -> None:
    theirs = [cast.owner.tenant_id]
    for statement in (
        "UPDATE project SET name = 'x' WHERE tenant_id = %s RETURNING 1",
        "DELETE FROM api_key WHERE tenant_id = %s RETURNING 1",
        "DELETE FROM tenant WHERE id = %s RETURNING 1",
    ):
        assert write(cast.outsider.tenant_id, statement, theirs, deadline_seconds=SOON) == []


def test_the_outsider_cannot_put_a_row_into_another_tenant(cast: Cast) -> None:
    insert = "INSERT INTO project (tenant_id, id, name, default_model, created_at) VALUES (%s, %s, 'x', '', now())"

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        write(cast.outsider.tenant_id, insert, [cast.owner.tenant_id, uuid4()], deadline_seconds=SOON)


def test_the_outsider_neither_meets_nor_makes_another_tenants_blocklist(cast: Cast) -> None:
    number = "INSERT INTO blocklist_number (tenant_id, project_id, last) VALUES (%s, %s, 1)"
    listed = (
        "INSERT INTO blocklist_entry (tenant_id, project_id, id, digest, body, category, severity, expires_at) "
        "VALUES (%s, %s, 1, decode(repeat('00', 32), 'hex'), 'x', 'general', 1, now() + interval '1 day')"
    )
    owner = (cast.owner.tenant_id, cast.owner.project_id)
    for insert in (number, listed):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            write(cast.outsider.tenant_id, insert, owner, deadline_seconds=SOON)
        write(cast.owner.tenant_id, insert, owner, deadline_seconds=SOON)

    for statement in (
        "SELECT 1 FROM blocklist_entry WHERE tenant_id = %s",
        "SELECT 1 FROM blocklist_number WHERE tenant_id = %s",
        "UPDATE blocklist_entry SET hit_count = 9 WHERE tenant_id = %s RETURNING 1",
        "UPDATE blocklist_number SET last = 9 WHERE tenant_id = %s RETURNING 1",
        "DELETE FROM blocklist_entry WHERE tenant_id = %s RETURNING 1",
    ):
        assert write(cast.outsider.tenant_id, statement, owner[:1], deadline_seconds=SOON) == []
    assert _as(cast.owner.tenant_id, "SELECT hit_count FROM blocklist_entry") == [(0,)]


def test_a_row_cannot_move_to_another_tenant(cast: Cast) -> None:
    move = "UPDATE api_key SET tenant_id = %s WHERE tenant_id = %s"

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        write(cast.outsider.tenant_id, move, [cast.owner.tenant_id, cast.outsider.tenant_id], deadline_seconds=SOON)


def test_a_key_cannot_point_at_another_tenants_project(cast: Cast) -> None:
    point = "UPDATE api_key SET project_id = %s WHERE tenant_id = %s"

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        write(cast.outsider.tenant_id, point, [cast.owner.project_id, cast.outsider.tenant_id], deadline_seconds=SOON)


def test_without_a_tenant_there_is_nothing_to_see(cast: Cast) -> None:
    for table in ("tenant", "api_key", "project", "member", "data_key"):
        assert read_before_tenant(f"SELECT 1 FROM {table}", [], deadline_seconds=SOON) == []


def test_the_tenant_does_not_outlive_its_message(cast: Cast) -> None:
    setting = "SELECT current_setting('app.tenant_id', true)"
    for _ in range(10):  # As many as there are connections, and more.
        assert _as(cast.owner.tenant_id, setting) == [(str(cast.owner.tenant_id),)]
        with as_tenant(cast.owner.tenant_id):
            assert Project.objects.count() == 1

        assert read_before_tenant(setting, [], deadline_seconds=SOON)[0][0] in (None, "")


def test_the_tenant_does_not_outlive_a_message_that_failed(cast: Cast) -> None:
    for _ in range(10):
        with pytest.raises(psycopg.errors.DivisionByZero):
            _as(cast.owner.tenant_id, "SELECT 1 / 0")
        assert read_before_tenant("SELECT 1 FROM api_key", [], deadline_seconds=SOON) == []


def test_a_list_of_statements_is_done_whole_or_not_at_all(cast: Cast) -> None:
    rename = "UPDATE project SET name = %s WHERE tenant_id = %s"
    with pytest.raises(psycopg.errors.DivisionByZero):
        write(cast.owner.tenant_id, rename + "; SELECT 1 / 0", ["no", cast.owner.tenant_id], deadline_seconds=SOON)

    assert _as(cast.owner.tenant_id, "SELECT name FROM project") == [("Cache",)]


def test_values_are_values_whatever_they_hold(cast: Cast) -> None:
    nasty = "'; DROP TABLE project; -- %s \\ \" é 🙂"

    assert _as(cast.owner.tenant_id, "SELECT %s, %s, %s", nasty, b"\x00\xff'", None) == [(nasty, b"\x00\xff'", None)]


def test_the_orm_sees_one_tenant(cast: Cast) -> None:
    with as_tenant(cast.outsider.tenant_id):
        assert [key.id for key in ApiKey.objects.all()] == [cast.outsider.key_id]
        assert not Project.objects.filter(id=cast.owner.project_id).exists()


def test_a_transaction_of_one_tenant_holds_no_other(cast: Cast) -> None:
    with as_tenant(cast.owner.tenant_id), pytest.raises(RuntimeError), as_tenant(cast.outsider.tenant_id):
        pass


def test_no_connection_is_held_afterwards(cast: Cast) -> None:
    """No database connection and no transaction is held while waiting for an upstream. (Law 2)"""
    pool: Any = connections["default"].pool
    with as_tenant(cast.owner.tenant_id):
        Project.objects.count()
    _as(cast.owner.tenant_id, "SELECT 1")
    selectors.keys_of(tenant_id=cast.owner.tenant_id)

    stats = pool.get_stats()
    assert stats["pool_available"] == stats["pool_size"]


def test_a_person_sees_their_memberships_of_all_tenants(cast: Cast) -> None:
    from tenants import services

    services.member_add(tenant_id=cast.outsider.tenant_id, user_id=cast.owner.user_id, role="viewer")

    found = selectors.memberships_of(user_id=cast.owner.user_id)

    assert [(one.tenant_name, one.role) for one in found] == [("Others", "viewer"), ("Team", "owner")]
    with as_person(cast.owner.user_id):
        assert Project.objects.count() == 0


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE api_key DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_rows ON api_key",
        "SELECT * FROM entry_0",
        "CREATE TABLE own (tenant_id uuid)",
    ],
)
def test_the_app_cannot_open_the_net(cast: Cast, statement: str) -> None:
    with pytest.raises(ProgrammingError), as_tenant(cast.owner.tenant_id), connections["default"].cursor() as cursor:
        cursor.execute(statement)


def test_the_owner_works_across_tenants(cast: Cast) -> None:
    with as_owner():
        assert ApiKey.objects.count() == 3
    with as_tenant(cast.outsider.tenant_id):
        assert ApiKey.objects.count() == 1


def test_only_jobs_and_operators_work_across_tenants() -> None:
    found = {
        str(path.relative_to(ROOT))
        for app in ("tenants", "cache_api", "billing", "dashboard", "cacheai")
        for path in (ROOT / app).rglob("*.py")
        if "as_owner" in path.read_text() and path != ROOT / "tenants/isolation.py"
    }

    assert found <= OWNER_CALLERS.keys()


def test_as_owner_is_the_only_door_to_the_owners_login() -> None:
    way_around = re.compile(r"""connections\[["']owner|using=["']owner|using\(["']owner|\bOWNER\b""")
    allowed = {"tenants/isolation.py", "tenants/management/commands/migrate.py"}
    found = {
        str(path.relative_to(ROOT))
        for app in ("tenants", "cache_api", "billing", "dashboard", "cacheai")
        for path in (ROOT / app).rglob("*.py")
        if way_around.search(path.read_text())
    }

    assert {path for path in found if not path.startswith("cacheai/embedded")} <= allowed


def test_there_is_nothing_to_migrate_for_the_app() -> None:
    router = isolation.Router()

    assert router.allow_migrate("owner", "tenants")
    assert not router.allow_migrate("default", "tenants")
