"""What must there be at Stripe for our plans to be sold?"""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing import catalogue, stripe_api
from tests.stripe_emulator.fixtures import Handle

URL = "https://cache.example.test/billing/webhook"


def posts(stripe: Handle) -> int:
    return sum(one["method"] == "POST" for one in stripe.requests())


def test_a_second_run_writes_nothing(stripe: Handle, capsys: Any) -> None:
    call_command("stripe_setup", webhook_url=URL)
    first = posts(stripe)
    assert "STRIPE_WEBHOOK_SECRETS" in capsys.readouterr().out

    call_command("stripe_setup", webhook_url=URL)

    assert first > 10
    assert posts(stripe) == first
    emulated, told = capsys.readouterr().out.splitlines()
    assert emulated.endswith(f"{stripe.url}.")
    assert told == "Everything is as it should be."


def test_a_check_writes_nothing_and_fails_where_something_is_missing(stripe: Handle, capsys: Any) -> None:
    with pytest.raises(CommandError):
        call_command("stripe_catalogue", check=True)

    assert posts(stripe) == 0
    assert "price team.requests is missing" in capsys.readouterr().out

    call_command("stripe_catalogue")
    call_command("stripe_catalogue", check=True)


def test_tiers_are_the_allowance_and_then_the_overage(shop: Handle) -> None:
    tiers = {
        price["lookup_key"]: [(tier["up_to"], str(tier["unit_amount_decimal"])) for tier in price["tiers"] or []]
        for price in stripe_api.prices()
    }

    assert tiers["pro.requests"] == [(100_000, "0"), (None, "0.008")]
    assert tiers["team.requests"] == [(1_000_000, "0"), (10_000_000, "0.006"), (None, "0.004")]
    assert tiers["pro.month"] == []


def test_a_changed_price_is_a_new_one_and_the_old_is_not_sold_any_more(shop: Handle) -> None:
    old = stripe_api.price_ids()["pro.month"]
    cheaper = shop.client.v1.prices.create(
        {
            "product": "cacheai_pro",
            "currency": "usd",
            "unit_amount": 1900,
            "recurring": {"interval": "month"},
            "lookup_key": "pro.month",
            "transfer_lookup_key": True,
        }
    )

    report = catalogue.set_up(check=False)

    assert report.told == ["price pro.month differs"]
    assert stripe_api.price_ids()["pro.month"] not in (old, cheaper.id)
    assert not shop.client.v1.prices.retrieve(cheaper.id).active
    assert catalogue.set_up(check=True).told == []


def test_a_product_somebody_renamed_gets_its_name_back(shop: Handle) -> None:
    shop.client.v1.products.update("cacheai_pro", {"name": "Something"})

    assert catalogue.set_up(check=False).told == ["cacheai_pro differs in name"]
    assert catalogue.set_up(check=True).told == []


def test_the_portal_changes_no_plan(shop: Handle) -> None:
    (portal,) = stripe_api.parts("billing_portal.configurations", {"active": True})

    assert portal["features"]["subscription_update"]["enabled"] is False


def test_another_meter_of_that_name_is_an_error(stripe: Handle) -> None:
    stripe.client.v1.billing.meters.create(
        {
            "event_name": "cacheai_requests",
            "display_name": "By hand",
            "default_aggregation": {"formula": "count"},
        }
    )

    with pytest.raises(CommandError, match="cannot be changed"):
        call_command("stripe_setup")


def test_without_a_key_billing_says_that_it_is_off(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""

    with pytest.raises(CommandError, match="Billing is off"):
        call_command("stripe_setup")
