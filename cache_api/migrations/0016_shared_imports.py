"""The parts of an import are shared out between workers: who took one, and how often was it begun?"""

from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

PARTS = """
ALTER TABLE job_part
  ADD COLUMN taken_at timestamptz,
  ADD COLUMN attempts integer NOT NULL DEFAULT 0
"""


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0015_nearest_at_once")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(PARTS, "ALTER TABLE job_part DROP COLUMN taken_at, DROP COLUMN attempts"),
            ],
            state_operations=[
                migrations.AddField("jobpart", "taken_at", models.DateTimeField(null=True)),
                migrations.AddField("jobpart", "attempts", models.PositiveIntegerField(default=0)),
            ],
        ),
    ]
