"""Costs by end user, corrections, and books whose detail may go once they are proven."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation

LATENCY_BOUNDS_MS = (
    1,
    2,
    3,
    4,
    6,
    8,
    12,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
    2048,
    8192,
    32768,
)
LATENCY_BUCKETS = range(len(LATENCY_BOUNDS_MS) + 1)

# NULL where nothing is said: a web process that is not renewed yet, and rows spooled by one, leave both out.
CALL = """
ALTER TABLE call ADD COLUMN end_user text, ADD COLUMN in_served bigint CHECK (in_served >= 0);
ALTER TABLE call ADD CONSTRAINT call_origin
  CHECK (origin IN ('client', 'playground', 'shadow', 'warm', 'backtest', 'adjust'));
ALTER TABLE call ADD CONSTRAINT call_billable CHECK (NOT billable OR (origin = 'client' AND decision <> 'bypass'));
"""
CALL_AS_IT_WAS = """
ALTER TABLE call DROP CONSTRAINT call_billable, DROP CONSTRAINT call_origin, DROP COLUMN end_user, DROP COLUMN in_served
"""

# A month that is over and has no row left. Who reads the ledger at that moment is not waited for: there is another day.
CALL_MONTHS_OVER = """
CREATE FUNCTION call_months_over() RETURNS SETOF text LANGUAGE plpgsql
  SET search_path = pg_catalog, public SET lock_timeout = '100ms' AS $$
DECLARE
  name text;
  empty boolean;
BEGIN
  FOR name IN
    SELECT part.relname FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid
    WHERE inhparent = 'public.call'::regclass AND part.relname ~ '^call_\\d{4}_\\d{2}$'
      AND part.relname < 'call_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM') ORDER BY 1
  LOOP
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM public.%I)', name) INTO empty;
    CONTINUE WHEN NOT empty;
    BEGIN
      EXECUTE format('LOCK TABLE ONLY public.call, public.%I IN ACCESS EXCLUSIVE MODE', name);
      EXECUTE format('SELECT NOT EXISTS (SELECT FROM public.%I)', name) INTO empty;
      CONTINUE WHEN NOT empty;
      EXECUTE format('DROP TABLE public.%I', name);
    EXCEPTION WHEN lock_not_available THEN
      RETURN;
    END;
    RETURN NEXT name;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION call_months_over() FROM PUBLIC;
