"""Costs by end user, and corrections."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0007_budgets")]

    operations = []
