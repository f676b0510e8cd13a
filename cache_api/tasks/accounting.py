"""Queue `accounting`: each task is a hint that there may be work, and can be lost or come twice."""

from contextlib import suppress
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.utils import timezone

from cache_api import accounting, alerts, proving
from cache_api.adapters import ledger
from cache_api.adapters.ledger import LedgerDown
from cache_api.adapters.used import patient_redis

QUEUE = "accounting"


@shared_task(name="cache_api.accounting.price")  # type: ignore[untyped-decorator]
def price() -> int:
    _adopt()
    return accounting.price_calls(timezone.now())


@shared_task(name="cache_api.accounting.roll_up")  # type: ignore[untyped-decorator]
def roll_up() -> int:
    return accounting.roll_up()


@shared_task(name="cache_api.accounting.alerts")  # type: ignore[untyped-decorator]
def alert() -> int:
    with patient_redis() as redis:
        return alerts.look(redis, timezone.now())


@shared_task(name="cache_api.accounting.months")  # type: ignore[untyped-decorator]
def months() -> list[str]:
    return proving.keep_months()


@shared_task(name="cache_api.accounting.prove")  # type: ignore[untyped-decorator]
def prove() -> int:
    """A day is summed, then proven, then its calls go: they follow one another in one task."""
    now = timezone.now()
    accounting.roll_up_end_users(now)
    return proving.prove(now) + proving.let_go(now)


@shared_task(name="cache_api.accounting.rates")  # type: ignore[untyped-decorator]
def rates() -> int:
    return accounting.keep_known_rates(timezone.now())


def _adopt() -> None:
    """A web process that died and was not started again left its rows to us."""
    with suppress(LedgerDown):  # Then the rows stay where they are.
        ledger.adopt(ledger.spool_of_home(), ledger.app_conninfo())


@worker_ready.connect  # type: ignore[untyped-decorator]
def _at_start(sender: Any, **_: Any) -> None:
    if QUEUE in sender.app.amqp.queues.consume_from:
        months.delay()
        rates.delay()
