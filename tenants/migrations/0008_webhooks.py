"""Where a tenant is told of what happens, and what was sent; a plan's name and spend cap with each authentication."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.migrations.operations import RunSQL
from django.utils import timezone

from tenants.isolation import function, protect, same_tenant

FOUND = """
    RETURNS TABLE (
      tenant_id uuid, project_id uuid, key_id uuid, pepper_id smallint, scopes text[], networks text[],
      models_allowed text[], key_rpm integer, key_tpm integer, provider text, created_at timestamptz,
      expires_at timestamptz, revoked_at timestamptz, suspended_at timestamptz, default_model text,
      rpm integer, tpm integer, entries_max bigint, bytes_max bigint, ttl_max_seconds bigint,
      requests_included bigint, requests_hard boolean, period_start timestamptz, read_only boolean,
      features text[]{more})
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
      SELECT k.tenant_id, k.project_id, k.id, k.pepper_id, k.scopes, k.networks, k.models_allowed, k.rpm,
             k.tpm, k.provider, k.created_at, k.expires_at, k.revoked_at, t.suspended_at, p.default_model,
             t.rpm, t.tpm, t.entries_max, t.bytes_max, least(t.ttl_max_seconds, k.ttl_max_seconds),
             t.requests_included, t.requests_hard, t.period_start, t.read_only, t.features{columns}
      FROM public.api_key k
      JOIN public.tenant t ON t.id = k.tenant_id
      JOIN public.project p ON p.tenant_id = k.tenant_id AND p.id = k.project_id
      WHERE k.digest = $1
    $$
    """
BEFORE = function("key_by_digest(bytea)", FOUND.format(more="", columns=""))
AFTER = function(
    "key_by_digest(bytea)",
    FOUND.format(more=", plan text, overage_cap_usd numeric", columns=", t.plan, t.overage_cap_usd"),
)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_keys")]

    operations = [
        migrations.CreateModel(
            "WebhookEndpoint",
            [
                ("pk", models.CompositePrimaryKey("tenant_id", "id", primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("id", models.UUIDField(default=uuid.uuid4)),
                ("url", models.TextField()),
                ("events", ArrayField(models.TextField(), default=list)),
                ("sealed", models.BinaryField()),
                ("hint", models.TextField()),
                ("created_at", models.DateTimeField(default=timezone.now)),
                ("disabled_at", models.DateTimeField(null=True)),
                ("disabled_reason", models.TextField(default="")),
            ],
            {"db_table": "webhook_endpoint"},
        ),
        migrations.CreateModel(
            "WebhookDelivery",
            [
                ("pk", models.CompositePrimaryKey("tenant_id", "id", primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("id", models.UUIDField(default=uuid.uuid4)),
                ("endpoint_id", models.UUIDField()),
                ("event", models.TextField()),
                ("body", models.TextField()),
                ("created_at", models.DateTimeField(default=timezone.now)),
                ("next_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("given_up_at", models.DateTimeField(null=True)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("error", models.TextField(default="")),
            ],
            {
                "db_table": "webhook_delivery",
                "indexes": [
                    models.Index(
                        fields=["next_at"],
                        name="webhook_delivery_due",
                        condition=models.Q(next_at__isnull=False),
                    ),
                    models.Index(fields=["tenant_id", "endpoint_id", "created_at"], name="webhook_delivery_log"),
                ],
            },
        ),
        same_tenant("webhook_endpoint", "tenant_id", "tenant", "id"),
        same_tenant("webhook_delivery", "tenant_id, endpoint_id", "webhook_endpoint", "tenant_id, id"),
        *protect("webhook_endpoint"),
        *protect("webhook_delivery"),
        RunSQL("DROP FUNCTION key_by_digest(bytea)", BEFORE.sql),
        AFTER,
    ]
