"""The tables of stored answers, calls and money.

Django knows the models; their tables are made in SQL, for partitions, row-level security and keys that hold the tenant.
"""

import uuid

import django.contrib.postgres.fields
import django.utils.timezone
import pgvector.django.halfvec
from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation

ENTRY_PARTITIONS = 8

# Upper bounds of 23 latency buckets in milliseconds; the 24th has no end.
LATENCY_BOUNDS_MS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 8192, 32768)
LATENCY_BUCKETS = range(len(LATENCY_BOUNDS_MS) + 1)

EXTENSION = RunSQL("CREATE EXTENSION IF NOT EXISTS vector", RunSQL.noop)

POLICY = """
CREATE TABLE policy (
  tenant_id uuid NOT NULL,
  project_id uuid NOT NULL,
  settings jsonb NOT NULL DEFAULT '{}',
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, project_id)
);
"""

ENTRY = """
CREATE TABLE entry (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  scope bytea NOT NULL CHECK (octet_length(scope) = 32),
  caller_key text NOT NULL DEFAULT '',
  namespace text NOT NULL DEFAULT '',
  provider text NOT NULL,
  model text NOT NULL,
  endpoint text NOT NULL,
  source text NOT NULL DEFAULT 'proxied',
  embedder text NOT NULL DEFAULT '',
  vector halfvec(384),
  matchable boolean NOT NULL DEFAULT true,
  quarantined boolean NOT NULL DEFAULT false,
  body bytea NOT NULL,
  size_bytes integer NOT NULL CHECK (size_bytes >= 0),
  usage jsonb NOT NULL DEFAULT '{}',
  cost_usd numeric(20, 10),
  latency_ms integer NOT NULL DEFAULT 0 CHECK (latency_ms >= 0),
  metadata jsonb NOT NULL DEFAULT '{}',
  writer_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  hits bigint NOT NULL DEFAULT 0,
  last_hit_at timestamptz,
  saved_usd numeric(20, 10) NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, project_id, fingerprint)
) PARTITION BY HASH (tenant_id);
CREATE INDEX entry_scope ON entry (tenant_id, project_id, scope);
CREATE INDEX entry_created ON entry (tenant_id, project_id, created_at);
CREATE INDEX entry_expires ON entry (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX entry_vector ON entry USING hnsw (vector halfvec_cosine_ops);
""" + "".join(
    # Room in each page for what accounting writes back, so that it touches no index: HNSW's is dear.
    f"CREATE TABLE entry_{n} PARTITION OF entry FOR VALUES WITH (MODULUS {ENTRY_PARTITIONS}, REMAINDER {n})"
    " WITH (fillfactor = 85);\n"
    for n in range(ENTRY_PARTITIONS)
)

# ON UPDATE: an entry that is replaced under its fingerprint may change its id.
ENTRY_PARTS = """
CREATE TABLE entry_tag (
  tenant_id uuid NOT NULL,
  entry_id uuid NOT NULL,
  tag text NOT NULL,
  PRIMARY KEY (tenant_id, entry_id, tag),
  FOREIGN KEY (tenant_id, entry_id) REFERENCES entry (tenant_id, id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX entry_tag_tag ON entry_tag (tenant_id, tag);

CREATE TABLE entry_dependency (
  tenant_id uuid NOT NULL,
  entry_id uuid NOT NULL,
  name text NOT NULL,
  version text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, entry_id, name, version),
  FOREIGN KEY (tenant_id, entry_id) REFERENCES entry (tenant_id, id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX entry_dependency_name ON entry_dependency (tenant_id, name, version);
"""

PENDING_MISS = """
CREATE TABLE pending_miss (
  tenant_id uuid NOT NULL,
  project_id uuid NOT NULL,
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  body bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, project_id, fingerprint)
);
CREATE INDEX pending_miss_expires ON pending_miss (expires_at);
"""

