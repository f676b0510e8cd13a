"""Can the processes of the release before go on while a migration runs, and after it? (Expand, then contract)

They read and write the columns they know. So a migration takes nothing away and renames nothing that the release before
uses, and what it adds may be left out by those who write.
"""

import re
from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

# What every installation began with, or has passed: nothing older runs beside it.
BEGINNING = {"tenants": 9, "cache_api": 9, "billing": 1}
# Later migrations that take away what the release before no longer used, and since when.
CONTRACTING: dict[tuple[str, str], str] = {}

_TAKING_AWAY = re.compile(
    r"\bDROP\s+(?:TABLE|COLUMN|VIEW)|\bRENAME\b|\bALTER\s+COLUMN\s+\S+\s+(?:SET\s+NOT\s+NULL|TYPE|SET\s+DATA\s+TYPE)"
    r"|\bADD\s+COLUMN\s+(?:(?!DEFAULT)[^,;])*\bNOT\s+NULL(?:(?!DEFAULT)[^,;])*(?:[,;]|\Z)",
    re.IGNORECASE,
)


def troubles(operation: Any) -> list[str]:
    """What of an operation a process of the release before would fail over."""
    name = type(operation).__name__
    if isinstance(operation, SeparateDatabaseAndState):
        return [trouble for one in operation.database_operations for trouble in troubles(one)]
    if isinstance(operation, RunSQL):
        statements = operation.sql if isinstance(operation.sql, str) else "; ".join(map(str, operation.sql))
        return [match[0] for match in _TAKING_AWAY.finditer(statements)]
    if isinstance(
        operation, migrations.RemoveField | migrations.DeleteModel | migrations.RenameField | migrations.RenameModel
    ):
        return [name]
    if isinstance(operation, migrations.AddField):
        field = operation.field
        may_be_left_out = field.null or field.db_default is not models.NOT_PROVIDED or field.many_to_many
        return [] if may_be_left_out else [f"{name} {operation.name}: its writers do not know it"]
    if isinstance(operation, migrations.AlterField) and not operation.field.null:
        return [f"{name} {operation.name}: it may have been null"]
    return []


def later() -> list[tuple[str, str]]:
    found = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return [(app, name) for app, name in found if app in BEGINNING and int(name[:4]) > BEGINNING[app]]


def test_no_migration_breaks_the_release_before() -> None:
    on_disk = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    found = {
        place: [trouble for operation in on_disk[place].operations for trouble in troubles(operation)]
        for place in later()
        if place not in CONTRACTING
    }

    assert {place: said for place, said in found.items() if said} == {}


@pytest.mark.parametrize(
    ("operation", "breaks"),
    [
        (migrations.AddField("project", "note", models.TextField(null=True)), False),
        (migrations.AddField("project", "note", models.TextField(db_default="")), False),
        (migrations.AddField("project", "note", models.TextField(default="")), True),  # only Django knows it
        (migrations.RemoveField("project", "name"), True),
        (migrations.RenameField("project", "name", "title"), True),
        (migrations.DeleteModel("project"), True),
        (migrations.AlterField("project", "name", models.TextField()), True),
        (migrations.AlterField("project", "name", models.TextField(null=True)), False),
        (migrations.CreateModel("note", [("id", models.UUIDField(primary_key=True))]), False),
        (RunSQL("ALTER TABLE entry ADD COLUMN note text"), False),
        (RunSQL("ALTER TABLE entry ADD COLUMN note text NOT NULL DEFAULT ''"), False),
        (RunSQL("ALTER TABLE entry ADD COLUMN note text NOT NULL"), True),
        (RunSQL("ALTER TABLE entry ADD COLUMN one text, ADD COLUMN note text NOT NULL;"), True),
        (RunSQL("ALTER TABLE entry DROP COLUMN note"), True),
        (RunSQL("ALTER TABLE entry ALTER COLUMN note TYPE bytea"), True),
        (RunSQL("ALTER TABLE entry ALTER COLUMN note SET NOT NULL"), True),
        (RunSQL("CREATE INDEX CONCURRENTLY one ON entry (note)"), False),
        (SeparateDatabaseAndState([RunSQL("DROP TABLE entry")]), True),
    ],
)
def test_what_breaks_it_is_told(operation: Any, breaks: bool) -> None:
    assert bool(troubles(operation)) is breaks
