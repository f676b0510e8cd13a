"""The entries nearest in meaning: of a small scope none is ever overlooked, and of others' none is compared."""

import math

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Cast
from tests.fakes import DIMENSIONS

ENTRIES = 150
COSINE = 0.98
SMALL_SCOPE = 200  # is always compared

PUT = """INSERT INTO entry
  (tenant_id, id, project_id, fingerprint, scope, provider, model, endpoint, embedder, vector, body, size_bytes)
  VALUES (%(tenant)s, gen_random_uuid(), %(project)s, sha256((%(scope)s || %(vector)s::text)::bytea),
    sha256(%(scope)s::bytea), 'demo', 'demo', 'chat', %(embedder)s, %(vector)s::halfvec, '', 0)"""
NEAREST = """SELECT distance FROM entry_near(
  %(tenant)s, %(project)s, sha256(%(scope)s::bytea), %(embedder)s, sha256('asked'), %(vector)s::halfvec, 5)"""
READ = "SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname LIKE 'entry\\_%'"


def vector(axis: int, cosine: float = 1.0) -> str:
    """At right angles to all others, or as near as that to the one of its axis."""
    values = [0.0] * DIMENSIONS
    values[axis] = cosine
    values[ENTRIES + axis] = math.sqrt(1 - cosine**2)
    return str(values)


def place_of(cast: Cast, scope: str = "scope", embedder: str = "one") -> dict[str, object]:
    place = {"tenant": cast.owner.tenant_id, "project": cast.owner.project_id}
    return {**place, "scope": scope, "embedder": embedder}


def test_each_of_a_small_scope_is_found_where_the_planner_would_walk_a_graph_that_leads_to_some(
    cast: Cast, database: str
) -> None:
    place = place_of(cast)
    with psycopg.connect(database) as connection:
        for axis in range(ENTRIES):
            connection.execute(PUT, {**place, "vector": vector(axis)})
        for way in ("enable_sort", "enable_seqscan"):
            connection.execute(sql.SQL("SET LOCAL {} = off").format(sql.Identifier(way)))
        found = [connection.execute(NEAREST, {**place, "vector": vector(axis, COSINE)}) for axis in range(ENTRIES)]
        distances = [cursor.fetchone() for cursor in found]
    assert [row is not None and row[0] < 0.1 for row in distances] == [True] * ENTRIES


@pytest.mark.parametrize("others", [["one"], ["one", "another"]], ids=["one", "two"])
def test_for_a_small_scope_nothing_of_larger_ones_is_read(cast: Cast, database: str, others: list[str]) -> None:
    """Of which the statistics know, and not of the small one."""
    with psycopg.connect(database) as connection:
        for axis in range(ENTRIES):
            for scope in others:
                connection.execute(PUT, {**place_of(cast, scope), "vector": vector(axis)})
        connection.execute("ANALYZE entry")
        for axis in range(3):
            connection.execute(PUT, {**place_of(cast), "vector": vector(axis)})
        before = connection.execute(READ).fetchone()
        found = connection.execute(NEAREST, {**place_of(cast), "vector": vector(0)}).fetchall()
        after = connection.execute(READ).fetchone()
        other = connection.execute(NEAREST, {**place_of(cast, embedder="another"), "vector": vector(0)}).fetchall()
    assert [round(distance, 3) for (distance,) in found] == [0.0, 1.0, 1.0]
    assert before is not None
    assert after is not None
    assert after[0] - before[0] < 20
    assert other == []


def test_what_shares_a_graph_with_many_is_compared_without_it(cast: Cast, database: str) -> None:
    """Entries of others lie all around: to go past them takes longer, and may end before there are enough."""
    count = SMALL_SCOPE + 20

    def along(second: float) -> str:
        return str([1.0, second, *[0.0] * (DIMENSIONS - 2)])

    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.executemany(PUT, [{**place_of(cast), "vector": along(0.5 + at / 1000)} for at in range(count)])
        cursor.executemany(PUT, [{**place_of(cast, "others"), "vector": along(at / 2000)} for at in range(2 * count)])
        cursor.execute("ANALYZE entry")
        cursor.execute("SET LOCAL hnsw.ef_search = 1; SET LOCAL hnsw.max_scan_tuples = 1")
        found = cursor.execute(NEAREST, {**place_of(cast), "vector": along(0.0)}).fetchall()
    assert [round(distance, 3) for (distance,) in found] == [0.106, 0.106, 0.106, 0.107, 0.107]
