"""What stays of a tenant that was erased."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_webhooks")]

    operations = []