# No foreign keys: a call that was answered has its row, even if its project is being deleted that moment. The columns
# have no defaults either, because ledger_put passes every one of them.
CALL = """
CREATE TABLE call (
  tenant_id uuid NOT NULL,
  at timestamptz NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  key_id uuid,
  task text NOT NULL,
  origin text NOT NULL,
  parent_id uuid,
  dialect text NOT NULL,
  provider text NOT NULL,
  model_asked text NOT NULL,
  model_served text NOT NULL,
  stream boolean NOT NULL,
  service_tier text NOT NULL,
  status smallint NOT NULL,
  decision text NOT NULL,
  layer text NOT NULL,
  reason text NOT NULL,
  similarity double precision,
  entry_id uuid,
  in_total bigint NOT NULL,
  in_cached bigint NOT NULL,
  in_write_5m bigint NOT NULL,
  in_write_1h bigint NOT NULL,
  in_audio bigint NOT NULL,
  out_total bigint NOT NULL,
  out_reasoning bigint NOT NULL,
  out_audio bigint NOT NULL,
  tokens_estimated boolean NOT NULL,
  price_source text NOT NULL,
  price_version text NOT NULL,
  unit_prices jsonb,
  cost_usd numeric(20, 10),
  list_usd numeric(20, 10),
  discount_usd numeric(20, 10),
  fee_usd numeric(20, 10),
  saved_usd numeric(20, 10),
  priced_at timestamptz,
  billable boolean NOT NULL,
  retry boolean NOT NULL,
  ms_total integer NOT NULL CHECK (ms_total >= 0),
  ms_embed integer NOT NULL CHECK (ms_embed >= 0),
  ms_lookup integer NOT NULL CHECK (ms_lookup >= 0),
  ms_upstream integer NOT NULL CHECK (ms_upstream >= 0),
  ms_first_byte integer NOT NULL CHECK (ms_first_byte >= 0),
  PRIMARY KEY (tenant_id, at, id)
) PARTITION BY RANGE (at);
CREATE INDEX call_unpriced ON call (tenant_id, at) WHERE priced_at IS NULL;
CREATE TABLE call_default PARTITION OF call DEFAULT;
"""

# Rows that came too early for their month wait in the default partition: they move into it.
CALL_MONTHS = """
CREATE FUNCTION call_months(ahead integer) RETURNS SETOF text LANGUAGE plpgsql
  SET search_path = pg_catalog, public AS $$
DECLARE
  first timestamptz;
  following timestamptz;
  name text;
BEGIN
  FOR n IN 0..ahead LOOP
    first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n)) AT TIME ZONE 'UTC';
    following := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    name := 'call_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
    CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;

    EXECUTE format('CREATE TABLE public.%I (LIKE public.call INCLUDING CONSTRAINTS)', name);
    EXECUTE format('WITH early AS (DELETE FROM public.call_default WHERE at >= %L AND at < %L RETURNING *)'
      ' INSERT INTO public.%I SELECT * FROM early', first, following, name);
    EXECUTE format('ALTER TABLE public.call ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
      name, first, following);
    RETURN NEXT name;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION call_months(integer) FROM PUBLIC;
SELECT call_months(2);
"""

LEDGER_PUT = isolation.function(
    "ledger_put(rows jsonb)",
    """RETURNS SETOF uuid LANGUAGE sql SECURITY DEFINER
  SET search_path = pg_catalog, public AS $$ INSERT INTO public.call SELECT *
  FROM jsonb_populate_recordset(null::public.call, rows) ON CONFLICT DO NOTHING RETURNING id $$""",
)

FIGURES = """
  calls bigint NOT NULL,
  exact_hits bigint NOT NULL,
  semantic_hits bigint NOT NULL,
  synthesized_hits bigint NOT NULL,
  misses bigint NOT NULL,
  bypasses bigint NOT NULL,
  blocked bigint NOT NULL,
  reasons jsonb NOT NULL,
  billable bigint NOT NULL,
  unpriced bigint NOT NULL,
  estimated bigint NOT NULL,
  in_total bigint NOT NULL,
  in_cached bigint NOT NULL,
  out_total bigint NOT NULL,
  tokens_saved bigint NOT NULL,
  cost_usd numeric(20, 10) NOT NULL,
  saved_usd numeric(20, 10) NOT NULL,
  fee_usd numeric(20, 10) NOT NULL,
  hit_latency bigint[] NOT NULL,
  miss_latency bigint[] NOT NULL,
"""

