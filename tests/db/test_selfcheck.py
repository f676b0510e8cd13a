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
        (
            "CREATE TABLE library_of_people (email text); GRANT SELECT ON library_of_people TO cacheai_app",
            "DROP TABLE library_of_people",
            "The app's login may SELECT library_of_people, and should not.",
        ),
        (
            "GRANT UPDATE, DELETE ON audit_event TO cacheai_app",
            "REVOKE UPDATE, DELETE ON audit_event FROM cacheai_app",
            "The app's login may DELETE, UPDATE audit_event, and should not.",
        ),
        (
            "GRANT TRUNCATE ON project TO cacheai_app",
            "REVOKE TRUNCATE ON project FROM cacheai_app",
            "The app's login may TRUNCATE project, and should not.",
        ),
        (
            "CREATE SEQUENCE counted; GRANT USAGE ON SEQUENCE counted TO cacheai_app",
            "DROP SEQUENCE counted",
            "The app's login may read or move the sequence counted.",
        ),
        (
            "CREATE FUNCTION peep() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1::bigint';"
            "REVOKE ALL ON FUNCTION peep() FROM PUBLIC",
            "DROP FUNCTION peep()",
            "The function peep sees every tenant and has no search_path.",
        ),
        (
            "CREATE FUNCTION peep() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public"
            " AS 'SELECT 1::bigint'",
            "DROP FUNCTION peep()",
            "The function peep sees every tenant and everybody may call it.",
        ),
        (
            "CREATE POLICY hole ON call FOR SELECT TO cacheai_app USING (decision = 'hit')",
            "DROP POLICY hole ON call",
            "A policy of call names neither tenant nor person.",
        ),
        (
            "CREATE POLICY hole ON project FOR INSERT TO cacheai_app WITH CHECK (true)",
            "DROP POLICY hole ON project",
            "A policy of project names neither tenant nor person.",
        ),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO cacheai_app",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM cacheai_app",
            "What is made in public from now on is the app's to reach.",
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
