"""Whose rows does a query see?

The ORM filters by tenant; row-level security is the net under it. Alias `default` is the login `cacheai_app`, which
cannot pass it; alias `owner` migrates and works across tenants, through `as_owner` alone.
"""

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from django.db import Error as DjangoDatabaseError
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations import RunSQL
from django.db.models import Model
from psycopg import pq
from psycopg.adapt import Transformer

from tenants import watchdog

APP_ROLE = "cacheai_app"
APP = "default"
OWNER = "owner"

# What psycopg raises when the database is gone, restarting, overloaded or read-only; all else is a fault of ours.
BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, DjangoDatabaseError)

Exchange = Callable[[psycopg.Connection[Any]], pq.abc.PGresult]

_BINARY = [pq.Format.BINARY] * 16
CATALOGUE_SECONDS = 10.0
_TENANT_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""
_PRIMARY_KEY = """
    SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute a ON a.attnum = k.number
    WHERE i.indrelid = (SELECT oid FROM pg_class WHERE relname = %s AND relnamespace = 'public'::regnamespace)
      AND i.indisprimary AND a.attrelid = i.indrelid ORDER BY k.place
"""
# What each connection has prepared.
_prepared: WeakKeyDictionary[psycopg.Connection[Any], set[str]] = WeakKeyDictionary()
_alias: ContextVar[str] = ContextVar("alias", default=APP)


class DatabaseUnavailable(Exception):
    """The database did not answer, or not in time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # "deadline" or "cache_unavailable", the reasons of a Bypass


class Router:
    """Rows are read and written as the app, unless inside `as_owner`; tables are the owner's to change."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return _alias.get()

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return _alias.get()

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        return True  # Both aliases are the same database.

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == OWNER


@contextmanager
def as_tenant(tenant_id: UUID) -> Iterator[None]:
    """A short transaction that sees one tenant. It gives its connection back: wait for nothing else inside."""
    yield from _transaction(f"SET LOCAL app.tenant_id = '{UUID(str(tenant_id))}'")


@contextmanager
def as_person(user_id: UUID) -> Iterator[None]:
    """A short transaction that sees a person's memberships, whichever the tenants."""
    yield from _transaction(f"SET LOCAL app.user_id = '{UUID(str(user_id))}'")


@contextmanager
def as_owner() -> Iterator[BaseDatabaseWrapper]:
    """A transaction across tenants, for operators and jobs. The one door to the owner's login."""
    before = _alias.set(OWNER)
    try:
        with transaction.atomic(using=OWNER):
            yield connections[OWNER]
    finally:
        _alias.reset(before)


def read(tenant_id: UUID, sql: str, params: Sequence[Any], *, deadline_seconds: float) -> list[tuple[Any, ...]]:
    """Ask one question as one tenant, in one message.

    Several statements in one simple message are one implicit transaction, so that SET LOCAL ends with it. Sent as
    BEGIN, SET, SELECT, COMMIT the same read takes twice as long.
    """
    return _ask(f"SET LOCAL app.tenant_id = %s; {sql}", (str(tenant_id), *params), deadline_seconds)


def write(tenant_id: UUID, sql: str, params: Sequence[Any], *, deadline_seconds: float) -> list[tuple[Any, ...]]:
    """Do all statements of the list or none, in one message; answers what the last one returns.

    After DatabaseUnavailable nobody knows whether it was done: it must be one that can be done twice.
    """
    return _ask(f"SET LOCAL app.tenant_id = %s; {sql}", (str(tenant_id), *params), deadline_seconds)


def call(
    tenant_id: UUID, name: str, values: Sequence[UUID | bytes | str | int], *, deadline_seconds: float
) -> list[tuple[Any, ...]]:
    """Ask one of the functions that `tenant_function` made: sent as bytes, planned once and not with each call.

    An int is an `integer` there, bytes are whatever the argument's type makes of its binary form.
    """
    return _on_connection(lambda connection: call_on(connection, name, (tenant_id, *values)), deadline_seconds)


