"""The app's role, the net of row-level security, and what may be asked before a tenant is known."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.utils import CursorWrapper
from django.db.migrations.state import StateApps
from django.db.utils import ProgrammingError

from tenants.isolation import APP_ROLE, function, grant, protect, same_tenant

CREATE_ROLE = f"CREATE ROLE {APP_ROLE} NOSUPERUSER NOBYPASSRLS NOINHERIT"
GRANT_ROLE = f"GRANT {APP_ROLE} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE"

DJANGO_TABLES = [
    "tenants_user",
    "tenants_user_groups",
    "tenants_user_user_permissions",
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    "django_session",
]


class NotAllowed(Exception):
    """The owner's login may not create the app's role."""


def create_role(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    owner = schema_editor.connection.settings_dict["USER"]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [APP_ROLE])
        found = cursor.fetchone()
        if found is None:
            _try(cursor, CREATE_ROLE, owner)
        elif found[0]:
            raise NotAllowed(f"{APP_ROLE} passes row-level security: ALTER ROLE {APP_ROLE} NOSUPERUSER NOBYPASSRLS;")

        cursor.execute("SELECT pg_has_role(CURRENT_USER, %s, 'SET')", [APP_ROLE])
        if not cursor.fetchone()[0]:
            _try(cursor, GRANT_ROLE, owner)


def _try(cursor: CursorWrapper, statement: str, owner: str) -> None:
    try:
        cursor.execute(statement)
    except ProgrammingError as error:
        line = statement.replace("CURRENT_USER", f'"{owner}"')
        raise NotAllowed(f"As a superuser run this, then migrate again: {line};") from error


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        # A role belongs to the whole server, and other databases may use it: nothing takes it away again.
        migrations.RunPython(create_role, migrations.RunPython.noop),
        migrations.RunSQL(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}", migrations.RunSQL.noop),
        same_tenant("api_key", "tenant_id, project_id", "project", "tenant_id, id"),
        same_tenant(
            "api_key", "tenant_id, replaced_by", "api_key", "tenant_id, id", on_delete="SET NULL (replaced_by)"
        ),
        *protect("tenant", column="id"),
        *protect("member"),
        *protect("project"),
        *protect("api_key"),
        *protect("provider_key"),
        *protect("data_key"),
        migrations.RunSQL(
            f"""
            CREATE POLICY person_rows ON member FOR SELECT TO {APP_ROLE}
              USING (user_id = (SELECT NULLIF(current_setting('app.user_id', true), '')::uuid));
            """,
            "DROP POLICY person_rows ON member",
        ),
        *(grant(table) for table in DJANGO_TABLES),
        grant("django_migrations", verbs="SELECT"),
        # All that authentication needs, in one row.
        function(
            "key_by_digest(bytea)",
            """
            RETURNS TABLE (
              tenant_id uuid, project_id uuid, key_id uuid, pepper_id smallint, scopes text[], networks text[],
              key_rpm integer, provider text, created_at timestamptz, expires_at timestamptz, revoked_at timestamptz,
              suspended_at timestamptz, default_model text, rpm integer, entries_max bigint, ttl_max_seconds bigint,
              requests_included bigint, requests_hard boolean)
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
              SELECT k.tenant_id, k.project_id, k.id, k.pepper_id, k.scopes, k.networks, k.rpm, k.provider,
                     k.created_at, k.expires_at, k.revoked_at, t.suspended_at, p.default_model, t.rpm, t.entries_max,
                     t.ttl_max_seconds, t.requests_included, t.requests_hard
              FROM public.api_key k
              JOIN public.tenant t ON t.id = k.tenant_id
              JOIN public.project p ON p.tenant_id = k.tenant_id AND p.id = k.project_id
              WHERE k.digest = $1
            $$
            """,
        ),
        # A process notes many tenants' keys in memory and writes them down together.
        function(
            "keys_used(jsonb)",
            """
            RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
              WITH touched AS (
                UPDATE public.api_key k SET last_used_at = u.used_at
                FROM jsonb_to_recordset($1) AS u (tenant_id uuid, key_id uuid, used_at timestamptz)
                WHERE k.tenant_id = u.tenant_id AND k.id = u.key_id
                  AND (k.last_used_at IS NULL OR k.last_used_at < u.used_at)
                RETURNING 1)
              SELECT count(*) FROM touched
            $$
            """,
        ),
        # One wrapped key for each master key in use: a start with a wrong or missing one is refused.
        function(
            "wrapped_samples()",
            """
            RETURNS TABLE (tenant_id uuid, purpose text, version integer, wrapped bytea)
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
              SELECT DISTINCT ON (substring(d.wrapped FOR 5)) d.tenant_id, d.purpose, d.version, d.wrapped
              FROM public.data_key d ORDER BY substring(d.wrapped FOR 5), d.created_at DESC
            $$
            """,
        ),
    ]
