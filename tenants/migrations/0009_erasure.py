"""What is being erased and what stays of it; what a tenant takes along."""

import uuid

import django.utils.timezone
from django.db import migrations, models
from django.db.migrations.operations import RunSQL

from tenants.isolation import APP_ROLE, protect, same_tenant


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_webhooks")]

    operations = [
        # Its tenant is a subject, not a `tenant_id`: what has one of those is erased.
        migrations.CreateModel(
            "Erasure",
            [
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("kind", models.TextField(choices=[("tenant", "tenant"), ("person", "person")])),
                ("subject_id", models.UUIDField()),
                ("asked_by", models.UUIDField(null=True)),
                ("asked_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("suspended", models.BooleanField(default=False)),
                ("withdrawn_at", models.DateTimeField(null=True)),
                ("keys_destroyed_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("counts", models.JSONField(default=dict)),
            ],
            {
                "db_table": "erasure",
                "constraints": [
                    models.UniqueConstraint(
                        fields=["subject_id"], condition=models.Q(withdrawn_at=None), name="erasure_one_at_a_time"
                    )
                ],
            },
        ),
        *protect("erasure", verbs="SELECT, INSERT, UPDATE", column="subject_id"),
        RunSQL(
            f"""
            CREATE POLICY person_rows ON erasure TO {APP_ROLE}
              USING (asked_by = (SELECT NULLIF(current_setting('app.user_id', true), '')::uuid));
            """,
            "DROP POLICY person_rows ON erasure",
        ),
        migrations.CreateModel(
            "TenantExport",
            [
                ("pk", models.CompositePrimaryKey("tenant_id", "id", primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("id", models.UUIDField(default=uuid.uuid4)),
                ("asked_by", models.UUIDField(null=True)),
                ("status", models.TextField(default="queued")),
                ("tables_total", models.PositiveIntegerField(default=0)),
                ("tables_done", models.PositiveIntegerField(default=0)),
                ("rows_done", models.BigIntegerField(default=0)),
                ("bytes", models.BigIntegerField(default=0)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("touched_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
            ],
            {"db_table": "tenant_export"},
        ),
        same_tenant("tenant_export", "tenant_id", "tenant", "id"),
        *protect("tenant_export"),
    ]
