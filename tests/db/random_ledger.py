"""Calls of every kind, at any hour, and whatever befalls the books between them; for tests of what must always hold.

@given(steps=STEPS)
def test_...(cast, steps):
    for book in play(cast, steps):   # after each step, and last with the books closed
        ...
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st

from cache_api import accounting, proving
from cache_api.adapters import books, corrections, prices
from cache_api.domain.call import Call
from cache_api.domain.usage import Usage
from tenants.isolation import as_owner
from tests.conftest import Cast, Person
from tests.db.calls import call_of, execute, put_entry, query, write

NOW = datetime(2026, 11, 10, 9, tzinfo=UTC)
DETAIL_DAYS = 7  # a new tenant's
LATER = NOW + timedelta(days=DETAIL_DAYS + 1)  # when the calls of before 11 November may go

_SERVED = {"decision": "hit", "layer": "exact", "reason": "exact"}
KINDS: dict[str, dict[str, Any]] = {
    "miss": {},
    "under another name": {"model_asked": "ours"},
    "partly stored": {"in_served": 700},
    "bypass": {"decision": "bypass", "reason": "sampling"},
    "blocked": {"decision": "blocked", "reason": "blocklist", "usage": Usage()},
    "exact": _SERVED,
    "semantic": {"decision": "hit", "layer": "semantic", "reason": "similar"},
    "synthesized": {"decision": "hit", "layer": "synthesized", "reason": "synthesized"},
    "retry": {**_SERVED, "retry": True},
    "stale": {**_SERVED, "reason": "stale_on_error"},
    "shadow": {"origin": "shadow", "parent_id": UUID(int=9)},
    "warm": {"origin": "warm"},
}
CALLS = st.fixed_dictionaries(
    {
        "hours": st.integers(-60, 60),
        "millisecond": st.sampled_from([0, 1, 3_599_999]),
        "tenant": st.integers(0, 1),
        "model": st.sampled_from(["gpt-5", "gpt-5-mini", "nobody-knows"]),
        "kind": st.sampled_from(sorted(KINDS)),
        "cached": st.integers(0, 1200),
        "task": st.sampled_from(["", "faq"]),
        "end_user": st.sampled_from(["", "a" * 32, "b" * 32]),
    }
)
ACTS = ("price", "roll_up", "sum_days", "replay", "die", "judge", "prove", "let_go")
STEPS = st.lists(st.one_of(st.lists(CALLS, min_size=1, max_size=4), st.sampled_from(ACTS)), max_size=12)


class Died(Exception):
    """An accountant did, before it could commit."""


@dataclass
class Book:
    """What was written, told apart from what the books say of it."""

    people: tuple[Person, Person]
    entry_id: UUID
    written: list[Call] = field(default_factory=list)
    wrong: set[UUID] = field(default_factory=set)
    let_go: bool = False

    def calls_of(self, person: Person) -> list[Call]:
        return [call for call in self.written if call.tenant_id == person.tenant_id and call.origin == "client"]

    def cost_of(self, person: Person) -> Decimal:
        """Of all that was bought, by the price list alone."""
        ours = [call for call in self.written if call.tenant_id == person.tenant_id]
        return sum(map(_cost, ours), Decimal(0))

    def kept(self) -> list[Call]:
        with as_owner() as connection, connection.cursor() as cursor:
            since = {person.tenant_id: books.kept_since(cursor, person.tenant_id) for person in self.people}
        return [call for call in self.written if call.at >= since[call.tenant_id]]


def play(cast: Cast, steps: list[Any]) -> Iterator[Book]:
    roll_ups = "usage_hour, usage_day, usage_end_user, usage_end_user_day, usage_model"
    execute(f"TRUNCATE call, {roll_ups}, usage_dirty, ledger_kept, ledger_proof, fee_period, entry CASCADE")
    book = Book((cast.owner, cast.outsider), uuid4())
    put_entry(cast, book.entry_id)
    for step in steps:
        if isinstance(step, str):
            _act(book, step)
        else:
            calls = [_call(book, drawn) for drawn in step]
            write(calls)
            book.written += calls
        yield book
    accounting.price_calls(NOW)
    accounting.roll_up()
    yield book


def _act(book: Book, act: str) -> None:
    match act:
        case "price":
            accounting.price_calls(NOW)
        case "roll_up":
            accounting.roll_up()
        case "sum_days":
            accounting.roll_up_end_users(LATER)
        case "die":
            with suppress(Died), as_owner():
                accounting.price_calls(NOW)
                accounting.roll_up()
                raise Died
        case "replay":  # soon after, as the spool does; not once the calls themselves are gone
            write(book.kept())
        case "judge":
            hits = [call for call in book.kept() if call.decision == "hit" and call.origin == "client"]
            for call in hits[:2]:
                corrections.put(tenant_id=call.tenant_id, project_id=call.project_id, call_id=call.id)
                book.wrong.add(call.id)
        case "prove":
            proving.prove(LATER)
        case "let_go":
            book.let_go = proving.let_go(LATER) > 0 or book.let_go


def _call(book: Book, drawn: dict[str, Any]) -> Call:
    person = book.people[drawn["tenant"]]
    plain = {
        "at": NOW + timedelta(hours=drawn["hours"], milliseconds=drawn["millisecond"]),
        "model_asked": drawn["model"],
        "model_served": drawn["model"],
        "task": drawn["task"],
        "end_user": drawn["end_user"],
        "entry_id": book.entry_id,
        "usage": Usage(in_total=1200, in_cached=drawn["cached"], out_total=300),
    }
    return call_of(person.tenant_id, person.project_id, **{**plain, **KINDS[drawn["kind"]]})


def _cost(call: Call) -> Decimal:
    if call.decision == "blocked" or (call.decision == "hit" and call.layer != "synthesized"):
        return Decimal(0)
    priced = prices.price(call.provider, call.model_served, call.usage, service_tier="", at=call.at)
    return Decimal(0) if priced is None else priced.cost


def sums(table: str) -> list[tuple[Any, ...]]:
    money = ", ".join(f"coalesce(sum({name}), 0)" for name in ("cost_usd", "saved_usd", "fee_usd"))
    return query(f"SELECT {money} FROM {table}")
