"""What was each billing period worth, once our invoices are paid?

    net of a period = gross saved - synthesis - upkeep - what our invoices take for it

The calls' own fees are estimates; here the invoices take their place. One made at a turn of periods takes the new
period's price ahead, with tax and credits, and the old one's requests beyond the plan: those are reckoned from what
Stripe's meter was told, and moved to the period they were used in. So the periods come to what the invoices come to, to
the cent. A full hour belongs to the period it begins in or is cut by the start of: its roll-up outlives its calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import zip_longest
from uuid import UUID

from django.db.models import Sum

from billing.metering import hour_of
from billing.models import BillingPeriod, Invoice, MeterPush
from billing.plans import PLANS
from cache_api import selectors
from cache_api.figures import Figures
from tenants.isolation import as_tenant

PERIODS_SHOWN = 13  # a year, and the one under way
CENT = Decimal("0.01")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class PeriodNet:
    start: datetime
    end: datetime
    plan: str  # its title
    figures: Figures
    billed_usd: Decimal
    is_final: bool  # else an estimate: the invoice with its usage is not there yet

    @property
    def net_usd(self) -> Decimal:
        figures = self.figures
        return figures.saved_usd - figures.synthesis_cost_usd - figures.upkeep_cost_usd - self.billed_usd


def period_nets(*, tenant_id: UUID, now: datetime) -> list[PeriodNet]:
    """Newest first, with the one under way."""
    with as_tenant(tenant_id):
        periods = list(BillingPeriod.objects.filter(tenant_id=tenant_id, start__lte=now).order_by("start"))
        invoices = list(Invoice.objects.filter(tenant_id=tenant_id).exclude(status="void"))
        told = {period.start: _told(period) for period in periods if period.metered}
    billed = billed_of(periods, invoices, told)
    return [_net(period, billed[period.start], now) for period in reversed(periods[-PERIODS_SHOWN:])]


def billed_of(
    periods: Sequence[BillingPeriod], invoices: Sequence[Invoice], told: Mapping[datetime, int]
) -> Mapping[datetime, Decimal]:
    """By start: what the invoices take for each period. `told` is how many requests Stripe's meter counts in it."""
    billed = {period.start: ZERO for period in periods}
    closed = set()  # Those with an invoice between their end and the next one's start: their usage is on it.
    for invoice in invoices:
        period = _made_in(periods, invoice.created_at)
        if period is not None:
            billed[period.start] += invoice.total_usd
            if invoice.created_at >= period.end:
                closed.add(period.start)

    for period, following in zip_longest(periods, periods[1:]):
        if period.start in closed:
            continue
        used_usd = _overage(period, told.get(period.start, 0))
        billed[period.start] += used_usd
        if following is not None:
            billed[following.start] -= used_usd
    return billed


def _net(period: BillingPeriod, billed_usd: Decimal, now: datetime) -> PeriodNet:
    since, until = hour_of(period.start), now if now < period.end else hour_of(period.end)
    figures = selectors.figures(period.tenant_id, None, since, until)
    title = PLANS[period.plan].title if period.plan in PLANS else ""
    return PeriodNet(period.start, period.end, title, figures, billed_usd, period.final)


def _made_in(periods: Sequence[BillingPeriod], at: datetime) -> BillingPeriod | None:
    """The last that had begun; the first has what is older, too."""
    begun = [period for period in periods if period.start <= at] or periods[:1]
    return begun[-1] if begun else None


def _told(period: BillingPeriod) -> int:
    """Late usage is in the period Stripe counts it in."""
    sent = MeterPush.objects.filter(
        tenant_id=period.tenant_id,
        state=MeterPush.SENT,
        stamped_at__gte=period.start,
        stamped_at__lt=period.end,
    )
    return int(sent.aggregate(sum=Sum("value"))["sum"] or 0)


def _overage(period: BillingPeriod, requests: int) -> Decimal:
    """As an invoice has it: in cents. A contract's rates are not known here; its invoices stand where they are made."""
    fee = PLANS[period.plan].fee if period.plan in PLANS else None
    return ZERO if fee is None else fee.overage_usd(requests).quantize(CENT, ROUND_HALF_UP)
