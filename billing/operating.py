"""What may an operator do for a tenant?

Each act has a reason, which goes to the tenant's audit trail with what was done. Those that talk to Stripe are called
outside a transaction.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import F

from billing import metering, stripe_api
from billing.accounts import account_of, account_sync
from billing.alerts import alert, each, resolve
from billing.errors import BillingRefused
from billing.limits import FEATURES, LIMITS, write_limits
from billing.mirroring import CENTS, id_of
from billing.models import BillingAccount, BillingAlert, Credit, Grant, MeterPush
from billing.plans import ENDED, FREE, PLANS
from tenants import audit
from tenants.audit import Actor
from tenants.isolation import as_owner, as_tenant
from tenants.models import Tenant

REMEMBERED = timedelta(hours=20)  # An idempotency key, with time to spare.


def plan_set(*, tenant_id: UUID, plan: str, reason: str, actor: Actor, now: datetime) -> None:
    """Whatever was bought; the empty plan gives the word back to Stripe."""
    if plan and plan not in PLANS:
        raise BillingRefused("unknown_plan", "There is no such plan.")
    account_of(tenant_id=tenant_id)
    with as_tenant(tenant_id):
        account = BillingAccount.objects.select_for_update().get(tenant_id=tenant_id)
        told = {"plan": [account.plan_given, plan], "reason": reason}
        if account.plan_given and not plan and not account.state:  # Nothing was bought to go back to.
            Tenant.objects.filter(id=tenant_id).update(plan=FREE)
        account.plan_given = plan
        account.save(update_fields=["plan_given"])
        audit.record(tenant_id=tenant_id, actor=actor, action="plan.given", target=plan, diff=told)
        write_limits(account, now, actor)


def grant_give(
    *,
    tenant_id: UUID,
    name: str,
    value: int | None,
    until: datetime | None,
    reason: str,
    actor: Actor,
    now: datetime,
) -> UUID:
    """A feature, without a value; or a limit of at least `value`. Without `until` it has no end."""
    if name not in FEATURES | LIMITS or (name in LIMITS) != (value is not None):
        raise BillingRefused("unknown_grant", "Grant a feature, or a limit with its value.")
    if until is not None and until <= now:
        raise BillingRefused("past", "A grant ends in the future.")
    account_of(tenant_id=tenant_id)
    with as_tenant(tenant_id):
        account = BillingAccount.objects.select_for_update().get(tenant_id=tenant_id)
        grant = Grant.objects.create(
            tenant_id=tenant_id, name=name, value=value, until=until, reason=reason, created_at=now
        )
        told = {"value": value, "until": until and until.isoformat(), "reason": reason}
        audit.record(tenant_id=tenant_id, actor=actor, action="grant.given", target=name, diff=told)
        write_limits(account, now, actor)
    return grant.id


def grant_revoke(*, tenant_id: UUID, grant_id: UUID, reason: str, actor: Actor, now: datetime) -> None:
    with as_tenant(tenant_id):
        account = BillingAccount.objects.select_for_update().get(tenant_id=tenant_id)
        grant = Grant.objects.filter(tenant_id=tenant_id, id=grant_id, revoked_at=None).first()
        if grant is None:
            raise BillingRefused("no_grant", "There is no such grant.")
        Grant.objects.filter(tenant_id=tenant_id, id=grant_id).update(revoked_at=now)
        told = {"reason": reason}
        audit.record(tenant_id=tenant_id, actor=actor, action="grant.revoked", target=grant.name, diff=told)
        write_limits(account, now, actor)


def credit_give(*, tenant_id: UUID, usd: Decimal, reason: str, actor: Actor, now: datetime) -> UUID:
    """Off the next invoice; in whole cents."""
    if usd <= 0 or usd != usd.quantize(Decimal("0.01")):
        raise BillingRefused("bad_amount", "A credit is above 0, in whole cents.")
    if not stripe_api.is_on() or not account_of(tenant_id=tenant_id).customer_id:
        raise BillingRefused("no_customer", "Nothing was bought yet.")
    with as_tenant(tenant_id):
        credit = Credit.objects.create(tenant_id=tenant_id, amount_usd=usd, reason=reason, created_at=now)
        told = {"usd": str(usd), "reason": reason}
        audit.record(tenant_id=tenant_id, actor=actor, action="credit.given", target=str(credit.id), diff=told)
    _credit_send(credit)
    return credit.id


def credits_send(now: datetime) -> int:
    """Those that Stripe never confirmed; how many it did now. Raises BillingError."""
    with as_owner():
        unconfirmed = list(Credit.objects.filter(transaction_id=""))
    again = [credit for credit in unconfirmed if now < credit.created_at + REMEMBERED]
    for credit in unconfirmed:
        if credit not in again:
            with as_tenant(credit.tenant_id):
                detail = {"usd": str(credit.amount_usd), "problem": "look at the customer's balance at Stripe"}
                subject = str(credit.id)
                alert(tenant_id=credit.tenant_id, kind="credit_doubtful", subject=subject, detail=detail, now=now)
    tenants = {credit.tenant_id for credit in again}
    return each(tenants, lambda one: sum(_credit_send(credit) for credit in again if credit.tenant_id == one), now=now)


def trial_extend(*, tenant_id: UUID, until: datetime, reason: str, actor: Actor, now: datetime) -> None:
    account = account_of(tenant_id=tenant_id)
    if account.state != "trialing" or until <= now:
        raise BillingRefused("no_trial", "Only a trial that runs can be extended, into the future.")
    params = {"trial_end": int(until.timestamp()), "proration_behavior": "none"}
    key = f"{tenant_id}:trial:{int(until.timestamp())}:{account.changes}"
    stripe_api.subscription_update(account.subscription_id, params, key=key)
    with as_tenant(tenant_id):
        BillingAccount.objects.filter(tenant_id=tenant_id).update(changes=F("changes") + 1)
        told = {"until": until.isoformat(), "reason": reason}
        audit.record(tenant_id=tenant_id, actor=actor, action="trial.extended", diff=told)
    account_sync(tenant_id=tenant_id, now=now, actor=actor)


def subscription_link(
    *, tenant_id: UUID, subscription_id: str, plan: str, reason: str, actor: Actor, now: datetime
) -> None:
    """One that was made in Stripe by hand, with a contract's own prices, becomes this tenant's."""
    if plan not in PLANS:
        raise BillingRefused("unknown_plan", "There is no such plan.")
    account = account_of(tenant_id=tenant_id)
    customer_id = id_of(stripe_api.subscription(subscription_id)["customer"])
    with as_owner():
        taken = BillingAccount.objects.filter(customer_id=customer_id).exclude(tenant_id=tenant_id).exists()
    if taken:
        raise BillingRefused("taken", "This customer is another tenant's.")
    if account.customer_id not in ("", customer_id) and account.state and account.state not in ENDED:
        raise BillingRefused("subscribed", "The tenant has a subscription of another customer: end that first.")

    metadata = {"tenant_id": str(tenant_id), "plan": plan}
    key = f"{tenant_id}:link:{subscription_id}:{plan}:{account.changes}"
    stripe_api.subscription_update(subscription_id, {"metadata": metadata}, key=key)
    with as_tenant(tenant_id):
        BillingAccount.objects.filter(tenant_id=tenant_id).update(customer_id=customer_id, changes=F("changes") + 1)
        told = {"plan": plan, "customer": customer_id, "reason": reason}
        audit.record(tenant_id=tenant_id, actor=actor, action="plan.linked", target=subscription_id, diff=told)
    account_sync(tenant_id=tenant_id, now=now, actor=actor)


def push_settle(*, tenant_id: UUID, identifier: str, counted: bool, reason: str, actor: Actor, now: datetime) -> None:
    """Of a push that failed or is doubtful: Stripe counted it, or it did not and the next one says it again."""
    with as_tenant(tenant_id):
        BillingAccount.objects.select_for_update().get(tenant_id=tenant_id)
        stuck = MeterPush.objects.filter(tenant_id=tenant_id, identifier=identifier)
        message = stuck.filter(state__in=(MeterPush.FAILED, MeterPush.DOUBTFUL)).first()
        if message is None:
            raise BillingRefused("no_push", "There is no such push to settle.")
        if counted:
            metering.sent(message, now)
        else:
            stuck.update(state=MeterPush.LOST, settled_at=now)
        told = {"counted": counted, "value": message.value, "reason": reason}
        audit.record(tenant_id=tenant_id, actor=actor, action="push.settled", target=identifier, diff=told)
        for kind in ("push_failed", "push_doubtful"):
            others = BillingAlert.objects.filter(tenant_id=tenant_id, kind=kind).exclude(subject=identifier)
            resolve(tenant_id=tenant_id, kind=kind, now=now, but=list(others.values_list("subject", flat=True)))


def alert_resolve(*, tenant_id: UUID, kind: str, subject: str, reason: str, actor: Actor, now: datetime) -> None:
    with as_tenant(tenant_id):
        BillingAlert.objects.filter(tenant_id=tenant_id, kind=kind, subject=subject).update(resolved_at=now)
        told = {"reason": reason}
        audit.record(tenant_id=tenant_id, actor=actor, action="alert.resolved", target=f"{kind} {subject}", diff=told)


def _credit_send(credit: Credit) -> int:
    """Twice is once: the key is the credit's. How many were confirmed."""
    account = account_of(tenant_id=credit.tenant_id)
    made = stripe_api.credit(
        account.customer_id,
        cents=int(credit.amount_usd * CENTS),
        reason=credit.reason,
        key=f"{credit.tenant_id}:credit:{credit.id}",
    )
    with as_tenant(credit.tenant_id):
        return Credit.objects.filter(tenant_id=credit.tenant_id, id=credit.id).update(transaction_id=made["id"])
