"""What does a person see of their plan?"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from billing import operating, selectors, services
from billing.selectors import Overview
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import Tenant
from tests.billing.buying import Buyer


def see(buyer: Buyer) -> Overview:
    return selectors.overview(tenant_id=buyer.tenant_id, now=buyer.now)


def acts(overview: Overview) -> dict[str, str]:
    return {choice.plan.name: choice.act for choice in overview.choices}


def texts(overview: Overview) -> list[str]:
    return [banner.text for banner in overview.banners]


def test_a_new_tenant_may_buy(buyer: Buyer) -> None:
    seen = see(buyer)

    assert (seen.mode, seen.plan_name, seen.state, seen.trial_offered) == ("emulated", "Free", "", True)
    assert acts(seen) == {"free": "current", "pro": "checkout", "team": "checkout", "enterprise": "contact"}
    assert (seen.can_cancel, seen.can_resume, seen.can_undo, seen.has_portal) == (False, False, False, False)
    assert (seen.usage.requests, seen.usage.included, seen.usage.hard) == (0, 10_000, True)
    assert (seen.cap.usd, seen.estimate_usd, seen.banners) == (None, None, ())


def test_what_was_used_and_what_the_next_invoice_comes_to(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.use(125_000, at=buyer.now + timedelta(days=2))
    buyer.wait(days=3)

    seen = see(buyer)

    assert (seen.usage.requests, seen.usage.overage_requests, seen.usage.overage_usd) == (125_000, 25_000, Decimal("2"))
    assert seen.usage.share == 1.25
    assert seen.estimate_usd == 31
    assert acts(seen) == {"free": "downgrade", "pro": "current", "team": "upgrade", "enterprise": "contact"}
    assert selectors.banners_of(tenant_id=buyer.tenant_id, now=buyer.now) == ()


def test_a_trial_tells_how_long_it_lasts(buyer: Buyer) -> None:
    buyer.subscribe("pro", card=None, trial_days=14)
    assert texts(see(buyer)) == ["14 of 14 trial days are left."]
    buyer.wait(days=3, hours=12)

    assert texts(see(buyer)) == ["11 of 14 trial days are left."]
    assert see(buyer).usage.hard

    buyer.wait(days=11)
    assert see(buyer).can_resume
    assert acts(see(buyer)) == {"free": "current", "pro": "none", "team": "upgrade", "enterprise": "contact"}
    assert texts(see(buyer)) == ["The trial ended without a card: the free limits apply."]


def test_what_is_planned_is_told_and_can_be_taken_back(buyer: Buyer) -> None:
    buyer.subscribe("team")
    services.downgrade_at_period_end(tenant_id=buyer.tenant_id, plan="pro", actor=buyer.actor, now=buyer.now)
    seen = see(buyer)
    assert (seen.next_plan, seen.can_undo, seen.estimate_usd) == ("pro", True, 29)
    assert acts(seen) == {"free": "downgrade", "pro": "next", "team": "current", "enterprise": "contact"}
    assert texts(seen) == ["The plan changes to Pro on 1 November."]

    services.cancel_at_period_end(tenant_id=buyer.tenant_id, actor=buyer.actor, now=buyer.now)
    seen = see(buyer)

    assert (seen.next_plan, seen.can_undo, seen.can_cancel, seen.estimate_usd) == ("", True, False, 0)
    assert acts(seen) == {"free": "next", "pro": "downgrade", "team": "current", "enterprise": "contact"}
    assert texts(seen) == ["The plan ends on 1 November."]


def test_an_unpaid_invoice_is_told_with_where_to_pay_it(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.card("pm_card_chargeCustomerFail")
    buyer.wait(days=31, hours=2)

    (banner,) = selectors.banners_of(tenant_id=buyer.tenant_id, now=buyer.now)
    assert (banner.kind, banner.url) == ("warning", buyer.invoices[-1].hosted_invoice_url)
    buyer.wait(days=8)
    (banner,) = see(buyer).banners

    assert banner.kind == "error"
    assert "nothing new is stored" in banner.text
    newest = selectors.invoices_of(tenant_id=buyer.tenant_id)[0]
    assert newest.next_payment_attempt is not None


def test_limits_that_are_no_plans_are_not_called_free(buyer: Buyer) -> None:
    with as_tenant(buyer.tenant_id):
        Tenant.objects.filter(id=buyer.tenant_id).update(plan="demo", requests_hard=False)

    seen = see(buyer)

    assert (seen.plan, seen.plan_name) == (None, "Demo")
    assert acts(seen) == {"free": "none", "pro": "checkout", "team": "checkout", "enterprise": "contact"}


def test_a_plan_that_was_given_is_the_one_there_is(buyer: Buyer) -> None:
    operator = Actor("operator")
    operating.plan_set(tenant_id=buyer.tenant_id, plan="team", reason="asked by mail", actor=operator, now=buyer.now)

    assert acts(see(buyer)) == {"free": "none", "pro": "checkout", "team": "current", "enterprise": "contact"}


def test_the_outsider_sees_nothing_of_it(buyer: Buyer, cast: Any) -> None:
    buyer.subscribe("pro")

    seen = selectors.overview(tenant_id=cast.outsider.tenant_id, now=buyer.now)

    assert (seen.state, seen.plan_name) == ("", "Free")
    assert selectors.invoices_of(tenant_id=cast.outsider.tenant_id) == []
