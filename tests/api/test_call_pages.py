"""Is each call found, opened to its decision by those who may read it, and judged?"""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from cache_api.accounting import price_calls, roll_up
from cache_api.domain.signals import call_id_of
from tenants.isolation import as_tenant
from tenants.models import Member
from tests.api.conftest import Answer, Api
from tests.api.people import signed_in
from tests.conftest import Cast
from tests.db.calls import call_of, hit_of, write
from tests.fakes import FixedEmbedder

HOSTILE = "<script>alert(1)</script> \u202eevil\u2066 \x00 “quotes” 🙂"


def at(cast: Cast, name: str, *args: Any) -> str:
    return reverse(name, args=[cast.owner.tenant_id, *args])


def opened(owner: Client, cast: Cast, answer: Answer) -> str:
    call_id = call_id_of(answer.headers["x-cacheai-request-id"])
    return owner.get(at(cast, "calls-call", call_id)).content.decode()


@pytest.fixture
def calls(cast: Cast) -> dict[str, UUID]:
    """One of each kind, a minute apart, and an outsider's."""
    now, ids = datetime.now(UTC), (cast.owner.tenant_id, cast.owner.project_id)
    made = {
        "miss": call_of(*ids, at=now - timedelta(minutes=4), task="triage"),
        "exact": hit_of(*ids, at=now - timedelta(minutes=3), key_id=cast.owner.key_id),
        "semantic": hit_of(
            *ids, at=now - timedelta(minutes=2), layer="semantic", reason="similar", similarity=0.96, task="triage"
        ),
        "unpriced": call_of(*ids, at=now - timedelta(minutes=1), model_asked="new-9", model_served="new-9"),
        "old": call_of(*ids, at=now - timedelta(days=5)),
    }
    theirs = call_of(cast.outsider.tenant_id, cast.outsider.project_id, at=now)
    write([*made.values(), theirs])
    price_calls(now)
    roll_up()
    return {name: one.id for name, one in made.items()} | {"theirs": theirs.id}


def test_the_list_tells_seconds_and_no_reason_that_the_layer_tells(
    owner: Client, cast: Cast, calls: dict[str, UUID]
) -> None:
    page = owner.get(at(cast, "calls")).content.decode()

    assert len(re.findall(r"<time [^>]*data-instant>[^<]* \d\d:\d\d:\d\d UTC</time>", page)) == len(calls) - 1
    assert '<span class="sub">similar</span>' in page
    assert '<span class="sub">exact</span>' not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {"miss", "exact", "semantic", "unpriced", "old"}),
        ({"days": "1"}, {"miss", "exact", "semantic", "unpriced"}),
        ({"days": "1", "decision": "hit"}, {"exact", "semantic"}),
        ({"layer": "semantic"}, {"semantic"}),
        ({"model": "new-9"}, {"unpriced"}),
        ({"key": "owner's"}, {"exact"}),
        ({"task": "triage"}, {"miss", "semantic"}),
        ({"task": "triage", "decision": "miss"}, {"miss"}),
        ({"unpriced": "on"}, {"unpriced"}),
        ({"task": "no\0ne", "key": "no id", "decision": "maybe", "after": "x", "unpriced": "on"}, {"unpriced"}),
    ],
)
def test_calls_are_filtered_alike_on_the_page_live_and_as_a_spreadsheet(
    query: dict[str, str], found: set[str], owner: Client, cast: Cast, calls: dict[str, UUID]
) -> None:
    asked = {**query, "key": str(cast.owner.key_id)} if query.get("key") == "owner's" else query
    page = owner.get(at(cast, "calls"), asked).content.decode()
    live = owner.get(at(cast, "calls"), {**asked, "live": "1"}).content.decode()
    (linked,) = re.findall(r'href="([^"]+)"><svg[^>]*><use[^>]*></svg>CSV</a>', page)
    table = b"".join(owner.get(unescape(linked))).decode()

    for shown in (page, live):
        assert {name for name, call_id in calls.items() if str(call_id) in shown} == found
    assert {name for name, call_id in calls.items() if call_id.hex in table} == found
    assert "<html" in page
    assert "<html" not in live


def test_a_time_longer_than_the_plan_keeps_calls_says_so(owner: Client, cast: Cast) -> None:
    """Free keeps seven days."""
    week, month = (owner.get(at(cast, "calls"), {"days": days}).content.decode() for days in ("7", "30"))

    assert "Calls older than 7 days are not kept on your plan" in month
    assert "are not kept" not in week
    assert re.findall(r">(Last [^<]+)</option>", week) == [
        *("Last 24 hours", "Last 7 days", "Last 30 days (7 kept)", "Last 90 days (7 kept)")
    ]


