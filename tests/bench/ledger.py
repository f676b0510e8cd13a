"""How does a tenant come to a million calls, and all that its pages show of them, within a minute?

Rows are written by one statement, as priced calls of the last 90 days; hours, days and end users are rolled up by the
product's own functions.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from django.test import Client
from psycopg import ClientCursor

from cache_api.accounting import models_asked
from cache_api.adapters import books
from tenants import api_keys, audit, features, projects, services
from tenants.audit import Actor
from tenants.isolation import as_owner, as_tenant
from tenants.models import Tenant, User
from tests.bench.entries import Team, _owner

DAYS = 90
EVENTS = 3_000
CHECKS = 2_000
OTHER_PROJECTS = 2
KEYS = 4  # of each project

# Every figure of a row follows from its number, so that two runs fill the same. Each key asks one model, at times under
# a task's name: 24 groups in an hour's roll-up.
CALLS = """
INSERT INTO call (tenant_id, at, id, project_id, key_id, task, origin, dialect, provider, model_asked, model_served,
  stream, service_tier, status, decision, layer, reason, similarity, entry_id, in_total, in_cached, in_write_5m,
  in_write_1h, in_audio, out_total, out_reasoning, out_audio, tokens_estimated, price_source, price_version, cost_usd,
  list_usd, discount_usd, fee_usd, saved_usd, priced_at, billable, retry, ms_total, ms_embed, ms_lookup, ms_upstream,
  ms_first_byte, end_user)
SELECT %(tenant)s, at, overlay(gen_random_uuid()::text PLACING
    left(stamp, 8) || '-' || right(stamp, 4) || '-7' FROM 1 FOR 15)::uuid, (%(projects)s::uuid[])[1 + n %% %(of)s],
  (%(keys)s::uuid[])[1 + n %% %(of)s + %(of)s * (n / 7 %% %(each)s)],
  (ARRAY['', '', '', 'triage'])[1 + n / 11 %% 4], 'client', 'chat.completions',
  (ARRAY['openai', 'openai', 'anthropic', 'demo'])[1 + n / 7 %% 4], model, model, n %% 2 = 0, '', 200,
  (ARRAY['hit', 'hit', 'miss', 'miss', 'bypass'])[1 + kind],
  (ARRAY['exact', 'semantic', '', '', ''])[1 + kind],
  (ARRAY['exact', 'similar', 'no_candidate', 'below_threshold', 'policy'])[1 + kind],
  CASE kind WHEN 1 THEN 0.95 END, CASE WHEN kind < 4 THEN gen_random_uuid() END,
  600 + n %% 400, 0, 0, 0, 0, 200, 0, 0, false, 'list', '2026', CASE WHEN kind < 2 THEN 0 ELSE 0.0031 END,
  CASE WHEN kind < 2 THEN 0.0031 END, CASE WHEN kind < 2 THEN 0 END, 0.0001, CASE WHEN kind < 2 THEN 0.0031 END, at,
  kind < 4, false, CASE WHEN kind < 2 THEN 2 + n %% 20 ELSE 700 + n %% 900 END, 0, 1,
  CASE WHEN kind < 2 THEN 0 ELSE 690 END, 2, CASE WHEN n %% 3 = 0 THEN 'user-' || n %% 500 END
FROM (SELECT *, lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') AS stamp,
    (ARRAY['gpt-5', 'gpt-5-mini', 'claude-sonnet-5', 'demo-small'])[1 + n / 7 %% 4] AS model,
    (hashint4(n) & 2147483647) %% 5 AS kind
  FROM (SELECT n, date_trunc('milliseconds', now() - n * (interval '%(days)s days' / %(rows)s)) AS at
    FROM generate_series(1, %(rows)s) AS n) AS moments) AS numbered
