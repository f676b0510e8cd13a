"""The audit trail: rows are added and read, never changed."""

from django.db import migrations, models

from tenants.isolation import protect, same_tenant


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_limits")]

    operations = [
        migrations.CreateModel(
            "AuditEvent",
            [
                ("pk", models.CompositePrimaryKey("tenant_id", "seq", primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("seq", models.BigIntegerField()),
                ("at", models.DateTimeField()),
                ("actor_kind", models.TextField()),
                ("actor_id", models.UUIDField(null=True)),
                ("address", models.TextField(default="")),
                ("action", models.TextField()),
                ("target", models.TextField(default="")),
                ("diff", models.JSONField(default=dict)),
                ("hash", models.BinaryField(max_length=32)),
            ],
            {"db_table": "audit_event"},
        ),
        migrations.CreateModel(
            "AuditHead",
            [
                ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField(default=0)),
                ("hash", models.BinaryField(default=bytes(32), max_length=32)),
            ],
            {"db_table": "audit_head"},
        ),
        same_tenant("audit_event", "tenant_id", "tenant", "id"),
        same_tenant("audit_head", "tenant_id", "tenant", "id"),
        *protect("audit_event", verbs="SELECT, INSERT"),
        *protect("audit_head", verbs="SELECT, INSERT, UPDATE"),
    ]
