"""Which price of its own has a project set for a call?"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from cache_api.domain.cost import Rates
from cache_api.domain.own_price import OwnPrice, own_price

AT = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def price(pattern: str, *, provider: str = "openai", since: datetime = AT, until: datetime | None = None) -> OwnPrice:
    return OwnPrice(UUID(int=1), provider, pattern, Rates(Decimal(1), Decimal(2)), since, until)


SET = [
    price("gpt-5"),
    price("gpt-*"),
    price("gpt-5-m*"),
    price("ft:*"),
    price("*", provider="vllm"),
    price("old", since=AT - HOUR, until=AT),
    price("coming", since=AT + HOUR),
]


@pytest.mark.parametrize(
    ("provider", "models", "found"),
    [
        ("openai", ["gpt-5"], "gpt-5"),
        ("openai", ["gpt-5-mini"], "gpt-5-m*"),
        ("openai", ["gpt-4.1"], "gpt-*"),
        ("openai", ["ft:gpt-5:team"], "ft:*"),
        ("openai", ["GPT-5"], None),
        ("openai", ["o4"], None),
        ("openai", [], None),
        ("azure", ["gpt-5"], None),  # another provider's price is no price
        ("vllm", ["anything"], "*"),
        ("openai", ["my-deployment", "gpt-5"], "gpt-5"),
        ("openai", ["gpt-4.1", "gpt-5"], "gpt-*"),  # the name it was served under comes first
        ("openai", ["old"], None),
        ("openai", ["coming"], None),
    ],
)
def test_the_exact_name_else_the_longest_beginning(provider: str, models: list[str], found: str | None) -> None:
    chosen = own_price(SET, provider, models, AT)
    assert (chosen and chosen.model_pattern) == found


@pytest.mark.parametrize(("at", "held"), [(AT - HOUR, True), (AT - timedelta(milliseconds=1), True), (AT, False)])
def test_a_price_holds_until_the_moment_it_is_replaced(at: datetime, held: bool) -> None:
    assert (own_price(SET, "openai", ["old"], at) is not None) is held