def call_on(
    connection: psycopg.Connection[Any], name: str, values: Sequence[UUID | bytes | str | int]
) -> pq.abc.PGresult:
    """`call` on a connection of one's own, without a guard; also for functions that see more than one tenant."""
    line, prepared = connection.pgconn, name.encode()
    known = _prepared.setdefault(connection, set())
    if name not in known:
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        made = line.prepare(prepared, f"SELECT * FROM {name}({places})".encode())  # noqa: S608 (names of ours)
        if made.status != pq.ExecStatus.COMMAND_OK:
            return made
        known.add(name)
    binary = [_binary(value) for value in values]
    result = line.exec_prepared(prepared, binary, _BINARY[: len(binary)], pq.Format.BINARY)
    if result.status != pq.ExecStatus.TUPLES_OK:  # A function that was replaced since would fail for ever.
        known.discard(name)
        line.exec_(f"DEALLOCATE {name}".encode())
    return result


def read_before_tenant(sql: str, params: Sequence[Any], *, deadline_seconds: float) -> list[tuple[Any, ...]]:
    """Ask one of the functions that must work before a tenant is known. Plain tables show no row here."""
    return _ask(sql, params, deadline_seconds)


def in_transaction() -> bool:
    """Is the one connection of this thread taken? A process with a pool has others."""
    return getattr(connections[APP], "pool", None) is None and connections[APP].in_atomic_block


def tenant_tables() -> list[str]:
    """Every table that holds rows of tenants, by name: what another app adds is found too."""
    found = read_before_tenant(_TENANT_TABLES, [], deadline_seconds=CATALOGUE_SECONDS)
    return [name for (name,) in found]


def primary_key_of(table: str) -> list[str]:
    return [name for (name,) in read_before_tenant(_PRIMARY_KEY, [table], deadline_seconds=CATALOGUE_SECONDS)]


def protect(table: str, *, verbs: str = "SELECT, INSERT, UPDATE, DELETE", column: str = "tenant_id") -> list[RunSQL]:
    """The migration operations that let the app see a table's rows of its tenant only.

    On parent tables alone: partitions do not inherit policies, and a grant on one would show every tenant's rows.
    """
    return [
        RunSQL(
            f"""
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
            ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
            CREATE POLICY tenant_rows ON {table} TO {APP_ROLE}
              USING ({column} = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid));
            CREATE POLICY owner_rows ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
            GRANT {verbs} ON {table} TO {APP_ROLE};
            """,
            f"""
            REVOKE ALL ON {table} FROM {APP_ROLE};
            DROP POLICY owner_rows ON {table};
            DROP POLICY tenant_rows ON {table};
            ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;
            ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
            """,
        )
    ]


def grant(table: str, *, verbs: str = "SELECT, INSERT, UPDATE, DELETE") -> RunSQL:
    """For a table without tenants."""
    return RunSQL(f"GRANT {verbs} ON {table} TO {APP_ROLE}", f"REVOKE ALL ON {table} FROM {APP_ROLE}")


def function(name_and_types: str, definition: str) -> RunSQL:
    """A function the app may call and nobody else; its arguments are `$1`, `$2`."""
    return RunSQL(
        f"""
        CREATE FUNCTION {name_and_types} {definition};
        REVOKE ALL ON FUNCTION {name_and_types} FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION {name_and_types} TO {APP_ROLE};
        """,
        f"DROP FUNCTION {name_and_types}",
    )


def tenant_function(name_and_types: str, returns: str, body: str, *, plan: str = "force_generic_plan") -> RunSQL:
    """A function that sees the rows of the tenant it is asked for, its first argument `tenant uuid`, and no others.

    For `call`. Its statements are planned once a connection, for whatever values come, since planning the read of one
    row takes twice as long as reading it.
    """
    return function(
        name_and_types,
        f"""RETURNS {returns} LANGUAGE plpgsql SET plan_cache_mode = {plan} AS $$
        BEGIN
          PERFORM set_config('app.tenant_id', tenant::text, true);
          {body}
        END $$""",
    )


