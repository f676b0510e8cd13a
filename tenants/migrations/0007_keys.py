"""What keys and provider keys need to be managed."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_people")]

    operations = []
