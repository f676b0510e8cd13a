"""Whatever happens: ledger = roll-ups = pushed = Stripe's sum = what is billed."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import metering, reconciliation, stripe_api
from billing.metering import HOUR, hour_of
from billing.models import BillingAccount, BillingPeriod, MeterPush, UsageBucket
from cache_api import accounting, proving, selectors
from tenants.isolation import as_owner
from tests.billing.metered import at_stripe, subscribe, use
from tests.conftest import Cast
from tests.stripe_emulator.fixtures import BEGINNING, Handle

START = datetime.fromtimestamp(BEGINNING, UTC)
FAULTS = ("429", "500", "500_after", "timeout_before", "timeout_after")

minutes = st.integers(1, 300)
step = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 400), st.integers(1, 5)),  # so many minutes ago, so many
    st.tuples(st.just("wait"), minutes),
    st.tuples(st.just("fault"), st.sampled_from(FAULTS), st.integers(1, 3)),
    st.tuples(st.just("turn")),  # a period ends now, and its invoice is not final yet
    st.tuples(st.just("finish")),  # the invoices of all that is over are final
    st.tuples(st.just("book")),  # accounting prices and rolls up
    st.tuples(st.just("crash")),  # a worker dies between its push and its mark
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=14))
def test_the_books_agree_whatever_happened(
    cast: Cast, shop: Handle, monkeypatch: Any, steps: list[tuple[Any, ...]]
) -> None:
    monkeypatch.setattr(stripe_api, "NETWORK_RETRIES", 0)
    monkeypatch.setattr(stripe_api, "TIMEOUT_SECONDS", 0.3)
    stripe_api._client.cache_clear()
    stripe_api._http.cache_clear()
    world = _World(cast, shop)
    try:
        for name, *values in steps:
            getattr(world, name)(*values)
            world.push()
        world.settle()
        world.agree()
    finally:
        shop.release()
        stripe_api.close()
        world.clear()


class _World:
    def __init__(self, cast: Cast, shop: Handle) -> None:
        self.cast, self.shop, self.tenant_id = cast, shop, cast.owner.tenant_id
        shop.world.kind("_counted").clear()
        self.begun = datetime.fromtimestamp(shop.now(), UTC)
        self.customer = subscribe(cast, shop, (self.begun, self.begun + timedelta(days=30)))
        self.calls = 0

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.shop.now(), UTC)

    def call(self, minutes_ago: int, count: int) -> None:
        at = self.now - timedelta(minutes=minutes_ago)
        if at >= self.begun:
            use(self.cast, at, count)
            self.calls += count

    def wait(self, minutes: int) -> None:
        self.shop.advance(seconds=60 * minutes)

    def fault(self, kind: str, times: int) -> None:
        self.shop.fault(kind, times=times, path="/v1/billing/meter_events")

    def turn(self) -> None:
        with as_owner():
            last = BillingPeriod.objects.filter(tenant_id=self.tenant_id).order_by("start").last()
            if last is None or self.now <= last.start:
                return
            BillingPeriod.objects.filter(tenant_id=self.tenant_id, start=last.start).update(end=self.now)
            BillingPeriod.objects.create(
                tenant_id=self.tenant_id,
                start=self.now,
                end=self.now + timedelta(days=30),
                subscription_id="sub_1",
                plan="pro",
                metered=True,
            )

    def finish(self) -> None:
        with as_owner():
            BillingPeriod.objects.filter(tenant_id=self.tenant_id, end__lte=self.now).update(final=True)

    def book(self) -> None:
        accounting.price_calls(self.now)
        accounting.roll_up()

    def crash(self) -> None:
        """What was sent last is as if it had never been marked."""
        with as_owner():
            last = (
                MeterPush.objects.filter(tenant_id=self.tenant_id, state=MeterPush.SENT).order_by("settled_at").last()
            )
            others = MeterPush.objects.filter(tenant_id=self.tenant_id, state=MeterPush.SENDING)
            if last is None or others.exists() or last.settled_at != self.now:
                return
            place = {"tenant_id": last.tenant_id, "hour": last.hour, "period_start": last.period_start}
            MeterPush.objects.filter(**place, revision=last.revision).update(
                state=MeterPush.SENDING, settled_at=None, next_try_at=self.now + metering.LEASE
            )
            bucket = UsageBucket.objects.get(**place)
            UsageBucket.objects.filter(**place).update(pushed=bucket.pushed - last.value)

    def push(self) -> None:
        metering.push(tenant_id=self.tenant_id, now=self.now)

    def settle(self) -> None:
        """Nothing breaks any more, and time enough passes for everything to be told."""
        self.shop.release()
        self.book()
        for _ in range(3):
            self.wait(180)
            self.push()

    def agree(self) -> None:
        since, until = hour_of(self.begun), hour_of(self.now) + HOUR
        counted = at_stripe(self.customer, since, until)
        with as_owner():
            pushed = Counter[datetime]()
            for bucket in UsageBucket.objects.filter(tenant_id=self.tenant_id):
                assert bucket.quantity == bucket.pushed
                pushed[bucket.hour] += bucket.pushed
        rows = selectors.usage_by(self.tenant_id, None, bucket="hour", group_by=None, since=since, until=until)
        assert {row.since: row.figures.billable for row in rows} == dict(pushed)
        assert sum(counted.values()) == sum(pushed.values()) == self.calls
        assert proving.recount().differences == ()
        assert reconciliation.reconcile(tenant_id=self.tenant_id, now=self.now) == []

    def clear(self) -> None:
        """The next example begins with empty books."""
        with as_owner() as connection, connection.cursor() as cursor:
            for table in ("call", "usage_hour", "usage_day", "usage_dirty", "usage_bucket", "billing_period"):
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("DELETE FROM billing_alert")
            BillingAccount.objects.all().delete()
