"""How is taken back what a hit saved that was judged wrong?"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid5

import pytest

from cache_api import accounting, calls, proving, selectors
from cache_api.adapters import corrections
from cache_api.domain.call import Call
from cache_api.domain.usage import Usage
from tests.conftest import Cast, Person
from tests.db.calls import call_of, execute, hit_of, put_entry, query, write

NOW = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
EVER = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))


def wrong(call: Call, person: Person) -> bool:
    return corrections.put(tenant_id=person.tenant_id, project_id=person.project_id, call_id=call.id)


def close_the_books() -> None:
    accounting.price_calls(NOW)
    accounting.roll_up()


@pytest.mark.parametrize("judged", ["before it is priced", "after it is priced", "after it is rolled up"])
def test_a_hit_judged_wrong_twice_is_corrected_once(cast: Cast, judged: str) -> None:
    """Scenario 2: net 0.003058 on Pro; then gross 0, and one correction. The fee stays."""
    execute("UPDATE tenant SET plan = 'pro', requests_hard = false WHERE id = %s", [cast.owner.tenant_id])
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    hit = hit_of(*ids, at=NOW, task="faq", end_user="e" * 32)
    put_entry(cast, hit.entry_id)
    write([hit])
    if judged != "before it is priced":
        accounting.price_calls(NOW)
        assert selectors.figures(*ids, *EVER).net_usd == Decimal("0.003058")
    if judged == "after it is rolled up":
        accounting.roll_up()

    assert wrong(hit, cast.owner)
    close_the_books()
    assert not wrong(hit, cast.owner)
    close_the_books()

    figures = selectors.figures(*ids, *EVER)
    assert (figures.calls, figures.hits, figures.billable, figures.wrong, figures.unpriced) == (1, 1, 1, 1, 0)
    assert (figures.list_usd, figures.discount_usd, figures.saved_usd) == (0, 0, 0)
    assert (figures.tokens, figures.tokens_saved) == (0, 0)
    assert figures.net_usd == -figures.fee_usd == Decimal("-0.00029")
    (correction,) = calls.corrections_of(cast.owner.tenant_id, hit.id)
    assert (correction.id, correction.at, correction.origin) == (uuid5(hit.id, "wrong"), NOW, "adjust")
    assert (correction.saved_usd, correction.fee_usd, correction.billable) == (Decimal("-0.003348"), 0, False)
    assert (correction.task, correction.end_user, correction.in_total) == ("faq", "e" * 32, -1200)
    assert query("SELECT hits, saved_usd FROM entry") == [(1, 0)]
    assert query("SELECT calls, saved_usd, tokens_saved FROM usage_end_user") == [(1, 0, 0)]
    assert proving.recount() == proving.Recount((), 0)


def test_an_unpriced_hit_leaves_nothing_to_take_back_but_counts_as_wrong(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    hit = hit_of(*ids, at=NOW, model_asked="new-9", model_served="new-9")
    write([hit])
    wrong(hit, cast.owner)

    close_the_books()

    figures = selectors.figures(*ids, *EVER)
    assert (figures.wrong, figures.unpriced, figures.saved_usd) == (1, 1, 0)
    assert [one.saved_usd for one in calls.corrections_of(cast.owner.tenant_id, hit.id)] == [None]


def test_what_a_small_model_took_for_a_wrong_answer_stays_paid(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    hit = hit_of(*ids, at=NOW, layer="synthesized", reason="synthesized")
    write([hit])
    wrong(hit, cast.owner)

    close_the_books()

    figures = selectors.figures(*ids, *EVER)
    assert (figures.wrong, figures.tokens, figures.cost_usd) == (1, 1500, Decimal("0.003348"))
    assert figures.net_usd == -Decimal("0.003348")


@pytest.mark.parametrize("how", [{"retry": True}, {"reason": "stale_on_error"}])
def test_what_saved_nothing_is_not_taken_back_twice(cast: Cast, how: dict[str, Any]) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    hit = hit_of(*ids, at=NOW, **how)
    write([hit])
    wrong(hit, cast.owner)

    close_the_books()

    figures = selectors.figures(*ids, *EVER)
    assert (figures.saved_usd, figures.list_usd, figures.tokens_saved, figures.wrong) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    "kind",
    [{}, {"decision": "bypass", "reason": "policy"}, {"origin": "shadow", "decision": "hit", "layer": "exact"}],
)
def test_only_a_callers_hit_can_be_wrong(cast: Cast, kind: dict[str, Any]) -> None:
    call = call_of(cast.owner.tenant_id, cast.owner.project_id, **kind)
    write([call])

    assert not wrong(call, cast.owner)
    assert query("SELECT count(*) FROM call") == [(1,)]


def test_another_tenants_hit_and_another_projects_are_out_of_reach(cast: Cast) -> None:
    hit = hit_of(cast.owner.tenant_id, cast.owner.project_id)
    write([hit])

    assert not wrong(hit, cast.outsider)
    assert not corrections.put(tenant_id=cast.owner.tenant_id, project_id=cast.outsider.project_id, call_id=hit.id)


def test_a_correction_whose_hit_is_gone_does_not_wait_for_ever(cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    hit = hit_of(*ids, at=NOW, usage=Usage(in_total=10, out_total=10))
    write([hit])
    wrong(hit, cast.owner)
    execute("DELETE FROM call WHERE id = %s", [hit.id])

    close_the_books()

    assert query("SELECT price_source, saved_usd, priced_at IS NULL FROM call") == [("unpriced", None, False)]