def test_the_older_ones_are_a_page_away(owner: Client, cast: Cast) -> None:
    now, ids = datetime.now(UTC), (cast.owner.tenant_id, cast.owner.project_id)
    write([call_of(*ids, at=now - timedelta(seconds=number + 1)) for number in range(60)])

    first = owner.get(at(cast, "calls"))
    second = owner.get(at(cast, "calls"), {"after": first.context["next"].text})

    assert (len(first.context["calls"]), len(second.context["calls"])) == (50, 10)
    assert b"every 4s" in first.content
    assert b"every 4s" not in second.content  # what is read stays


def test_an_exact_hit_opens_to_its_question_its_answer_and_its_neighbours(
    owner: Client, cast: Cast, api: Api, embedder: FixedEmbedder
) -> None:
    embedder.near["How do I cancel order 77?"] = ("How do I cancel order 76?", 0.97)
    api.chat("How do I cancel order 77?")
    api.chat("How do I cancel order 76?")
    page = opened(owner, cast, api.chat("How do I cancel order 76?"))

    assert "How do I cancel order 76?" in page
    assert "To cancel an order" in page
    assert "How do I cancel order 77?" in page
    assert "differs in" in page
    assert "Right answer" in page


def test_a_semantic_hit_shows_the_question_it_was_answered_with(
    owner: Client, cast: Cast, api: Api, embedder: FixedEmbedder
) -> None:
    embedder.near["How can I reset my password?"] = ("How do I reset my password?", 0.99)
    api.chat("How do I reset my password?")
    answer = api.chat("How can I reset my password?")
    assert answer.headers["x-cacheai-layer"] == "semantic"

    page = opened(owner, cast, answer)

    assert "How do I reset my password?" in page
    assert "How can I reset my password?" not in page  # kept nowhere


def test_what_was_asked_is_shown_as_text_whatever_it_is(owner: Client, cast: Cast, api: Api) -> None:
    api.chat(HOSTILE)
    page = opened(owner, cast, api.chat(HOSTILE))

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "\x00" not in page


@pytest.mark.parametrize(("role", "reads"), [("developer", True), ("billing", False), ("viewer", False)])
def test_texts_are_for_roles_that_may_read_them(role: str, reads: bool, cast: Cast, api: Api) -> None:
    with as_tenant(cast.owner.tenant_id):
        Member.objects.filter(user_id=cast.teammate.user_id).update(role=role)
    api.chat("What is the capital of France?")
    page = opened(signed_in(cast.teammate), cast, api.chat("What is the capital of France?"))

    assert ("capital of France" in page, "Right answer" in page) == (reads, reads)
    assert "The same question had been answered before." in page


def judged(owner: Client, cast: Cast, answer: Answer, verdict: str) -> HttpResponse:
    call_id = call_id_of(answer.headers["x-cacheai-request-id"])
    return owner.post(at(cast, "calls-verdict", call_id), {"verdict": verdict}, follow=True)


def test_a_right_answer_stays(owner: Client, cast: Cast, api: Api) -> None:
    api.chat("What is the capital of Italy?")
    hit = api.chat("What is the capital of Italy?")

    assert b"Noted: it was right." in judged(owner, cast, hit, "right").content
    assert api.chat("What is the capital of Italy?").headers["x-cacheai-decision"] == "hit"


def test_a_wrong_answer_goes_and_its_pair_never_matches_again(
    owner: Client, cast: Cast, api: Api, embedder: FixedEmbedder
) -> None:
    embedder.near["How can I reset my password?"] = ("How do I reset my password?", 0.99)
    api.chat("How do I reset my password?")
    hit = api.chat("How can I reset my password?")

    assert b"will not match this question again" in judged(owner, cast, hit, "wrong").content
    assert b"not stored any more" in judged(owner, cast, hit, "wrong").content
    api.chat("How do I reset my password?")
    assert api.chat("How can I reset my password?").headers["x-cacheai-reason"] == "known_wrong"


def test_what_a_wrong_answer_saved_is_taken_back_on_its_page_at_once(owner: Client, cast: Cast, api: Api) -> None:
    api.chat("What is the capital of Spain?")
    hit = api.chat("What is the capital of Spain?")
    price_calls(datetime.now(UTC))

    page = judged(owner, cast, hit, "wrong")

    call = page.context["call"]
    assert page.context["taken_back"] == -call.saved_usd < 0
    assert page.context["net"] == call.net_usd - call.saved_usd
    assert b"Taken back" in page.content


def test_a_call_of_another_tenant_is_none(owner: Client, cast: Cast, calls: dict[str, UUID]) -> None:
    for call_id in (calls["theirs"], uuid4(), UUID(int=2**128 - 1)):
        assert owner.get(at(cast, "calls-call", call_id)).status_code == 404
        assert owner.post(at(cast, "calls-verdict", call_id), {"verdict": "wrong"}).status_code == 404
