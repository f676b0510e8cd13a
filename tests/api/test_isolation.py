"""A tenant sees nothing of another tenant. (Law 8)

What one tenant is told is the same whether another one is there or not: whatever both do, in whatever order, and
whenever the clock comes in between. So nobody sees, changes or counts another's rows.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from celery import current_app
from django.conf import settings
from django.urls import resolve
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as how
from hypothesis import strategies as st

from cache_api.http.openapi import document
from cache_api.http.urls import urlpatterns
from cacheai.demo_provider import DemoProvider
from tenants import api_keys, isolation, projects, services
from tenants.isolation import as_owner, tenant_tables
from tests.api.conftest import Answer, Api
from tests.api.moves import CLOCK, MOVES, NOBODYS_KEY, NOBODYS_NUMBER, OTHER_TASKS, QUESTIONS, Team, told
from tests.fakes import FixedEmbedder
from tests.rows import fill_tables, rows_of

CANARIES = ("aardvark-7f3d", "wolverine-2c9e")
SCOPES = ("proxy", "cache:*", "stats:read", "keys:manage", "tenant:manage")
HISTORIES, STEPS = 25, 30
EACH_MOVE = 3
FEATURES = ["synthesis", "own_prices", "refusing_budgets", "webhooks", "sso", "audit_log", "networks"]
EVERYTHING_ELSE_MAX = 1_000_000


@dataclass(frozen=True)
class Step:
    who: str  # "mine", "theirs" or "clock"
    move: int
    number: int


steps = st.builds(
    Step,
    st.sampled_from(["mine", "theirs", "theirs", "clock"]),
    st.integers(0, len(MOVES) - 1),
    st.integers(0, 11),
)


@pytest.fixture(autouse=True)
def _alike(live: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, embedder: FixedEmbedder) -> None:
    """What is common to all tenants of an installation, and no matter of theirs."""
    current_app.loader.import_default_modules()
    monkeypatch.setattr(settings, "HOME", tmp_path)
    for canary in ("", *(f" {canary}" for canary in CANARIES)):
        embedder.near[QUESTIONS[1] + canary] = (QUESTIONS[0] + canary, 0.98)
    monkeypatch.setattr("cache_api.adapters.rates.UNKNOWN_SECONDS", 0)
    forerunner = team("forerunner")  # who meets the provider's public prices
    for move in MOVES[:5]:
        move(forerunner, 1)
    current_app.tasks["cache_api.accounting.price"]()


def team(canary: str) -> Team:
    tenant_id = services.tenant_create(name=canary)
    project_id = projects.project_create(tenant_id=tenant_id, name=canary)
    person = services.user_create(email=f"{uuid4()}@{canary}.test")
    services.member_add(tenant_id=tenant_id, user_id=person.id, role="owner")
    made = api_keys.key_create(tenant_id=tenant_id, project_id=project_id, name=canary, scopes=SCOPES)
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenant SET rpm = %s, projects_max = NULL, keys_max = NULL, features = %s, requests_included = %s "
            "WHERE id = %s",
            [EVERYTHING_ELSE_MAX, FEATURES, EVERYTHING_ELSE_MAX, tenant_id],
        )
    return Team(tenant_id, project_id, made.id, Api(made.secret), canary)


def play(history: list[Step], *, alone: bool) -> list[Any]:
    """What my team was told, in a world of its own or beside another team."""
    mine, theirs = team(CANARIES[0]), team(CANARIES[1])
    heard = []
    for step in history:
        if step.who == "clock":
            current_app.tasks[CLOCK[step.move % len(CLOCK)]]()
        elif step.who == "mine":
            answer = MOVES[step.move](mine, step.number)
            holds_nothing_of(theirs, answer)
            heard.append((MOVES[step.move].__name__, step.number, told(answer)))
        elif not alone:
            holds_nothing_of(mine, MOVES[step.move](theirs, step.number))
    return heard


def holds_nothing_of(other: Team, answer: Answer) -> None:
    said = answer.body.decode(errors="replace") + repr(answer.headers)
    for secret in (other.canary, str(other.tenant_id), str(other.project_id), str(other.key_id), other.api.key):
        assert secret not in said, secret
    for key in other.cache_keys:
        assert key not in said or key == "faq.refunds"


def every_move_once(mine: Team) -> list[Any]:
    heard = []
    for number in range(EACH_MOVE):
        for move in MOVES:
            heard.append((move.__name__, told(move(mine, number))))
        for task in CLOCK:
            current_app.tasks[task]()
    return heard


@given(history=st.lists(steps, min_size=5, max_size=STEPS))
@how(
    max_examples=HISTORIES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_what_a_team_is_told_does_not_depend_on_another(live: None, history: list[Step]) -> None:
    for alone, beside in zip(play(history, alone=True), play(history, alone=False), strict=True):
        assert beside == alone


def test_whatever_another_team_has_done_before_every_answer_is_the_same(live: None) -> None:
    alone = every_move_once(team(CANARIES[0]))
    every_move_once(theirs := team(CANARIES[1]))
    before = rows_as_they_are(theirs.tenant_id)

    for one, other in zip(alone, every_move_once(team(CANARIES[0])), strict=True):
        assert other == one
    after = rows_as_they_are(theirs.tenant_id)
    assert {table for table in before if before[table] != after[table]} == set()


def test_another_teams_ids_are_answered_like_ids_of_nobody(live: None) -> None:
    theirs = team(CANARIES[1])
    every_move_once(theirs)
    before = rows_as_they_are(theirs.tenant_id)
    curious, blind = team(CANARIES[0]), team(CANARIES[0])

    for number in range(2):
        for move in MOVES:
            aim(curious, theirs, number)
            aim(blind, None, number)
            assert told(move(curious, number)) == told(move(blind, number)), move.__name__
    for method, path, query, body in WITH_FOREIGN_IDS:
        answers = [
            told(asking(method, filled(path, other), filled(body, other), query=filled(query, other)))
            for asking, other in ((curious, theirs), (blind, None))
        ]
        assert answers[0] == answers[1], (method, path, query, body)
    assert rows_as_they_are(theirs.tenant_id) == before


def test_a_question_another_team_has_stored_takes_the_same_way(live: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No look-up more or less, and none with another number of rows: nothing is left that time could tell."""
    theirs, mine = team(CANARIES[1]), team(CANARIES[0])
    assert theirs.api.chat(QUESTIONS[0]).headers["x-cacheai-decision"] == "miss"
    assert theirs.api.chat(QUESTIONS[0]).headers["x-cacheai-layer"] == "exact"
    mine.api.chat("Something to warm up with")
    asked: list[int] = []
    send = isolation._send

    def noting(*message: Any) -> list[tuple[Any, ...]]:
        rows = send(*message)
        asked.append(len(rows))
        return rows

    monkeypatch.setattr(isolation, "_send", noting)
    traces = []
    for question in (QUESTIONS[0], QUESTIONS[1], "What has nobody ever asked before?"):
        asked.clear()
        answer = mine.api.chat(question, cache={"no-store": True})
        assert answer.headers["x-cacheai-decision"] == "miss"
        traces.append(list(asked))
    assert traces[0] == traces[1] == traces[2]


