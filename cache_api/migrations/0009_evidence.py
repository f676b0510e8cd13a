"""What is learned of each entry's answers: their checks, what is to be checked, and the cut that keeps the promise."""

import uuid

import django.utils.timezone
from django.db import migrations, models
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

from tenants import isolation
from tenants.isolation import tenant_function

# `entry_id` has no foreign key: a check outlives its entry, and counts in the project's figures. A replaced answer has
# a new id, and starts without checks.
TABLES = """
CREATE TABLE answer_check (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  checked_at timestamptz NOT NULL,
  kind text NOT NULL CHECK (kind IN ('hit', 'shadow', 'doubt', 'feedback')),
  source text NOT NULL CHECK (source IN ('judge', 'member', 'caller')),
  entry_id uuid NOT NULL,
  similarity float8 NOT NULL,
  probability float8 NOT NULL,
  chance float8 NOT NULL CHECK (chance > 0 AND chance <= 1),
  correct boolean NOT NULL,
  trust float8 NOT NULL,
  key_id uuid,
  call_id uuid,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX answer_check_entry ON answer_check (tenant_id, entry_id, checked_at DESC);
CREATE INDEX answer_check_project ON answer_check (tenant_id, project_id, checked_at);
CREATE UNIQUE INDEX answer_check_once ON answer_check (tenant_id, call_id, source) WHERE call_id IS NOT NULL;
CREATE TABLE check_wanted (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  project_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('hit', 'shadow', 'doubt')),
  body bytea NOT NULL,
  entry_id uuid NOT NULL,
  bought_id uuid,
  similarity float8 NOT NULL,
  probability float8 NOT NULL,
  chance float8 NOT NULL,
  attempts smallint NOT NULL DEFAULT 0,
  wanted_at timestamptz NOT NULL,
  next_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX check_wanted_next ON check_wanted (next_at);
CREATE TABLE calibration (
  tenant_id uuid NOT NULL,
  project_id uuid NOT NULL,
  cut float8,
  state text NOT NULL CHECK (state IN ('learning', 'kept', 'alarm')),
  promise float8 NOT NULL,
  checked bigint NOT NULL,
  wrong bigint NOT NULL,
  foretold float8 NOT NULL,
  fitted_at timestamptz NOT NULL,
  alarmed_at timestamptz,
  PRIMARY KEY (tenant_id, project_id)
);
ALTER TABLE entry ADD COLUMN alias_of uuid;
ALTER TABLE call ADD COLUMN fingerprint bytea;
ALTER TABLE feedback ADD COLUMN vector halfvec(384);
ALTER TABLE job ADD COLUMN result bytea;
ALTER TABLE job DROP CONSTRAINT job_kind_check;
ALTER TABLE job ADD CONSTRAINT job_kind_check CHECK (kind IN ('import', 'purge', 'backtest'));
"""
DROP = """
DELETE FROM job WHERE kind = 'backtest';
ALTER TABLE job DROP CONSTRAINT job_kind_check;
ALTER TABLE job ADD CONSTRAINT job_kind_check CHECK (kind IN ('import', 'purge'));
ALTER TABLE job DROP COLUMN result;
ALTER TABLE feedback DROP COLUMN vector;
ALTER TABLE call DROP COLUMN fingerprint;
ALTER TABLE entry DROP COLUMN alias_of;
DROP TABLE calibration; DROP TABLE check_wanted; DROP TABLE answer_check;
"""

