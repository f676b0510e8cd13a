"""A project's own prices, and roll-ups that tell apart what hits, misses and bypasses cost and how long they took."""

import uuid
from typing import Any

from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation

LATENCY_BOUNDS_MS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 8192, 32768)
LATENCY_BUCKETS = range(len(LATENCY_BOUNDS_MS) + 1)

# One price at a time for a model; those that ended stay, for the calls that were made under them.
OWN_PRICE = """
CREATE TABLE own_price (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  provider text NOT NULL,
  model_pattern text NOT NULL,
  input_usd numeric(20, 10) NOT NULL CHECK (input_usd >= 0),
  output_usd numeric(20, 10) NOT NULL CHECK (output_usd >= 0),
  write_usd numeric(20, 10) CHECK (write_usd >= 0),
  cached_usd numeric(20, 10) CHECK (cached_usd >= 0),
  valid_from timestamptz NOT NULL,
  valid_until timestamptz CHECK (valid_until >= valid_from),
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX own_price_now ON own_price (tenant_id, project_id, provider, model_pattern)
  WHERE valid_until IS NULL;
"""

NEW_FIGURES = "".join(
    f"""
ALTER TABLE {table}
  ADD COLUMN hit_ms bigint NOT NULL DEFAULT 0,
  ADD COLUMN miss_ms bigint NOT NULL DEFAULT 0,
  ADD COLUMN hit_tokens bigint NOT NULL DEFAULT 0,
  ADD COLUMN hit_cost_usd numeric(20, 10) NOT NULL DEFAULT 0,
  ADD COLUMN hit_unpriced bigint NOT NULL DEFAULT 0,
  ADD COLUMN bypass_tokens bigint NOT NULL DEFAULT 0,
  ADD COLUMN bypass_cost_usd numeric(20, 10) NOT NULL DEFAULT 0,
  ADD COLUMN bypass_unpriced bigint NOT NULL DEFAULT 0;
"""
    for table in ("usage_hour", "usage_day")
)

