"""What does Stripe say of a tenant now?

The mirror is overwritten whole from what Stripe answers, never from what an event tells: so order and number of events
do not matter. No transaction is held while Stripe is asked. Instead the account has a version: whoever finds that
another wrote in between asks again, and what was read first is never written last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import zip_longest
from typing import Any
from uuid import UUID

from django.db.models import F

from billing import mirroring, stripe_api
from billing.alerts import alert, each, resolve
from billing.errors import BillingUnavailable
from billing.limits import write_limits
from billing.models import BillingAccount, BillingPeriod, Invoice, Subscription
from billing.plans import ENDED
from tenants.audit import SYSTEM, Actor
from tenants.isolation import as_owner, as_tenant

TURNS_WITHIN = timedelta(hours=1)  # Stripe may turn a period a little after its end.
ATTEMPTS = 5  # Each lost one means that another wrote something newer.


@dataclass(frozen=True, slots=True)
class Whole:
    """All that Stripe says of a customer."""

    subscriptions: Sequence[Subscription]
    invoices: Sequence[Invoice]
    entitlements: Sequence[str]
    schedule: dict[str, Any] | None
    schedule_id: str


def account_of(*, tenant_id: UUID) -> BillingAccount:
    """It is made by the first look."""
    with as_tenant(tenant_id):
        return BillingAccount.objects.get_or_create(tenant_id=tenant_id)[0]


def tenant_of(customer_id: str) -> UUID | None:
    with as_owner():
        return BillingAccount.objects.filter(customer_id=customer_id).values_list("tenant_id", flat=True).first()


def account_sync(*, tenant_id: UUID, now: datetime, actor: Actor = SYSTEM) -> None:
    """Read everything from Stripe, and write it down. Raises BillingError."""
    for _ in range(ATTEMPTS):
        account = account_of(tenant_id=tenant_id)
        if not account.customer_id:
            return
        whole = _read(tenant_id, account.customer_id)
        with as_tenant(tenant_id):
            locked = BillingAccount.objects.select_for_update().get(tenant_id=tenant_id)
            if locked.version == account.version:
                _write(locked, whole, now)
                write_limits(locked, now, actor)
                return
    raise BillingUnavailable


def sync_turned(now: datetime) -> int:
    """Those whose period is over, if no event said so: usage needs to know the next one. Raises BillingError."""
    with as_owner():
        ended = BillingAccount.objects.filter(period_end__lte=now, state__in=("trialing", "active", "past_due"))
        due = list(ended.filter(synced_at__lt=F("period_end") + TURNS_WITHIN).values_list("tenant_id", flat=True))
    return each(due, partial(_synced, now=now), now=now)


def sync_all(now: datetime) -> int:
    """Every customer with a subscription at Stripe, and every one that had some; how many. Raises BillingError."""
    subscribed = {mirroring.id_of(one["customer"]) for one in stripe_api.subscriptions()}
    with as_owner():
        accounts = BillingAccount.objects.exclude(customer_id="")
        ours = dict(accounts.values_list("customer_id", "tenant_id"))
        bought = set(accounts.exclude(state="").values_list("customer_id", flat=True))
    due = [tenant_id for customer_id, tenant_id in ours.items() if customer_id in subscribed | bought]
    return each(due, partial(_synced, now=now), now=now)


def _synced(tenant_id: UUID, *, now: datetime) -> int:
    account_sync(tenant_id=tenant_id, now=now)
    return 1


def _read(tenant_id: UUID, customer_id: str) -> Whole:
    seen = stripe_api.subscriptions_of(customer_id)
    rows = [mirroring.subscription_row(tenant_id, one) for one in seen]
    main = mirroring.governing(rows)
    schedule_id = next((mirroring.id_of(one["schedule"]) for one in seen if main and one["id"] == main.id), "")
    return Whole(
        subscriptions=rows,
        invoices=[mirroring.invoice_row(tenant_id, one) for one in stripe_api.invoices_of(customer_id)],
        entitlements=stripe_api.entitlements_of(customer_id),
        schedule=stripe_api.schedule(schedule_id) if schedule_id else None,
        schedule_id=schedule_id,
    )


def _write(account: BillingAccount, whole: Whole, now: datetime) -> None:
    _overwrite(Subscription, account.tenant_id, whole.subscriptions)
    _overwrite(Invoice, account.tenant_id, whole.invoices)
    main = mirroring.governing(whole.subscriptions)
    if main is not None:
        account.subscription_id, account.state, account.plan = main.id, main.state, main.plan
        account.period_start, account.period_end = main.period_start, main.ended_at or main.period_end
        account.trial_ends_at = main.trial_end if main.state == "trialing" else None
        account.trial_used = account.trial_used or main.trial_end is not None
        account.cancels_at = None if main.state in ENDED else main.cancels_at
        account.past_due_since = mirroring.past_due_since(main, whole.invoices)
    account.schedule_id = whole.schedule_id
    account.next_plan = mirroring.next_plan(whole.schedule)
    account.entitlements = list(whole.entitlements)
    paid = [one.paid_at for one in whole.invoices if one.paid_at is not None and one.amount_paid_usd > 0]
    account.converted_at = min(paid, default=None)
    account.version += 1
    account.synced_at = now
    account.save()
    _keep_periods(account, whole)
    _tell(account, whole, now)


def _overwrite(model: type[Subscription] | type[Invoice], tenant_id: UUID, rows: Sequence[Any]) -> None:
    """Few rows a tenant: all anew costs less than finding what differs."""
    model.objects.filter(tenant_id=tenant_id).delete()
    model.objects.bulk_create(rows)


def _keep_periods(account: BillingAccount, whole: Whole) -> None:
    """Periods stay when Stripe is long in the next one: usage may still belong there."""
    for subscription in whole.subscriptions:
        period = mirroring.period_row(subscription)
        if period is not None:
            BillingPeriod.objects.update_or_create(
                tenant_id=account.tenant_id,
                start=period.start,
                defaults={
                    "end": period.end,
                    "subscription_id": period.subscription_id,
                    "plan": period.plan,
                    "metered": period.metered,
                },
            )
    periods = list(BillingPeriod.objects.filter(tenant_id=account.tenant_id).order_by("start"))
    followed_at = [period.start for period in periods[1:]]
    for period, following in zip_longest(periods, followed_at):
        ends = min(period.end, following or period.end)
        final = period.final or mirroring.is_final(period, ends, whole.invoices)
        BillingPeriod.objects.filter(tenant_id=account.tenant_id, start=period.start).update(end=ends, final=final)


def _tell(account: BillingAccount, whole: Whole, now: datetime) -> None:
    open_ones = [one.id for one in whole.subscriptions if one.state not in {*ENDED, "incomplete"}]
    stuck = {one.id: one.problem for one in whole.invoices if one.problem}
    unknown = [one.id for one in whole.subscriptions if one.state not in ENDED and not one.plan]
    found = {
        "two_subscriptions": {account.customer_id: ", ".join(open_ones)} if len(open_ones) > 1 else {},
        "finalization_failed": stuck,
        "unknown_plan": dict.fromkeys(unknown, "no product of the catalogue, no plan in its metadata"),
    }
    for kind, subjects in found.items():
        resolve(tenant_id=account.tenant_id, kind=kind, now=now, but=list(subjects))
        for subject, problem in subjects.items():
            alert(tenant_id=account.tenant_id, kind=kind, subject=subject, detail={"problem": problem}, now=now)
