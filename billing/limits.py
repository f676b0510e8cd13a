"""Which limits does a tenant have now?

Plan + the features Stripe says are active + what operators gave. Nothing else writes Tenant's limit columns.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q

from billing.models import BillingAccount, Grant
from billing.plans import FREE, PAST_DUE_GRACE, PLANS, Opens, Plan, opens
from tenants import audit, features
from tenants.audit import SYSTEM, Actor
from tenants.isolation import as_owner, as_tenant
from tenants.models import Tenant

FEATURES = frozenset(features.ENTERPRISE)
# Those a grant may raise.
LIMITS = frozenset(
    {"rpm", "requests_included", "entries_max", "projects_max", "members_max", "keys_max", "detail_days"}
)


def plan_apply(*, tenant_id: UUID, now: datetime, actor: Actor = SYSTEM) -> None:
    """Write the limits anew; it may be done at any time, and twice."""
    with as_tenant(tenant_id):
        account = BillingAccount.objects.select_for_update().filter(tenant_id=tenant_id).first()
        if account is not None:
            write_limits(account, now, actor)


def apply_due(now: datetime) -> int:
    """Those whose limits change by themselves: a grace ended, a grant is over, a month began. How many."""
    with as_owner():
        due = list(BillingAccount.objects.filter(apply_at__lte=now).values_list("tenant_id", flat=True))
    for tenant_id in due:
        plan_apply(tenant_id=tenant_id, now=now)
    return len(due) + _turn_months(now)


def write_limits(account: BillingAccount, now: datetime, actor: Actor = SYSTEM) -> None:
    """Inside the tenant's transaction, which holds the account's row."""
    tenant = Tenant.objects.get(id=account.tenant_id)
    grants = list(Grant.objects.filter(Q(until=None) | Q(until__gt=now), tenant_id=account.tenant_id, revoked_at=None))
    opened = opens(account.state, account.past_due_since, now)
    plan = _plan(account, tenant, opened)
    if plan is not None:
        wanted = _columns(account, plan, opened, now) | {"period_start": _period_start(account, tenant, opened, now)}
        _raise(wanted, plan, grants, account.entitlements)
        changed = {name: value for name, value in wanted.items() if getattr(tenant, name) != value}
        if changed:
            Tenant.objects.filter(id=tenant.id).update(**changed)
            audit.record(
                tenant_id=tenant.id,
                actor=actor,
                action="plan.applied",
                target=plan.name,
                diff={name: [_told(getattr(tenant, name)), _told(value)] for name, value in changed.items()},
            )
    account.apply_at = min(_turns(account, grants, now), default=None)
    account.save(update_fields=["apply_at"])


def _plan(account: BillingAccount, tenant: Tenant, opened: Opens) -> Plan | None:
    """None: limits that are no plan's, such as the demo's, stay as they are; so where nobody knows what was bought."""
    if account.plan_given:
        return PLANS[account.plan_given]
    if opened is Opens.UNCHANGED:
        return PLANS.get(tenant.plan)
    return PLANS[FREE] if opened is Opens.FREE else PLANS.get(account.plan)


def _columns(account: BillingAccount, plan: Plan, opened: Opens, now: datetime) -> dict[str, Any]:
    columns = plan.columns()
    if account.state == "trialing" and not account.plan_given:
        columns["requests_hard"] = True  # In a trial there is no overage.
    cap = plan.price_usd if account.overage_cap_usd is None else account.overage_cap_usd
    columns["overage_cap_usd"] = None if columns["requests_hard"] else cap
    columns["read_only"] = opened is Opens.READ_ONLY and not account.plan_given
    return columns


def _period_start(account: BillingAccount, tenant: Tenant, opened: Opens, now: datetime) -> datetime:
    if account.period_start is not None and opened in (Opens.PLAN, Opens.READ_ONLY):
        return account.period_start
    ended = account.period_end if opened is Opens.FREE and account.period_end else tenant.period_start
    return max(_month_of(now), min(ended, now))


def _raise(columns: dict[str, Any], plan: Plan, grants: Iterable[Grant], entitlements: Iterable[str]) -> None:
    held = {*columns["features"], *(name for name in entitlements if name in FEATURES)}
    for grant in grants:
        if grant.name in FEATURES:
            held.add(grant.name)
        elif grant.name == "requests_included" and plan.fee is not None and plan.fee.overage:
            continue  # Stripe bills what is beyond the plan's own number; there a credit is what helps.
        elif columns[grant.name] is not None and grant.value is not None:
            columns[grant.name] = max(columns[grant.name], grant.value)
    columns["features"] = [name for name in features.ENTERPRISE if name in held]


def _turns(account: BillingAccount, grants: Iterable[Grant], now: datetime) -> list[datetime]:
    turns = [grant.until for grant in grants if grant.until is not None]
    if account.state == "past_due" and account.past_due_since is not None:
        turns.append(account.past_due_since + PAST_DUE_GRACE)
    return [at for at in turns if at > now]


def _turn_months(now: datetime) -> int:
    """Who pays nothing counts by the calendar's months."""
    month = _month_of(now)
    with as_owner():
        paying = BillingAccount.objects.filter(state__in=("trialing", "active", "past_due")).values("tenant_id")
        return Tenant.objects.filter(period_start__lt=month).exclude(id__in=paying).update(period_start=month)


def _month_of(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _told(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value
