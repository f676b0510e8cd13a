"""What a tenant may spend, who was told, and what was used since when."""

import uuid

from django.db import migrations, models
from django.db.models import Q
from django.utils import timezone

from tenants.isolation import function, protect, same_tenant

# From roll-ups where they are exact, from the calls of hours that are not rolled up yet or cut by the range: days
# first, since a month has thousands of hours. Exact at any moment.
USED_BETWEEN = function(
    "used_between(tenant uuid, since timestamptz, before timestamptz, project uuid, key uuid, named text)",
    """RETURNS TABLE (billable bigint, cost_usd numeric) LANGUAGE sql STABLE
  SET search_path = pg_catalog, public AS $$
  WITH live AS (
    SELECT hour FROM public.usage_dirty WHERE tenant_id = $1 AND hour >= date_trunc('hour', $2, 'UTC') AND hour < $3
    UNION SELECT date_trunc('hour', at, 'UTC') FROM public.call
    WHERE tenant_id = $1 AND priced_at IS NULL AND at >= $2 AND at < $3
    UNION SELECT date_trunc('hour', cut, 'UTC') FROM unnest(ARRAY[$2, $3]) AS cut
    WHERE isfinite(cut) AND cut <> date_trunc('hour', cut, 'UTC')
  ), part AS (
    SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date AS day FROM live
    UNION SELECT (cut AT TIME ZONE 'UTC')::date FROM unnest(ARRAY[$2, $3]) AS cut
    WHERE isfinite(cut) AND cut <> date_trunc('day', cut, 'UTC')
  ), found AS (
    SELECT d.billable, d.cost_usd, d.project_id, d.key_id, d.task FROM public.usage_day d
    WHERE d.tenant_id = $1 AND d.day >= ($2 AT TIME ZONE 'UTC')::date
      AND (d.day < ($3 AT TIME ZONE 'UTC')::date OR NOT isfinite($3)) AND d.day NOT IN (SELECT day FROM part)
    UNION ALL
    SELECT h.billable, h.cost_usd, h.project_id, h.key_id, h.task FROM part JOIN public.usage_hour h
      ON h.hour >= part.day::timestamp AT TIME ZONE 'UTC' AND h.hour < (part.day + 1)::timestamp AT TIME ZONE 'UTC'
    WHERE h.tenant_id = $1 AND h.hour >= $2 AND h.hour < $3 AND h.hour NOT IN (SELECT hour FROM live)
    UNION ALL
    SELECT c.billable::int, coalesce(c.cost_usd, 0), c.project_id, c.key_id, c.task FROM live JOIN public.call c
      ON c.at >= live.hour AND c.at < live.hour + interval '1 hour'
    WHERE c.tenant_id = $1 AND c.at >= $2 AND c.at < $3
  )
  SELECT coalesce(sum(found.billable), 0)::bigint, coalesce(sum(found.cost_usd), 0) FROM found
  WHERE ($4 IS NULL OR project_id = $4) AND ($5 IS NULL OR key_id = $5) AND ($6 = '' OR task = $6)
$$""",
)


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0006_planned_reads"), ("tenants", "0004_limits")]

    operations = [
        migrations.CreateModel(
            "Budget",
            [
                ("pk", models.CompositePrimaryKey("tenant_id", "id", primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("id", models.UUIDField(default=uuid.uuid4)),
                ("project_id", models.UUIDField(null=True)),
                ("key_id", models.UUIDField(null=True)),
                ("task", models.TextField(default="")),
                ("period", models.TextField()),
                ("amount_usd", models.DecimalField(max_digits=20, decimal_places=10)),
                ("action", models.TextField(default="alert")),
                ("created_at", models.DateTimeField(default=timezone.now)),
            ],
            {
                "db_table": "budget",
                "constraints": [
                    models.UniqueConstraint(
                        fields=["tenant_id", "project_id", "key_id", "task", "period"],
                        nulls_distinct=False,
                        name="budget_once",
                    ),
                    models.CheckConstraint(condition=Q(period__in=("day", "month")), name="budget_period_known"),
                    models.CheckConstraint(
                        condition=Q(action__in=("alert", "cache_only", "block")), name="budget_action_known"
                    ),
                    models.CheckConstraint(condition=Q(amount_usd__gt=0), name="budget_of_something"),
                ],
            },
        ),
        migrations.CreateModel(
            "BudgetAlert",
            [
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "budget", "period", "threshold", primary_key=True, serialize=False
                    ),
                ),
                ("tenant_id", models.UUIDField()),
                ("budget", models.TextField()),
                ("period", models.DateTimeField()),
                ("threshold", models.PositiveSmallIntegerField()),
                ("at", models.DateTimeField(default=timezone.now)),
            ],
            {"db_table": "budget_alert"},
        ),
        migrations.CreateModel(
            "StorageLimit",
            [
                ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                ("entries_max", models.BigIntegerField()),
                ("bytes_max", models.BigIntegerField(null=True)),
                ("surplus_until", models.DateTimeField(null=True)),
            ],
            {"db_table": "storage_limit"},
        ),
        same_tenant("budget", "tenant_id", "tenant", "id"),
        same_tenant("budget", "tenant_id, project_id", "project", "tenant_id, id"),
        same_tenant("budget", "tenant_id, key_id", "api_key", "tenant_id, id"),
        same_tenant("budget_alert", "tenant_id", "tenant", "id"),
        same_tenant("storage_limit", "tenant_id", "tenant", "id"),
        *protect("budget"),
        *protect("budget_alert", verbs="SELECT, INSERT, DELETE"),
        *protect("storage_limit", verbs="SELECT"),
        USED_BETWEEN,
    ]
