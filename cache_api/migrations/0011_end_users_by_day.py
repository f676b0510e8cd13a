"""What a day of one end user's calls comes to, once the day is over."""

from typing import Any

from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation

COUNTS = ("calls", "hits", "billable", "unpriced", "tokens", "tokens_saved")
AMOUNTS = (
    "cost_usd",
    "list_usd",
    "discount_usd",
    "saved_usd",
    "fee_usd",
    "synthesis_cost_usd",
    "upkeep_cost_usd",
)

# A day has either all of its rows or none: none while it is under way, when its hours would change it with each call.
TABLE = f"""
CREATE TABLE usage_end_user_day (
  tenant_id uuid NOT NULL,
  day date NOT NULL,
  project_id uuid NOT NULL,
  end_user text NOT NULL,
  {", ".join(f"{name} bigint NOT NULL" for name in COUNTS)},
  {", ".join(f"{name} numeric(20, 10) NOT NULL" for name in AMOUNTS)},
  PRIMARY KEY (tenant_id, day, project_id, end_user)
)
"""

SUMS = ", ".join([*(f"sum({name})::bigint" for name in COUNTS), *(f"sum({name})" for name in AMOUNTS)])

OF_DAY = isolation.function(
    "end_users_of_day(tenant uuid, day date)",
    f"""RETURNS SETOF public.usage_end_user_day LANGUAGE sql STABLE
  SET search_path = pg_catalog, public AS $$
  SELECT $1, $2, project_id, end_user, {SUMS} FROM public.usage_end_user
  WHERE tenant_id = $1 AND hour >= $2::timestamp AT TIME ZONE 'UTC' AND hour < ($2 + 1)::timestamp AT TIME ZONE 'UTC'
  GROUP BY project_id, end_user ORDER BY project_id, end_user $$""",  # noqa: S608 (names of columns)
)

DAYS_THAT_ARE_OVER = f"""
INSERT INTO usage_end_user_day
SELECT tenant_id, (hour AT TIME ZONE 'UTC')::date, project_id, end_user, {SUMS} FROM usage_end_user
WHERE hour < date_trunc('day', now(), 'UTC') GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
"""  # noqa: S608 (names of columns)


def amount() -> "models.DecimalField[Any, Any]":
    return models.DecimalField(max_digits=20, decimal_places=10)


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0010_kinds_of_jobs")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(TABLE, "DROP TABLE usage_end_user_day"),
                *isolation.protect("usage_end_user_day", verbs="SELECT"),
                OF_DAY,
                RunSQL(DAYS_THAT_ARE_OVER, RunSQL.noop),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="UsageEndUserDay",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                *("tenant_id", "day", "project_id", "end_user"),
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.UUIDField()),
                        ("day", models.DateField()),
                        ("project_id", models.UUIDField()),
                        ("end_user", models.TextField()),
                        *((name, models.BigIntegerField()) for name in COUNTS),
                        *((name, amount()) for name in AMOUNTS),
                    ],
                    options={"db_table": "usage_end_user_day"},
                ),
            ],
        )
    ]
