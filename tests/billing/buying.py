"""A tenant that buys, and the time that passes for it here and at Stripe."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F

from billing import accounts, events, limits, metering, stripe_api
from billing.catalogue import price_key, usage_key
from billing.models import BillingAccount, Invoice
from cache_api.models import LATENCY_BUCKETS, UsageDay, UsageHour
from tenants.audit import Actor
from tenants.isolation import as_owner, as_tenant
from tenants.models import Tenant
from tests.api.conftest import Answer, Api
from tests.billing.sandbox import Sandbox
from tests.stripe_emulator.fixtures import Handle


@dataclass
class Buyer:
    tenant_id: UUID
    project_id: UUID
    user_id: UUID
    stripe: Handle | Sandbox

    @property
    def actor(self) -> Actor:
        return Actor("person", self.user_id)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.stripe.now(), UTC)

    @property
    def tenant(self) -> Tenant:
        with as_tenant(self.tenant_id):
            return Tenant.objects.get(id=self.tenant_id)

    @property
    def account(self) -> BillingAccount:
        return accounts.account_of(tenant_id=self.tenant_id)

    @property
    def invoices(self) -> list[Invoice]:
        """Oldest first."""
        with as_tenant(self.tenant_id):
            return list(Invoice.objects.filter(tenant_id=self.tenant_id).order_by("created_at", "period_end"))

    def wait(self, *, until: datetime | None = None, **span: float) -> datetime:
        """Stripe does what is due until then, and its webhooks arrive."""
        moment = until or self.now + timedelta(**span)
        self.stripe.advance(to=int(moment.timestamp()))
        self.hear()
        return moment

    def hear(self) -> None:
        if isinstance(self.stripe, Handle):
            for delivery in self.stripe.deliveries():
                if delivery["state"] == "pending":
                    assert self.post(delivery).status == 200
            self.stripe.world.kind("_delivery").clear()
        events.act(self.now + timedelta(days=3650))  # Whatever waits: the row's own time is the wall clock's.
        limits.apply_due(self.now)
        accounts.account_sync(tenant_id=self.tenant_id, now=self.now)

    def post(self, delivery: dict[str, Any], **other: Any) -> Answer:
        signature = delivery["headers"]["Stripe-Signature"]
        sent = {"raw": delivery["body"].encode(), "stripe_signature": signature, **other}
        return Api("")("POST", "/billing/webhook", **sent)

    def card(self, name: str = "pm_card_visa") -> None:
        client, customer = self.stripe.client, self.account.customer_id
        card = client.v1.payment_methods.attach(name, {"customer": customer})
        client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": card.id}})

    def subscribe(self, plan: str, *, card: str | None = "pm_card_visa", trial_days: int = 0) -> None:
        """As its checkout would."""
        if not self.account.customer_id:
            clock = {"test_clock": self.stripe.clock_id} if isinstance(self.stripe, Sandbox) else {}
            made = self.stripe.client.v1.customers.create({"email": "owner@example.test", **clock})
            with as_tenant(self.tenant_id):
                BillingAccount.objects.filter(tenant_id=self.tenant_id).update(customer_id=made.id)
        if card:
            self.card(card)
        prices = stripe_api.price_ids()
        params: dict[str, Any] = {
            "customer": self.account.customer_id,
            "items": [{"price": prices[price_key(plan)], "quantity": 1}, {"price": prices[usage_key(plan)]}],
            "billing_mode": {"type": "flexible"},
            "metadata": {"tenant_id": str(self.tenant_id)},
        }
        if trial_days:
            params["trial_period_days"] = trial_days
            params["trial_settings"] = {"end_behavior": {"missing_payment_method": "pause"}}
        self.stripe.client.v1.subscriptions.create(params)
        self.hear()

    def use(self, requests: int, *, at: datetime | None = None) -> None:
        """So many billable ones, in the books as accounting leaves them."""
        hour = metering.hour_of(at or self.now)
        none = [0] * LATENCY_BUCKETS
        counts = ("calls", "exact_hits", "semantic_hits", "synthesized_hits", "misses", "bypasses", "blocked")
        others = ("unpriced", "estimated", "in_total", "in_cached", "out_total", "tokens_saved")
        figures = dict.fromkeys((*counts, *others, "cost_usd", "saved_usd", "fee_usd"), 0)
        figures |= {"calls": requests, "misses": requests, "billable": requests}
        figures |= {"tenant_id": self.tenant_id, "project_id": self.project_id, "key_id": UUID(int=7), "task": ""}
        figures |= {"provider": "openai", "model": "gpt-5", "hit_latency": none, "miss_latency": none}
        with as_owner():
            UsageHour.objects.create(hour=hour, **figures)
            day = UsageDay.objects.filter(tenant_id=self.tenant_id, day=hour.date())
            if not day.update(**{name: F(name) + requests for name in ("calls", "misses", "billable")}):
                UsageDay.objects.create(day=hour.date(), **figures)

    def push(self) -> int:
        return metering.push(tenant_id=self.tenant_id, now=self.now)
