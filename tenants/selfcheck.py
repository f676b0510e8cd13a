"""Is the net under the tenants whole?

No process that answers calls starts while it is not: each of these holes shows one tenant's rows to another, or
leaves rows nobody can read.
"""

from typing import Any

from django.db import connections

from tenants import isolation, vault
from tenants.isolation import APP

DEADLINE_SECONDS = 10

_TENANT_TABLES = """
    SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND (c.relname = 'tenant' OR EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
"""
_PASSES = """
    SELECT rolname FROM pg_roles
    WHERE (rolsuper OR rolbypassrls) AND (rolname = CURRENT_USER OR pg_has_role(CURRENT_USER, oid, 'USAGE'))
"""
_OWNED = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
      AND pg_has_role(CURRENT_USER, relowner, 'USAGE')
"""
_PARTITIONS = """
    SELECT relname FROM pg_class
    WHERE relispartition AND relkind IN ('r', 'p')
      AND has_table_privilege(CURRENT_USER, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
"""
_VIEWS = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
      AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)
      AND has_table_privilege(CURRENT_USER, oid, 'SELECT')
"""


def problems() -> list[str]:
    """What is wrong, each in a sentence; empty if all is well. Raises DatabaseUnavailable."""
    found = [f"{role} passes row-level security." for role in _names(_PASSES)]
    found += [f"The app's login owns {table}." for table in _names(_OWNED)]
    found += [f"The app's login has a privilege on the partition {table}." for table in _names(_PARTITIONS)]
    found += [f"The view {view} shows every tenant: security_invoker is not set." for view in _names(_VIEWS)]
    found += _open_tables()
    return found + _unreadable_keys()


def warnings() -> list[str]:
    if connections[APP].settings_dict["OPTIONS"].get("options", "").find("role=") < 0:
        return []
    return [
        "DATABASE_APP_URL is not set: the owner's login takes the app's role, and a flaw in SQL could give it back."
    ]


def _open_tables() -> list[str]:
    tables = _ask(_TENANT_TABLES)
    if not tables:
        return ["There are no tables yet: run manage.py migrate."]

    found = []
    for oid, table, enabled, forced in tables:
        if not (enabled and forced):
            found.append(f"Row-level security of {table} is not enabled and forced.")
        readable = _ask("SELECT has_table_privilege(CURRENT_USER, %s::oid, 'SELECT')", oid)[0][0]
        if readable and _ask(f'SELECT 1 FROM public."{table}" LIMIT 1'):  # noqa: S608 (a name from the catalogue)
            found.append(f"{table} shows rows to nobody in particular.")
    return found


def _unreadable_keys() -> list[str]:
    for tenant_id, purpose, version, wrapped in _ask("SELECT * FROM wrapped_samples()"):
        try:
            vault.unwrap(tenant_id, purpose, version, wrapped)
        except (vault.Corrupt, vault.WrongMasterKey):
            return ["CACHEAI_MASTER_KEYS does not open what is stored: put the key back that sealed it."]
    return []


def _names(sql: str) -> list[str]:
    return [row[0] for row in _ask(sql)]


def _ask(sql: str, *params: object) -> list[tuple[Any, ...]]:
    return isolation.read_before_tenant(sql, params, deadline_seconds=DEADLINE_SECONDS)