def same_tenant(table: str, columns: str, target: str, target_columns: str, *, on_delete: str = "CASCADE") -> RunSQL:
    """A foreign key that holds the tenant: one on the id alone would accept another tenant's row."""
    name = f"{table}_{columns.replace(', ', '_')}_fk"
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) REFERENCES {target} ({target_columns})"
        f" ON DELETE {on_delete}",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


def _transaction(setting: str) -> Iterator[None]:
    connection = connections[APP]
    try:
        # durable: inside another transaction the setting would outlive the block.
        with transaction.atomic(using=APP, durable=True):
            with connection.cursor() as cursor:
                cursor.execute(setting)
            yield
    finally:
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close()


def _ask(message: str, params: Sequence[Any], deadline_seconds: float) -> list[tuple[Any, ...]]:
    def exchange(connection: psycopg.Connection[Any]) -> pq.abc.PGresult:
        values = Transformer(connection)
        return connection.pgconn.exec_(message.encode() % tuple(values.as_literal(param) for param in params))

    return _on_connection(exchange, deadline_seconds)


def _on_connection(exchange: Exchange, deadline_seconds: float) -> list[tuple[Any, ...]]:
    pool: Any = getattr(connections[APP], "pool", None)
    if pool is None:
        return _on_django(exchange, deadline_seconds)

    if pool.closed:
        pool.open()
    try:
        connection = pool.getconn()
        while _is_dead(connection):
            connection.close()
            pool.putconn(connection)
            connection = pool.getconn()
    except BROKEN as error:
        raise DatabaseUnavailable("cache_unavailable") from error
    try:
        return _send(connection, exchange, deadline_seconds)
    finally:
        pool.putconn(connection)  # A broken one is thrown away there.


def _is_dead(connection: psycopg.Connection[Any]) -> bool:
    """After a restart of the server every idle connection is: the end of its stream waits to be read."""
    line = select.poll()
    line.register(connection.fileno(), select.POLLIN)
    return bool(line.poll(0))


def _on_django(exchange: Exchange, deadline_seconds: float) -> list[tuple[Any, ...]]:
    """In a process without a pool Django keeps one connection a thread, until its task or command ends."""
    django = connections[APP]
    if django.in_atomic_block:
        raise RuntimeError("inside a transaction the tenant would outlive the message")

    try:
        django.ensure_connection()
    except BROKEN as error:
        raise DatabaseUnavailable("cache_unavailable") from error
    try:
        return _send(django.connection, exchange, deadline_seconds)
    except DatabaseUnavailable:
        django.close()
        raise


def _send(connection: psycopg.Connection[Any], exchange: Exchange, deadline_seconds: float) -> list[tuple[Any, ...]]:
    """Straight to libpq, which answers with the last statement's result: a cursor costs a quarter more."""
    guarded = watchdog.enter(connection, deadline_seconds)
    try:
        try:
            result = exchange(connection)
        finally:
            watchdog.leave(guarded)
        if result.status == pq.ExecStatus.COMMAND_OK:
            return []
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise _failure(connection, result, overdue=guarded.overdue)
        values = Transformer(connection)
        values.set_pgresult(result)
        return values.load_rows(0, result.ntuples, tuple)
    except BROKEN as error:
        raise DatabaseUnavailable("deadline" if guarded.overdue else "cache_unavailable") from error
    finally:
        if guarded.overdue:  # Its socket is shut, even if the answer was read just before.
            connection.close()


def _binary(value: UUID | bytes | str | int) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, UUID):
        return value.bytes
    return value.encode() if isinstance(value, str) else value.to_bytes(4, "big", signed=True)


def _failure(connection: psycopg.Connection[Any], result: pq.abc.PGresult, *, overdue: bool) -> Exception:
    if overdue:
        return DatabaseUnavailable("deadline")

    error = psycopg.errors.error_from_result(result)
    if connection.closed or isinstance(error, BROKEN):
        return DatabaseUnavailable("cache_unavailable")
    return error
