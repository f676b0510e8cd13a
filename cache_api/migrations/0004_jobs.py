"""Work too long for a call, what it works on, and vectors on their way into the index."""

import uuid

import django.utils.timezone
from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation

# `receiving`: the upload is not all here yet. The index is read each minute by the task that looks for work.
JOB = """
CREATE TABLE job (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('import', 'purge')),
  status text NOT NULL CHECK (status IN ('receiving', 'queued', 'running', 'done', 'failed')),
  settings jsonb NOT NULL DEFAULT '{}',
  total bigint NOT NULL DEFAULT 0,
  done bigint NOT NULL DEFAULT 0,
  rejected bigint NOT NULL DEFAULT 0,
  errors jsonb NOT NULL DEFAULT '[]',
  attempts integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  touched_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX job_unfinished ON job (created_at) WHERE finished_at IS NULL;
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE job_part (
  tenant_id uuid NOT NULL,
  job_id uuid NOT NULL,
  number integer NOT NULL,
  first_line bigint NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (tenant_id, job_id, number)
);
ALTER TABLE job_part ALTER COLUMN body SET STORAGE EXTERNAL;
"""

# No foreign key to entry: each row is gone within minutes, and a row whose entry is gone fills nothing.
WAITING_VECTOR = """
CREATE TABLE waiting_vector (
  tenant_id uuid NOT NULL,
  entry_id uuid NOT NULL,
  embedder text NOT NULL,
  vector bytea NOT NULL CHECK (octet_length(vector) = 768),
  PRIMARY KEY (tenant_id, entry_id)
);
"""


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0003_blocklist")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(JOB, "DROP TABLE job_part; DROP TABLE job"),
                isolation.same_tenant("job", "tenant_id, project_id", "project", "tenant_id, id"),
                isolation.same_tenant("job_part", "tenant_id, job_id", "job", "tenant_id, id"),
                RunSQL(WAITING_VECTOR, "DROP TABLE waiting_vector"),
                isolation.same_tenant("waiting_vector", "tenant_id", "tenant", "id"),
                *isolation.protect("job"),
                *isolation.protect("job_part"),
                *isolation.protect("waiting_vector"),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="Job",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id", "id", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("tenant_id", models.UUIDField()),
                        ("id", models.UUIDField(default=uuid.uuid4)),
                        ("project_id", models.UUIDField()),
                        ("kind", models.TextField()),
                        ("status", models.TextField()),
                        ("settings", models.JSONField(default=dict)),
                        ("total", models.BigIntegerField(default=0)),
                        ("done", models.BigIntegerField(default=0)),
                        ("rejected", models.BigIntegerField(default=0)),
                        ("errors", models.JSONField(default=list)),
                        ("attempts", models.PositiveIntegerField(default=0)),
                        ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("touched_at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("finished_at", models.DateTimeField(null=True)),
                    ],
                    options={"db_table": "job"},
                ),
                migrations.CreateModel(
                    name="JobPart",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id", "job_id", "number", blank=True, editable=False, primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.UUIDField()),
                        ("job_id", models.UUIDField()),
                        ("number", models.PositiveIntegerField()),
                        ("first_line", models.PositiveBigIntegerField()),
                        ("body", models.BinaryField()),
                    ],
                    options={"db_table": "job_part"},
                ),
                migrations.CreateModel(
                    name="WaitingVector",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id", "entry_id", blank=True, editable=False, primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.UUIDField()),
                        ("entry_id", models.UUIDField()),
                        ("embedder", models.TextField()),
                        ("vector", models.BinaryField()),
                    ],
                    options={"db_table": "waiting_vector"},
                ),
            ],
        )
    ]
