"""What did Stripe tell us, and was it acted on? (Double, reversed, late and forged)"""

import time
from datetime import timedelta
from typing import Any

import pytest
import stripe as stripe_package

from billing import events
from billing.models import BillingAlert, Cursor, StripeEvent
from tenants.isolation import as_owner, as_tenant
from tests.api.conftest import Api
from tests.billing.buying import Buyer
from tests.billing.conftest import WEBHOOK_SECRET

FAR = timedelta(days=3650)


def kept(customer_id: str = "") -> list[tuple[str, str]]:
    """All, or one customer's: the emulator still tells of those of earlier tests."""
    with as_owner():
        found = StripeEvent.objects.filter(customer_id=customer_id) if customer_id else StripeEvent.objects.all()
        return list(found.order_by("created", "id").values_list("id", "state"))


def letters(buyer: Buyer) -> list[dict[str, Any]]:
    return [one for one in buyer.stripe.deliveries() if one["state"] == "pending"]


def forget_letters(buyer: Buyer) -> None:
    buyer.stripe.world.kind("_delivery").clear()


def state(buyer: Buyer) -> tuple[Any, ...]:
    account, tenant = buyer.account, buyer.tenant
    invoices = [(one.id, one.status, one.total_usd) for one in buyer.invoices]
    return account.state, account.plan, account.period_start, tenant.plan, tenant.features, invoices


def test_events_that_come_five_times_reversed_and_late_leave_one_state(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    forget_letters(buyer)
    buyer.stripe.advance(seconds=31 * 86_400 + 7_200)
    buyer.stripe.client.v1.subscriptions.cancel(buyer.account.subscription_id)
    told = letters(buyer)
    assert len(told) > 3
    buyer.stripe.advance(seconds=3 * 86_400)

    for letter in reversed(told):
        for _ in range(5):
            assert buyer.post(letter).status == 200
        events.act(buyer.now + FAR)

    after = state(buyer)
    assert after[:2] == ("canceled", "pro")
    assert after[3] == "free"
    mine = kept(buyer.account.customer_id)
    assert len({event_id for event_id, _ in mine}) == len(mine)
    assert {kind for _, kind in mine} == {"done"}
    for letter in told:
        buyer.post(letter)
    events.act(buyer.now + FAR)
    assert state(buyer) == after


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "t=1,v1=00",
        "rubbish",
        "t=1,v1=\u00e9",
        lambda body: sign(body, "whsec_of_somebody_else"),
        lambda body: sign(body, WEBHOOK_SECRET, at=int(time.time()) - 301),
        lambda body: sign(body + " ", WEBHOOK_SECRET),
    ],
)
def test_what_stripe_did_not_sign_lately_is_refused_and_not_kept(buyer: Buyer, signature: Any) -> None:
    buyer.subscribe("pro")
    before = kept()
    body = '{"id": "evt_forged", "object": "event", "type": "invoice.paid"}'
    header = signature(body) if callable(signature) else signature

    answer = Api("")("POST", "/billing/webhook", raw=body.encode(), stripe_signature=header)

    assert answer.status == 400
    assert kept() == before


def sign(body: str, secret: str, *, at: int | None = None) -> str:
    header: str = stripe_package.WebhookSignature.generate_signature_header(body, secret, timestamp=at)
    return header


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[]", b"{", b'{"object": "customer"}'])
def test_a_signed_body_that_is_no_event_is_refused(buyer: Buyer, body: bytes) -> None:
    header = sign(body.decode("latin-1"), WEBHOOK_SECRET)

    assert Api("")("POST", "/billing/webhook", raw=body, stripe_signature=header).status == 400


def test_a_secret_can_follow_another(buyer: Buyer, settings: Any) -> None:
    buyer.subscribe("pro")
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", WEBHOOK_SECRET]
    buyer.stripe.client.v1.customers.update(buyer.account.customer_id, {"name": "N"})
    buyer.stripe.client.v1.subscriptions.cancel(buyer.account.subscription_id)

    assert {buyer.post(letter).status for letter in letters(buyer)} == {200}


def test_the_webhook_is_only_posted_to(buyer: Buyer) -> None:
    assert Api("").get("/billing/webhook").status == 405


def test_an_event_waits_while_stripe_is_away(buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> None:
    buyer.subscribe("pro")
    buyer.stripe.client.v1.subscriptions.cancel(buyer.account.subscription_id)
    for letter in letters(buyer):
        buyer.post(letter)
    buyer.stripe.fault("500", times=4, path="/v1/subscriptions")

    assert events.act(buyer.now + FAR) == 0
    assert buyer.tenant.plan == "pro"
    events.act(buyer.now + FAR + timedelta(hours=1))

    assert buyer.tenant.plan == "free"


def test_events_no_webhook_brought_are_fetched_by_night(buyer: Buyer) -> None:
    with as_owner():
        Cursor.objects.all().delete()  # that of a test before may lie in this one's future
    buyer.subscribe("pro")
    before = len(kept())
    buyer.stripe.client.v1.subscriptions.cancel(buyer.account.subscription_id)
    forget_letters(buyer)

    events.fetch(buyer.now)
    assert len(kept()) > before
    events.act(buyer.now + FAR)

    assert buyer.tenant.plan == "free"
    again = len(kept())
    events.fetch(buyer.now)
    assert len(kept()) == again


def test_a_customer_that_was_deleted_at_stripe_holds_up_no_other(buyer: Buyer, cast: Any) -> None:
    from billing import accounts
    from billing.models import BillingAccount

    buyer.subscribe("pro")
    gone = buyer.stripe.client.v1.customers.create({"email": "gone@example.test"}).id
    buyer.stripe.client.v1.customers.delete(gone)
    with as_tenant(cast.outsider.tenant_id):
        BillingAccount.objects.create(tenant_id=cast.outsider.tenant_id, customer_id=gone, state="active")

    assert accounts.sync_all(buyer.now) >= 1


def test_an_event_of_no_customer_of_ours_is_left_alone(buyer: Buyer) -> None:
    stranger = buyer.stripe.client.v1.customers.create({"email": "stranger@example.test"})
    event = {
        "id": "evt_strange",
        "object": "event",
        "type": "customer.subscription.updated",
        "created": buyer.stripe.now(),
        "data": {"object": {"object": "subscription", "id": "sub_x", "customer": stranger.id}},
    }
    events.event_keep(event)

    events.act(buyer.now + FAR)

    assert dict(kept())["evt_strange"] == "ignored"


def test_an_operator_can_have_an_event_acted_on_again(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    (event_id, done), *_ = kept()
    assert done == "done"

    events.event_again(event_id=event_id, now=buyer.now)

    assert dict(kept())[event_id] == "waiting"


def test_the_app_may_not_read_what_stripe_told(buyer: Buyer) -> None:
    from django.db import ProgrammingError, connection

    buyer.subscribe("pro")

    with pytest.raises(ProgrammingError), as_tenant(buyer.tenant_id), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM stripe_event")


def test_an_invoice_that_cannot_be_finished_is_an_alert_until_it_is(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.stripe.world.kind("invoice")[buyer.invoices[0].id] |= {
        "status": "draft",
        "last_finalization_error": {"message": "The address is not known."},
    }
    buyer.hear()
    assert _alerts(buyer) == ["finalization_failed"]

    buyer.stripe.world.kind("invoice")[buyer.invoices[0].id]["status"] = "paid"
    buyer.hear()

    assert _alerts(buyer) == []


def _alerts(buyer: Buyer) -> list[str]:
    with as_tenant(buyer.tenant_id):
        return list(BillingAlert.objects.filter(resolved_at=None).values_list("kind", flat=True))
