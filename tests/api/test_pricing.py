"""Do a project's own prices beat the built-in list, from now on and for itself alone?"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.conftest import Cast
from tests.db.calls import query

DEMO = {"provider": "demo", "model": "demo-small"}
DEAR = {**DEMO, "cost_per_million_input_tokens": "1000", "cost_per_million_output_tokens": "2000"}

KeyWith = Callable[..., Api]


@pytest.fixture
def manager(key_with: KeyWith) -> Api:
    return key_with("proxy", "cache:*", "stats:read", "keys:manage")


def close_the_books() -> None:
    from cache_api import accounting

    accounting.price_calls(datetime.now(UTC))
    accounting.roll_up()


def ledger() -> list[tuple[Any, ...]]:
    close_the_books()
    return query("SELECT price_source, price_version, unit_prices, cost_usd, in_total, out_total FROM call ORDER BY at")


def test_a_price_is_set_listed_and_taken_back(manager: Api) -> None:
    made = manager.put("/v1/pricing", {**DEAR, "cost_per_million_caching_hit_tokens": 0.5})
    assert made.status == 200
    assert made.json | {"id": 0, "valid_from": 0} == {
        **DEAR,
        "id": 0,
        "valid_from": 0,
        "cost_per_million_caching_input_tokens": None,
        "cost_per_million_caching_hit_tokens": "0.5",
    }
    assert manager.get("/v1/pricing").json == {"object": "list", "data": [made.json]}
    assert manager.get("/v1/pricing", "provider=openai").json["data"] == []

    removed = manager("DELETE", "/v1/pricing", query="provider=demo&model=demo-small")
    assert (removed.status, removed.json) == (200, {**DEMO, "deleted": True})
    assert manager("DELETE", "/v1/pricing", DEMO).status == 404
    assert manager.get("/v1/pricing").json["data"] == []


def test_calls_from_now_on_cost_the_own_price_and_keep_it_in_the_ledger(manager: Api) -> None:
    manager.chat("What was it before?")
    price = manager.put("/v1/pricing", DEAR).json
    manager.chat("What is it now?")
    manager("DELETE", "/v1/pricing", DEMO)
    manager.chat("What is it afterwards?")

    before, now, afterwards = ledger()  # all three are priced only here

    assert (before[0], afterwards[0]) == ("table", "table")
    source, version, unit_prices, cost, asked, answered = now
    assert (source, version) == ("own", f"own {price['id']}")
    assert '"1000"' in unit_prices
    assert cost == (Decimal(asked) * 1000 + Decimal(answered) * 2000) / 1_000_000


def test_a_new_price_ends_the_one_before(manager: Api) -> None:
    manager.put("/v1/pricing", DEAR)
    manager.chat("What was it before?")
    manager.put("/v1/pricing", {**DEAR, "cost_per_million_output_tokens": 0})
    manager.chat("What is it now?")

    before, now = ledger()

    assert before[3] == (Decimal(before[4]) * 1000 + Decimal(before[5]) * 2000) / 1_000_000
    assert now[3] == Decimal(now[4]) * 1000 / 1_000_000
    assert len(manager.get("/v1/pricing").json["data"]) == 1


def test_a_hit_says_what_the_own_price_saved(manager: Api) -> None:
    manager.put("/v1/pricing", {**DEAR, "model": "demo-*"})
    bought = manager.chat("Who made it?").json["usage"]
    hit = manager.chat("Who made it?")

    expected = (Decimal(bought["prompt_tokens"]) * 1000 + Decimal(bought["completion_tokens"]) * 2000) / 1_000_000
    assert Decimal(hit.headers["x-cacheai-saved-usd"]) == expected
    close_the_books()
    ((saved,),) = query("SELECT saved_usd FROM call WHERE decision = 'hit'")
    assert saved == expected


def test_the_exact_name_beats_the_longest_beginning(manager: Api) -> None:
    for model, dollars in (("demo-*", "1"), ("demo-sm*", "2"), ("demo-small", "3")):
        manager.put("/v1/pricing", {**DEAR, "model": model, "cost_per_million_input_tokens": dollars})
    manager.chat("Which one?")
    ((unit_prices,),) = [row[2:3] for row in ledger()]
    assert '"input": "3"' in unit_prices


def test_another_project_has_its_own_prices(manager: Api, sibling: Api, outsider: Api) -> None:
    manager.put("/v1/pricing", DEAR)
    for stranger in sibling, outsider:
        assert stranger.get("/v1/pricing").json["data"] == []
        stranger.chat("What does it cost here?")
    assert [row[0] for row in ledger()] == ["table", "table"]


def test_a_plan_without_own_prices_sets_none_and_may_take_back_what_is_there(cast: Cast, manager: Api) -> None:
    from tenants.isolation import as_tenant
    from tenants.models import Tenant

    manager.put("/v1/pricing", DEAR)
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.filter(id=cast.owner.tenant_id).update(features=[])

    refused = manager.put("/v1/pricing", {**DEAR, "model": "demo-large"})

    assert (refused.status, refused.json["error"]["code"]) == (403, "not_in_plan")
    assert len(manager.get("/v1/pricing").json["data"]) == 1
    assert manager("DELETE", "/v1/pricing", DEMO).status == 200


def test_who_set_a_price_is_in_the_trail(cast: Cast, manager: Api) -> None:
    from tenants.isolation import as_tenant
    from tenants.models import AuditEvent

    manager.put("/v1/pricing", DEAR)
    manager("DELETE", "/v1/pricing", DEMO)

    with as_tenant(cast.owner.tenant_id):
        put, deleted = AuditEvent.objects.filter(action__startswith="price.").order_by("seq")
    assert (put.action, put.actor_kind, put.diff) == ("price.put", "key", {**DEMO, "input": "1000", "output": "2000"})
    assert (deleted.action, deleted.diff) == ("price.delete", DEMO)


def test_writing_needs_keys_manage_and_reading_stats_read(api: Api, manager: Api, key_with: KeyWith) -> None:
    manager.put("/v1/pricing", DEAR)
    for refused in (
        api.put("/v1/pricing", DEAR),
        api("DELETE", "/v1/pricing", DEMO),
        key_with("proxy", "keys:manage").get("/v1/pricing"),
    ):
        assert (refused.status, refused.json["error"]["code"]) == (403, "insufficient_scope")
    assert len(api.get("/v1/pricing").json["data"]) == 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"provider": None}, "provider"),
        ({"provider": "nobody"}, "provider"),
        ({"model": ""}, "model"),
        ({"model": "gpt*5"}, "model"),
        ({"model": "a\x00b"}, "model"),
        ({"cost_per_million_input_tokens": "-1"}, "cost_per_million_input_tokens"),
        ({"cost_per_million_input_tokens": None}, "cost_per_million_input_tokens"),
        ({"cost_per_million_input_tokens": "free"}, "cost_per_million_input_tokens"),
        ({"cost_per_million_input_tokens": "NaN"}, "cost_per_million_input_tokens"),
        ({"cost_per_million_output_tokens": True}, "cost_per_million_output_tokens"),
        ({"cost_per_million_output_tokens": "1e12"}, "cost_per_million_output_tokens"),
        ({"cost_per_million_caching_hit_tokens": "0.00000000001"}, "cost_per_million_caching_hit_tokens"),
    ],
)
def test_what_is_no_price_is_refused_by_name(manager: Api, change: Any, param: str) -> None:
    refused = manager.put("/v1/pricing", {**DEAR, **change})
    assert (refused.status, refused.json["error"]["param"]) == (400, param)
    assert manager.get("/v1/pricing").json["data"] == []


def test_a_price_for_another_project_is_refused(manager: Api, cast: Cast) -> None:
    refused = manager.put("/v1/pricing", {**DEAR, "project_id": str(cast.outsider.project_id)})
    assert (refused.status, refused.json["error"]["code"]) == (403, "project_mismatch")