"""
ROLL_UPS = (
    *(
        f"DELETE FROM {table} WHERE tenant_id = %(tenant)s"
        for table in ("usage_hour", "usage_day", "usage_end_user", "usage_end_user_day", "usage_model")
    ),
    models_asked("now() - interval '91 days'", "now()"),
    "INSERT INTO usage_hour SELECT * FROM usage_figures(%(tenant)s, now() - interval '91 days', now())",
    "INSERT INTO usage_end_user SELECT * FROM end_user_figures(%(tenant)s, now() - interval '91 days', now())",
    "INSERT INTO usage_day SELECT figures.* FROM generate_series((now() - interval '91 days')::date, now()::date,"
    " interval '1 day') AS day, usage_of_day(%(tenant)s, day::date) AS figures",
    "INSERT INTO usage_end_user_day SELECT figures.* FROM generate_series((now() - interval '91 days')::date,"
    " now()::date - 1, interval '1 day') AS day, end_users_of_day(%(tenant)s, day::date) AS figures",
)
CHECKED = """
INSERT INTO answer_check (tenant_id, id, project_id, checked_at, kind, source, entry_id, similarity, probability,
  chance, correct, trust, call_id)
SELECT tenant_id, gen_random_uuid(), project_id, at, 'hit', 'judge', entry_id, similarity, 0.99, 0.05,
  hashtext(id::text) %% 100 <> 0, 1, id
FROM call WHERE tenant_id = %(tenant)s AND layer = 'semantic' AND at > now() - interval '29 days' LIMIT %(checks)s
"""


def fill(team: Team, rows: int, *, say: Callable[[str], None]) -> str:
    """The session of an owner who is signed in."""
    with as_tenant(team.tenant_id):
        Tenant.objects.filter(id=team.tenant_id).update(
            features=list(features.ENTERPRISE), projects_max=100, keys_max=100, detail_days=400
        )
    mine = [team.project_id]
    mine += [projects.project_create(tenant_id=team.tenant_id, name=f"Other {n}") for n in range(OTHER_PROJECTS)]
    keys = [_key(team, project_id, f"bot {n}") for n in range(KEYS) for project_id in mine]
    user = services.user_create(email=f"{uuid4().hex}@bench.test")
    services.member_add(tenant_id=team.tenant_id, user_id=user.id, role="owner")
    values: dict[str, Any] = {
        "tenant": team.tenant_id,
        "projects": mine,
        "of": len(mine),
        "keys": keys,
        "each": KEYS,
        "rows": rows,
        "days": DAYS,
        "checks": CHECKS,
    }
    with _owner() as connection:
        connection.execute("SET synchronous_commit = off")
        say(f"writing {rows:,} calls of {DAYS} days")
        cursor = ClientCursor(connection)
        cursor.execute(CALLS, values)
        say("rolling them up")
        with as_owner() as every_tenant, every_tenant.cursor() as accountant:
            books.lock(accountant, team.tenant_id)  # A worker would roll up the same hours.
            for sql in (*ROLL_UPS, CHECKED):
                accountant.execute(sql, values)
        connection.execute("ANALYZE call, answer_check, audit_event")
        connection.execute("ANALYZE usage_hour, usage_day, usage_end_user, usage_end_user_day, usage_model")
    actor = Actor("person", user.id, "192.0.2.7")
    with as_tenant(team.tenant_id):
        for number in range(EVENTS):
            audit.record(tenant_id=team.tenant_id, actor=actor, action="key.create", target=f"{number}", diff={})
    return _session_of(user)


def a_call(team: Team) -> UUID:
    return UUID(str(_one("SELECT id FROM call WHERE tenant_id = %(tenant)s ORDER BY at DESC LIMIT 1", team)))


def an_entry(team: Team) -> str:
    """The Fingerprint of one in the team's own project: an import filled another."""
    of_project = "SELECT fingerprint FROM entry WHERE tenant_id = %(tenant)s AND project_id = %(project)s LIMIT 1"
    return bytes(_one(of_project, team)).hex()


def _one(sql: str, team: Team) -> Any:
    with _owner() as connection:
        row = connection.execute(sql, {"tenant": team.tenant_id, "project": team.project_id}).fetchone()
    assert row is not None
    return row[0]


def _key(team: Team, project_id: UUID, name: str) -> UUID:
    return api_keys.key_create(tenant_id=team.tenant_id, project_id=project_id, name=name).id


def _session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
