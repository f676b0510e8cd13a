"""Do the periods come to what the invoices come to, each to its own?"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.test import Client
from django.urls import reverse

from billing import services
from billing.period_net import PeriodNet, period_nets
from cache_api import accounting
from tests.billing.buying import Buyer
from tests.conftest import Cast
from tests.db.calls import hit_of, write

NOVEMBER = datetime(2026, 11, 1, 12, 20, tzinfo=UTC)  # inside an hour
SAVED = Decimal("0.003348")  # by the anchor's hit


def nets(buyer: Buyer) -> list[PeriodNet]:
    """Oldest first."""
    return period_nets(tenant_id=buyer.tenant_id, now=buyer.now)[::-1]


def hit(buyer: Buyer, at: datetime) -> None:
    write([hit_of(buyer.tenant_id, buyer.project_id, at=at)])
    accounting.price_calls(at)
    accounting.roll_up()


def test_the_invoice_takes_the_place_of_the_fees(buyer: Buyer) -> None:
    """Five calls on Pro cost what Pro costs, not five hundred-thousandths of it."""
    buyer.stripe.advance(to=int(NOVEMBER.timestamp()))
    buyer.subscribe("pro")
    for minutes in (1, 2, 3, 4, 5):
        hit(buyer, NOVEMBER + timedelta(minutes=minutes))
    buyer.wait(days=2)

    (running,) = nets(buyer)
    assert (running.figures.fee_usd, running.billed_usd, running.is_final) == (Decimal("0.00145"), 29, False)
    assert running.net_usd == 5 * SAVED - 29

    buyer.push()
    buyer.wait(until=NOVEMBER + timedelta(days=30, hours=2))
    assert [(one.net_usd, one.is_final) for one in nets(buyer)] == [(5 * SAVED - 29, True), (-29, False)]


def test_requests_beyond_the_plan_are_paid_by_the_period_that_made_them(buyer: Buyer) -> None:
    buyer.stripe.advance(to=int(NOVEMBER.timestamp()))
    buyer.subscribe("pro")
    buyer.use(125_000, at=NOVEMBER + timedelta(days=3))
    buyer.wait(days=4)
    buyer.push()
    assert [(one.billed_usd, one.is_final) for one in nets(buyer)] == [(31, False)]

    buyer.wait(until=NOVEMBER + timedelta(days=30, hours=2))

    assert [(one.billed_usd, one.is_final) for one in nets(buyer)] == [(31, True), (29, False)]
    assert sum(one.total_usd for one in buyer.invoices) == 29 + 31


def test_an_upgrade_pays_for_itself_and_a_trial_for_nothing(buyer: Buyer) -> None:
    buyer.stripe.advance(to=int((NOVEMBER - timedelta(days=14)).timestamp()))
    buyer.subscribe("pro", trial_days=14)
    buyer.wait(until=NOVEMBER + timedelta(hours=2))
    buyer.use(125_000, at=NOVEMBER + timedelta(days=14))
    buyer.wait(until=NOVEMBER + timedelta(days=15))
    services.upgrade_now(tenant_id=buyer.tenant_id, plan="team", actor=buyer.actor, now=buyer.now)

    found = nets(buyer)

    assert [(one.plan, one.billed_usd) for one in found] == [("Pro", 0), ("Pro", 31), ("Team", Decimal("184.50"))]
    assert sum(one.billed_usd for one in found) == sum(one.total_usd for one in buyer.invoices)


def test_the_last_period_has_its_own_last_invoice(buyer: Buyer) -> None:
    buyer.stripe.advance(to=int(NOVEMBER.timestamp()))
    buyer.subscribe("pro")
    services.cancel_at_period_end(tenant_id=buyer.tenant_id, actor=buyer.actor, now=buyer.now)
    buyer.use(125_000, at=NOVEMBER + timedelta(days=3))
    buyer.wait(days=29)
    buyer.push()
    buyer.wait(days=1, hours=2)

    assert [(one.billed_usd, one.is_final) for one in nets(buyer)] == [(31, True)]


def test_an_hour_that_a_period_begins_in_counts_once(buyer: Buyer) -> None:
    """Its roll-up has no halves, once its calls are gone."""
    buyer.stripe.advance(to=int(NOVEMBER.timestamp()))
    buyer.subscribe("pro")
    turn = NOVEMBER + timedelta(days=30)
    buyer.wait(until=turn + timedelta(hours=2))
    for minutes in (-80, -10, 10):
        hit(buyer, turn + timedelta(minutes=minutes))

    assert [one.figures.saved_usd for one in nets(buyer)] == [SAVED, 2 * SAVED]


def test_the_billing_page_shows_them_and_the_outsider_none(buyer: Buyer, cast: Cast) -> None:
    from tests.api.people import signed_in

    def seen(client: Client, tenant_id: object) -> str:
        return client.get(reverse("billing", args=[tenant_id])).content.decode()

    buyer.subscribe("pro")

    page = seen(signed_in(cast.owner), buyer.tenant_id)

    assert "Net of each period" in page
    assert '−$29.00<br><span class="sub">estimate</span>' in page
    assert "Net of each period" not in seen(signed_in(cast.outsider), cast.outsider.tenant_id)
