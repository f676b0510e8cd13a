"""Does the overview obey what its address says, all of it, and is what it tells of wrong hits honest?"""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cache_api.accounting import price_calls, roll_up
from tenants import api_keys, projects
from tests.conftest import Cast
from tests.db.calls import call_of, execute, hit_of, write
from tests.db.test_wrong_hits import checked

NOW = datetime.now(UTC)


@pytest.fixture
def other(cast: Cast) -> tuple[Any, Any]:
    """Another project of the tenant's, and its key."""
    tenant_id = cast.owner.tenant_id
    project_id = projects.project_create(tenant_id=tenant_id, name="Second")
    return project_id, api_keys.key_create(tenant_id=tenant_id, project_id=project_id, name="second bot").id


@pytest.fixture
def calls(cast: Cast, other: tuple[Any, Any]) -> None:
    """3 hits of 4 by gpt-5, 1 of 2 by another provider's model; 5 in another project; 8 in the week before."""
    ids, owner = (cast.owner.tenant_id, cast.owner.project_id), cast.owner
    yesterday = NOW - timedelta(hours=22)  # Tests may run on into the next hour.
    foreign = {"provider": "anthropic", "model_asked": "claude-sonnet-4-5", "model_served": "claude-sonnet-4-5"}
    write(
        [
            *(hit_of(*ids, at=yesterday, key_id=owner.key_id) for _ in range(3)),
            call_of(*ids, at=yesterday, key_id=owner.key_id),
            hit_of(*ids, at=yesterday, key_id=cast.teammate.key_id, **foreign),
            call_of(*ids, at=yesterday, key_id=cast.teammate.key_id, **foreign),
            *(call_of(ids[0], other[0], at=yesterday, key_id=other[1]) for _ in range(5)),
            *(call_of(*ids, at=NOW - timedelta(days=10), key_id=owner.key_id) for _ in range(8)),
        ]
    )
    price_calls(NOW)
    roll_up()


def overview(client: Client, cast: Cast, **query: Any) -> str:
    return client.get(reverse("overview", args=[cast.owner.tenant_id]), query).content.decode()


def tile(page: str, name: str) -> list[str]:
    """Its figure, and what is noted below."""
    found = re.search(rf"<dt>{name}</dt>(.*?)</div>", page, re.DOTALL)
    assert found is not None
    return [re.sub(r"<[^>]+>", "", one).strip() for one in re.findall(r"<dd[^>]*>(.*?)</dd>", found[1], re.DOTALL)]


@pytest.mark.parametrize(
    ("query", "calls_made", "hit_rate", "against"),
    [
        ({}, "11", "36.4 %", "+38 %"),
        ({"model": "gpt-5"}, "9", "33.3 %", "+12 %"),
        ({"provider": "anthropic"}, "2", "50.0 %", ""),
        ({"key": "owner"}, "4", "75.0 %", "−50 %"),
        ({"key": "owner", "model": "claude-sonnet-4-5"}, "0", "–", ""),
        ({"project": "other"}, "5", "0.0 %", ""),
        ({"project": "other", "provider": "anthropic"}, "0", "–", ""),
        ({"days": "1", "model": "gpt-5", "project": "mine"}, "4", "75.0 %", ""),
        ({"days": "30"}, "19", "21.1 %", ""),
        ({"model": "no-such", "key": "not-a-key", "days": "x"}, "0", "–", ""),
    ],
)
def test_every_figure_is_of_the_calls_the_address_names(
    query: dict[str, str],
    calls_made: str,
    hit_rate: str,
    against: str,
    calls: None,
    owner: Client,
    cast: Cast,
    other: tuple[Any, Any],
) -> None:
    ids = {"owner": cast.owner.key_id, "other": other[0], "mine": cast.owner.project_id}
    page = overview(owner, cast, **{name: ids.get(value, value) for name, value in query.items()})

    made, *notes = tile(page, "Calls")
    assert (made, notes[:-1]) == (calls_made, [against] if against else [])
    assert ("no calls to compare with" in page) is not bool(against)
    assert tile(page, "Hit rate")[0] == hit_rate
    drawn = re.search(r'id="calls-data"[^>]*>(.*?)</script>', page)[1]
    assert sum(sum(one) for one in json.loads(drawn)["data"][1:]) == int(calls_made)


def test_a_model_that_was_not_chosen_is_not_in_the_tables(calls: None, owner: Client, cast: Cast) -> None:
    table = re.compile(r'id="models-title".*', re.DOTALL)

    assert "claude-sonnet-4-5" in table.search(overview(owner, cast))[0]
    assert "claude-sonnet-4-5" not in table.search(overview(owner, cast, model="gpt-5"))[0]
    assert "None of that time fits" in overview(owner, cast, model="no-such")


