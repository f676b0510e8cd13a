"""Queue `accounting`: plans, Stripe and what it is told. Each task is a hint, and can be lost or come twice."""

import logging
from contextlib import suppress

from celery import shared_task
from django.utils import timezone

from billing import accounts, events, limits, metering, operating, reconciliation, stripe_api
from billing.errors import BillingError, BillingUnavailable

log = logging.getLogger(__name__)


@shared_task(name="billing.act")  # type: ignore[untyped-decorator]
def act() -> int:
    """On the events that wait."""
    return events.act(timezone.now()) if stripe_api.is_on() else 0


@shared_task(name="billing.limits")  # type: ignore[untyped-decorator]
def apply_limits() -> int:
    return limits.apply_due(timezone.now())


@shared_task(name="billing.push")  # type: ignore[untyped-decorator]
def push() -> int:
    if not stripe_api.is_on():
        return 0
    now = timezone.now()
    with suppress(BillingUnavailable):  # Then what is known of periods has to do.
        accounts.sync_turned(now)
    return metering.push_all(now)


@shared_task(name="billing.nightly")  # type: ignore[untyped-decorator]
def nightly() -> None:
    """What webhooks lost, every subscription, and the books."""
    if not stripe_api.is_on():
        return
    now = timezone.now()
    for work in (
        events.fetch,
        events.act,
        accounts.sync_all,
        operating.credits_send,
        metering.push_all,
        reconciliation.reconcile_all,
    ):
        try:
            work(now)
        except BillingError as error:  # The others are worth doing, and there is a night after this one.
            log.warning("billing_night_cut", extra={"reason": type(error).__name__, "subject": work.__name__})
