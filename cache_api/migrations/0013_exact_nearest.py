"""Of a small scope every entry is compared: a graph of few vectors, or of far ones, does not lead to all of them."""

from importlib import import_module

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.isolation import tenant_function

planned = import_module("cache_api.migrations.0006_planned_reads")

SMALL_SCOPE = 200  # Comparing this many takes 0.6 ms, and planning and walking the graph 1 ms.

NEAREST = f"""RETURN QUERY SELECT {planned.COLUMNS},
      EXISTS (SELECT FROM feedback WHERE feedback.tenant_id = tenant AND feedback.verdict = 'wrong'
        AND feedback.project_id = project AND feedback.cached = entry.fingerprint AND feedback.asked = entry_near.asked),
      entry.vector <=> near
    FROM entry
    WHERE entry.tenant_id = tenant AND entry.project_id = project AND entry.scope = within
      AND entry.embedder = seen_by AND entry.matchable AND NOT entry.quarantined AND entry.vector IS NOT NULL
      AND (entry.expires_at IS NULL OR entry.expires_at > now())"""

# Which way is quickest depends on how many entries the scope has: only here a plan for all values would be wrong.
NEAR = tenant_function(
    "entry_near(tenant uuid, project uuid, within bytea, seen_by text, asked bytea, near halfvec, most integer)",
    f"{planned.FOUND}, known_wrong boolean, distance float8)",
    f"""PERFORM FROM entry WHERE entry.tenant_id = tenant AND entry.project_id = project AND entry.scope = within
      OFFSET {SMALL_SCOPE} LIMIT 1;
    IF NOT FOUND THEN  -- + 0: no index has that order
      {NEAREST} ORDER BY (entry.vector <=> near) + 0 LIMIT most;
    ELSE  -- A shared index with a tenant filter silently returns too few rows unless the scan goes on.
      PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true);
      {NEAREST} ORDER BY entry.vector <=> near LIMIT most;
    END IF;""",
    plan="force_custom_plan",
)


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0012_embedder_of_feedback")]
    operations = [RunSQL(planned.NEAR.reverse_sql, planned.NEAR.sql), NEAR]