def test_the_spreadsheet_obeys_the_address(calls: None, owner: Client, cast: Cast) -> None:
    answer = owner.get(reverse("overview-export", args=[cast.owner.tenant_id]), {"provider": "anthropic"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))

    assert sum(int(row["calls"]) for row in rows) == 2
    assert len(rows) == 8
    assert all(row["net_usd"] for row in rows)


def test_what_comes_live_is_of_the_same_calls(calls: None, owner: Client, cast: Cast) -> None:
    part = overview(owner, cast, live="1", model="gpt-5")

    assert tile(part, "Calls")[0] == "9"
    assert "<html" not in part
    assert part.count("hx-swap-oob") == 2


def test_links_keep_what_is_chosen(calls: None, owner: Client, cast: Cast) -> None:
    page = overview(owner, cast, days="30", model="gpt-5")

    assert re.search(r'href="\?days=7&amp;model=gpt-5"', page)
    assert re.search(r'<option value="gpt-5" selected', page)
    assert re.search(r'href="[^"]*/export\?days=30&amp;model=gpt-5"', page)


def test_another_tenants_key_is_a_key_without_calls(calls: None, owner: Client, cast: Cast) -> None:
    page = overview(owner, cast, key=str(cast.outsider.key_id))

    assert tile(page, "Calls")[0] == "0"


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x>', "\u202egpt", "x" * 100, "a\0b"])
def test_a_hostile_filter_is_text(hostile: str, calls: None, owner: Client, cast: Cast) -> None:
    page = overview(owner, cast, model=hostile)

    assert "<script>alert" not in page
    assert "<img" not in page


def test_wrong_hits_are_told_with_their_interval_or_not_at_all(
    calls: None, owner: Client, cast: Cast, other: tuple[Any, Any]
) -> None:
    tenant_id, project_id = cast.owner.tenant_id, cast.owner.project_id
    assert tile(overview(owner, cast), "Wrong hits, 30 days") == [
        "not measured yet",
        "0 of 100 checks",
        "promised: 2.0 % at most",
    ]

    checked(tenant_id, project_id, right=99)
    assert tile(overview(owner, cast), "Wrong hits, 30 days")[:2] == [
        "not measured yet",
        "1.0 % predicted; 99 of 100 checks",
    ]

    checked(tenant_id, project_id, wrong=1)
    page = overview(owner, cast)
    assert tile(page, "Wrong hits, 30 days")[:2] == ["1.0 %", "0.0–5.4 %, 100 checked"]
    assert re.search(r"Second</a>.*?not measured yet", page, re.DOTALL)

    assert tile(overview(owner, cast, project=str(other[0])), "Wrong hits, 30 days")[0] == "not measured yet"
    assert tile(overview(owner, cast, model="gpt-5"), "Wrong hits, 30 days")[0] == "not measured yet"


def test_a_quiet_week_is_no_first_start(owner: Client, cast: Cast) -> None:
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=NOW - timedelta(days=60))])
    price_calls(NOW)
    roll_up()

    page = overview(owner, cast, days="7")

    assert "Three steps" not in page
    assert tile(page, "Hit rate") == ["–", "– exact, – semantic"]


@pytest.mark.parametrize(
    ("plan", "note", "fee"),
    [
        ("enterprise", "without our fee, which is by contract", "–"),
        ("demo", "without our fee, which is by contract", "–"),
        ("pro", "our fee in it an estimate", "$0.0012"),
        ("free", "once everything is paid", "$0.00"),
    ],
)
def test_net_says_whether_our_fee_is_in_it(owner: Client, cast: Cast, plan: str, note: str, fee: str) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    execute("UPDATE tenant SET plan = %s, requests_hard = %s WHERE id = %s", [plan, plan == "free", ids[0]])
    hits = [hit_of(*ids, at=NOW - timedelta(hours=22)) for _ in range(4)]
    write(hits)
    price_calls(NOW)
    roll_up()

    page = overview(owner, cast)

    assert tile(page, "Net, estimate")[-1] == note
    assert re.search(r"less our fee[^<]*</dt><dd class=\"num\">([^<]*)", page)[1] == fee
    for seen in (page, owner.get(reverse("usage", args=[ids[0]])).content.decode()):
        assert ("Our fee is an estimate" in seen) is (plan == "pro")
        assert ("without our fee, which is by contract." in seen) is (plan in ("enterprise", "demo"))
    call = owner.get(reverse("calls-call", args=[ids[0], hits[0].id])).content.decode()
    assert ("Our fee: by contract, and not in the net" in call) is (plan in ("enterprise", "demo"))
