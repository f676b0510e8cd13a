"""The two reads of a call, as functions that are planned once."""

from django.db import migrations

from tenants.isolation import tenant_function

FOUND = """TABLE (
    id uuid, body bytea, fingerprint text, caller_key text, provider text, model text, usage text, cost_usd numeric,
    latency_ms integer, created_at float8, expires_at float8, matchable boolean"""

COLUMNS = """entry.id, entry.body, encode(entry.fingerprint, 'hex'), entry.caller_key::text, entry.provider::text,
    entry.model::text, entry.usage::text, entry.cost_usd, entry.latency_ms,
    extract(epoch FROM entry.created_at)::float8, extract(epoch FROM entry.expires_at)::float8, entry.matchable"""

EXACT = tenant_function(
    "entry_exact(tenant uuid, project uuid, asked bytea[])",
    f"{FOUND})",
    f"""RETURN QUERY SELECT {COLUMNS} FROM entry
    WHERE entry.tenant_id = tenant AND entry.project_id = project AND entry.fingerprint = ANY (asked)
      AND NOT entry.quarantined;""",
)

# Which way is quickest depends on how many entries the scope has: only here a plan for all values would be wrong.
NEAR = tenant_function(
    "entry_near(tenant uuid, project uuid, within bytea, seen_by text, asked bytea, near halfvec, most integer)",
    f"{FOUND}, known_wrong boolean, distance float8)",
    # A shared index with a tenant filter silently returns too few rows unless the scan goes on.
    f"""PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true);
    RETURN QUERY SELECT {COLUMNS},
      EXISTS (SELECT FROM feedback WHERE feedback.tenant_id = tenant AND feedback.verdict = 'wrong'
        AND feedback.project_id = project AND feedback.cached = entry.fingerprint AND feedback.asked = entry_near.asked),
      entry.vector <=> near
    FROM entry
    WHERE entry.tenant_id = tenant AND entry.project_id = project AND entry.scope = within
      AND entry.embedder = seen_by AND entry.matchable AND NOT entry.quarantined AND entry.vector IS NOT NULL
      AND (entry.expires_at IS NULL OR entry.expires_at > now())
    ORDER BY entry.vector <=> near LIMIT most;""",
    plan="force_custom_plan",
)


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0005_prices")]
    operations = [EXACT, NEAR]
