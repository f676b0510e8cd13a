"""What pages read of a million calls and of many entries: which models an hour has, and sizes without the rows."""

from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation

# Some call of the hour asked for the one, by whatever name, and was served by the other.
TABLE = """
CREATE TABLE usage_model (
  tenant_id uuid NOT NULL,
  hour timestamptz NOT NULL,
  asked text NOT NULL,
  served text NOT NULL,
  PRIMARY KEY (tenant_id, hour, asked, served)
)
"""

# An hour without rows may have any model. So the latest ones get none: the release before may still roll them up.
HOURS_THAT_ARE_OVER = """
INSERT INTO usage_model
SELECT DISTINCT tenant_id, date_trunc('hour', at, 'UTC'), model_asked, model_served FROM call
WHERE at < date_trunc('hour', now(), 'UTC') - interval '1 day'
"""

# What is stored is counted from an index alone. Entries wait while it is made, 4 s for a million; so it comes last.
SIZES = """
CREATE INDEX entry_sizes ON entry (tenant_id, project_id, created_at) INCLUDE (size_bytes);
DROP INDEX entry_created
"""
SIZES_AS_THEY_WERE = """
CREATE INDEX entry_created ON entry (tenant_id, project_id, created_at);
DROP INDEX entry_sizes
"""


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0013_exact_nearest")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(TABLE, "DROP TABLE usage_model"),
                *isolation.protect("usage_model", verbs="SELECT"),
                RunSQL(HOURS_THAT_ARE_OVER, RunSQL.noop),
                RunSQL(SIZES, SIZES_AS_THEY_WERE),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="UsageModel",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                *("tenant_id", "hour", "asked", "served"),
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.UUIDField()),
                        ("hour", models.DateTimeField()),
                        ("asked", models.TextField()),
                        ("served", models.TextField()),
                    ],
                    options={"db_table": "usage_model"},
                ),
            ],
        )
    ]