def test_two_teams_that_ask_the_same_at_once_buy_an_answer_each(live: None, demo: DemoProvider) -> None:
    """Calls are joined within a tenant only: else one would be served what the other paid for."""
    teams = [team(canary) for canary in CANARIES]
    demo.reset()
    demo.control(delay=0.3)
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda one: one.api.chat(QUESTIONS[0]), teams))

    assert [answer.headers["x-cacheai-reason"] for answer in answers] == ["no_candidate"] * 2
    assert len(demo.calls()) == 2


def test_the_table_of_moves_holds_every_path_and_method(live: None) -> None:
    mine = team(CANARIES[0])
    for number in range(9):
        for move in MOVES:
            move(mine, number)

    met = {resolve(path).route for _, path in mine.visited}
    assert {str(pattern.pattern) for pattern in urlpatterns} - met == set()
    described = {
        (method.upper(), path) for path, methods in document("1.0.0")["paths"].items() for method in methods
    } - OTHER_PATHS.keys()
    assert {(method, path) for method, path in described if not was_visited(mine, method, path)} == set()


def test_the_clock_holds_every_task() -> None:
    ours = {name for name in current_app.tasks if name.split(".")[0] in {"cache_api", "tenants", "billing"}}

    assert ours - set(CLOCK) - OTHER_TASKS.keys() == set()


def test_the_moves_reach_every_table(live: None) -> None:
    mine = team(CANARIES[0])
    for number in range(2):
        for move in MOVES:
            if not TAKING_AWAY.search(move.__name__):
                move(mine, number)
    for task in CLOCK[:2]:
        current_app.tasks[task]()

    assert set(tenant_tables()) - rows_of(mine.tenant_id).keys() == UNTOUCHED.keys()


def test_no_table_shows_or_takes_a_row_of_another_tenant(live: None) -> None:
    """Under the code, whatever it asks: each table of the catalogue, filled for two tenants."""
    mine, theirs = team(CANARIES[0]), team(CANARIES[1])
    for one in (mine, theirs):
        fill_tables(one.tenant_id)
    before = rows_as_they_are(theirs.tenant_id)

    for table in tenant_tables():
        for statement in (
            f'SELECT 1 FROM "{table}" WHERE tenant_id <> %s LIMIT 1',
            f'UPDATE "{table}" SET tenant_id = tenant_id WHERE tenant_id <> %s RETURNING 1',
            f'DELETE FROM "{table}" WHERE tenant_id <> %s RETURNING 1',
        ):
            with suppress(psycopg.errors.InsufficientPrivilege):
                assert isolation.write(mine.tenant_id, statement, [mine.tenant_id], deadline_seconds=5) == [], table
    assert rows_as_they_are(theirs.tenant_id) == before


