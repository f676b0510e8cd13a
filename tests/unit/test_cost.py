"""What does a call cost, and what did a hit save?"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cache_api.adapters import prices
from cache_api.domain.cost import Rates, cost_of, fee_of_call, list_price, saving_of
from cache_api.domain.usage import Usage

AT = datetime(2026, 11, 1, tzinfo=UTC)
GPT5 = Usage(in_total=1200, in_cached=1024, out_total=300)
SONNET = Usage(in_total=2150, in_cached=2000, in_write_5m=20, in_write_1h=30, out_total=300)
GEMINI = Usage(in_total=250_000, in_cached=1000, out_total=500)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "cost"),
    [
        ("openai", "gpt-5", GPT5, "0.003348"),
        ("openai", "gpt-5-2025-08-07", GPT5, "0.003348"),
        ("anthropic", "claude-sonnet-4-5", SONNET, "0.005655"),
        ("google", "gemini-2.5-pro", GEMINI, "0.63025"),  # past 200,000 all tokens have the second price
        ("openai", "text-embedding-3-small", Usage(in_total=1_000_000), "0.02"),
        ("openai", "gpt-5", Usage(), "0"),
        ("demo", "demo-small", Usage(in_total=1000, in_cached=500, out_total=100), "0.0001725"),
        ("demo", "demo-large", Usage(in_total=1000, out_total=100), "0.0035"),
        ("ollama", "llama3.2", Usage(in_total=1000, out_total=100), "0"),
    ],
)
def test_a_known_model_costs_what_its_list_says_to_the_last_digit(
    provider: str, model: str, usage: Usage, cost: str
) -> None:
    priced = prices.price(provider, model, usage, service_tier="", at=AT)

    assert priced is not None
    assert priced.cost == Decimal(cost)
    assert cost_of(usage, priced.rates) == priced.cost


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "gpt-99-not-yet", GPT5),
        ("openai", "claude-sonnet-4-5", GPT5),  # another provider's price is no price
        ("custom", "gpt-5", GPT5),
        ("vllm", "llama-3.1-8b", GPT5),
        ("nobody", "gpt-5", GPT5),
        ("openai", "", GPT5),
        ("openai", "gpt-5", Usage(in_total=10, in_cached=20, out_total=1)),  # counts that cannot be
    ],
)
def test_what_no_list_knows_is_unpriced_and_not_zero(provider: str, model: str, usage: Usage) -> None:
    assert prices.price(provider, model, usage, service_tier="", at=AT) is None


@pytest.mark.parametrize(
    ("provider", "model", "tier", "cost"),
    [
        ("openai", "gpt-5", "default", "0.003348"),
        ("openai", "gpt-5", "flex", "0.001674"),
        ("openai", "gpt-5", "batch", "0.001674"),
        ("openai", "gpt-5", "priority", "0.006696"),
        ("anthropic", "claude-sonnet-4-5", "standard", "0.0053352"),
        ("anthropic", "claude-sonnet-4-5", "batch", "0.0026676"),
        ("google", "gemini-2.5-pro", "batch", "0.001738"),
        ("openai", "gpt-5", "of-tomorrow", "0.003348"),  # unknown: as standard; the ledger keeps the word
    ],
)
def test_a_tier_has_its_own_price(provider: str, model: str, tier: str, cost: str) -> None:
    priced = prices.price(provider, model, GPT5, service_tier=tier, at=AT)

    assert priced is not None
    assert priced.cost == cost_of(GPT5, priced.rates) == Decimal(cost)


def test_sound_has_its_own_price() -> None:
    """100 plain, 100 cached (this model has no rate for it), 300 heard; 50 written, 150 spoken."""
    usage = Usage(in_total=500, in_cached=100, in_audio=300, out_total=200, out_audio=150)
    priced = prices.price("openai", "gpt-audio", usage, service_tier="", at=AT)

    assert priced is not None
    assert priced.cost == cost_of(usage, priced.rates) == Decimal("0.0202")


def test_the_price_list_is_named_with_its_version() -> None:
    listed = prices.price("openai", "gpt-5", GPT5, service_tier="", at=AT)
    own = prices.price("demo", "demo-small", GPT5, service_tier="", at=AT)

    assert listed is not None
    assert own is not None
    assert (listed.source, listed.version) == ("table", "genai-prices 0.2.3")
    assert own.version.startswith("providers ")
    assert listed.rates.as_dict() == {"input": "1.25", "output": "10", "cached": "0.125"}


def test_every_rate_that_is_known_is_told() -> None:
    known = {(provider, model): rates for provider, model, rates, _ in prices.known_rates(AT)}

    assert known[("openai", "gpt-5")].cached == Decimal("0.125")
    assert known[("demo", "demo-small")].output == Decimal("0.60")
    assert len(known) > 1000


RATES = Rates(
    input=Decimal(3),
    output=Decimal(15),
    cached=Decimal("0.3"),
    write_5m=Decimal("3.75"),
    write_1h=Decimal(6),
    audio_in=Decimal(40),
    audio_out=Decimal(80),
)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(in_total=1_000_000), "3"),
        (Usage(in_total=1_000_000, in_cached=1_000_000), "0.3"),
        (Usage(in_total=1_000_000, in_write_5m=1_000_000), "3.75"),
        (Usage(in_total=1_000_000, in_write_1h=1_000_000), "6"),
        (Usage(in_total=1_000_000, in_audio=1_000_000), "40"),
        (Usage(in_total=100, in_cached=150), "0.000045"),  # never less than nothing is plain
        (Usage(out_total=1_000_000, out_reasoning=400_000), "15"),  # reasoning is inside
        (Usage(out_total=1_000_000, out_audio=500_000), "47.5"),
        (Usage(in_total=1), "0.000003"),
        (Usage(in_total=1, in_cached=1), "0.0000003"),
    ],
)
def test_each_slice_of_the_tokens_has_its_rate(usage: Usage, cost: str) -> None:
    assert cost_of(usage, RATES) == Decimal(cost)


def test_a_rate_that_is_not_given_is_the_plain_one() -> None:
    rates = Rates(input=Decimal(2), output=Decimal(4))
    usage = Usage(in_total=1_000_000, in_cached=300_000, in_write_5m=200_000, in_write_1h=100_000)

    assert cost_of(usage, rates) == Decimal(2)


def test_list_is_all_input_plain() -> None:
    assert list_price(SONNET, RATES) == Decimal("0.01095")


GPT5_RATES = Rates(input=Decimal("1.25"), output=Decimal(10), cached=Decimal("0.125"))


@pytest.mark.parametrize(
    ("usage", "usual_share", "discount", "gross", "net"),
    [
        (GPT5, "0", "0.001152", "0.003348", "0.003058"),
        (GPT5, "0.5", "0.001152", "0.003348", "0.003058"),  # its own share was more
        (GPT5, "1", "0.00135", "0.00315", "0.00286"),
        (Usage(in_total=1200, out_total=300), "0", "0", "0.0045", "0.00421"),
        (Usage(out_total=300), "0.9", "0", "0.003", "0.00271"),
    ],
)
def test_a_hit_saves_list_less_discount(usage: Usage, usual_share: str, discount: str, gross: str, net: str) -> None:
    fee = fee_of_call("pro", 0)
    assert fee == Decimal("0.00029")

    saving = saving_of(usage, GPT5_RATES, usual_share=Decimal(usual_share), fee=fee)

    assert saving.discount == Decimal(discount)
    assert saving.gross == Decimal(gross)
    assert saving.net == Decimal(net)


@pytest.mark.parametrize(
    ("plan", "calls_before", "fee"),
    [
        ("free", 0, "0"),
        ("free", 10_000, "0"),
        ("pro", 99_999, "0.00029"),
        ("pro", 100_000, "0.00008"),
        ("team", 0, "0.000199"),
        ("team", 1_000_000, "0.00006"),
        ("team", 10_000_000, "0.00004"),
    ],
)
def test_a_plan_takes_its_price_spread_then_the_overage(plan: str, calls_before: int, fee: str) -> None:
    assert fee_of_call(plan, calls_before) == Decimal(fee)


def test_a_contracts_fee_is_not_known() -> None:
    assert fee_of_call("enterprise", 0) is None
