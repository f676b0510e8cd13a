"""What does a person see of their plan?

From our own tables alone: a page never waits for Stripe.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Literal
from uuid import UUID

from django.conf import settings
from django.db.models import Sum

from billing.models import BillingAccount, Invoice, MeterPush
from billing.plans import ENDED, FREE, PAST_DUE_GRACE, PLANS, RANK, TRIAL_DAYS, Plan
from cache_api import budgets
from tenants.isolation import as_tenant
from tenants.models import Tenant

Mode = Literal["off", "emulated", "live"]
Act = Literal["checkout", "upgrade", "downgrade", "current", "next", "contact", "none"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan, and what the button beside it does."""

    plan: Plan
    act: Act


@dataclass(frozen=True, slots=True)
class Banner:
    kind: Literal["info", "warning", "error"]
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class UsageSoFar:
    """Billable requests of this period, and what those past the included ones come to."""

    requests: int
    included: int
    hard: bool
    overage_usd: Decimal
    late_requests: int  # of an invoiced period, counted in this one

    @property
    def overage_requests(self) -> int:
        return max(0, self.requests + self.late_requests - self.included)

    @property
    def share(self) -> float:
        return self.requests / self.included if self.included else 1.0


@dataclass(frozen=True, slots=True)
class SpendCap:
    usd: Decimal | None  # None: there is no overage to cap
    default_usd: Decimal | None
    is_default: bool


@dataclass(frozen=True, slots=True)
class Overview:
    mode: Mode
    plan: Plan | None  # None: limits of no plan, such as the demo's
    plan_name: str
    state: str
    trial_ends_at: datetime | None
    period_start: datetime
    period_end: datetime | None
    cancels_at: datetime | None
    next_plan: str
    trial_offered: bool
    choices: tuple[Choice, ...]
    can_cancel: bool
    can_resume: bool
    can_undo: bool
    has_portal: bool
    banners: tuple[Banner, ...]
    usage: UsageSoFar
    cap: SpendCap
    estimate_usd: Decimal | None
    read_only: bool


def mode() -> Mode:
    if not settings.STRIPE_SECRET_KEY:
        return "off"
    return "emulated" if settings.STRIPE_API_BASE else "live"


def overview(*, tenant_id: UUID, now: datetime) -> Overview:
    tenant, account = _known(tenant_id)
    plan = PLANS.get(tenant.plan)
    is_open = bool(account.state) and account.state not in ENDED
    used = _used(tenant, plan)
    return Overview(
        mode=mode(),
        plan=plan,
        plan_name=plan.title if plan else tenant.plan.capitalize(),
        state=account.state,
        trial_ends_at=account.trial_ends_at,
        period_start=tenant.period_start,
        period_end=account.period_end if is_open else None,
        cancels_at=account.cancels_at,
        next_plan=account.next_plan,
        trial_offered=not account.trial_used and not is_open,
        choices=tuple(Choice(one, _act(one, account, tenant)) for one in PLANS.values()),
        can_cancel=is_open and account.state != "incomplete" and account.cancels_at is None,
        can_resume=account.state == "paused",
        can_undo=is_open and (account.cancels_at is not None or bool(account.schedule_id)),
        has_portal=mode() != "off" and bool(account.customer_id),
        banners=_banners(tenant, account, _invoices(tenant_id), now),
        usage=used,
        cap=_cap(tenant, account, plan),
        estimate_usd=_estimate(account, plan, used) if is_open else None,
        read_only=tenant.read_only,
    )


def banners_of(*, tenant_id: UUID, now: datetime) -> tuple[Banner, ...]:
    tenant, account = _known(tenant_id)
    if account.state in ("", "active"):  # Nearly everybody: no more to read, unless an invoice is stuck.
        with as_tenant(tenant_id):
            if not Invoice.objects.filter(tenant_id=tenant_id).exclude(problem="").exists():
                return ()
    return _banners(tenant, account, _invoices(tenant_id), now)


def invoices_of(*, tenant_id: UUID) -> list[Invoice]:
    """Newest first; drafts may still change."""
    return _invoices(tenant_id)


