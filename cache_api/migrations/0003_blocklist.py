"""Questions that are not to be answered."""

import django.utils.timezone
import pgvector.django.halfvec
from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation

# Few rows a project, scanned whole with each call of a project that has any: no index but by project. Numbers are a
# project's own and never given twice, so that nobody takes off what was added since.
BLOCKLIST = """
CREATE TABLE blocklist_entry (
  tenant_id uuid NOT NULL,
  project_id uuid NOT NULL,
  id integer NOT NULL,
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  embedder text NOT NULL DEFAULT '',
  vector halfvec(384),
  body bytea NOT NULL,
  category text NOT NULL CHECK (length(category) BETWEEN 1 AND 128),
  severity smallint NOT NULL CHECK (severity BETWEEN 1 AND 5),
  hit_count bigint NOT NULL DEFAULT 0,
  false_positives smallint NOT NULL DEFAULT 0,
  key_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, project_id, id),
  UNIQUE (tenant_id, project_id, digest)
);
CREATE TABLE blocklist_number (
  tenant_id uuid NOT NULL,
  project_id uuid NOT NULL,
  last integer NOT NULL,
  PRIMARY KEY (tenant_id, project_id)
);
"""


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0002_feedback")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(BLOCKLIST, "DROP TABLE blocklist_entry; DROP TABLE blocklist_number"),
                isolation.same_tenant("blocklist_entry", "tenant_id, project_id", "project", "tenant_id, id"),
                isolation.same_tenant("blocklist_number", "tenant_id, project_id", "project", "tenant_id, id"),
                *isolation.protect("blocklist_entry"),
                *isolation.protect("blocklist_number", verbs="SELECT, INSERT, UPDATE"),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="BlocklistEntry",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "project_id",
                                "id",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.UUIDField()),
                        ("project_id", models.UUIDField()),
                        ("id", models.IntegerField()),
                        ("digest", models.BinaryField(max_length=32)),
                        ("embedder", models.TextField(default="")),
                        ("vector", pgvector.django.halfvec.HalfVectorField(dimensions=384, null=True)),
                        ("body", models.BinaryField()),
                        ("category", models.TextField()),
                        ("severity", models.PositiveSmallIntegerField()),
                        ("hit_count", models.BigIntegerField(default=0)),
                        ("false_positives", models.PositiveSmallIntegerField(default=0)),
                        ("key_id", models.UUIDField(null=True)),
                        ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("expires_at", models.DateTimeField()),
                    ],
                    options={"db_table": "blocklist_entry"},
                ),
            ],
        )
    ]
