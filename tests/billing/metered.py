"""A tenant that is billed by use, and what both books say."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from billing import stripe_api
from billing.models import BillingAccount, BillingPeriod, MeterPush, UsageBucket
from tenants.isolation import as_owner, as_tenant
from tests.conftest import Cast
from tests.db.calls import call_of, write
from tests.stripe_emulator.fixtures import Handle


def subscribe(cast: Cast, stripe: Handle, *periods: tuple[datetime, datetime]) -> str:
    """As a sync would leave it; the customer's id."""
    tenant_id = cast.owner.tenant_id
    customer = stripe.client.v1.customers.create({"email": "owner@example.test"})
    with as_tenant(tenant_id):
        BillingAccount.objects.create(
            tenant_id=tenant_id, customer_id=customer.id, state="active", plan="pro", subscription_id="sub_1"
        )
        for start, end in periods:
            BillingPeriod.objects.create(
                tenant_id=tenant_id, start=start, end=end, subscription_id="sub_1", plan="pro", metered=True
            )
    return str(customer.id)


def use(cast: Cast, at: datetime, count: int = 1) -> None:
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, at=at) for _ in range(count)])


def buckets(tenant_id: UUID) -> Mapping[tuple[datetime, datetime], tuple[int, int]]:
    """Hour and period to quantity and what was pushed."""
    with as_tenant(tenant_id):
        return {
            (one.hour, one.period_start): (one.quantity, one.pushed)
            for one in UsageBucket.objects.filter(tenant_id=tenant_id)
        }


def pushes(tenant_id: UUID) -> list[MeterPush]:
    with as_tenant(tenant_id):
        return list(MeterPush.objects.filter(tenant_id=tenant_id).order_by("hour", "period_start", "revision"))


def at_stripe(customer_id: str, since: datetime, until: datetime) -> Mapping[datetime, int]:
    found = stripe_api.metered_hours(stripe_api.meter_id(), customer_id=customer_id, since=since, until=until)
    return {datetime.fromtimestamp(at, UTC): value for at, value in found.items() if value}


def delete_calls() -> None:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM call")
