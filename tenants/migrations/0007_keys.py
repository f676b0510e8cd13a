"""What keys and provider keys need to be managed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_people")]

    operations = [
        migrations.AddField("tenant", "revoke_leaked", models.BooleanField(default=False)),
        migrations.AddField("apikey", "expiry_told_days", models.PositiveSmallIntegerField(null=True)),
        migrations.AddField("providerkey", "taken_at", models.DateTimeField(null=True)),
        migrations.AddField("providerkey", "trouble", models.TextField(blank=True, default="")),
    ]
