"""Two more kinds of long work: writing an export, and seeking entries that are nearly the same question."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

KINDS = """
ALTER TABLE job DROP CONSTRAINT job_kind_check;
ALTER TABLE job ADD CONSTRAINT job_kind_check
  CHECK (kind IN ('import', 'purge', 'backtest', 'export', 'duplicates'));
"""
KINDS_BEFORE = """
DELETE FROM job WHERE kind IN ('export', 'duplicates');
ALTER TABLE job DROP CONSTRAINT job_kind_check;
ALTER TABLE job ADD CONSTRAINT job_kind_check CHECK (kind IN ('import', 'purge', 'backtest'));
"""


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0009_evidence")]

    operations = [RunSQL(KINDS, KINDS_BEFORE)]