"""

COUNTS = ("wrong", "upkeep", "upkeep_tokens", "upkeep_unpriced")
AMOUNTS = (
    "list_usd",
    "discount_usd",
    "miss_list_usd",
    "miss_discount_usd",
    "miss_saved_usd",
    "hit_fee_usd",
    "blocked_fee_usd",
    "upkeep_cost_usd",
)

NEW_FIGURES = "".join(
    f"ALTER TABLE {table} "
    + ", ".join(
        [f"ADD COLUMN {name} bigint NOT NULL DEFAULT 0" for name in COUNTS]
        + [f"ADD COLUMN {name} numeric(20, 10) NOT NULL DEFAULT 0" for name in AMOUNTS]
    )
    + ";\n"
    for table in ("usage_hour", "usage_day")
)

# Every column of a roll-up after its key, in their order.
FIGURES = (
    *("calls", "exact_hits", "semantic_hits", "synthesized_hits", "misses", "bypasses", "blocked", "reasons"),
    *("billable", "unpriced", "estimated", "in_total", "in_cached", "out_total", "tokens_saved"),
    *("cost_usd", "saved_usd", "fee_usd", "hit_latency", "miss_latency"),
    *("hit_ms", "miss_ms", "hit_tokens", "hit_cost_usd", "hit_unpriced"),
    *("bypass_tokens", "bypass_cost_usd", "bypass_unpriced"),
    *COUNTS,
    *AMOUNTS,
)
KEY = "project_id, key_id, provider, model, task"


def histogram(decision: str) -> str:
    counts = (f"count(*) FILTER (WHERE asked AND decision = '{decision}' AND bucket = {n})" for n in LATENCY_BUCKETS)
    return f"ARRAY[{', '.join(counts)}]"


# As before; and only a caller's own calls are counted as such. `asked` are those; `corrects` takes back what a hit was
# worth; what is neither is upkeep: checks, warming, backtests. They cost, and are no calls.
USAGE_FIGURES = f"""
CREATE OR REPLACE FUNCTION usage_figures(tenant uuid, since timestamptz, before timestamptz)
RETURNS SETOF public.usage_hour LANGUAGE sql STABLE
  SET search_path = pg_catalog, public AS $$
  WITH seen AS (
    SELECT c.*, date_trunc('hour', c.at, 'UTC') AS hour,
      coalesce(c.key_id, '00000000-0000-0000-0000-000000000000') AS key,
      coalesce(nullif(c.model_served, ''), c.model_asked) AS model,
      width_bucket(c.ms_total, ARRAY{list(LATENCY_BOUNDS_MS)}) AS bucket,
      c.origin IN ('client', 'playground') AS asked,
      c.origin = 'adjust' AS corrects,
      c.origin NOT IN ('client', 'playground', 'adjust') AS upkeep,
      c.price_source = 'unpriced' AND c.origin <> 'adjust' AS unpriced,
      c.decision = 'hit' AND c.layer <> 'synthesized' AS served,
      NOT c.retry AND c.reason <> 'stale_on_error' AS saves
    FROM public.call c WHERE c.tenant_id = $1 AND c.at >= $2 AND c.at < $3
  ), counted AS (
    SELECT hour, project_id, key, provider, model, task, reason, count(*) AS calls FROM seen
    WHERE asked GROUP BY 1, 2, 3, 4, 5, 6, 7
  ), reasons AS (
    SELECT hour, project_id, key, provider, model, task, jsonb_object_agg(reason, calls) AS reasons
    FROM counted GROUP BY 1, 2, 3, 4, 5, 6
  ), figures AS (
    SELECT hour, project_id, key, provider, model, task,
      count(*) FILTER (WHERE asked) AS calls,
      count(*) FILTER (WHERE asked AND decision = 'hit' AND layer = 'exact') AS exact_hits,
      count(*) FILTER (WHERE asked AND decision = 'hit' AND layer = 'semantic') AS semantic_hits,
      count(*) FILTER (WHERE asked AND decision = 'hit' AND layer = 'synthesized') AS synthesized_hits,
      count(*) FILTER (WHERE asked AND decision = 'miss') AS misses,
      count(*) FILTER (WHERE asked AND decision = 'bypass') AS bypasses,
      count(*) FILTER (WHERE asked AND decision = 'blocked') AS blocked,
      count(*) FILTER (WHERE billable) AS billable,
      count(*) FILTER (WHERE unpriced) AS unpriced,
      count(*) FILTER (WHERE tokens_estimated AND NOT corrects) AS estimated,
      coalesce(sum(in_total) FILTER (WHERE NOT served), 0)::bigint AS in_total,
      coalesce(sum(in_cached) FILTER (WHERE NOT served), 0)::bigint AS in_cached,
      coalesce(sum(out_total) FILTER (WHERE NOT served), 0)::bigint AS out_total,
      (coalesce(sum(in_total + out_total) FILTER (WHERE served AND saves), 0)
        + coalesce(sum(in_served) FILTER (WHERE saves), 0))::bigint AS tokens_saved,
      coalesce(sum(cost_usd), 0) AS cost_usd,
      coalesce(sum(saved_usd), 0) AS saved_usd,
      coalesce(sum(fee_usd), 0) AS fee_usd,
      {histogram("hit")} AS hit_latency,
      {histogram("miss")} AS miss_latency,
      coalesce(sum(ms_total) FILTER (WHERE asked AND decision = 'hit'), 0)::bigint AS hit_ms,
      coalesce(sum(ms_total) FILTER (WHERE asked AND decision = 'miss'), 0)::bigint AS miss_ms,
      coalesce(sum(in_total + out_total) FILTER (WHERE asked AND decision = 'hit' AND NOT served), 0)::bigint
        AS hit_tokens,
      coalesce(sum(cost_usd) FILTER (WHERE asked AND decision = 'hit'), 0) AS hit_cost_usd,
      count(*) FILTER (WHERE asked AND decision = 'hit' AND unpriced) AS hit_unpriced,
      coalesce(sum(in_total + out_total) FILTER (WHERE asked AND decision = 'bypass'), 0)::bigint AS bypass_tokens,
      coalesce(sum(cost_usd) FILTER (WHERE asked AND decision = 'bypass'), 0) AS bypass_cost_usd,
      count(*) FILTER (WHERE asked AND decision = 'bypass' AND unpriced) AS bypass_unpriced,
      count(*) FILTER (WHERE corrects) AS wrong,
      count(*) FILTER (WHERE upkeep) AS upkeep,
      coalesce(sum(in_total + out_total) FILTER (WHERE upkeep), 0)::bigint AS upkeep_tokens,
      count(*) FILTER (WHERE upkeep AND unpriced) AS upkeep_unpriced,
      coalesce(sum(list_usd) FILTER (WHERE saves), 0) AS list_usd,
      coalesce(sum(discount_usd) FILTER (WHERE saves), 0) AS discount_usd,
      coalesce(sum(list_usd) FILTER (WHERE saves AND asked AND decision = 'miss'), 0) AS miss_list_usd,
      coalesce(sum(discount_usd) FILTER (WHERE saves AND asked AND decision = 'miss'), 0) AS miss_discount_usd,
      coalesce(sum(saved_usd) FILTER (WHERE asked AND decision = 'miss'), 0) AS miss_saved_usd,
      coalesce(sum(fee_usd) FILTER (WHERE decision = 'hit'), 0) AS hit_fee_usd,
      coalesce(sum(fee_usd) FILTER (WHERE decision = 'blocked'), 0) AS blocked_fee_usd,
      coalesce(sum(cost_usd) FILTER (WHERE upkeep), 0) AS upkeep_cost_usd
    FROM seen GROUP BY 1, 2, 3, 4, 5, 6
  )
  SELECT $1, hour, project_id, key, provider, model, task,
    {", ".join("coalesce(reasons, '{}')" if name == "reasons" else name for name in FIGURES)}
  FROM figures LEFT JOIN reasons USING (hour, project_id, key, provider, model, task) $$"""


def summed(name: str) -> str:
    if name.endswith("_latency"):
        sums = ", ".join(f"sum({name}[{n + 1}])::bigint" for n in LATENCY_BUCKETS)
        return f"ARRAY[{sums}] AS {name}"
    return f"sum({name}){'' if name.endswith('_usd') else '::bigint'} AS {name}"


USAGE_OF_DAY = f"""
CREATE OR REPLACE FUNCTION usage_of_day(tenant uuid, day date)
RETURNS SETOF public.usage_day LANGUAGE sql STABLE
  SET search_path = pg_catalog, public AS $$
  WITH hours AS (
    SELECT * FROM public.usage_hour h
    WHERE h.tenant_id = $1 AND h.hour >= $2::timestamp AT TIME ZONE 'UTC' AND h.hour < ($2 + 1)::timestamp AT TIME ZONE 'UTC'
  ), counted AS (
    SELECT {KEY}, one.key AS reason, sum(one.value::bigint) AS calls
    FROM hours, jsonb_each_text(reasons) AS one GROUP BY 1, 2, 3, 4, 5, 6
  ), reasons AS (
    SELECT {KEY}, jsonb_object_agg(reason, calls) AS reasons FROM counted GROUP BY 1, 2, 3, 4, 5
  ), figures AS (
    SELECT {KEY}, {", ".join(summed(name) for name in FIGURES if name != "reasons")}
    FROM hours GROUP BY 1, 2, 3, 4, 5
  )
  SELECT $1, $2, {KEY}, {", ".join("coalesce(reasons, '{}')" if name == "reasons" else name for name in FIGURES)}
  FROM figures LEFT JOIN reasons USING ({KEY}) $$"""

# By the hour, so that an hour that is computed anew is no more work than its calls. Apart from usage_hour, whose rows
# would be as many as the end users.
USAGE_END_USER = """
CREATE TABLE usage_end_user (
  tenant_id uuid NOT NULL,
  hour timestamptz NOT NULL,
  project_id uuid NOT NULL,
  end_user text NOT NULL,
  calls bigint NOT NULL,
  hits bigint NOT NULL,
  billable bigint NOT NULL,
  unpriced bigint NOT NULL,
  tokens bigint NOT NULL,
  tokens_saved bigint NOT NULL,
  cost_usd numeric(20, 10) NOT NULL,
  list_usd numeric(20, 10) NOT NULL,
  discount_usd numeric(20, 10) NOT NULL,
  saved_usd numeric(20, 10) NOT NULL,
  fee_usd numeric(20, 10) NOT NULL,
  synthesis_cost_usd numeric(20, 10) NOT NULL,
  upkeep_cost_usd numeric(20, 10) NOT NULL,
  PRIMARY KEY (tenant_id, hour, project_id, end_user)
);
"""

END_USER_FIGURES = isolation.function(
    "end_user_figures(tenant uuid, since timestamptz, before timestamptz)",
    """RETURNS SETOF public.usage_end_user LANGUAGE sql STABLE
  SET search_path = pg_catalog, public AS $$
  WITH seen AS (
    SELECT c.*, date_trunc('hour', c.at, 'UTC') AS hour,
      c.origin IN ('client', 'playground') AS asked,
      c.decision = 'hit' AND c.layer <> 'synthesized' AS served,
      NOT c.retry AND c.reason <> 'stale_on_error' AS saves
    FROM public.call c WHERE c.tenant_id = $1 AND c.at >= $2 AND c.at < $3 AND c.end_user IS NOT NULL
  )
  SELECT $1, hour, project_id, end_user,
    count(*) FILTER (WHERE asked),
    count(*) FILTER (WHERE asked AND decision = 'hit'),
    count(*) FILTER (WHERE billable),
    count(*) FILTER (WHERE price_source = 'unpriced' AND origin <> 'adjust'),
    coalesce(sum(in_total + out_total) FILTER (WHERE NOT served), 0)::bigint,
    (coalesce(sum(in_total + out_total) FILTER (WHERE served AND saves), 0)
      + coalesce(sum(in_served) FILTER (WHERE saves), 0))::bigint,
    coalesce(sum(cost_usd), 0),
    coalesce(sum(list_usd) FILTER (WHERE saves), 0),
    coalesce(sum(discount_usd) FILTER (WHERE saves), 0),
    coalesce(sum(saved_usd), 0),
    coalesce(sum(fee_usd), 0),
    coalesce(sum(cost_usd) FILTER (WHERE asked AND decision = 'hit'), 0),
    coalesce(sum(cost_usd) FILTER (WHERE NOT asked), 0)
  FROM seen GROUP BY 2, 3, 4 $$""",
)

# fee_period: how many billable calls of a period were priced, so that the next one's fee is known to the call.
# ledger_kept: before `since` the roll-ups are the record; their calls are gone.
# ledger_proof: what a day's calls came to when they were last counted again, and what was not as it should be.
BOOKS = """
CREATE TABLE fee_period (
  tenant_id uuid NOT NULL,
  period_start timestamptz NOT NULL,
  plan text NOT NULL,
  billable bigint NOT NULL,
  PRIMARY KEY (tenant_id, period_start)
);
CREATE TABLE ledger_kept (
  tenant_id uuid PRIMARY KEY,
  since timestamptz NOT NULL
);
CREATE TABLE ledger_proof (
  tenant_id uuid NOT NULL,
  day date NOT NULL,
  calls bigint NOT NULL,
  billable bigint NOT NULL,
  cost_usd numeric(20, 10) NOT NULL,
  saved_usd numeric(20, 10) NOT NULL,
  fee_usd numeric(20, 10) NOT NULL,
  differences text[] NOT NULL,
  proved_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, day)
);
"""

# Every hour whose calls are still there is computed anew, its day with it.
COMPUTE_ANEW = """
INSERT INTO usage_dirty SELECT DISTINCT tenant_id, date_trunc('hour', at, 'UTC') FROM call WHERE priced_at IS NOT NULL
ON CONFLICT DO NOTHING
"""


def drop(*tables: str) -> str:
    return "; ".join(f"DROP TABLE {table}" for table in tables)


def amount(**more: Any) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(max_digits=20, decimal_places=10, **more)


def figures_added(model: str) -> list[migrations.AddField]:
    fields: dict[str, models.Field[Any, Any]] = {name: models.BigIntegerField(default=0) for name in COUNTS}
    fields |= {name: amount(default=0) for name in AMOUNTS}
    return [migrations.AddField(model, name, field) for name, field in fields.items()]


def key_of(*names: str) -> tuple[str, models.CompositePrimaryKey]:
    return "pk", models.CompositePrimaryKey(*names, blank=True, editable=False, primary_key=True, serialize=False)


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0007_budgets")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(CALL, CALL_AS_IT_WAS),
                RunSQL(CALL_MONTHS_OVER, "DROP FUNCTION call_months_over()"),
                RunSQL(NEW_FIGURES),
                RunSQL(USAGE_FIGURES),
                RunSQL(USAGE_OF_DAY),
                RunSQL(USAGE_END_USER, drop("usage_end_user")),
                *isolation.protect("usage_end_user", verbs="SELECT"),
                END_USER_FIGURES,
                RunSQL(BOOKS, drop("fee_period", "ledger_kept", "ledger_proof")),
                *isolation.protect("fee_period", verbs="SELECT"),
                *isolation.protect("ledger_kept", verbs="SELECT"),
                *isolation.protect("ledger_proof", verbs="SELECT"),
                RunSQL(COMPUTE_ANEW, RunSQL.noop),
            ],
            state_operations=[
                migrations.AddField("Call", "end_user", models.TextField(null=True)),
                migrations.AddField("Call", "in_served", models.BigIntegerField(null=True)),
                *figures_added("UsageHour"),
                *figures_added("UsageDay"),
                migrations.CreateModel(
                    name="UsageEndUser",
                    fields=[
                        key_of("tenant_id", "hour", "project_id", "end_user"),
                        ("tenant_id", models.UUIDField()),
                        ("hour", models.DateTimeField()),
                        ("project_id", models.UUIDField()),
                        ("end_user", models.TextField()),
                        *(
                            (name, models.BigIntegerField())
                            for name in ("calls", "hits", "billable", "unpriced", "tokens", "tokens_saved")
                        ),
                        *(
                            (name, amount())
                            for name in (
                                *("cost_usd", "list_usd", "discount_usd", "saved_usd", "fee_usd"),
                                *("synthesis_cost_usd", "upkeep_cost_usd"),
                            )
                        ),
                    ],
                    options={"db_table": "usage_end_user"},
                ),
                migrations.CreateModel(
                    name="FeePeriod",
                    fields=[
                        key_of("tenant_id", "period_start"),
                        ("tenant_id", models.UUIDField()),
                        ("period_start", models.DateTimeField()),
                        ("plan", models.TextField()),
                        ("billable", models.BigIntegerField()),
                    ],
                    options={"db_table": "fee_period"},
                ),
                migrations.CreateModel(
                    name="LedgerKept",
                    fields=[
                        ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("since", models.DateTimeField()),
                    ],
                    options={"db_table": "ledger_kept"},
                ),
                migrations.CreateModel(
                    name="LedgerProof",
                    fields=[
                        key_of("tenant_id", "day"),
                        ("tenant_id", models.UUIDField()),
                        ("day", models.DateField()),
                        ("calls", models.BigIntegerField()),
                        ("billable", models.BigIntegerField()),
                        *((name, amount()) for name in ("cost_usd", "saved_usd", "fee_usd")),
                        ("differences", ArrayField(models.TextField())),
                        ("proved_at", models.DateTimeField()),
                    ],
                    options={"db_table": "ledger_proof"},
                ),
            ],
        )
    ]
