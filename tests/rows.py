"""A row in every table that has tenants, whatever the tables are.

Values are made up from the columns' types and lists of choices, and what points at another row points at one that is
there. A column whose check wants something else is named in MADE_UP.
"""

import re
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

from tenants.isolation import as_owner, tenant_tables

# What the checks of a table let in.
MADE_UP = {
    "tenant_export.finished_at": "now()",
    "waiting_vector.vector": "decode(repeat('00', 768), 'hex')",
    "entry_tag.entry_id": "(SELECT id FROM entry WHERE tenant_id = {tenant} LIMIT 1)",
}
BY_TYPE = {
    "uuid": "gen_random_uuid()",
    "text": "'made up'",
    "bytea": "sha256(gen_random_uuid()::text::bytea)",
    "boolean": "false",
    "date": "current_date",
    "jsonb": "'{}'",
    "inet": "'192.0.2.1'",
}
BY_BEGINNING = {
    "timestamp": "now()",
    "character varying": "'made up'",
    "smallint": "1",
    "integer": "1",
    "bigint": "1",
    "numeric": "1",
    "double": "1",
    "halfvec": "NULL",
}
_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
      AND (attnotnull AND NOT atthasdef)
"""
_POINTERS = """
    SELECT c.confrelid::regclass::text,
      ARRAY(SELECT attname::text FROM unnest(c.conkey) WITH ORDINALITY k (n, o) JOIN pg_attribute
            ON attrelid = c.conrelid AND attnum = k.n ORDER BY k.o),
      ARRAY(SELECT attname::text FROM unnest(c.confkey) WITH ORDINALITY k (n, o) JOIN pg_attribute
            ON attrelid = c.confrelid AND attnum = k.n ORDER BY k.o)
    FROM pg_constraint c
    WHERE c.contype = 'f' AND c.conrelid = %s::regclass AND c.conparentid = 0 AND c.conrelid <> c.confrelid
"""


_CHECKS = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass"
_CHOICE = re.compile(r"\((\w+) = ANY \(\(?ARRAY\['([^']*)'")


def rows_of(tenant_id: UUID) -> dict[str, int]:
    """How many of a tenant there are in each table that has any."""
    found = {}
    with as_owner() as connection, connection.cursor() as cursor:
        for table in tenant_tables():
            cursor.execute(f'SELECT count(*) FROM "{table}" WHERE tenant_id = %s', [tenant_id])
            found[table] = cursor.fetchone()[0]
    return {table: count for table, count in found.items() if count}


def fill_tables(tenant_id: UUID) -> None:
    """One row at least, in each table that has none of this tenant yet."""
    there = rows_of(tenant_id)
    for table in _parents_first():
        if table not in there:
            _insert(tenant_id, table)


def _insert(tenant_id: UUID, table: str) -> None:
    with as_owner() as connection, connection.cursor() as cursor:
        values = {"tenant_id": f"'{tenant_id}'"}
        cursor.execute(_COLUMNS, [f'"{table}"'])
        needed: dict[str, str] = dict(cursor.fetchall())
        cursor.execute(_POINTERS, [f'"{table}"'])
        for target, columns, theirs in cursor.fetchall():
            whose = f"WHERE tenant_id = '{tenant_id}'" if "tenant_id" in theirs else ""
            for column, their in zip(columns, theirs, strict=True):
                if target != "tenant" and column in needed:
                    values.setdefault(column, f'(SELECT "{their}" FROM {target} {whose} ORDER BY 1 LIMIT 1)')
        cursor.execute(_CHECKS, [f'"{table}"'])
        for column, choice in _CHOICE.findall(" ".join(check for (check,) in cursor.fetchall())):
            values[column] = f"'{choice}'"
        for column, kind in needed.items():
            values.setdefault(column, _made_up(table, column, kind))
        for name, value in MADE_UP.items():
            if name.startswith(f"{table}."):
                values[name.partition(".")[2]] = value.format(tenant=f"'{tenant_id}'")
        names = ", ".join(f'"{name}"' for name in values)
        cursor.execute(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join(values.values())})')


def _made_up(table: str, column: str, kind: str) -> str:
    if kind.endswith("[]"):
        return "'{}'"
    if kind in BY_TYPE:
        return BY_TYPE[kind]
    for beginning, value in BY_BEGINNING.items():
        if kind.startswith(beginning):
            return value
    raise AssertionError(f"{table}.{column} is of type {kind}: say in tests/rows.py what may be in it")


def _parents_first() -> list[str]:
    order: TopologicalSorter[str] = TopologicalSorter()
    with as_owner() as connection, connection.cursor() as cursor:
        for table in tenant_tables():
            cursor.execute(_POINTERS, [f'"{table}"'])
            order.add(table, *(target for target, *_ in cursor.fetchall()))
    tables: set[Any] = set(tenant_tables())
    return [table for table in order.static_order() if table in tables]
