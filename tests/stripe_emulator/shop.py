"""What is sold in the emulator's own tests, and who buys it?"""

from dataclasses import dataclass
from itertools import count
from typing import Any

import stripe

from .fixtures import Handle

ACCEPTED, DECLINED_LATER = "pm_card_visa", "pm_card_chargeCustomerFail"
URL = "http://127.0.0.1:9/billing"
_numbers = count()


@dataclass
class Shop:
    stripe: Handle
    meter: str
    prices: dict[str, str]

    @classmethod
    def opened(cls, handle: Handle) -> "Shop":
        v1 = handle.client.v1
        meter = v1.billing.meters.create(
            {"display_name": "Requests", "event_name": "requests", "default_aggregation": {"formula": "sum"}}
        )
        shop = cls(handle, meter.id, {})
        shop._plan("pro", 2900, 100_000, [{"up_to": "inf", "unit_amount_decimal": "0.008"}])
        more = [
            {"up_to": 10_000_000, "unit_amount_decimal": "0.006"},
            {"up_to": "inf", "unit_amount_decimal": "0.004"},
        ]
        shop._plan("team", 19_900, 1_000_000, more)
        return shop

    @property
    def v1(self) -> Any:
        return self.stripe.client.v1

    def customer(self, card: str | None = ACCEPTED, **params: Any) -> stripe.Customer:
        made = self.v1.customers.create({"email": "buyer@example.test", **params})
        if card:
            self.card(made.id, card)
        return made

    def card(self, customer: str, card: str) -> str:
        method = self.v1.payment_methods.attach(card, {"customer": customer}).id
        self.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
        return str(method)

    def subscribe(self, customer: str, plan: str = "pro", **params: Any) -> Any:
        return self.v1.subscriptions.create({"customer": customer, "items": self.items(plan), **params})

    def items(self, plan: str) -> list[dict[str, Any]]:
        return [{"price": self.prices[plan]}, {"price": self.prices[f"{plan}.requests"]}]

    def switched(self, subscription: Any, plan: str) -> list[dict[str, Any]]:
        ids = [item.id for item in subscription["items"].data]
        return [{"id": item, **new} for item, new in zip(ids, self.items(plan), strict=True)]

    def use(self, customer: str, requests: int, *, at: int | None = None) -> None:
        self.v1.billing.meter_events.create(
            {
                "event_name": "requests",
                "identifier": f"use-{next(_numbers)}",
                "timestamp": at or self.stripe.now(),
                "payload": {"stripe_customer_id": customer, "value": str(requests)},
            }
        )

    def checkout(self, customer: str, **params: Any) -> Any:
        return self.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "customer": customer,
                "line_items": [{"price": self.prices["pro"], "quantity": 1}, {"price": self.prices["pro.requests"]}],
                "success_url": URL + "?cs={CHECKOUT_SESSION_ID}",
                "cancel_url": URL,
                **params,
            }
        )

    def invoices(self, customer: str) -> list[Any]:
        """Oldest first."""
        return list(reversed(self.v1.invoices.list({"customer": customer, "limit": 100}).data))

    def again(self, subscription: Any) -> Any:
        return self.v1.subscriptions.retrieve(subscription.id)

    def _plan(self, name: str, cents: int, included: int, more: list[dict[str, Any]]) -> None:
        product = self.v1.products.create({"id": f"plan_{name}", "name": name.title()}).id
        month: Any = {"product": product, "currency": "usd", "tax_behavior": "exclusive"}
        flat = {**month, "unit_amount": cents, "recurring": {"interval": "month"}, "lookup_key": name}
        used = {
            **month,
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [{"up_to": included, "unit_amount": 0}, *more],
            "recurring": {"interval": "month", "usage_type": "metered", "meter": self.meter},
            "lookup_key": f"{name}.requests",
        }
        self.prices[name] = self.v1.prices.create(flat).id
        self.prices[f"{name}.requests"] = self.v1.prices.create(used).id
