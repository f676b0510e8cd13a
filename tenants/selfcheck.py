"""Is the net under the tenants whole?

No process that answers calls starts while it is not: each of these holes shows one tenant's rows to another, or
leaves rows nobody can read.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.db import connections

from tenants import isolation, vault
from tenants.isolation import APP

DEADLINE_SECONDS = 10

_ALL = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_READ = frozenset({"SELECT"})
_ADD = frozenset({"INSERT"})
# The tables without a tenant that the app may reach, and how. What people sign in with is among them: it is looked up
# by an address or a session before any tenant is known. A table that is not here is refused: does it want a tenant?
WITHOUT_TENANT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **dict.fromkeys(("account_emailaddress", "account_emailconfirmation", "mfa_authenticator"), _ALL),
        **dict.fromkeys(("auth_group", "auth_group_permissions", "auth_permission", "django_content_type"), _ALL),
        **dict.fromkeys(("tenants_user", "tenants_user_groups", "tenants_user_user_permissions"), _ALL),
        **dict.fromkeys(("socialaccount_socialaccount", "socialaccount_socialapp", "socialaccount_socialtoken"), _ALL),
        **dict.fromkeys(("django_session", "usersessions_usersession"), _ALL),
        **dict.fromkeys(("django_migrations", "price_rate"), _READ),
        **dict.fromkeys(("mail", "stripe_event"), _ADD),
    }
)
# What is written once: the trail and the ledger, which the app may not change even for its own tenant.
WRITTEN_ONCE: Mapping[str, frozenset[str]] = MappingProxyType(
    {"audit_event": _READ | _ADD, "call": _READ, "usage_hour": _READ, "usage_day": _READ}
)

_TENANT_TABLES = """
    SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND (c.relname = 'tenant' OR c.relrowsecurity OR EXISTS (
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
_PRIVILEGES = """
    SELECT c.relname, c.relrowsecurity, array_agg(verb) FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE',
      'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS verb
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND has_table_privilege(CURRENT_USER, c.oid, verb)
    GROUP BY c.relname, c.relrowsecurity ORDER BY c.relname
"""
# A sequence tells how many rows all tenants have together; identity columns need none.
_SEQUENCES = """
    SELECT relname FROM (SELECT * FROM pg_class WHERE relkind = 'S' OFFSET 0) AS sequence
    WHERE relnamespace = 'public'::regnamespace AND has_sequence_privilege(CURRENT_USER, oid, 'USAGE, SELECT, UPDATE')
"""
# Such a function sees all rows: with its caller's search_path it would call whatever the caller put there.
_UNPINNED = """
    SELECT proname FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prosecdef
      AND NOT EXISTS (SELECT FROM unnest(proconfig) AS setting WHERE starts_with(setting, 'search_path=pg_catalog'))
"""
_FOR_EVERYBODY = """
    SELECT proname FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prosecdef
      AND (proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0))
"""
_WIDE_POLICIES = r"""
    SELECT tablename FROM pg_policies
    WHERE schemaname = 'public' AND roles && ARRAY[CURRENT_USER, 'public']::name[]
      AND (coalesce(qual, with_check) !~ $$current_setting\('app\.(tenant|user)_id'$$
           OR coalesce(with_check, qual) !~ $$current_setting\('app\.(tenant|user)_id'$$)
"""
_CREATES = """
    SELECT nspname FROM pg_namespace WHERE nspname = 'public' AND has_schema_privilege(CURRENT_USER, oid, 'CREATE')
"""
_COMING = """
    SELECT DISTINCT coalesce(nullif(defaclnamespace, 0)::regnamespace::text, 'any schema')
    FROM pg_default_acl, aclexplode(defaclacl)
    WHERE defaclobjtype IN ('r', 'S') AND (grantee = 0 OR grantee = CURRENT_USER::regrole)
"""


def problems() -> list[str]:
    """What is wrong, each in a sentence; empty if all is well. Raises DatabaseUnavailable."""
    found = [f"{role} passes row-level security." for role in _names(_PASSES)]
    found += [f"The app's login owns {table}." for table in _names(_OWNED)]
    found += [f"The app's login has a privilege on the partition {table}." for table in _names(_PARTITIONS)]
    found += [f"The view {view} shows every tenant: security_invoker is not set." for view in _names(_VIEWS)]
    found += [f"The app's login may read or move the sequence {name}." for name in _names(_SEQUENCES)]
    found += [f"The function {name} sees every tenant and has no search_path." for name in _names(_UNPINNED)]
    found += [f"The function {name} sees every tenant and everybody may call it." for name in _names(_FOR_EVERYBODY)]
    found += [f"A policy of {table} names neither tenant nor person." for table in _names(_WIDE_POLICIES)]
    found += [f"The app's login may create things in the schema {name}." for name in _names(_CREATES)]
    found += [f"What is made in {name} from now on is the app's to reach." for name in _names(_COMING)]
    found += _privileges()
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


def _privileges() -> list[str]:
    found = []
    for table, is_secured, verbs in _ask(_PRIVILEGES):
        expected = WRITTEN_ONCE.get(table, _ALL) if is_secured else WITHOUT_TENANT.get(table, frozenset())
        if beyond := sorted(set(verbs) - expected):
            found.append(f"The app's login may {', '.join(beyond)} {table}, and should not.")
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