# As before, with the new columns at the end.
USAGE_FIGURES = f"""
CREATE OR REPLACE FUNCTION usage_figures(tenant uuid, since timestamptz, before timestamptz)
RETURNS SETOF public.usage_hour LANGUAGE sql STABLE
  SET search_path = pg_catalog, public AS $$
  WITH seen AS (
    SELECT c.*, date_trunc('hour', c.at, 'UTC') AS hour,
      coalesce(c.key_id, '00000000-0000-0000-0000-000000000000') AS key,
      coalesce(nullif(c.model_served, ''), c.model_asked) AS model,
      width_bucket(c.ms_total, ARRAY{list(LATENCY_BOUNDS_MS)}) AS bucket,
      c.decision = 'hit' AND c.layer <> 'synthesized' AS served,
      c.decision = 'hit' AND c.layer <> 'synthesized' AND NOT c.retry AND c.reason <> 'stale_on_error' AS saving
    FROM public.call c WHERE c.tenant_id = $1 AND c.at >= $2 AND c.at < $3
  ), counted AS (
    SELECT hour, project_id, key, provider, model, task, reason, count(*) AS calls FROM seen GROUP BY 1, 2, 3, 4, 5, 6, 7
  ), reasons AS (
    SELECT hour, project_id, key, provider, model, task, jsonb_object_agg(reason, calls) AS reasons
    FROM counted GROUP BY 1, 2, 3, 4, 5, 6
  ), figures AS (
    SELECT hour, project_id, key, provider, model, task, count(*) AS calls,
      count(*) FILTER (WHERE decision = 'hit' AND layer = 'exact') AS exact_hits,
      count(*) FILTER (WHERE decision = 'hit' AND layer = 'semantic') AS semantic_hits,
      count(*) FILTER (WHERE decision = 'hit' AND layer = 'synthesized') AS synthesized_hits,
      count(*) FILTER (WHERE decision = 'miss') AS misses,
      count(*) FILTER (WHERE decision = 'bypass') AS bypasses,
      count(*) FILTER (WHERE decision = 'blocked') AS blocked,
      count(*) FILTER (WHERE billable) AS billable,
      count(*) FILTER (WHERE price_source = 'unpriced') AS unpriced,
      count(*) FILTER (WHERE tokens_estimated) AS estimated,
      coalesce(sum(in_total) FILTER (WHERE NOT served), 0)::bigint AS in_total,
      coalesce(sum(in_cached) FILTER (WHERE NOT served), 0)::bigint AS in_cached,
      coalesce(sum(out_total) FILTER (WHERE NOT served), 0)::bigint AS out_total,
      coalesce(sum(in_total + out_total) FILTER (WHERE saving), 0)::bigint AS tokens_saved,
      coalesce(sum(cost_usd), 0) AS cost_usd,
      coalesce(sum(saved_usd), 0) AS saved_usd,
      coalesce(sum(fee_usd), 0) AS fee_usd,
      ARRAY[{", ".join(f"count(*) FILTER (WHERE decision = 'hit' AND bucket = {n})" for n in LATENCY_BUCKETS)}]
        AS hit_latency,
      ARRAY[{", ".join(f"count(*) FILTER (WHERE decision = 'miss' AND bucket = {n})" for n in LATENCY_BUCKETS)}]
        AS miss_latency,
      coalesce(sum(ms_total) FILTER (WHERE decision = 'hit'), 0)::bigint AS hit_ms,
      coalesce(sum(ms_total) FILTER (WHERE decision = 'miss'), 0)::bigint AS miss_ms,
      coalesce(sum(in_total + out_total) FILTER (WHERE decision = 'hit' AND NOT served), 0)::bigint AS hit_tokens,
      coalesce(sum(cost_usd) FILTER (WHERE decision = 'hit'), 0) AS hit_cost_usd,
      count(*) FILTER (WHERE decision = 'hit' AND price_source = 'unpriced') AS hit_unpriced,
      coalesce(sum(in_total + out_total) FILTER (WHERE decision = 'bypass'), 0)::bigint AS bypass_tokens,
      coalesce(sum(cost_usd) FILTER (WHERE decision = 'bypass'), 0) AS bypass_cost_usd,
      count(*) FILTER (WHERE decision = 'bypass' AND price_source = 'unpriced') AS bypass_unpriced
    FROM seen GROUP BY 1, 2, 3, 4, 5, 6
  )
  SELECT $1, hour, project_id, key, provider, model, task, calls, exact_hits, semantic_hits, synthesized_hits, misses,
    bypasses, blocked, reasons, billable, unpriced, estimated, in_total, in_cached, out_total, tokens_saved, cost_usd,
    saved_usd, fee_usd, hit_latency, miss_latency, hit_ms, miss_ms, hit_tokens, hit_cost_usd, hit_unpriced,
    bypass_tokens, bypass_cost_usd, bypass_unpriced
  FROM figures JOIN reasons USING (hour, project_id, key, provider, model, task) $$"""

