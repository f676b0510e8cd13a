"""Where an export goes on."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0009_erasure")]

    operations = [
        migrations.AddField("TenantExport", "cursor", models.JSONField(null=True)),
    ]
