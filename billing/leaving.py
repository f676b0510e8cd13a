"""What has to end at Stripe before a tenant is erased?

Its subscription, after the period it paid for; and what it used so far is told, for there will be no ledger to tell it
from. Events that name it go with it. The invoices stay at Stripe, where the law wants them.
"""

from uuid import UUID

from django.utils import timezone

from billing import metering, services, stripe_api
from billing.accounts import account_of
from billing.errors import BillingRefused
from billing.models import StripeEvent
from tenants.audit import SYSTEM
from tenants.isolation import as_owner


def leave(tenant_id: UUID) -> None:
    """Raises BillingUnavailable: then nothing is erased yet."""
    customer_id = account_of(tenant_id=tenant_id).customer_id
    if not customer_id:
        return
    if stripe_api.is_on():
        now = timezone.now()
        metering.push(tenant_id=tenant_id, now=now, all_hours=True)
        try:
            services.cancel_at_period_end(tenant_id=tenant_id, actor=SYSTEM, now=now)
        except BillingRefused as refused:
            if refused.reason != "no_subscription":
                raise
    with as_owner():
        StripeEvent.objects.filter(customer_id=customer_id).delete()
