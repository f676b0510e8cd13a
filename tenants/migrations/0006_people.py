"""Mail on its way, invitations, domains and what single sign-on needs."""

import uuid

from django.db import migrations, models
from django.utils import timezone

from tenants.isolation import grant


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_audit")]

    operations = [
        migrations.CreateModel(
            "Mail",
            [
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("sealed", models.BinaryField()),
                ("created_at", models.DateTimeField(default=timezone.now)),
                ("due_at", models.DateTimeField(default=timezone.now)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
            ],
            {"db_table": "mail", "indexes": [models.Index(fields=["due_at"], name="mail_due")]},
        ),
        grant("mail", verbs="INSERT"),
    ]