# usage_dirty: the hours of which a call was priced since they were rolled up. Every call is priced once, after it was
# inserted and however late that was, so no call can be missed.
USAGE = f"""
CREATE TABLE usage_hour (
  tenant_id uuid NOT NULL,
  hour timestamptz NOT NULL,
  project_id uuid NOT NULL,
  key_id uuid NOT NULL,
  provider text NOT NULL,
  model text NOT NULL,
  task text NOT NULL,
  {FIGURES}
  PRIMARY KEY (tenant_id, hour, project_id, key_id, provider, model, task)
);
CREATE TABLE usage_day (
  tenant_id uuid NOT NULL,
  day date NOT NULL,
  project_id uuid NOT NULL,
  key_id uuid NOT NULL,
  provider text NOT NULL,
  model text NOT NULL,
  task text NOT NULL,
  {FIGURES}
  PRIMARY KEY (tenant_id, day, project_id, key_id, provider, model, task)
);
CREATE TABLE usage_dirty (
  tenant_id uuid NOT NULL,
  hour timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, hour)
);
"""

# What an hour comes to, said once: for the roll-up, for its proof and for hours not rolled up yet. Tokens bought and
# tokens saved are apart. A call without a key (the playground's) has the nil uuid.
USAGE_FIGURES = isolation.function(
    "usage_figures(tenant uuid, since timestamptz, before timestamptz)",
    f"""RETURNS SETOF public.usage_hour LANGUAGE sql STABLE
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
        AS miss_latency
    FROM seen GROUP BY 1, 2, 3, 4, 5, 6
  )
  SELECT $1, hour, project_id, key, provider, model, task, calls, exact_hits, semantic_hits, synthesized_hits, misses,
    bypasses, blocked, reasons, billable, unpriced, estimated, in_total, in_cached, out_total, tokens_saved, cost_usd,
    saved_usd, fee_usd, hit_latency, miss_latency
  FROM figures JOIN reasons USING (hour, project_id, key, provider, model, task) $$""",
)

USAGE_OF_DAY = isolation.function(
    "usage_of_day(tenant uuid, day date)",
    f"""RETURNS SETOF public.usage_day LANGUAGE sql STABLE
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
      ARRAY[{", ".join(f"sum(miss_latency[{n + 1}])::bigint" for n in LATENCY_BUCKETS)}] AS miss_latency
    FROM hours GROUP BY 1, 2, 3, 4, 5
  )
  SELECT $1, $2, project_id, key_id, provider, model, task, calls, exact_hits, semantic_hits, synthesized_hits, misses,
    bypasses, blocked, reasons, billable, unpriced, estimated, in_total, in_cached, out_total, tokens_saved, cost_usd,
    saved_usd, fee_usd, hit_latency, miss_latency
  FROM figures JOIN reasons USING (project_id, key_id, provider, model, task) $$""",
)

ERROR_HOUR = """
CREATE TABLE error_hour (
  tenant_id uuid NOT NULL,
  hour timestamptz NOT NULL,
  project_id uuid NOT NULL,
  provider text NOT NULL,
  model text NOT NULL,
  status smallint NOT NULL,
  errors bigint NOT NULL,
  PRIMARY KEY (tenant_id, hour, project_id, provider, model, status)
);
"""

ERROR_PUT = isolation.function(
    "error_put(rows jsonb)",
    """RETURNS void LANGUAGE sql SECURITY DEFINER
  SET search_path = pg_catalog, public AS $$ INSERT INTO public.error_hour AS counted SELECT *
  FROM jsonb_populate_recordset(null::public.error_hour, rows)
  ON CONFLICT (tenant_id, hour, project_id, provider, model, status)
  DO UPDATE SET errors = counted.errors + excluded.errors $$""",
)

