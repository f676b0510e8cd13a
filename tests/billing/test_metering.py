"""What was used that Stripe does not know yet, and how is it told exactly once?"""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from billing import metering, reconciliation
from billing.metering import HOUR
from billing.models import BillingAlert, BillingPeriod, MeterPush
from tenants.isolation import as_tenant
from tests.billing.metered import at_stripe, buckets, pushes, subscribe, use
from tests.conftest import Cast
from tests.stripe_emulator.fixtures import API_KEY, BEGINNING, Handle
from tests.waiting import wait_until

START = datetime.fromtimestamp(BEGINNING, UTC)
MONTH = (START, datetime(2026, 11, 1, tzinfo=UTC))
DAY = (START, START + timedelta(days=1))


def at(stripe: Handle, moment: datetime) -> datetime:
    """Let it be that time at Stripe, too."""
    stripe.advance(to=int(moment.timestamp()))
    return moment


def push(cast: Cast, now: datetime, **how: bool) -> int:
    return metering.push(tenant_id=cast.owner.tenant_id, now=now, **how)


def alerts(cast: Cast) -> list[tuple[str, dict[str, Any]]]:
    with as_tenant(cast.owner.tenant_id):
        return list(BillingAlert.objects.filter(resolved_at=None).values_list("kind", "detail"))


def test_an_hour_is_pushed_once_it_is_closed(cast: Cast, shop: Handle) -> None:
    customer = subscribe(cast, shop, MONTH)
    use(cast, START + timedelta(minutes=5), 3)

    assert push(cast, at(shop, START + HOUR + timedelta(minutes=14))) == 0
    assert push(cast, at(shop, START + HOUR + timedelta(minutes=15))) == 1
    assert push(cast, at(shop, START + HOUR + timedelta(minutes=20))) == 0

    assert at_stripe(customer, *DAY) == {START: 3}
    assert buckets(cast.owner.tenant_id) == {(START, START): (3, 3)}


def test_late_rows_raise_their_hour_by_a_second_revision(cast: Cast, shop: Handle) -> None:
    customer = subscribe(cast, shop, MONTH)
    use(cast, START, 3)
    push(cast, at(shop, START + 2 * HOUR))
    use(cast, START + timedelta(minutes=1), 500)

    assert push(cast, START + 2 * HOUR) == 1

    assert at_stripe(customer, *DAY) == {START: 503}
    assert [(one.revision, one.value, one.late) for one in pushes(cast.owner.tenant_id)] == [
        (1, 3, False),
        (2, 500, False),
    ]


def test_usage_of_an_invoiced_period_is_counted_in_the_next_and_called_late(cast: Cast, shop: Handle) -> None:
    turn = START + timedelta(days=10)
    customer = subscribe(cast, shop, (START, turn), (turn, MONTH[1]))
    use(cast, START, 3)
    push(cast, at(shop, START + 2 * HOUR))
    with as_tenant(cast.owner.tenant_id):
        BillingPeriod.objects.filter(start=START).update(final=True)
    use(cast, START + timedelta(minutes=1), 500)

    now = at(shop, turn + timedelta(hours=5, minutes=30))
    assert push(cast, now) == 1

    assert at_stripe(customer, START, turn + timedelta(days=1)) == {START: 3, turn + 5 * HOUR: 500}
    assert [one.late for one in pushes(cast.owner.tenant_id)] == [False, True]
    assert buckets(cast.owner.tenant_id) == {(START, START): (503, 503)}
    assert reconciliation.reconcile(tenant_id=cast.owner.tenant_id, now=at(shop, now + timedelta(hours=3))) == []


def test_usage_of_an_invoiced_period_without_a_next_one_is_told_an_operator(cast: Cast, shop: Handle) -> None:
    ends = START + timedelta(days=10)
    subscribe(cast, shop, (START, ends))
    with as_tenant(cast.owner.tenant_id):
        BillingPeriod.objects.update(final=True)
    use(cast, START, 3)

    assert push(cast, at(shop, ends + HOUR)) == 0

    assert [kind for kind, _ in alerts(cast)] == ["late_unbilled"]


def test_a_period_that_turns_inside_an_hour_cuts_it(cast: Cast, shop: Handle) -> None:
    """Calls 09:59:59.999, 10:00:00.000, 10:36:59; the period turns 10:37:00, one call."""
    nine, ten = START.replace(hour=9), START.replace(hour=10)
    turn = ten + timedelta(minutes=37)
    customer = subscribe(cast, shop, (START, turn), (turn, MONTH[1]))
    use(cast, ten - timedelta(milliseconds=1))
    use(cast, ten)
    use(cast, ten + timedelta(minutes=36, seconds=59))
    use(cast, turn)

    assert push(cast, at(shop, turn + timedelta(minutes=4))) == 1  # the hour of nine alone
    assert push(cast, at(shop, turn + timedelta(minutes=5))) == 1  # the old period's part of the next
    assert push(cast, at(shop, ten + HOUR + timedelta(minutes=15))) == 1

    assert at_stripe(customer, *DAY) == {nine: 1, ten: 3}
    assert buckets(cast.owner.tenant_id) == {(nine, START): (1, 1), (ten, START): (2, 2), (ten, turn): (1, 1)}
    assert [one.stamped_at for one in pushes(cast.owner.tenant_id)] == [nine, ten, turn + timedelta(seconds=1)]


