"""What is learned of each entry's answers."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0008_accounts")]

    operations = []
