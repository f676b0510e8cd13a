"""How is a worker told that there may be work?

A hint may be lost: what counts is found in tables, and a worker looks there by itself soon enough.
"""

import logging
import threading

from celery import current_app
from kombu.exceptions import OperationalError as BrokerError

log = logging.getLogger(__name__)


def hint(task: str, *arguments: str) -> None:
    try:
        current_app.send_task(task, arguments, ignore_result=True, retry=False)
    except (BrokerError, OSError) as error:
        log.info("hint_lost", extra={"reason": type(error).__name__})


def hint_aside(task: str, *arguments: str) -> None:
    """In a thread of its own: a broker that hangs holds no caller up."""
    threading.Thread(target=hint, args=(task, *arguments), name="hint", daemon=True).start()
