"""The cast and their world: owner and teammate in one tenant, an outsider in another, who must see nothing.

PostgreSQL and Redis are real: DATABASE_URL and REDIS_URL where they are set, else embedded ones in a home of their own.
Alias `default` is the app's login, as in life, so that row-level security is under every test.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from celery import current_app
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.cache import caches
from django.core.management import call_command
from django.db import connections
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cacheai import embedded
from cacheai.celery import broker_url
from tests.patience import be_patient

START_SECONDS = 60
# More patient than in life: a busy test machine is no outage.
POOL = {"min_size": 1, "max_size": 4, "timeout": 5}


@dataclass(frozen=True)
class Servers:
    owner_url: str
    app_url: str  # empty: the owner's login takes the app's role
    redis_url: str


@dataclass(frozen=True)
class Person:
    user_id: UUID
    tenant_id: UUID
    project_id: UUID
    key_id: UUID
    api_key: str


@dataclass(frozen=True)
class Cast:
    owner: Person
    teammate: Person
    outsider: Person


def pytest_configure() -> None:
    """No test asks how long a password would withstand, and a hash that makes it long takes half a second.

    Nor does any mean the Stripe of a `make run` beside it.
    """
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STRIPE_SECRET_KEY = ""


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Redis, started once where no URL names them."""
    database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if database_url and redis_url:
        yield Servers(database_url, os.environ.get("DATABASE_APP_URL", ""), redis_url)
        return

    home = Path(tempfile.mkdtemp(prefix="cacheai-test-"))
    addresses = embedded.addresses(home)
    processes = []
    try:
        embedded.prepare(home)
        if not redis_url:
            processes.append(subprocess.Popen(embedded.redis_command(home), stdout=subprocess.DEVNULL))
            _wait_for(embedded.redis_ready, home)
        if not database_url:
            subprocess.run(embedded.initdb_command(home), check=True, stdout=subprocess.DEVNULL)
            # Nothing here must survive a power cut.
            command = [*embedded.postgres_command(home), "-c", "fsync=off"]
            processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            _wait_for(embedded.postgres_ready, home)
        yield Servers(
            database_url or addresses.owner_url,
            os.environ.get("DATABASE_APP_URL", "") if database_url else addresses.app_url,
            redis_url or addresses.redis_url,
        )
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def database(servers: Servers, django_db_blocker: Any) -> Iterator[str]:
    """A migrated database of this session's own; both aliases lead to it. Yields the owner's address."""
    name = f"test_cacheai_{secrets.token_hex(4)}"
    _as_operator(servers.owner_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    before = {alias: dict(connections.settings[alias]) for alias in ("default", "owner")}
    redis_before = settings.REDIS_URL
    try:
        with django_db_blocker.unblock():
            owner = _django_database(servers.owner_url, name)
            app = _django_database(servers.app_url or servers.owner_url, name)
            app["OPTIONS"]["pool"] = dict(POOL)
            if not servers.app_url:
                app["OPTIONS"]["options"] = "-c role=cacheai_app"
            point("owner", owner)
            point("default", app)
            settings.REDIS_URL = servers.redis_url
            caches.close_all()
            with contextlib.suppress(AttributeError):  # made by checks perhaps, before there was a Redis
                del caches["default"]
            # Celery read its broker's address before: each hint would wait for one that is not there.
            current_app.conf.broker_url = broker_url(servers.redis_url)
            call_command("migrate", verbosity=0)
        yield make_conninfo(servers.owner_url, dbname=name)
    finally:
        with django_db_blocker.unblock():
            connections["default"].close()
            connections["default"].close_pool()
            connections.close_all()
        for alias, values in before.items():
            point(alias, values)
        settings.REDIS_URL = redis_before
        # Queries whose callers gave up may still run, as the app: the owner may not end those.
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND usename = CURRENT_USER"
        _as_operator(servers.app_url or servers.owner_url, sql.SQL(end).format(sql.Literal(name)))
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        _as_operator(servers.owner_url, drop)


@pytest.fixture
def live(database: str, django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test may use the database; what it leaves behind are whole tenants, and those go."""
    # A thread that wakes each minute would wake between two tests some day, when nobody may use the database.
    monkeypatch.setattr("tenants.authentication.NOTE_USE_SECONDS", 3600)
    with django_db_blocker.unblock():
        yield
        connections["default"].close()
        owner = connections["owner"]
        if not owner.is_usable():
            owner.close()
        with owner.cursor() as cursor:  # Not closed: to connect anew takes longer than all the rest.
            cursor.execute(_EMPTY_TABLES)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch.setattr)


@pytest.fixture
def keys_unopened() -> Iterator[None]:
    """As in a process that has just started; and the next test finds none that this one opened."""
    from tenants import vault

    vault._tenant_keys.clear()
    vault._provider_keys.clear()
    yield
    vault._tenant_keys.clear()
    vault._provider_keys.clear()


@pytest.fixture
def cast(live: None) -> Cast:
    """Written as rows: the services would ask the database eighty times, more than most tests do."""
    from allauth.account.models import EmailAddress  # Django must be pointed at the test's database first.

    from tenants import features, keys, services
    from tenants.isolation import as_owner
    from tenants.models import ApiKey, Member, Project, User

    # Of a plan with room for what tests make.
    limits = services.Limits(projects_max=50, members_max=50, keys_max=100, features=features.TEAM)
    cache, theirs = Project(tenant_id=uuid4(), name="Cache"), Project(tenant_id=uuid4(), name="Cache")
    wanted = (
        ("owner@example.test", cache, "owner"),
        ("teammate@example.test", cache, "developer"),
        ("outsider@example.test", theirs, "owner"),
    )
    people, users, members, api_keys = [], [], [], []
    pepper = keys.read_versions(settings.CACHEAI_KEY_PEPPERS)[0]
    for email, project, role in wanted:
        tenant_id, secret = project.tenant_id, keys.make(secrets.token_bytes(keys.RANDOM_BYTES))
        user = User(email=email, password=make_password(None))
        key = ApiKey(
            tenant_id=tenant_id,
            project_id=project.id,
            name=email,
            digest=keys.digest(secret, pepper.secret),
            pepper_id=pepper.version,
            hint=keys.hint(secret),
            scopes=sorted(keys.DEFAULT_SCOPES),
        )
        users.append(user)
        members.append(Member(tenant_id=tenant_id, user=user, role=role))
        api_keys.append(key)
        people.append(Person(user.id, tenant_id, project.id, key.id, secret))
    with as_owner():
        services.tenant_insert(cache.tenant_id, "Team", limits)
        services.tenant_insert(theirs.tenant_id, "Others", limits)
        Project.objects.bulk_create((cache, theirs))
        User.objects.bulk_create(users)
        EmailAddress.objects.bulk_create(
            EmailAddress(user=user, email=user.email, primary=True, verified=True) for user in users
        )
        Member.objects.bulk_create(members)
        ApiKey.objects.bulk_create(api_keys)
    return Cast(*people)


# What has rows is emptied: tenants' tables, then tenants, then what is nobody's and yet left by tests, then people.
_EMPTY_TABLES = """
DO $$
DECLARE one text; filled boolean;
BEGIN
  FOR one IN
    SELECT relname FROM (
      SELECT 1 AS turn, c.oid AS id, c.relname FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
      WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
      UNION ALL SELECT 2, 0, unnest(ARRAY['tenant', 'price_rate', 'mail'])
      UNION ALL SELECT 3, 0, conrelid::regclass::text FROM pg_constraint
      WHERE contype = 'f' AND confrelid = 'tenants_user'::regclass AND conrelid <> confrelid
      UNION ALL SELECT 4, 0, 'tenants_user'
    ) AS tables ORDER BY turn, id
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', one) INTO filled;
    IF filled THEN EXECUTE format('DELETE FROM %s', one); END IF;
  END LOOP;
END $$
"""


def _django_database(url: str, name: str) -> dict[str, Any]:
    parts: dict[str, Any] = dict(conninfo_to_dict(url))
    parts.pop("dbname", None)
    named = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    values = {upper: str(parts.pop(lower, "")) for lower, upper in named.items()}
    return {**values, "NAME": name, "OPTIONS": {**parts, "connect_timeout": 5}}


def point(alias: str, values: dict[str, Any]) -> None:
    connections.settings[alias].update(values)
    if hasattr(connections._connections, alias):
        del connections[alias]


def _as_operator(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as connection:
        connection.execute(statement)


def _wait_for(ready: Any, home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready(home):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{ready.__name__} never came true")
        time.sleep(0.05)
