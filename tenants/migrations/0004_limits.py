"""What a plan limits, what a key may be restricted to, and both with each authentication."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.migrations.operations import RunSQL
from django.utils import timezone

from tenants.isolation import function

BEFORE = """
CREATE FUNCTION key_by_digest(bytea)
RETURNS TABLE (
  tenant_id uuid, project_id uuid, key_id uuid, pepper_id smallint, scopes text[], networks text[],
  key_rpm integer, provider text, created_at timestamptz, expires_at timestamptz, revoked_at timestamptz,
  suspended_at timestamptz, default_model text, rpm integer, entries_max bigint, ttl_max_seconds bigint,
  requests_included bigint, requests_hard boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT k.tenant_id, k.project_id, k.id, k.pepper_id, k.scopes, k.networks, k.rpm, k.provider,
         k.created_at, k.expires_at, k.revoked_at, t.suspended_at, p.default_model, t.rpm, t.entries_max,
         least(t.ttl_max_seconds, k.ttl_max_seconds), t.requests_included, t.requests_hard
  FROM public.api_key k
  JOIN public.tenant t ON t.id = k.tenant_id
  JOIN public.project p ON p.tenant_id = k.tenant_id AND p.id = k.project_id
  WHERE k.digest = $1
$$;
REVOKE ALL ON FUNCTION key_by_digest(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION key_by_digest(bytea) TO cacheai_app;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_key_ttl")]

    operations = [
        migrations.AddField("tenant", "tpm", models.PositiveIntegerField(null=True)),
        migrations.AddField(
            "tenant", "overage_cap_usd", models.DecimalField(max_digits=20, decimal_places=10, null=True)
        ),
        migrations.AddField("tenant", "period_start", models.DateTimeField(default=timezone.now)),
        migrations.AddField("tenant", "bytes_max", models.BigIntegerField(null=True)),
        migrations.AddField("tenant", "detail_days", models.PositiveIntegerField(default=7)),
        migrations.AddField("tenant", "projects_max", models.PositiveIntegerField(null=True, default=1)),
        migrations.AddField("tenant", "members_max", models.PositiveIntegerField(null=True, default=2)),
        migrations.AddField("tenant", "keys_max", models.PositiveIntegerField(null=True, default=5)),
        migrations.AddField("tenant", "features", ArrayField(models.TextField(), default=list)),
        migrations.AddField("tenant", "read_only", models.BooleanField(default=False)),
        migrations.AddField("apikey", "models_allowed", ArrayField(models.TextField(), default=list)),
        migrations.AddField("apikey", "tpm", models.PositiveIntegerField(null=True)),
        RunSQL("DROP FUNCTION key_by_digest(bytea)", BEFORE),
        function(
            "key_by_digest(bytea)",
            """
            RETURNS TABLE (
              tenant_id uuid, project_id uuid, key_id uuid, pepper_id smallint, scopes text[], networks text[],
              models_allowed text[], key_rpm integer, key_tpm integer, provider text, created_at timestamptz,
              expires_at timestamptz, revoked_at timestamptz, suspended_at timestamptz, default_model text,
              rpm integer, tpm integer, entries_max bigint, bytes_max bigint, ttl_max_seconds bigint,
              requests_included bigint, requests_hard boolean, period_start timestamptz, read_only boolean,
              features text[])
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
              SELECT k.tenant_id, k.project_id, k.id, k.pepper_id, k.scopes, k.networks, k.models_allowed, k.rpm,
                     k.tpm, k.provider, k.created_at, k.expires_at, k.revoked_at, t.suspended_at, p.default_model,
                     t.rpm, t.tpm, t.entries_max, t.bytes_max, least(t.ttl_max_seconds, k.ttl_max_seconds),
                     t.requests_included, t.requests_hard, t.period_start, t.read_only, t.features
              FROM public.api_key k
              JOIN public.tenant t ON t.id = k.tenant_id
              JOIN public.project p ON p.tenant_id = k.tenant_id AND p.id = k.project_id
              WHERE k.digest = $1
            $$
            """,
        ),
    ]