PRICE_RATE = """
CREATE TABLE price_rate (
  provider text NOT NULL,
  model text NOT NULL,
  input_usd numeric(20, 10) NOT NULL,
  cached_usd numeric(20, 10) NOT NULL,
  write_usd numeric(20, 10) NOT NULL,
  output_usd numeric(20, 10) NOT NULL,
  version text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (provider, model)
);
"""


def tables(sql: str, *names: str) -> RunSQL:
    return RunSQL(sql, "".join(f"DROP TABLE {name};" for name in reversed(names)))


DATABASE = [
    EXTENSION,
    tables(POLICY, "policy"),
    isolation.same_tenant("policy", "tenant_id, project_id", "project", "tenant_id, id"),
    *isolation.protect("policy"),
    tables(ENTRY, "entry"),
    isolation.same_tenant("entry", "tenant_id, project_id", "project", "tenant_id, id"),
    *isolation.protect("entry"),
    tables(ENTRY_PARTS, "entry_tag", "entry_dependency"),
    *isolation.protect("entry_tag"),
    *isolation.protect("entry_dependency"),
    tables(PENDING_MISS, "pending_miss"),
    isolation.same_tenant("pending_miss", "tenant_id, project_id", "project", "tenant_id, id"),
    *isolation.protect("pending_miss"),
    tables(CALL, "call"),
    RunSQL(CALL_MONTHS, "DROP FUNCTION call_months(integer)"),
    *isolation.protect("call", verbs="SELECT"),
    LEDGER_PUT,
    tables(USAGE, "usage_hour", "usage_day", "usage_dirty"),
    *isolation.protect("usage_hour", verbs="SELECT"),
    *isolation.protect("usage_day", verbs="SELECT"),
    *isolation.protect("usage_dirty", verbs="SELECT"),
    USAGE_FIGURES,
    USAGE_OF_DAY,
    tables(ERROR_HOUR, "error_hour"),
    *isolation.protect("error_hour", verbs="SELECT"),
    ERROR_PUT,
    tables(PRICE_RATE, "price_rate"),
    isolation.grant("price_rate", verbs="SELECT"),
]