def test_an_upgrade_heard_of_late_bills_no_call_twice(cast: Cast, shop: Handle) -> None:
    customer = subscribe(cast, shop, MONTH)
    use(cast, START + timedelta(minutes=10), 4)
    use(cast, START + timedelta(minutes=40), 3)
    push(cast, at(shop, START + 2 * HOUR))
    turn = START + timedelta(minutes=30)
    with as_tenant(cast.owner.tenant_id):
        BillingPeriod.objects.filter(start=START).update(end=turn)
        BillingPeriod.objects.create(
            tenant_id=cast.owner.tenant_id, start=turn, end=MONTH[1], subscription_id="sub_1", plan="pro", metered=True
        )
    push(cast, at(shop, START + 3 * HOUR))
    use(cast, START + timedelta(minutes=50), 2)
    push(cast, at(shop, START + 4 * HOUR))

    assert at_stripe(customer, *DAY) == {START: 9}


def test_a_trial_pushes_nothing(cast: Cast, shop: Handle) -> None:
    customer = subscribe(cast, shop, MONTH)
    with as_tenant(cast.owner.tenant_id):
        BillingPeriod.objects.update(metered=False)
    use(cast, START, 3)

    assert metering.push_all(at(shop, START + 5 * HOUR)) == 0
    assert at_stripe(customer, *DAY) == {}


