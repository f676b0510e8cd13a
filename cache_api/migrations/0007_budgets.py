"""Budgets, and which alerts were sent."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0006_planned_reads")]

    operations = []