STATE = [
    migrations.CreateModel(
        name='Call',
        fields=[
            ('pk', models.CompositePrimaryKey('tenant_id', 'at', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
            ('tenant_id', models.UUIDField()),
            ('at', models.DateTimeField()),
            ('id', models.UUIDField()),
            ('project_id', models.UUIDField()),
            ('key_id', models.UUIDField(null=True)),
            ('task', models.TextField()),
            ('origin', models.TextField()),
            ('parent_id', models.UUIDField(null=True)),
            ('dialect', models.TextField()),
            ('provider', models.TextField()),
            ('model_asked', models.TextField()),
            ('model_served', models.TextField()),
            ('stream', models.BooleanField()),
            ('service_tier', models.TextField()),
            ('status', models.SmallIntegerField()),
            ('decision', models.TextField()),
            ('layer', models.TextField()),
            ('reason', models.TextField()),
            ('similarity', models.FloatField(null=True)),
            ('entry_id', models.UUIDField(null=True)),
            ('in_total', models.BigIntegerField()),
            ('in_cached', models.BigIntegerField()),
            ('in_write_5m', models.BigIntegerField()),
            ('in_write_1h', models.BigIntegerField()),
            ('in_audio', models.BigIntegerField()),
            ('out_total', models.BigIntegerField()),
            ('out_reasoning', models.BigIntegerField()),
            ('out_audio', models.BigIntegerField()),
            ('tokens_estimated', models.BooleanField()),
            ('price_source', models.TextField()),
            ('price_version', models.TextField()),
            ('unit_prices', models.JSONField(null=True)),
            ('cost_usd', models.DecimalField(decimal_places=10, max_digits=20, null=True)),
            ('list_usd', models.DecimalField(decimal_places=10, max_digits=20, null=True)),
            ('discount_usd', models.DecimalField(decimal_places=10, max_digits=20, null=True)),
            ('fee_usd', models.DecimalField(decimal_places=10, max_digits=20, null=True)),
            ('saved_usd', models.DecimalField(decimal_places=10, max_digits=20, null=True)),
            ('priced_at', models.DateTimeField(null=True)),
            ('billable', models.BooleanField()),
            ('retry', models.BooleanField()),
            ('ms_total', models.PositiveIntegerField()),
            ('ms_embed', models.PositiveIntegerField()),
            ('ms_lookup', models.PositiveIntegerField()),
            ('ms_upstream', models.PositiveIntegerField()),
            ('ms_first_byte', models.PositiveIntegerField()),
        ],
        options={
            'db_table': 'call',
        },
    ),
    migrations.CreateModel(
        name='Entry',
        fields=[
            ('pk', models.CompositePrimaryKey('tenant_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
            ('tenant_id', models.UUIDField()),
            ('id', models.UUIDField(default=uuid.uuid4)),
            ('project_id', models.UUIDField()),
            ('fingerprint', models.BinaryField(max_length=32)),
            ('scope', models.BinaryField(max_length=32)),
            ('caller_key', models.TextField(default='')),
            ('namespace', models.TextField(default='')),
            ('provider', models.TextField()),
            ('model', models.TextField()),
            ('endpoint', models.TextField()),
            ('source', models.TextField(default='proxied')),
            ('embedder', models.TextField(default='')),
            ('vector', pgvector.django.halfvec.HalfVectorField(dimensions=384, null=True)),
            ('matchable', models.BooleanField(default=True)),
            ('quarantined', models.BooleanField(default=False)),
            ('body', models.BinaryField()),
            ('size_bytes', models.PositiveIntegerField()),
            ('usage', models.JSONField(default=dict)),
            ('cost_usd', models.DecimalField(decimal_places=10, max_digits=20, null=True)),
            ('latency_ms', models.PositiveIntegerField(default=0)),
            ('metadata', models.JSONField(default=dict)),
            ('writer_id', models.UUIDField(null=True)),
            ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ('expires_at', models.DateTimeField(null=True)),
            ('hits', models.BigIntegerField(default=0)),
            ('last_hit_at', models.DateTimeField(null=True)),
            ('saved_usd', models.DecimalField(decimal_places=10, default=0, max_digits=20)),
        ],
        options={
            'db_table': 'entry',
        },
    ),
    migrations.CreateModel(
        name='EntryDependency',
        fields=[
            ('pk', models.CompositePrimaryKey('tenant_id', 'entry_id', 'name', 'version', blank=True, editable=False, primary_key=True, serialize=False)),
            ('tenant_id', models.UUIDField()),
            ('entry_id', models.UUIDField()),
            ('name', models.TextField()),
            ('version', models.TextField(default='')),
        ],
        options={
            'db_table': 'entry_dependency',
        },
    ),
    migrations.CreateModel(
        name='EntryTag',
        fields=[
            ('pk', models.CompositePrimaryKey('tenant_id', 'entry_id', 'tag', blank=True, editable=False, primary_key=True, serialize=False)),
            ('tenant_id', models.UUIDField()),
            ('entry_id', models.UUIDField()),
            ('tag', models.TextField()),
        ],
        options={
            'db_table': 'entry_tag',
        },
    ),
    migrations.CreateModel(
        name='ErrorHour',
        fields=[
            ('pk', models.CompositePrimaryKey('tenant_id', 'hour', 'project_id', 'provider', 'model', 'status', blank=True, editable=False, primary_key=True, serialize=False)),
            ('tenant_id', models.UUIDField()),
            ('hour', models.DateTimeField()),
            ('project_id', models.UUIDField()),
            ('provider', models.TextField()),
            ('model', models.TextField()),
            ('status', models.SmallIntegerField()),
            ('errors', models.BigIntegerField()),
        ],
        options={
            'db_table': 'error_hour',
        },
    ),
    migrations.CreateModel(
        name='PendingMiss',
        fields=[
            ('pk', models.CompositePrimaryKey('tenant_id', 'project_id', 'fingerprint', blank=True, editable=False, primary_key=True, serialize=False)),
            ('tenant_id', models.UUIDField()),
            ('project_id', models.UUIDField()),
            ('fingerprint', models.BinaryField(max_length=32)),
            ('body', models.BinaryField()),
            ('expires_at', models.DateTimeField()),
        ],
        options={
            'db_table': 'pending_miss',
        },
    ),
    migrations.CreateModel(
        name='Policy',
        fields=[
            ('pk', models.CompositePrimaryKey('tenant_id', 'project_id', blank=True, editable=False, primary_key=True, serialize=False)),
            ('tenant_id', models.UUIDField()),
            ('project_id', models.UUIDField()),
            ('settings', models.JSONField(default=dict)),
            ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
        ],
        options={
            'db_table': 'policy',
        },
    ),
    migrations.CreateModel(
        name='PriceRate',
        fields=[
            ('pk', models.CompositePrimaryKey('provider', 'model', blank=True, editable=False, primary_key=True, serialize=False)),
            ('provider', models.TextField()),
            ('model', models.TextField()),
            ('input_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('cached_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('write_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('output_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('version', models.TextField()),
            ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
        ],
        options={
            'db_table': 'price_rate',
        },
    ),
    migrations.CreateModel(
        name='UsageDay',
        fields=[
            ('tenant_id', models.UUIDField()),
            ('project_id', models.UUIDField()),
            ('key_id', models.UUIDField()),
            ('provider', models.TextField()),
            ('model', models.TextField()),
            ('task', models.TextField()),
            ('calls', models.BigIntegerField()),
            ('exact_hits', models.BigIntegerField()),
            ('semantic_hits', models.BigIntegerField()),
            ('synthesized_hits', models.BigIntegerField()),
            ('misses', models.BigIntegerField()),
            ('bypasses', models.BigIntegerField()),
            ('blocked', models.BigIntegerField()),
            ('reasons', models.JSONField(default=dict)),
            ('billable', models.BigIntegerField()),
            ('unpriced', models.BigIntegerField()),
            ('estimated', models.BigIntegerField()),
            ('in_total', models.BigIntegerField()),
            ('in_cached', models.BigIntegerField()),
            ('out_total', models.BigIntegerField()),
            ('tokens_saved', models.BigIntegerField()),
            ('cost_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('saved_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('fee_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('hit_latency', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=24)),
            ('miss_latency', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=24)),
            ('pk', models.CompositePrimaryKey('tenant_id', 'day', 'project_id', 'key_id', 'provider', 'model', 'task', blank=True, editable=False, primary_key=True, serialize=False)),
            ('day', models.DateField()),
        ],
        options={
            'db_table': 'usage_day',
        },
    ),
    migrations.CreateModel(
        name='UsageHour',
        fields=[
            ('tenant_id', models.UUIDField()),
            ('project_id', models.UUIDField()),
            ('key_id', models.UUIDField()),
            ('provider', models.TextField()),
            ('model', models.TextField()),
            ('task', models.TextField()),
            ('calls', models.BigIntegerField()),
            ('exact_hits', models.BigIntegerField()),
            ('semantic_hits', models.BigIntegerField()),
            ('synthesized_hits', models.BigIntegerField()),
            ('misses', models.BigIntegerField()),
            ('bypasses', models.BigIntegerField()),
            ('blocked', models.BigIntegerField()),
            ('reasons', models.JSONField(default=dict)),
            ('billable', models.BigIntegerField()),
            ('unpriced', models.BigIntegerField()),
            ('estimated', models.BigIntegerField()),
            ('in_total', models.BigIntegerField()),
            ('in_cached', models.BigIntegerField()),
            ('out_total', models.BigIntegerField()),
            ('tokens_saved', models.BigIntegerField()),
            ('cost_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('saved_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('fee_usd', models.DecimalField(decimal_places=10, max_digits=20)),
            ('hit_latency', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=24)),
            ('miss_latency', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=24)),
            ('pk', models.CompositePrimaryKey('tenant_id', 'hour', 'project_id', 'key_id', 'provider', 'model', 'task', blank=True, editable=False, primary_key=True, serialize=False)),
            ('hour', models.DateTimeField()),
        ],
        options={
            'db_table': 'usage_hour',
        },
    ),
]


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenants", "0002_isolation")]

    operations = [SeparateDatabaseAndState(database_operations=DATABASE, state_operations=STATE)]
