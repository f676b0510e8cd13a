"""Does a page of the ledger hold what fits, the newest first, however it is found?"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache_api import accounting, calls
from cache_api.calls import CallFilters, CallPlace, LedgerRow
from tests.conftest import Cast
from tests.db.calls import call_of, execute, query, write
from tests.db.random_ledger import NOW, STEPS, play

EVER = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
FILTERS: dict[str, tuple[CallFilters, Callable[[LedgerRow], bool]]] = {
    "hits": (CallFilters(decision="hit"), lambda row: row.decision == "hit"),
    "misses": (CallFilters(decision="miss"), lambda row: row.decision == "miss"),
    "bypasses": (CallFilters(decision="bypass"), lambda row: row.decision == "bypass"),
    "blocked": (CallFilters(decision="blocked"), lambda row: row.decision == "blocked"),
    "exact": (CallFilters(layer="exact"), lambda row: row.layer == "exact"),
    "semantic": (CallFilters(layer="semantic"), lambda row: row.layer == "semantic"),
    "synthesized": (CallFilters(layer="synthesized"), lambda row: row.layer == "synthesized"),
    "corrections": (CallFilters(origin="adjust"), lambda row: row.origin == "adjust"),
    "clients": (CallFilters(origin="client"), lambda row: row.origin == "client"),
    "shadows": (CallFilters(origin="shadow"), lambda row: row.origin == "shadow"),
    "unpriced": (CallFilters(unpriced=True), lambda row: row.price_source == "unpriced"),
    "a task": (CallFilters(task="faq"), lambda row: row.task == "faq"),
    "a provider": (CallFilters(provider="openai"), lambda row: row.provider == "openai"),
    "a key": (CallFilters(key_id=UUID(int=7)), lambda row: row.key_id == UUID(int=7)),
    "an end user": (CallFilters(end_user="a" * 32), lambda row: row.end_user == "a" * 32),
    "a model": (CallFilters(model="gpt-5"), lambda row: "gpt-5" in (row.model_asked, row.model_served)),
    "a name asked for": (CallFilters(model="ours"), lambda row: row.model_asked == "ours"),
    "misses of a model": (
        CallFilters(decision="miss", model="gpt-5"),
        lambda row: row.decision == "miss" and "gpt-5" in (row.model_asked, row.model_served),
    ),
}


def pages(cast: Cast, filters: CallFilters, *, limit: int, since: datetime, until: datetime) -> list[LedgerRow]:
    """All of them, page by page."""
    found: list[LedgerRow] = []
    after: CallPlace | None = None
    while True:
        ids = cast.owner.tenant_id, cast.owner.project_id
        page = calls.calls_page(*ids, filters, since=since, until=until, limit=limit, after=after)
        found += page.calls
        if page.next is None:
            return found
        after = page.next


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, name=st.sampled_from(sorted(FILTERS)), minutes=st.integers(-3600, 3600))
def test_what_is_rare_is_found_by_its_hours_whatever_befell_the_books(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, steps: list[Any], name: str, minutes: int
) -> None:
    monkeypatch.setattr(calls, "NEWEST_CALLS", 1)
    filters, fits = FILTERS[name]
    ids, since = (cast.owner.tenant_id, cast.owner.project_id), NOW + timedelta(minutes=minutes)
    for _ in play(cast, steps):
        for span in ({"since": EVER[0], "until": since}, {"since": since, "until": EVER[1]}):
            every = calls.every_call(ids[0], None, CallFilters(), **span)
            wanted = [row for row in every if row.project_id == ids[1] and fits(row)]
            assert pages(cast, filters, limit=2, **span) == wanted


def test_an_hour_of_which_no_models_are_known_is_looked_into(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release before rolled it up."""
    monkeypatch.setattr(calls, "NEWEST_CALLS", 1)
    ids = cast.owner.tenant_id, cast.owner.project_id
    write([call_of(*ids, at=NOW - timedelta(hours=hours), model_asked=f"ours-{hours}") for hours in (1, 2, 3)])
    accounting.price_calls(NOW)
    accounting.roll_up()
    assert len(query("SELECT hour FROM usage_model")) == 3
    execute("DELETE FROM usage_model WHERE asked = 'ours-2'")

    for hours in (2, 3):
        wanted = CallFilters(model=f"ours-{hours}")
        (found,) = pages(cast, wanted, limit=2, since=EVER[0], until=EVER[1])
        assert found.at == NOW - timedelta(hours=hours)
