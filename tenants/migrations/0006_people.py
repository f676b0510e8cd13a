"""Invitations, domains and what single sign-on needs."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_audit")]

    operations = []
