"""How long the answers that a key stores are kept at most."""

from django.db import migrations, models
from django.db.migrations.operations import RunSQL

# As before, but for the time: the shorter of the key's and the tenant's, and `least` passes over a key without one.
KEY_BY_DIGEST = """
CREATE OR REPLACE FUNCTION key_by_digest(bytea)
RETURNS TABLE (
  tenant_id uuid, project_id uuid, key_id uuid, pepper_id smallint, scopes text[], networks text[],
  key_rpm integer, provider text, created_at timestamptz, expires_at timestamptz, revoked_at timestamptz,
  suspended_at timestamptz, default_model text, rpm integer, entries_max bigint, ttl_max_seconds bigint,
  requests_included bigint, requests_hard boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT k.tenant_id, k.project_id, k.id, k.pepper_id, k.scopes, k.networks, k.rpm, k.provider,
         k.created_at, k.expires_at, k.revoked_at, t.suspended_at, p.default_model, t.rpm, t.entries_max,
         {ttl}, t.requests_included, t.requests_hard
  FROM public.api_key k
  JOIN public.tenant t ON t.id = k.tenant_id
  JOIN public.project p ON p.tenant_id = k.tenant_id AND p.id = k.project_id
  WHERE k.digest = $1
$$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_isolation")]

    operations = [
        migrations.AddField("apikey", "ttl_max_seconds", models.BigIntegerField(null=True)),
        RunSQL(
            KEY_BY_DIGEST.format(ttl="least(t.ttl_max_seconds, k.ttl_max_seconds)"),
            KEY_BY_DIGEST.format(ttl="t.ttl_max_seconds"),
        ),
    ]
