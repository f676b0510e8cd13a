"""The entries nearest in meaning: of a small scope none is ever overlooked."""

import math

import psycopg
from psycopg import sql

from tests.conftest import Cast
from tests.fakes import DIMENSIONS

ENTRIES = 150
COSINE = 0.98

PUT = """INSERT INTO entry
  (tenant_id, id, project_id, fingerprint, scope, provider, model, endpoint, embedder, vector, body, size_bytes)
  VALUES (%(tenant)s, gen_random_uuid(), %(project)s, sha256(%(vector)s::text::bytea), sha256('scope'),
    'demo', 'demo', 'chat', 'one', %(vector)s::halfvec, '', 0)"""
NEAREST = """SELECT distance FROM entry_near(
  %(tenant)s, %(project)s, sha256('scope'), 'one', sha256('asked'), %(vector)s::halfvec, 5)"""


def vector(axis: int, cosine: float = 1.0) -> str:
    """At right angles to all others, or as near as that to the one of its axis."""
    values = [0.0] * DIMENSIONS
    values[axis] = cosine
    values[ENTRIES + axis] = math.sqrt(1 - cosine**2)
    return str(values)


def test_each_of_a_small_scope_is_found_where_the_planner_would_walk_a_graph_that_leads_to_some(
    cast: Cast, database: str
) -> None:
    place = {"tenant": cast.owner.tenant_id, "project": cast.owner.project_id}
    with psycopg.connect(database) as connection:
        for axis in range(ENTRIES):
            connection.execute(PUT, {**place, "vector": vector(axis)})
        for way in ("enable_sort", "enable_seqscan"):
            connection.execute(sql.SQL("SET LOCAL {} = off").format(sql.Identifier(way)))
        found = [connection.execute(NEAREST, {**place, "vector": vector(axis, COSINE)}) for axis in range(ENTRIES)]
        distances = [cursor.fetchone() for cursor in found]
    assert [row is not None and row[0] < 0.1 for row in distances] == [True] * ENTRIES
