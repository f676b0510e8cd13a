"""What does an operator see of one tenant? Plan, people and figures; no prompt, answer or secret."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Sum

from billing import selectors
from billing.accounts import account_of
from billing.admin.across import events_of
from billing.margin import Margin, margin
from billing.models import BillingAccount, BillingAlert, Credit, Grant, Invoice, MeterPush, StripeEvent, UsageBucket
from billing.selectors import Overview
from cache_api import selectors as usage
from cache_api import statistics
from cache_api.figures import Figures
from cache_api.selectors import UnpricedModel
from tenants.isolation import as_tenant
from tenants.models import AuditEvent, Tenant
from tenants.selectors import MemberFacts, audit_events_of, members_of, projects_of, tenant_of

MONTH = timedelta(days=30)
TOLD_MAX = 50


@dataclass(frozen=True, slots=True)
class Sight:
    tenant: Tenant
    account: BillingAccount
    overview: Overview
    members: list[MemberFacts]
    invoices: list[Invoice]
    grants: list[Grant]
    credits: list[Credit]
    alerts: list[BillingAlert]
    stuck: list[MeterPush]
    behind: list[UsageBucket]  # hours of which Stripe was not told all
    events: list[StripeEvent]
    trail: list[AuditEvent]
    figures: Figures  # of 30 days
    unpriced: list[UnpricedModel]
    stored_bytes: int
    margin: Margin


def sight(*, tenant_id: UUID, now: datetime) -> Sight:
    account = account_of(tenant_id=tenant_id)
    since = now - MONTH
    figures = usage.figures(tenant_id, None, since, now)
    stored_bytes = sum(
        statistics.stats(tenant_id, project.id, now, now).entries.bytes for project in projects_of(tenant_id=tenant_id)
    )
    with as_tenant(tenant_id):
        invoices = Invoice.objects.filter(tenant_id=tenant_id)
        paid = invoices.filter(paid_at__gte=since).aggregate(sum=Sum("amount_paid_usd"))["sum"] or Decimal(0)
        pushes = MeterPush.objects.filter(tenant_id=tenant_id)
        last_invoices = list(invoices.order_by("-created_at")[:TOLD_MAX])
        grants = list(Grant.objects.filter(tenant_id=tenant_id, revoked_at=None).order_by("created_at"))
        credits = list(Credit.objects.filter(tenant_id=tenant_id).order_by("-created_at")[:TOLD_MAX])
        alerts = list(BillingAlert.objects.filter(tenant_id=tenant_id, resolved_at=None).order_by("created_at"))
        stuck = list(pushes.filter(state__in=(MeterPush.FAILED, MeterPush.DOUBTFUL)).order_by("hour"))
        behind = UsageBucket.objects.filter(tenant_id=tenant_id, quantity__gt=F("pushed"))
        hours_behind = list(behind.order_by("hour")[:TOLD_MAX])
    return Sight(
        tenant=tenant_of(tenant_id=tenant_id),
        account=account,
        overview=selectors.overview(tenant_id=tenant_id, now=now),
        members=members_of(tenant_id=tenant_id),
        events=events_of(account.customer_id),
        trail=audit_events_of(tenant_id=tenant_id, limit=TOLD_MAX),
        figures=figures,
        unpriced=usage.unpriced_models(tenant_id, None, since, now),
        stored_bytes=stored_bytes,
        margin=margin(
            revenue_usd=paid, requests=figures.billable, embeddings=figures.lookups, stored_bytes=stored_bytes
        ),
        invoices=last_invoices,
        grants=grants,
        credits=credits,
        alerts=alerts,
        stuck=stuck,
        behind=hours_behind,
    )


def told(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
