"""Is nobody billed who was erased?"""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing import stripe_api
from billing.models import StripeEvent
from tenants import erasure
from tenants.audit import Actor
from tenants.isolation import as_owner
from tests.billing.buying import Buyer
from tests.conftest import Cast
from tests.rows import rows_of


@pytest.fixture
def buyer(emulated_buyer: Buyer) -> Buyer:
    return emulated_buyer


def erase(buyer: Buyer) -> bool:
    erasure.erasure_ask(
        tenant_id=buyer.tenant_id, actor=buyer.actor, now=timezone.now() - erasure.HOLD - timedelta(hours=1)
    )
    return erasure.run_due(timezone.now()) == 1


def test_its_subscription_ends_with_the_period_and_its_events_go(buyer: Buyer) -> None:
    buyer.subscribe("pro")
    buyer.hear()
    subscription_id, customer_id = buyer.account.subscription_id, buyer.account.customer_id
    with as_owner():
        assert StripeEvent.objects.filter(customer_id=customer_id).exists()

    assert erase(buyer)

    left = buyer.stripe.client.v1.subscriptions.retrieve(subscription_id)
    assert left.cancel_at_period_end
    assert rows_of(buyer.tenant_id) == {}
    with as_owner():
        assert not StripeEvent.objects.filter(customer_id=customer_id).exists()


def test_while_stripe_does_not_answer_nothing_is_erased(buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> None:
    buyer.subscribe("pro")
    buyer.hear()
    before = rows_of(buyer.tenant_id)["data_key"]
    with monkeypatch.context() as away:
        away.setattr("django.conf.settings.STRIPE_API_BASE", "http://127.0.0.1:1")
        stripe_api.close()
        assert not erase(buyer)
        assert rows_of(buyer.tenant_id)["data_key"] == before
    stripe_api.close()

    assert erasure.run_due(timezone.now()) == 1
    assert rows_of(buyer.tenant_id) == {}


def test_who_never_bought_anything_is_erased_without_stripe(cast: Cast) -> None:
    erasure.erasure_ask(tenant_id=cast.outsider.tenant_id, actor=Actor("operator"), now=timezone.now() - erasure.HOLD)

    assert erasure.run_due(timezone.now()) == 1
    assert rows_of(cast.outsider.tenant_id) == {}