def _known(tenant_id: UUID) -> tuple[Tenant, BillingAccount]:
    with as_tenant(tenant_id):
        account = BillingAccount.objects.filter(tenant_id=tenant_id).first() or BillingAccount(tenant_id=tenant_id)
        return Tenant.objects.get(id=tenant_id), account


def _invoices(tenant_id: UUID) -> list[Invoice]:
    with as_tenant(tenant_id):
        return list(Invoice.objects.filter(tenant_id=tenant_id).order_by("-created_at"))


def _act(plan: Plan, account: BillingAccount, tenant: Tenant) -> Act:
    if plan.name == tenant.plan:
        return "current"
    if plan.name == (FREE if account.cancels_at else account.next_plan):
        return "next"
    if not plan.is_sold and plan.name != FREE:
        return "contact"
    if not account.state or account.state in ENDED:
        return "none" if plan.name == FREE else "checkout"  # What stands above Free was given, or is the demo's.
    if plan.name == account.plan:
        return "none"  # Bought, and not in force: what helps is said above the plans.
    return "upgrade" if RANK[plan.name] > RANK.get(account.plan, 0) else "downgrade"


def _used(tenant: Tenant, plan: Plan | None) -> UsageSoFar:
    with as_tenant(tenant.id):
        requests, _ = budgets.used(tenant.id, since=tenant.period_start)
        late = MeterPush.objects.filter(
            tenant_id=tenant.id, late=True, state=MeterPush.SENT, stamped_at__gte=tenant.period_start
        ).aggregate(sum=Sum("value"))
    late_requests = int(late["sum"] or 0)
    fee = plan.fee if plan and not tenant.requests_hard else None
    return UsageSoFar(
        requests=requests,
        included=tenant.requests_included,
        hard=tenant.requests_hard,
        overage_usd=fee.overage_usd(requests + late_requests) if fee else Decimal(0),
        late_requests=late_requests,
    )


def _cap(tenant: Tenant, account: BillingAccount, plan: Plan | None) -> SpendCap:
    default = plan.price_usd if plan and plan.is_sold else None
    return SpendCap(tenant.overage_cap_usd, default, account.overage_cap_usd is None)


def _estimate(account: BillingAccount, plan: Plan | None, used: UsageSoFar) -> Decimal | None:
    """What the invoice at the period's end comes to if nothing more is used, before tax and credits."""
    following = FREE if account.cancels_at else account.next_plan or account.plan
    price = PLANS[following].price_usd if following in PLANS else None
    return None if price is None or plan is None else price + used.overage_usd


def _banners(tenant: Tenant, account: BillingAccount, invoices: list[Invoice], now: datetime) -> tuple[Banner, ...]:
    found: list[Banner] = []
    owed = next((one for one in invoices if one.status == "open"), None)
    url = owed.hosted_invoice_url if owed else ""
    match account.state:
        case "past_due" if tenant.read_only:
            found.append(Banner("error", "An invoice is not paid: hits are served, nothing new is stored.", url))
        case "past_due":
            ends = (account.past_due_since or now) + PAST_DUE_GRACE
            text = f"A payment failed. From {ends:%-d %B} on nothing new is stored until the invoice is paid."
            found.append(Banner("warning", text, url))
        case "unpaid":
            found.append(Banner("error", "An invoice was never paid: the free limits apply.", url))
        case "paused":
            found.append(Banner("warning", "The trial ended without a card: the free limits apply."))
        case "incomplete":
            found.append(Banner("warning", "The first payment waits to be confirmed.", url))
        case "trialing" if account.trial_ends_at is not None:
            days = max(0, ceil((account.trial_ends_at - now) / timedelta(days=1)))
            found.append(Banner("info", f"{days} of {TRIAL_DAYS} trial days are left."))
    if account.cancels_at is not None:
        found.append(Banner("info", f"The plan ends on {account.cancels_at:%-d %B}."))
    elif account.next_plan and account.period_end is not None:
        title = PLANS[account.next_plan].title
        found.append(Banner("info", f"The plan changes to {title} on {account.period_end:%-d %B}."))
    if any(one.problem for one in invoices):
        found.append(Banner("error", "An invoice cannot be finished: check the billing address."))
    return tuple(found)
