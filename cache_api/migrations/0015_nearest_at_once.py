"""The nearest entries without planning, and by whichever way is shorter for this scope."""

from importlib import import_module

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.isolation import tenant_function

initial = import_module("cache_api.migrations.0001_initial")
planned = import_module("cache_api.migrations.0006_planned_reads")
before = import_module("cache_api.migrations.0013_exact_nearest")

# To compare an entry takes 1.4 us. To walk the graph takes 0.5 ms where the scope is the whole partition, and 0.14 ms
# more for each time that the partition is larger, as what belongs to others is left aside on the way. Both take as long
# for a scope of ten times the root of the partition: of 100,000 that is 3,000 entries.
SHORTER_UP_TO = "10 * sqrt(greatest(reltuples, 0))"

# A number that the planner can see. Nobody asks for more, and the work ends when as many are found as were asked for.
MOST = 256

# No index is asked for the embedder: it would give the whole partition.
IN_SCOPE = "FROM entry WHERE entry.tenant_id = tenant AND entry.project_id = project AND entry.scope = within"
LIVE = f"""{IN_SCOPE} AND entry.embedder IS NOT DISTINCT FROM seen_by
    AND entry.matchable AND NOT entry.quarantined AND entry.vector IS NOT NULL
    AND (entry.expires_at IS NULL OR entry.expires_at > now())"""
KNOWN_WRONG = """EXISTS (SELECT FROM feedback WHERE feedback.tenant_id = tenant AND feedback.verdict = 'wrong'
    AND feedback.project_id = project AND feedback.cached = entry.fingerprint AND feedback.asked = entry_near.asked)"""

# Of the ways that the planner knows each branch wants a certain one, and it would guess by what scopes are on average.
NEAR = tenant_function(
    "entry_near(tenant uuid, project uuid, within bytea, seen_by text, asked bytea, near halfvec, most integer)",
    f"{planned.FOUND}, known_wrong boolean, distance float8)",
    f"""DECLARE
      few integer := {before.SMALL_SCOPE};
      place oid;
    BEGIN
      SELECT entry.tableoid INTO place {IN_SCOPE} OFFSET few LIMIT 1;
      IF FOUND THEN
        SELECT {SHORTER_UP_TO} INTO few FROM pg_class WHERE oid = place;
        IF few > {before.SMALL_SCOPE} THEN
          PERFORM {IN_SCOPE} OFFSET few LIMIT 1;
        END IF;
      END IF;
      IF NOT FOUND THEN  -- + 0: no index has that order. Only of the nearest the other columns are read.
        RETURN QUERY SELECT {planned.COLUMNS}, {KNOWN_WRONG}, nearest.distance
        FROM (
          SELECT entry.id, (entry.vector <=> near) + 0 AS distance {LIVE} ORDER BY 2 LIMIT {MOST}
        ) AS nearest
        CROSS JOIN LATERAL (  -- one by one: a join might read all of a small tenant's
          SELECT * FROM entry WHERE entry.tenant_id = tenant AND entry.id = nearest.id LIMIT 1
        ) AS entry
        ORDER BY nearest.distance LIMIT most;
      ELSE  -- A shared index with a tenant filter silently returns too few rows unless the scan goes on.
        PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true);
        RETURN QUERY SELECT * FROM (
          SELECT {planned.COLUMNS}, {KNOWN_WRONG}, entry.vector <=> near {LIVE}
          ORDER BY entry.vector <=> near LIMIT {MOST}
        ) AS walked LIMIT most;
      END IF;
    END;""",  # noqa: S608 (constants only)
    plan="force_generic_plan SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off",
)


# Where all entries had one scope when they were last counted, any index of the tenant would seem as good as that of the
# scope: it is to be taken for the most telling column of all.
PARTITIONS = [f"ALTER TABLE entry_{part} ALTER COLUMN scope" for part in range(initial.ENTRY_PARTITIONS)]
TELLING = RunSQL(
    [f"{partition} SET (n_distinct = -1)" for partition in PARTITIONS],
    [f"{partition} RESET (n_distinct)" for partition in PARTITIONS],
)


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0014_quick_pages")]
    operations = [RunSQL(before.NEAR.reverse_sql, before.NEAR.sql), NEAR, TELLING]