# Asked for by projects with checks or feedback alone. A rewording of a question that was answered wrongly is one.
CHECKS = tenant_function(
    "entry_checks(tenant uuid, project uuid, ids bytea, near halfvec)",
    "TABLE (entry_id uuid, known_wrong boolean, similarities float8[], rights boolean[], trusts float8[])",
    """RETURN QUERY SELECT entry.id,
      EXISTS (SELECT FROM feedback WHERE feedback.tenant_id = tenant AND feedback.project_id = project
        AND feedback.verdict = 'wrong' AND feedback.cached = entry.fingerprint
        AND feedback.vector IS NOT NULL AND feedback.vector <=> near <= 0.05),
      newest.similarities, newest.rights, newest.trusts
    FROM entry LEFT JOIN LATERAL (
      SELECT array_agg(one.similarity) AS similarities, array_agg(one.correct) AS rights,
          array_agg(one.trust) AS trusts
      FROM (SELECT c.similarity, c.correct, c.trust FROM answer_check AS c
        WHERE c.tenant_id = tenant AND c.entry_id = entry.id ORDER BY c.checked_at DESC
        LIMIT 32) AS one) AS newest ON true
    WHERE entry.tenant_id = tenant AND entry.id = ANY (
      SELECT encode(substring(ids FROM place * 16 + 1 FOR 16), 'hex')::uuid
      FROM generate_series(0, octet_length(ids) / 16 - 1) AS place);""",
)

_TENANT_ROW = [("tenant_id", models.UUIDField()), ("id", models.UUIDField(default=uuid.uuid4))]


def _key(*names: str) -> tuple[str, models.CompositePrimaryKey]:
    return "pk", models.CompositePrimaryKey(*names, blank=True, editable=False, primary_key=True, serialize=False)


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0008_accounts")]

    operations = [
        SeparateDatabaseAndState(
            database_operations=[
                RunSQL(TABLES, DROP),
                isolation.same_tenant("answer_check", "tenant_id, project_id", "project", "tenant_id, id"),
                isolation.same_tenant("check_wanted", "tenant_id, project_id", "project", "tenant_id, id"),
                isolation.same_tenant("calibration", "tenant_id, project_id", "project", "tenant_id, id"),
                *isolation.protect("answer_check", verbs="SELECT, INSERT, DELETE"),
                *isolation.protect("check_wanted"),
                *isolation.protect("calibration"),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="AnswerCheck",
                    fields=[
                        _key("tenant_id", "id"),
                        *_TENANT_ROW,
                        ("project_id", models.UUIDField()),
                        ("checked_at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("kind", models.TextField()),
                        ("source", models.TextField()),
                        ("entry_id", models.UUIDField()),
                        ("similarity", models.FloatField()),
                        ("probability", models.FloatField()),
                        ("chance", models.FloatField(default=1.0)),
                        ("correct", models.BooleanField()),
                        ("trust", models.FloatField()),
                        ("key_id", models.UUIDField(null=True)),
                        ("call_id", models.UUIDField(null=True)),
                    ],
                    options={"db_table": "answer_check"},
                ),
                migrations.CreateModel(
                    name="CheckWanted",
                    fields=[
                        _key("tenant_id", "id"),
                        *_TENANT_ROW,
                        ("project_id", models.UUIDField()),
                        ("kind", models.TextField()),
                        ("body", models.BinaryField()),
                        ("entry_id", models.UUIDField()),
                        ("bought_id", models.UUIDField(null=True)),
                        ("similarity", models.FloatField()),
                        ("probability", models.FloatField()),
                        ("chance", models.FloatField()),
                        ("attempts", models.PositiveSmallIntegerField(default=0)),
                        ("wanted_at", models.DateTimeField()),
                        ("next_at", models.DateTimeField()),
                    ],
                    options={"db_table": "check_wanted"},
                ),
                migrations.CreateModel(
                    name="Calibration",
                    fields=[
                        _key("tenant_id", "project_id"),
                        ("tenant_id", models.UUIDField()),
                        ("project_id", models.UUIDField()),
                        ("cut", models.FloatField(null=True)),
                        ("state", models.TextField()),
                        ("promise", models.FloatField()),
                        ("checked", models.BigIntegerField()),
                        ("wrong", models.BigIntegerField()),
                        ("foretold", models.FloatField()),
                        ("fitted_at", models.DateTimeField()),
                        ("alarmed_at", models.DateTimeField(null=True)),
                    ],
                    options={"db_table": "calibration"},
                ),
                migrations.AddField("entry", "alias_of", models.UUIDField(null=True)),
                migrations.AddField("job", "result", models.BinaryField(null=True)),
                migrations.AddField("call", "fingerprint", models.BinaryField(max_length=32, null=True)),
            ],
        ),
        CHECKS,
    ]
