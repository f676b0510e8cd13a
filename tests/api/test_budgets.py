"""Does a budget tell, and refuse where its tenant chose so, in the numbers of the ledger?"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from cache_api.adapters import quotas
from tenants import authentication, features
from tests.api.conftest import Answer, Api
from tests.api.test_quotas import _restarted, decided, look, mails, restart, tenant  # noqa: F401 (a fixture)
from tests.conftest import Cast
from tests.db.calls import call_of, query, write

MISS = {"model": "demo-small", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}


@pytest.fixture
def manager(cast: Cast) -> Api:
    from tenants import api_keys

    owner = cast.owner
    made = api_keys.key_create(
        tenant_id=owner.tenant_id,
        project_id=owner.project_id,
        name="manager",
        scopes=("tenant:manage", "stats:read"),
    )
    return Api(made.secret)


@pytest.fixture
def paying(cast: Cast) -> None:
    tenant(cast, features=list(features.PRO), rpm=1_000)


def spend(cast: Cast, calls: int = 1, **fields: Any) -> None:
    """Of gpt-5, 0.003348 dollars each."""
    from cache_api import accounting

    write([call_of(cast.owner.tenant_id, cast.owner.project_id, **fields) for _ in range(calls)])
    accounting.price_calls(datetime.now(UTC))


def test_a_budget_is_put_listed_changed_and_removed(manager: Api, cast: Cast, paying: None) -> None:
    put = manager.put("/v1/budgets", {"amount_usd": "250", "action": "block"})
    again = manager.put("/v1/budgets", {"amount_usd": 300})
    other = manager.put("/v1/budgets", {"amount_usd": "1.5", "period": "day", "task": "triage"})
    spend(cast, task="triage")
    listed = manager.get("/v1/budgets").json["data"]

    assert put.status == again.status == other.status == 200
    assert put.json["id"] == again.json["id"] != other.json["id"]
    assert [(one["amount_usd"], one["action"], one["task"], one["used_usd"]) for one in listed] == [
        ("300", "alert", None, "0.003348"),
        ("1.5", "alert", "triage", "0.003348"),
    ]
    assert manager.delete(f"/v1/budgets/{put.json['id']}").json == {"id": put.json["id"], "deleted": True}
    assert manager.delete(f"/v1/budgets/{put.json['id']}").status == 404
    actions = "SELECT action FROM audit_event WHERE tenant_id = %s AND action LIKE 'budget%%' ORDER BY seq"
    assert query(actions, [cast.owner.tenant_id]) == [("budget.put",)] * 3 + [("budget.delete",)]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"amount_usd": 0}, 400, "invalid_request"),
        ({"amount_usd": "1e99"}, 400, "invalid_request"),
        ({"amount_usd": 1, "period": "year"}, 400, "invalid_request"),
        ({"amount_usd": 1, "task": "a\tb"}, 400, "invalid_request"),
        ({"amount_usd": 1, "task": "triage", "project_id": str(uuid4())}, 400, "invalid_request"),
        ({"amount_usd": 1, "project_id": str(uuid4())}, 404, "not_found"),
        ({"amount_usd": 1, "key_id": str(uuid4())}, 404, "not_found"),
        ({"amount_usd": 1, "action": "block"}, 403, "not_in_plan"),
    ],
)
def test_what_no_budget_can_be_is_refused(manager: Api, cast: Cast, fields: Any, status: int, code: str) -> None:
    tenant(cast, features=[])
    answer = manager.put("/v1/budgets", fields)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


def test_budgets_are_for_keys_that_manage_the_tenant(api: Api, key_with: Any) -> None:
    for caller in (api, key_with("keys:manage")):
        assert caller.get("/v1/budgets").status == 403


def test_another_tenants_project_is_answered_like_none(manager: Api, cast: Cast) -> None:
    answer = manager.put("/v1/budgets", {"amount_usd": 1, "project_id": str(cast.outsider.project_id)})
    assert answer.status == 404


def test_a_spent_budget_serves_what_is_stored_and_buys_nothing(
    api: Api, manager: Api, cast: Cast, paying: None, elsewhere: Any
) -> None:
    api.chat("How do tides work?")
    manager.put("/v1/budgets", {"amount_usd": "0.01", "action": "cache_only"})
    assert decided(api.chat("What is a sonnet?"))[0] == "miss"
    spend(cast, 3)
    elsewhere(cast)

    served, refused, passed = (
        api.chat("How do tides work?"),
        api.post("/v1/chat/completions", MISS),
        api.chat("How do tides work?", headers={"x_cacheai_enable_cache": "false"}),
    )

    assert decided(served) == ("hit", "exact")
    for one in (refused, passed, api.post("/v1/moderations", {"input": "x"}, x_cacheai_backend_provider="demo")):
        assert_spent(one)


def test_what_is_set_and_removed_on_the_page_holds_for_the_next_call(api: Api, cast: Cast, paying: None) -> None:
    from tenants.models import User

    assert api.chat("How do tides work?").status == 200  # From now on this process knows that there is no budget.
    spend(cast, 3)
    person, where = Client(), [cast.owner.tenant_id]
    person.force_login(User.objects.get(id=cast.owner.user_id))

    person.post(reverse("budgets-new", args=where), {"amount_usd": "0.01", "period": "month", "action": "block"})
    refused = api.chat("How do tides work?")
    (budget,) = query("SELECT id FROM budget WHERE tenant_id = %s", where)
    person.post(reverse("budgets-delete", args=[*where, *budget]))

    assert_spent(refused)
    assert api.chat("How do tides work?").status == 200


def test_other_processes_know_of_it_within_ten_seconds() -> None:
    """Each asks again when it verifies the key anew, and reads the budgets if those are old by then."""
    assert authentication.VERIFIED_SECONDS + quotas.BUDGETS_FRESH_SECONDS <= 10


def test_a_blocking_budget_refuses_hits_too(api: Api, manager: Api, cast: Cast, paying: None, elsewhere: Any) -> None:
    api.chat("How do tides work?")
    manager.put("/v1/budgets", {"amount_usd": "0.01", "action": "block", "period": "day"})
    spend(cast, 3)
    elsewhere(cast)

    refused = api.chat("How do tides work?")
    assert_spent(refused, word="Daily")
    error = refused.json["error"]
    assert error["message"].endswith(f": {error['current_usage']} of 0.01 dollars are spent today (UTC).")
    assert (error["current_usage"] > 0.01, error["period"]) == (True, "day")
    assert refused.headers["x-cacheai-limited-by"] == "cacheai"


def test_vectorcache_clients_hear_the_numbers(api: Api, manager: Api, cast: Cast, paying: None, elsewhere: Any) -> None:
    manager.put("/v1/budgets", {"amount_usd": "0.01", "action": "block"})
    spend(cast, 3)
    elsewhere(cast)

    told = api.post("/v1/cache/query", {"prompt": "Why?", "model": "demo-small"})

    assert told.status == 429
    assert (told.json["error"], told.json["current_usage"], told.json["monthly_limit"]) == (
        "budget_exceeded",
        0.010044,
        0.01,
    )
    assert told.json["period"] == "month"
    assert told.json["message"].startswith("Monthly limit reached")


def test_a_budget_only_covers_whom_it_is_for(
    api: Api, sibling: Api, manager: Api, cast: Cast, paying: None, elsewhere: Any
) -> None:
    manager.put("/v1/budgets", {"amount_usd": "0.001", "action": "block", "project_id": str(cast.owner.project_id)})
    manager.put("/v1/budgets", {"amount_usd": "0.001", "action": "block", "task": "triage", "period": "day"})
    spend(cast)
    elsewhere(cast)

    assert_spent(api.chat("Why?"))
    assert sibling.chat("Why?").status == 200
    assert sibling.chat("Why?", headers={"x_cacheai_task": "triage"}).status == 200  # nothing is filed under it yet


def test_what_this_process_spends_counts_at_once(api: Api, manager: Api, cast: Cast, paying: None) -> None:
    """Before accounting has priced it."""
    from cache_api import accounting

    accounting.keep_known_rates(datetime.now(UTC))
    first = api.chat("How do tides work?")
    assert first.status == 200
    cost = cost_of_last(cast)
    manager.put("/v1/budgets", {"amount_usd": str(cost * 3 / 2), "action": "cache_only"})
    assert cost > 0

    statuses = [api.chat(f"How do tides work? {number}", max_tokens=50).status for number in range(6)]

    assert statuses[-1] == 429
    assert statuses.count(200) <= 2


def test_without_the_plan_for_it_a_budget_refuses_nobody(
    api: Api, manager: Api, cast: Cast, paying: None, elsewhere: Any
) -> None:
    manager.put("/v1/budgets", {"amount_usd": "0.001", "action": "block"})
    spend(cast)
    tenant(cast, features=[])
    elsewhere(cast)

    assert api.chat("Why?").status == 200


def test_alerts_come_once_at_each_threshold(manager: Api, cast: Cast, paying: None) -> None:
    manager.put("/v1/budgets", {"amount_usd": "0.01"})
    spend(cast, 1)
    assert look() == 0
    spend(cast, 1)  # 0.0067
    assert (look(), look()) == (1, 0)
    spend(cast, 5)
    assert (look(), look()) == (1, 0)  # what was passed on the way to all of it is told with it

    assert mails(cast) == [f"Team has spent {share} % of a budget" for share in (50, 100)]
    manager.put("/v1/budgets", {"amount_usd": "0.04"})
    assert look() == 1  # another amount is another story


def test_fault_24_an_edge_counts_once_and_on_its_side(cast: Cast, manager: Api, paying: None) -> None:
    """Replayed rows, a clock that is ten minutes off, and the last millisecond of a month."""
    from cache_api import accounting, budgets
    from cache_api.domain.budget import Budget

    turn = datetime(2026, 11, 1, tzinfo=UTC)
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    calls = [
        call_of(*ids, at=at)
        for at in (turn - timedelta(milliseconds=1), turn, turn - timedelta(minutes=10), turn + timedelta(minutes=10))
    ]
    for _ in range(2):  # what the spool replays is there already
        write(calls)
        accounting.price_calls(turn + timedelta(hours=1))
        accounting.roll_up()

    one = Decimal("0.003348")
    from tenants.isolation import as_tenant

    with as_tenant(ids[0]):
        for period, before, after in (("month", 2, 2), ("day", 2, 2)):
            budget = Budget(uuid4(), Decimal(1), period)  # type: ignore[arg-type]
            since = budgets.state_of(ids[0], budget, turn - timedelta(seconds=1)).since
            assert budgets.spent(ids[0], budget, since=since, until=turn) == before * one
            assert budgets.state_of(ids[0], budget, turn + timedelta(hours=2)).used_usd == after * one
        assert budgets.used(ids[0], since=turn)[0] == 2
        # A plan's period begins at any moment.
        assert budgets.used(ids[0], since=turn + timedelta(milliseconds=1))[0] == 1


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From now on another process answers, and Redis knows nothing yet."""

    def move(cast: Cast) -> None:
        from cache_api import wiring
        from cache_api.adapters.used import _key

        restart(monkeypatch)
        wiring.redis_client().delete(_key(cast.owner.tenant_id))

    return move


def cost_of_last(cast: Cast) -> Decimal:
    from cache_api import accounting

    accounting.price_calls(datetime.now(UTC))
    ((cost,),) = query("SELECT max(cost_usd) FROM call WHERE tenant_id = %s", [cast.owner.tenant_id])
    return Decimal(cost)


def assert_spent(answer: Answer, *, word: str = "Monthly") -> None:
    assert answer.status == 429, answer.body
    error = answer.json["error"]
    assert (error["code"], error["type"]) == ("budget_exceeded", "rate_limit_error")
    assert error["message"].startswith(f"{word} limit reached")
    assert answer.headers["x-should-retry"] == "false"