USAGE_OF_DAY = f"""
CREATE OR REPLACE FUNCTION usage_of_day(tenant uuid, day date)
RETURNS SETOF public.usage_day LANGUAGE sql STABLE
  SET search_path = pg_catalog, public AS $$
  WITH hours AS (
    SELECT * FROM public.usage_hour h
    WHERE h.tenant_id = $1 AND h.hour >= $2::timestamp AT TIME ZONE 'UTC' AND h.hour < ($2 + 1)::timestamp AT TIME ZONE 'UTC'
  ), counted AS (
    SELECT project_id, key_id, provider, model, task, one.key AS reason, sum(one.value::bigint) AS calls
    FROM hours, jsonb_each_text(reasons) AS one GROUP BY 1, 2, 3, 4, 5, 6
  ), reasons AS (
    SELECT project_id, key_id, provider, model, task, jsonb_object_agg(reason, calls) AS reasons
    FROM counted GROUP BY 1, 2, 3, 4, 5
  ), figures AS (
    SELECT project_id, key_id, provider, model, task, sum(calls)::bigint AS calls,
      sum(exact_hits)::bigint AS exact_hits, sum(semantic_hits)::bigint AS semantic_hits,
      sum(synthesized_hits)::bigint AS synthesized_hits, sum(misses)::bigint AS misses, sum(bypasses)::bigint AS bypasses,
      sum(blocked)::bigint AS blocked, sum(billable)::bigint AS billable, sum(unpriced)::bigint AS unpriced,
      sum(estimated)::bigint AS estimated, sum(in_total)::bigint AS in_total, sum(in_cached)::bigint AS in_cached,
      sum(out_total)::bigint AS out_total, sum(tokens_saved)::bigint AS tokens_saved, sum(cost_usd) AS cost_usd,
      sum(saved_usd) AS saved_usd, sum(fee_usd) AS fee_usd,
      ARRAY[{", ".join(f"sum(hit_latency[{n + 1}])::bigint" for n in LATENCY_BUCKETS)}] AS hit_latency,
      ARRAY[{", ".join(f"sum(miss_latency[{n + 1}])::bigint" for n in LATENCY_BUCKETS)}] AS miss_latency,
      sum(hit_ms)::bigint AS hit_ms, sum(miss_ms)::bigint AS miss_ms, sum(hit_tokens)::bigint AS hit_tokens,
      sum(hit_cost_usd) AS hit_cost_usd, sum(hit_unpriced)::bigint AS hit_unpriced,
      sum(bypass_tokens)::bigint AS bypass_tokens, sum(bypass_cost_usd) AS bypass_cost_usd,
      sum(bypass_unpriced)::bigint AS bypass_unpriced
    FROM hours GROUP BY 1, 2, 3, 4, 5
  )
  SELECT $1, $2, project_id, key_id, provider, model, task, calls, exact_hits, semantic_hits, synthesized_hits, misses,
    bypasses, blocked, reasons, billable, unpriced, estimated, in_total, in_cached, out_total, tokens_saved, cost_usd,
    saved_usd, fee_usd, hit_latency, miss_latency, hit_ms, miss_ms, hit_tokens, hit_cost_usd, hit_unpriced,
    bypass_tokens, bypass_cost_usd, bypass_unpriced
  FROM figures JOIN reasons USING (project_id, key_id, provider, model, task) $$"""

# Every hour whose calls are still there is computed anew, its day with it.
COMPUTE_ANEW = """
INSERT INTO usage_dirty SELECT DISTINCT tenant_id, date_trunc('hour', at, 'UTC') FROM call WHERE priced_at IS NOT NULL
ON CONFLICT DO NOTHING
"""


def money(*, null: bool = False) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(max_digits=20, decimal_places=10, null=null)


def figures_added(model: str) -> list[migrations.AddField]:
    counts = ("hit_ms", "miss_ms", "hit_tokens", "hit_unpriced", "bypass_tokens", "bypass_unpriced")
    amounts = ("hit_cost_usd", "bypass_cost_usd")
    fields: dict[str, models.Field[Any, Any]] = {name: models.BigIntegerField(default=0) for name in counts}
    fields |= {name: models.DecimalField(max_digits=20, decimal_places=10, default=0) for name in amounts}
    return [migrations.AddField(model, name, field) for name, field in fields.items()]


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0004_jobs")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(OWN_PRICE, "DROP TABLE own_price"),
                isolation.same_tenant("own_price", "tenant_id, project_id", "project", "tenant_id, id"),
                *isolation.protect("own_price", verbs="SELECT, INSERT, UPDATE"),
                RunSQL(NEW_FIGURES),
                RunSQL(USAGE_FIGURES),
                RunSQL(USAGE_OF_DAY),
                RunSQL(COMPUTE_ANEW, RunSQL.noop),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="OwnPrice",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id", "id", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("tenant_id", models.UUIDField()),
                        ("id", models.UUIDField(default=uuid.uuid4)),
                        ("project_id", models.UUIDField()),
                        ("provider", models.TextField()),
                        ("model_pattern", models.TextField()),
                        ("input_usd", money()),
                        ("output_usd", money()),
                        ("write_usd", money(null=True)),
                        ("cached_usd", money(null=True)),
                        ("valid_from", models.DateTimeField()),
                        ("valid_until", models.DateTimeField(null=True)),
                    ],
                    options={"db_table": "own_price"},
                ),
                *figures_added("UsageHour"),
                *figures_added("UsageDay"),
            ],
        )
    ]
