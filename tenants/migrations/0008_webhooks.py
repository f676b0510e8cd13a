"""Where a tenant is told of what happens."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_keys")]

    operations = []
