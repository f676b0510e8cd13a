"""What can a tenant change about its plan?

Each of these talks to Stripe, reads back what came of it, and tells the audit trail: call them outside a transaction.
Every change carries a key made of the tenant, the change and the number of changes so far: done again by somebody who
heard no answer, it is the same change.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F

from billing import metering, stripe_api
from billing.accounts import account_of, account_sync
from billing.catalogue import PORTAL_METADATA, price_key, usage_key
from billing.errors import BillingRefused
from billing.limits import write_limits
from billing.mirroring import NEXT_PLAN, certain_time, usd
from billing.models import BillingAccount, Subscription
from billing.plans import ENDED, FREE, PLANS, RANK, TRIAL_DAYS
from tenants import audit
from tenants.audit import Actor
from tenants.isolation import as_tenant


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """What an upgrade takes now."""

    lines: tuple[Line, ...]
    total_usd: Decimal
    period_end: datetime | None


def checkout_start(*, tenant_id: UUID, plan: str, email: str, return_url: str, actor: Actor) -> str:
    """Where to pay."""
    _must_be_sold(plan)
    account = account_of(tenant_id=tenant_id)
    if account.state and account.state not in ENDED:
        raise BillingRefused("subscribed", "There is a subscription already: change it instead.")

    account = _with_customer(account, email)
    prices = stripe_api.price_ids()
    params = {
        "mode": "subscription",
        "ui_mode": "hosted_page",
        "customer": account.customer_id,
        "client_reference_id": str(tenant_id),
        "line_items": [
            {"price": _price(prices, price_key(plan)), "quantity": 1},
            {"price": _price(prices, usage_key(plan))},
        ],
        "subscription_data": {
            "metadata": {"tenant_id": str(tenant_id)},
            "billing_mode": {"type": "flexible"},
            **({} if account.trial_used else _TRIAL),
        },
        "payment_method_collection": "if_required",
        "automatic_tax": {"enabled": True},
        "tax_id_collection": {"enabled": True},
        "customer_update": {"address": "auto", "name": "auto"},
        "success_url": f"{return_url}?cs={{CHECKOUT_SESSION_ID}}",
        "cancel_url": return_url,
    }
    with as_tenant(tenant_id):
        BillingAccount.objects.filter(tenant_id=tenant_id).update(checkouts=F("checkouts") + 1)
        account.refresh_from_db(fields=["checkouts", "checkout_id"])
    _close_checkout(account)
    session = stripe_api.checkout_create(params, key=f"{tenant_id}:checkout:{account.checkouts}")
    with as_tenant(tenant_id):
        BillingAccount.objects.filter(tenant_id=tenant_id).update(checkout_id=session["id"])
        audit.record(tenant_id=tenant_id, actor=actor, action="plan.checkout_started", target=plan)
    return str(session["url"])


def checkout_finish(*, tenant_id: UUID, now: datetime) -> None:
    """Back from Stripe: the page need not wait for the webhook."""
    account_sync(tenant_id=tenant_id, now=now)


def portal_start(*, tenant_id: UUID, return_url: str) -> str:
    """Where cards, addresses, tax ids and invoices are."""
    account = account_of(tenant_id=tenant_id)
    if not account.customer_id:
        raise BillingRefused("no_customer", "Nothing was bought yet.")
    for found in stripe_api.parts("billing_portal.configurations", {"active": True}):
        if found["metadata"].items() >= PORTAL_METADATA.items():
            session = stripe_api.portal_create(
                customer_id=account.customer_id, configuration=found["id"], return_url=return_url
            )
            return str(session["url"])
    raise BillingRefused("no_catalogue", "Run manage.py stripe_setup: there is no portal yet.")


def upgrade_preview(*, tenant_id: UUID, plan: str, now: datetime) -> Preview:
    account, subscription = _open(tenant_id, now)
    _must_be_higher(account, plan)
    return _preview(account, subscription, plan)


def upgrade_now(*, tenant_id: UUID, plan: str, actor: Actor, now: datetime) -> str:
    """Empty when it is done, else where the payment has to be confirmed: until then the old plan goes on."""
    account, subscription = _open(tenant_id, now)
    _must_be_higher(account, plan)
    return _change_now(account, subscription, plan, actor, now)


def plan_preview(*, tenant_id: UUID, plan: str, now: datetime) -> Preview:
    """As upgrade_preview; an operator may also go down at once."""
    account, subscription = _open(tenant_id, now)
    _must_be_sold(plan)
    return _preview(account, subscription, plan)


def plan_change_now(*, tenant_id: UUID, plan: str, actor: Actor, now: datetime) -> str:
    """As upgrade_now; an operator may also go down at once, and what was paid for is given back as credit."""
    account, subscription = _open(tenant_id, now)
    _must_be_sold(plan)
    return _change_now(account, subscription, plan, actor, now)


def downgrade_at_period_end(*, tenant_id: UUID, plan: str, actor: Actor, now: datetime) -> bool:
    """True if it applies at once: in a trial."""
    if plan == FREE:
        cancel_at_period_end(tenant_id=tenant_id, actor=actor, now=now)
        return False

    account, subscription = _open(tenant_id, now)
    _must_be_sold(plan)
    if RANK[plan] >= RANK.get(account.plan, 0):
        raise BillingRefused("not_lower", "This is no smaller plan.")
    _undo(account)
    at_once = account.state == "trialing"
    if at_once:  # Nothing is paid yet: there is no period to wait for.
        params = {"items": _items_changed(subscription, plan), "proration_behavior": "none"}
        with _attempt(account):
            stripe_api.subscription_update(subscription.id, params, key=_key(account, f"downgrade:{plan}"))
    else:
        _schedule(account, subscription, plan)
    _changed(account, actor, "plan.changed" if at_once else "plan.downgrade_planned", plan, now)
    return at_once


def cancel_at_period_end(*, tenant_id: UUID, actor: Actor, now: datetime) -> None:
    account, subscription = _open(tenant_id, now)
    _undo(account)
    with _attempt(account):
        stripe_api.subscription_update(subscription.id, {"cancel_at_period_end": True}, key=_key(account, "cancel"))
    _changed(account, actor, "plan.cancel_planned", FREE, now)


def change_undo(*, tenant_id: UUID, actor: Actor, now: datetime) -> None:
    """Take back a planned downgrade or cancellation."""
    account, _ = _open(tenant_id, now)
    _undo(account)
    _changed(account, actor, "plan.change_undone", account.plan, now)


def resume(*, tenant_id: UUID, actor: Actor, now: datetime) -> None:
    """A trial that ended without a card goes on as a plan that is paid."""
    account, subscription = _open(tenant_id, now)
    if account.state != "paused":
        raise BillingRefused("not_paused", "The subscription is not paused.")
    with _attempt(account):
        stripe_api.subscription_resume(subscription.id, key=_key(account, "resume"))
    _changed(account, actor, "plan.resumed", account.plan, now)


def spend_cap_set(*, tenant_id: UUID, usd: Decimal | None, actor: Actor, now: datetime) -> None:
    """How much overage a period may cost; None: as much as the plan itself."""
    if usd is not None and usd < 0:
        raise BillingRefused("bad_cap", "A spend cap is 0 or more.")
    account_of(tenant_id=tenant_id)
    with as_tenant(tenant_id):
        account = BillingAccount.objects.select_for_update().get(tenant_id=tenant_id)
        before = account.overage_cap_usd
        account.overage_cap_usd = usd
        account.save(update_fields=["overage_cap_usd"])
        told = [None if cap is None else str(cap) for cap in (before, usd)]
        audit.record(tenant_id=tenant_id, actor=actor, action="plan.spend_cap_set", diff={"usd": told})
        write_limits(account, now, actor)


def _open(tenant_id: UUID, now: datetime) -> tuple[BillingAccount, Subscription]:
    """As Stripe has it this moment: what is changed must not be a guess."""
    account_sync(tenant_id=tenant_id, now=now)
    with as_tenant(tenant_id):
        account = BillingAccount.objects.filter(tenant_id=tenant_id).first()
        if account is None or not account.subscription_id or account.state in ENDED:
            raise BillingRefused("no_subscription", "There is no subscription to change.")
        return account, Subscription.objects.get(tenant_id=tenant_id, id=account.subscription_id)


def _must_be_sold(plan: str) -> None:
    if plan not in PLANS or not PLANS[plan].is_sold:
        raise BillingRefused("not_sold", "This plan cannot be bought here.")


def _must_be_higher(account: BillingAccount, plan: str) -> None:
    _must_be_sold(plan)
    if RANK[plan] <= RANK.get(account.plan, 0):
        raise BillingRefused("not_higher", "This is no larger plan.")


def _preview(account: BillingAccount, subscription: Subscription, plan: str) -> Preview:
    if account.state == "trialing":  # Asked for a preview, Stripe would show the invoice at the trial's end.
        return Preview((), Decimal(0), account.trial_ends_at)
    details: dict[str, Any] = {"items": _items_changed(subscription, plan), **_switch(account)}
    seen = stripe_api.invoice_preview({"subscription": subscription.id, "subscription_details": details})
    lines = tuple(Line(line["description"] or "", usd(line["amount"])) for line in seen["lines"]["data"])
    ends = [line["period"]["end"] for line in seen["lines"]["data"]]
    return Preview(lines, usd(seen["amount_due"]), certain_time(max(ends)) if ends else None)


def _change_now(account: BillingAccount, subscription: Subscription, plan: str, actor: Actor, now: datetime) -> str:
    _undo(account)
    params: dict[str, Any] = {"items": _items_changed(subscription, plan), "expand": ["latest_invoice"]}
    params |= _switch(account)
    if account.state != "trialing":
        # What was used up to now belongs on the invoice this makes.
        metering.push(tenant_id=account.tenant_id, now=now, all_hours=True)
        params["payment_behavior"] = "pending_if_incomplete"
    with _attempt(account):
        seen = stripe_api.subscription_update(subscription.id, params, key=_key(account, f"change:{plan}"))
    _changed(account, actor, "plan.changed", plan, now)
    if seen.get("pending_update") is None:
        return ""
    return str((seen["latest_invoice"] or {}).get("hosted_invoice_url") or "")


def _switch(account: BillingAccount) -> dict[str, Any]:
    """A larger plan starts its period now; in a trial nothing is paid, and the trial goes on."""
    if account.state == "trialing":
        return {"proration_behavior": "none"}
    return {"billing_cycle_anchor": {"type": "now"}, "proration_behavior": "always_invoice"}


def _items_changed(subscription: Subscription, plan: str) -> list[dict[str, Any]]:
    prices = stripe_api.price_ids()
    wanted = {False: _price(prices, price_key(plan)), True: _price(prices, usage_key(plan))}
    return [{"id": item["id"], "price": wanted[item["metered"]]} for item in subscription.items]


def _schedule(account: BillingAccount, subscription: Subscription, plan: str) -> None:
    prices = stripe_api.price_ids()
    with _attempt(account):
        made = stripe_api.schedule_create(subscription.id, key=_key(account, f"schedule:{plan}"))
    current = made["phases"][0]
    phases = [
        {
            "items": [_phase_item(item["price"], metered=item["metered"]) for item in subscription.items],
            "start_date": current["start_date"],
            "end_date": current["end_date"],
        },
        {
            "items": [
                _phase_item(_price(prices, price_key(plan)), metered=False),
                _phase_item(_price(prices, usage_key(plan)), metered=True),
            ],
            "duration": {"interval": "month", "interval_count": 1},
            "metadata": {NEXT_PLAN: plan},
        },
    ]
    params = {"end_behavior": "release", "proration_behavior": "none", "phases": phases}
    with _attempt(account):
        stripe_api.schedule_update(made["id"], params, key=_key(account, f"phases:{plan}"))


def _phase_item(price: str, *, metered: bool) -> dict[str, Any]:
    return {"price": price} if metered else {"price": price, "quantity": 1}


def _undo(account: BillingAccount) -> None:
    """Nothing is planned any more."""
    with _attempt(account):
        if account.schedule_id:
            stripe_api.schedule_release(account.schedule_id, key=_key(account, f"release:{account.schedule_id}"))
        elif account.cancels_at is not None:
            params = {"cancel_at_period_end": False}
            stripe_api.subscription_update(account.subscription_id, params, key=_key(account, "keep"))


def _with_customer(account: BillingAccount, email: str) -> BillingAccount:
    """What is asked of Stripe is written down first: asked again with another mail, the key would be refused."""
    if account.customer_id:
        return account
    tenant_id = account.tenant_id
    with as_tenant(tenant_id):
        BillingAccount.objects.filter(tenant_id=tenant_id, email="").update(email=email)
        account.refresh_from_db(fields=["email"])
    made = stripe_api.customer_create(email=account.email, tenant_id=str(tenant_id), key=f"{tenant_id}:customer")
    with as_tenant(tenant_id):
        BillingAccount.objects.filter(tenant_id=tenant_id, customer_id="").update(customer_id=made["id"])
        account.refresh_from_db()
    return account


def _close_checkout(account: BillingAccount) -> None:
    if account.checkout_id:
        try:
            stripe_api.checkout_expire(account.checkout_id)
        except BillingRefused:
            return  # It is over already.


@contextmanager
def _attempt(account: BillingAccount) -> Iterator[None]:
    """Stripe keeps a refusal under its key as it keeps an answer: the next attempt needs another."""
    try:
        yield
    except BillingRefused:
        with as_tenant(account.tenant_id):
            BillingAccount.objects.filter(tenant_id=account.tenant_id).update(changes=F("changes") + 1)
        raise


def _changed(account: BillingAccount, actor: Actor, action: str, target: str, now: datetime) -> None:
    with as_tenant(account.tenant_id):
        BillingAccount.objects.filter(tenant_id=account.tenant_id).update(changes=F("changes") + 1)
        audit.record(tenant_id=account.tenant_id, actor=actor, action=action, target=target)
    account_sync(tenant_id=account.tenant_id, now=now, actor=actor)


def _key(account: BillingAccount, change: str) -> str:
    return f"{account.tenant_id}:{change}:{account.changes}"


def _price(prices: Any, lookup_key: str) -> str:
    if lookup_key not in prices:
        raise BillingRefused("no_catalogue", "Run manage.py stripe_setup: there are no prices yet.")
    return str(prices[lookup_key])


_TRIAL = {
    "trial_period_days": TRIAL_DAYS,
    "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
}
