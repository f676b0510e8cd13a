"""How long may a part of ours take where lateness is not the question? A busy test machine is no outage."""

from collections.abc import Callable

from django.apps import AppConfig
from django.conf import settings

PATIENCE_SECONDS = 5.0

Put = Callable[[object, str, object], None]


def be_patient(put: Put) -> None:
    """In this process; what a call may wait for is tested where it is the question, not elsewhere."""
    # Django must be pointed at its settings first.
    from cache_api import looking
    from cache_api.adapters import embedding_queue, ledger
    from tenants import watchdog

    enter = watchdog.enter
    put(watchdog, "enter", lambda connection, seconds: enter(connection, max(seconds, PATIENCE_SECONDS)))
    put(embedding_queue, "SEND_SECONDS", PATIENCE_SECONDS)
    put(ledger, "RECORD_SECONDS", PATIENCE_SECONDS)
    put(looking, "CACHE_BUDGET_SECONDS", PATIENCE_SECONDS)
    put(looking, "EMBED_DEADLINE_SECONDS", PATIENCE_SECONDS)
    put(settings, "REDIS_TIMEOUT_SECONDS", PATIENCE_SECONDS)


class Patience(AppConfig):
    """Makes each process of a stack patient."""

    name = "tests.patience"

    def ready(self) -> None:
        be_patient(setattr)