# Paths that have no move, and why.
OTHER_PATHS: dict[tuple[str, str], str] = {}
TAKING_AWAY = re.compile("delete|purge|clear|revoke|unblocked|false_positive|under_a_name")
# Tables that no move fills, and who does. All of them are held by the tests of every table, here and in tests/db.
UNTOUCHED: dict[str, str] = {
    **dict.fromkeys(("job_part", "pending_miss", "usage_dirty", "waiting_vector"), "is gone when the move is done"),
    **dict.fromkeys(("invitation", "sso_connection", "policy", "tenant_export"), "is made on a page"),
    **dict.fromkeys(("webhook_endpoint", "webhook_delivery"), "is made on a page"),
    **dict.fromkeys(("calibration", "check_wanted"), "is made of many answers"),
    **dict.fromkeys(("budget_alert", "storage_limit"), "is made at a limit"),
    **dict.fromkeys(("ledger_kept", "ledger_proof", "usage_end_user_day"), "is made when a day is over"),
    **dict.fromkeys(("billing_account", "billing_alert", "billing_credit", "billing_grant"), "is made by billing"),
    **dict.fromkeys(("billing_invoice", "billing_period", "billing_subscription"), "is made by billing"),
    **dict.fromkeys(("meter_push", "usage_bucket"), "is made by billing"),
    **dict.fromkeys(("error_hour", "usage_end_user"), "needs an error, or an end user"),
}
# Ids in bodies and queries: another team's, and nobody's.
WITH_FOREIGN_IDS: tuple[tuple[str, str, str, Any], ...] = (
    ("GET", "/v1/cache/entries", "project_id={project_id}", None),
    ("GET", "/v1/cache/entries", "writer={key_id}", None),
    ("GET", "/v1/cache/export", "project_id={project_id}", None),
    ("GET", "/v1/cache/projects/{project_id}/stats", "", None),
    ("GET", "/v1/cache/projects/{project_id}/similar", "query=x", None),
    ("GET", "/v1/usage", "project_id={project_id}", None),
    ("GET", "/v1/keys", "project_id={project_id}", None),
    ("GET", "/v1/projects/{project_id}", "", None),
    ("PATCH", "/v1/projects/{project_id}", "", {"name": "mine now"}),
    ("DELETE", "/v1/projects/{project_id}", "", None),
    ("GET", "/v1/keys/{key_id}", "", None),
    ("PATCH", "/v1/keys/{key_id}", "", {"name": "mine now"}),
    ("POST", "/v1/keys/{key_id}/rotate", "", {}),
    ("DELETE", "/v1/keys/{key_id}", "", None),
    ("POST", "/v1/keys", "", {"name": "there", "project_id": "{project_id}"}),
    ("POST", "/v1/cache/purge", "", {"project_id": "{project_id}", "all": True}),
    ("POST", "/v1/cache/purge", "", {"writer": "{key_id}"}),
    ("POST", "/v1/cache/purge", "", {"keys": ["{cache_key}"]}),
    ("POST", "/v1/cache/clear", "", {"project_id": "{project_id}"}),
    ("POST", "/v1/cache/feedback", "", {"cache_key": "{cache_key}", "verdict": "wrong"}),
    ("POST", "/v1/cache/entries", "", {"project_id": "{project_id}", "question": "q", "answer": "a"}),
    ("POST", "/v1/cache/test", "", {"project_id": "{project_id}", "prompt": "q", "model": "demo-small"}),
    ("POST", "/v1/cache/query", "", {"project_id": "{project_id}", "prompt": "q", "model": "demo-small"}),
)


def filled(template: Any, other: Team | None) -> Any:
    if template is None:
        return None
    ids = {
        "project_id": str(other.project_id) if other else str(uuid4()),
        "key_id": str(other.key_id) if other else str(uuid4()),
        "cache_key": other.cache_keys[0] if other else NOBODYS_KEY,
    }
    if isinstance(template, str):
        for name, value in ids.items():
            template = template.replace("{" + name + "}", value)
        return template
    return json.loads(filled(json.dumps(template), other))


def aim(one: Team, other: Team | None, number: int) -> None:
    """What it remembers of its own making is another's, or nobody's."""
    one.cache_keys = [other.cache_keys[number]] if other else [NOBODYS_KEY]
    one.numbers = [NOBODYS_NUMBER]  # each team counts its own from one: there are no foreign ones
    one.made = {name: [ids[-1]] if other else [str(uuid4())] for name, ids in (other or one).made.items()}
    for name in ("jobs", "projects", "keys"):
        setattr(one, name, [getattr(other, name)[-1]] if other else [str(uuid4())])


def was_visited(mine: Team, method: str, template: str) -> bool:
    shape = re.compile(re.sub(r"{\w+}", ".+", template))
    return any(method == done and shape.fullmatch(path) for done, path in mine.visited)


def rows_as_they_are(tenant_id: UUID) -> dict[str, str]:
    """A digest of each table's rows of a tenant; errors are counted later, by a thread of its own."""
    found = {}
    with as_owner() as connection, connection.cursor() as cursor:
        for table in set(tenant_tables()) - {"error_hour"}:
            cursor.execute(
                f"SELECT md5(string_agg(one::text, '|' ORDER BY one::text)) FROM \"{table}\" AS one"
                " WHERE tenant_id = %s",
                [tenant_id],
            )
            found[table] = cursor.fetchone()[0]
    return found
