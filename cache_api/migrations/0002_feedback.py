"""What callers said of served answers, and which entries wait for a vector."""

import uuid

import django.utils.timezone
from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation

# `asked` and `cached` are Fingerprints, so the pair outlives the entry. The first index is read with every search, the
# others by the task that embeds what was stored without a vector, or under another embedder.
FEEDBACK = """
CREATE TABLE feedback (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  key_id uuid,
  verdict text NOT NULL CHECK (verdict IN ('right', 'wrong')),
  asked bytea CHECK (octet_length(asked) = 32),
  cached bytea NOT NULL CHECK (octet_length(cached) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX feedback_wrong ON feedback (tenant_id, project_id, cached, asked) WHERE verdict = 'wrong';
CREATE INDEX feedback_created ON feedback (tenant_id, project_id, created_at);
"""
WAITING = """
CREATE INDEX entry_unembedded ON entry (tenant_id, id) WHERE vector IS NULL AND matchable AND NOT quarantined;
CREATE INDEX entry_embedder ON entry (embedder) WHERE matchable AND NOT quarantined;
"""


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0001_initial")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(FEEDBACK, "DROP TABLE feedback"),
                isolation.same_tenant("feedback", "tenant_id, project_id", "project", "tenant_id, id"),
                *isolation.protect("feedback", verbs="SELECT, INSERT"),
                RunSQL(WAITING, "DROP INDEX entry_unembedded; DROP INDEX entry_embedder"),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="Feedback",
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
                        ("key_id", models.UUIDField(null=True)),
                        ("verdict", models.TextField()),
                        ("asked", models.BinaryField(max_length=32, null=True)),
                        ("cached", models.BinaryField(max_length=32)),
                        ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                    ],
                    options={"db_table": "feedback"},
                ),
            ],
        )
    ]
