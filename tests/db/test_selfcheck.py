"""Does each hole in the net stop the start?"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command

from tenants import selfcheck, vault
from tenants.isolation import as_owner
from tenants.keys import read_versions
from tests.conftest import Cast


@contextmanager
def _hole(statement: str, mend: str) -> Iterator[None]:
    def execute(sql: str) -> None:
        with as_owner() as connection, connection.cursor() as cursor:
            cursor.execute(sql)

    execute(statement)
    try:
        yield
    finally:
        execute(mend)


def test_a_whole_net_has_no_problems(cast: Cast) -> None:
    assert selfcheck.problems() == []
    call_command("selfcheck", verbosity=0)


@pytest.mark.parametrize(
    ("statement", "mend", "problem"),
    [
        (
            "ALTER TABLE project DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE project ENABLE ROW LEVEL SECURITY",
            "Row-level security of project is not enabled and forced.",
        ),
        (
            "ALTER TABLE member NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE member FORCE ROW LEVEL SECURITY",
            "Row-level security of member is not enabled and forced.",
        ),
        (
            "CREATE POLICY hole ON api_key TO cacheai_app USING (true)",
            "DROP POLICY hole ON api_key",
            "api_key shows rows to nobody in particular.",
        ),
        (
            "CREATE TABLE forgotten (tenant_id uuid)",
            "DROP TABLE forgotten",
            "Row-level security of forgotten is not enabled and forced.",
        ),
        (
            "GRANT SELECT ON entry_0 TO cacheai_app",
            "REVOKE SELECT ON entry_0 FROM cacheai_app",
            "The app's login has a privilege on the partition entry_0.",
        ),
        (
            "CREATE VIEW peep AS SELECT * FROM project; GRANT SELECT ON peep TO cacheai_app",
            "DROP VIEW peep",
            "The view peep shows every tenant: security_invoker is not set.",
        ),
    ],
)
def test_a_hole_is_found(cast: Cast, statement: str, mend: str, problem: str) -> None:
    with _hole(statement, mend):
        assert problem in selfcheck.problems()
        with pytest.raises(CommandError):
            call_command("selfcheck")
    assert selfcheck.problems() == []


def test_the_wrong_master_key_stops_the_start(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = read_versions("1:" + base64.b64encode(b"m" * 32).decode())
    monkeypatch.setattr(vault, "_masters", vault._Masters(wrong))

    assert selfcheck.problems() == [
        "CACHEAI_MASTER_KEYS does not open what is stored: put the key back that sealed it."
    ]