# -- When something breaks


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "500", "500_after", "429"])
def test_who_hears_no_answer_asks_again_and_is_billed_once(
    cast: Cast, shop: Handle, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.stripe_api.NETWORK_RETRIES", 0)
    _forget_clients()
    customer = subscribe(cast, shop, MONTH)
    use(cast, START, 7)
    now = at(shop, START + 2 * HOUR)
    shop.fault(fault, path="/v1/billing/meter_events")

    assert push(cast, now) == 0
    assert push(cast, now + timedelta(seconds=10)) == 0  # not yet
    assert push(cast, at(shop, now + timedelta(minutes=2))) == 1

    assert at_stripe(customer, *DAY) == {START: 7}
    assert [(one.revision, one.value, one.state) for one in pushes(cast.owner.tenant_id)] == [(1, 7, "sent")]
    _forget_clients()


def _forget_clients() -> None:
    from billing import stripe_api

    stripe_api.close()
    stripe_api._http.cache_clear()
    stripe_api._client.cache_clear()


PUSHER = """
import django; django.setup()
from datetime import datetime
from uuid import UUID
from billing import metering
metering.push(tenant_id=UUID("{tenant}"), now=datetime.fromisoformat("{now}"))
"""


def _killed_between_push_and_mark(cast: Cast, shop: Handle, database: str, home: Path, now: datetime) -> None:
    environment = {
        **os.environ,
        "CACHEAI_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "cacheai.settings",
        "DATABASE_URL": database,
        "DATABASE_APP_URL": "",
        "STRIPE_SECRET_KEY": API_KEY,
        "STRIPE_API_BASE": shop.url,
    }
    shop.fault("hold_after", path="/v1/billing/meter_events")
    program = PUSHER.format(tenant=cast.owner.tenant_id, now=now.isoformat())
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as pusher:
        wait_until(lambda: shop.world.kind("_counted") or pusher.poll() is not None, seconds=60, what="a push")
        assert pusher.poll() is None
        pusher.kill()
    shop.release()
    # It is noted only when its answer, which nobody waits for any more, has been written.
    wait_until(lambda: shop.requests("/v1/billing/meter_events"), seconds=30, what="the end of the held request")


def test_a_push_that_was_killed_before_its_mark_is_delivered_by_the_next(
    cast: Cast, shop: Handle, database: str, tmp_path: Path
) -> None:
    customer = subscribe(cast, shop, MONTH)
    use(cast, START, 7)
    now = at(shop, START + 2 * HOUR)
    _killed_between_push_and_mark(cast, shop, database, tmp_path, now)
    assert [one.state for one in pushes(cast.owner.tenant_id)] == ["sending"]

    assert push(cast, at(shop, now + timedelta(minutes=3))) == 1

    assert at_stripe(customer, *DAY) == {START: 7}
    assert [(one.revision, one.state) for one in pushes(cast.owner.tenant_id)] == [(1, "sent")]
    assert [one["status"] for one in shop.requests("/v1/billing/meter_events")][-1] == 400


def test_after_two_days_nothing_is_sent_blind(cast: Cast, shop: Handle, database: str, tmp_path: Path) -> None:
    customer = subscribe(cast, shop, MONTH)
    use(cast, START, 7)
    now = at(shop, START + 2 * HOUR)
    _killed_between_push_and_mark(cast, shop, database, tmp_path, now)
    sent = len(shop.requests("/v1/billing/meter_events"))

    push(cast, at(shop, now + timedelta(hours=48)))

    assert len(shop.requests("/v1/billing/meter_events")) == sent
    assert at_stripe(customer, *DAY) == {START: 7}
    assert buckets(cast.owner.tenant_id) == {(START, START): (7, 7)}


def _left_sending(cast: Cast, shop: Handle, monkeypatch: pytest.MonkeyPatch) -> tuple[str, datetime]:
    monkeypatch.setattr("billing.stripe_api.NETWORK_RETRIES", 0)
    _forget_clients()
    customer = subscribe(cast, shop, MONTH)
    use(cast, START, 7)
    now = at(shop, START + 2 * HOUR)
    shop.fault("500", path="/v1/billing/meter_events")
    push(cast, now)
    return customer, now


def test_after_two_days_what_stripe_never_saw_goes_as_the_next_revision(
    cast: Cast, shop: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, now = _left_sending(cast, shop, monkeypatch)

    push(cast, at(shop, now + timedelta(hours=48)))

    assert at_stripe(customer, *DAY) == {START: 7}
    assert [(one.revision, one.state) for one in pushes(cast.owner.tenant_id)] == [(1, "lost"), (2, "sent")]
    _forget_clients()


def test_after_two_days_what_nobody_can_explain_is_left_to_an_operator(
    cast: Cast, shop: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, now = _left_sending(cast, shop, monkeypatch)
    by_hand = {"stripe_customer_id": customer, "value": "2"}
    shop.client.v1.billing.meter_events.create(
        {"event_name": "cacheai_requests", "payload": by_hand, "timestamp": int(START.timestamp())}
    )
    use(cast, START + 3 * HOUR, 1)

    push(cast, at(shop, now + timedelta(hours=48)))

    assert [(one.revision, one.state) for one in pushes(cast.owner.tenant_id)] == [(1, "doubtful"), (1, "sent")]
    assert ("push_doubtful", {"stripe": 2, "told": 0, "value": 7}) in alerts(cast)
    _forget_clients()


def test_what_stripe_refuses_is_an_alert_and_holds_up_no_other_hour(cast: Cast, shop: Handle) -> None:
    subscribe(cast, shop, MONTH)
    use(cast, START, 7)
    meter = shop.client.v1.billing.meters.list().data[0]
    shop.client.v1.billing.meters.deactivate(meter.id)
    push(cast, at(shop, START + 2 * HOUR))
    shop.client.v1.billing.meters.reactivate(meter.id)
    use(cast, START + HOUR, 2)

    assert push(cast, at(shop, START + 3 * HOUR)) == 1

    assert [one.state for one in pushes(cast.owner.tenant_id)] == ["failed", "sent"]
    assert [kind for kind, _ in alerts(cast)] == ["push_failed"]


def test_two_workers_at_once_push_once(cast: Cast, shop: Handle) -> None:
    customer = subscribe(cast, shop, MONTH)
    for hour in range(4):
        use(cast, START + hour * HOUR, hour + 1)
    now = at(shop, START + 6 * HOUR)

    def work() -> None:
        push(cast, now)
        connections.close_all()
        from billing import stripe_api

        stripe_api.close()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    push(cast, at(shop, now + timedelta(minutes=3)))

    assert at_stripe(customer, *DAY) == {START + hour * HOUR: hour + 1 for hour in range(4)}
    assert all(quantity == pushed for quantity, pushed in buckets(cast.owner.tenant_id).values())


def test_a_push_that_is_marked_twice_counts_once(cast: Cast, shop: Handle) -> None:
    subscribe(cast, shop, MONTH)
    use(cast, START, 7)
    now = at(shop, START + 2 * HOUR)
    push(cast, now)

    with as_tenant(cast.owner.tenant_id):
        metering.sent(MeterPush.objects.get(), now)

    assert buckets(cast.owner.tenant_id) == {(START, START): (7, 7)}


# -- Do the three agree?


def test_a_difference_is_an_alert_until_it_is_gone(cast: Cast, shop: Handle) -> None:
    customer = subscribe(cast, shop, MONTH)
    use(cast, START, 7)
    now = at(shop, START + 5 * HOUR)

    (drift,) = reconciliation.reconcile(tenant_id=cast.owner.tenant_id, now=now)
    assert (drift.ledger, drift.pushed) == (7, 0)
    assert [kind for kind, _ in alerts(cast)] == ["drift"]

    push(cast, now)
    assert reconciliation.reconcile(tenant_id=cast.owner.tenant_id, now=now) == []
    assert alerts(cast) == []

    payload = {"stripe_customer_id": customer, "value": "2"}
    shop.client.v1.billing.meter_events.create(
        {"event_name": "cacheai_requests", "payload": payload, "timestamp": int(START.timestamp())}
    )
    (drift,) = reconciliation.reconcile(tenant_id=cast.owner.tenant_id, now=now)
    assert (drift.pushed, drift.stripe) == (7, 9)
