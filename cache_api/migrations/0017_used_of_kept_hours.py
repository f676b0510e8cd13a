"""What was used since a moment stays what it was when the calls of that time go.

An hour whose calls are gone is its roll-up, and what came late to it; where a period begins within such an hour, the
whole of it counts, since nobody knows any more which part of it came before.
"""

from django.db import migrations
from django.db.migrations.operations import RunSQL

USED_BETWEEN = """
CREATE OR REPLACE FUNCTION used_between(
  tenant uuid, since timestamptz, before timestamptz, project uuid, key uuid, named text)
  RETURNS TABLE (billable bigint, cost_usd numeric) LANGUAGE sql STABLE
  SET search_path = pg_catalog, public AS $$
  WITH kept AS (
    SELECT coalesce(max(k.since), '-infinity') AS since FROM public.ledger_kept k WHERE k.tenant_id = $1
  ), marked AS (
    SELECT hour FROM public.usage_dirty WHERE tenant_id = $1 AND hour >= date_trunc('hour', $2, 'UTC') AND hour < $3
    UNION SELECT date_trunc('hour', at, 'UTC') FROM public.call
    WHERE tenant_id = $1 AND priced_at IS NULL AND at >= $2 AND at < $3
    UNION SELECT date_trunc('hour', cut, 'UTC') FROM unnest(ARRAY[$2, $3]) AS cut
    WHERE isfinite(cut) AND cut <> date_trunc('hour', cut, 'UTC')
  ), live AS (
    SELECT hour, hour < kept.since AS gone FROM marked, kept
  ), part AS (
    SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date AS day FROM live
    UNION SELECT (cut AT TIME ZONE 'UTC')::date FROM unnest(ARRAY[$2, $3]) AS cut
    WHERE isfinite(cut) AND cut <> date_trunc('day', cut, 'UTC')
  ), found AS (
    SELECT d.billable, d.cost_usd, d.project_id, d.key_id, d.task FROM public.usage_day d
    WHERE d.tenant_id = $1 AND d.day >= ($2 AT TIME ZONE 'UTC')::date
      AND (d.day < ($3 AT TIME ZONE 'UTC')::date OR NOT isfinite($3)) AND d.day NOT IN (SELECT day FROM part)
    UNION ALL
    SELECT h.billable, h.cost_usd, h.project_id, h.key_id, h.task FROM part JOIN public.usage_hour h
      ON h.hour >= part.day::timestamp AT TIME ZONE 'UTC' AND h.hour < (part.day + 1)::timestamp AT TIME ZONE 'UTC'
    WHERE h.tenant_id = $1 AND h.hour >= date_trunc('hour', $2, 'UTC') AND h.hour < $3
      AND h.hour NOT IN (SELECT hour FROM live WHERE NOT gone)
    UNION ALL
    SELECT c.billable::int, coalesce(c.cost_usd, 0), c.project_id, c.key_id, c.task FROM live JOIN public.call c
      ON c.at >= live.hour AND c.at < live.hour + interval '1 hour'
    WHERE c.tenant_id = $1 AND c.at >= $2 AND c.at < $3
  )
  SELECT coalesce(sum(found.billable), 0)::bigint, coalesce(sum(found.cost_usd), 0) FROM found
  WHERE ($4 IS NULL OR project_id = $4) AND ($5 IS NULL OR key_id = $5) AND ($6 = '' OR task = $6)
$$"""


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0016_shared_imports")]

    operations = [RunSQL(USED_BETWEEN, RunSQL.noop)]
