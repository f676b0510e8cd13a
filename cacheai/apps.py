"""What happens once when Django starts?"""

import logging
from typing import Any

import structlog
from django.apps import AppConfig

# What an event may carry besides its name: reasons, sizes, times, ids. Extras of libraries stay away.
LOGGED = (
    "backend",
    "bytes",
    "entry_id",
    "error",
    "file",
    "filled",
    "model",
    "ms",
    "precision",
    "project_id",
    "reason",
    "row",
    "rows",
    "status_code",
    "subject",
    "tenant_id",
    "version",
)


class ProjectConfig(AppConfig):
    name = "cacheai"
    label = "project"

    def ready(self) -> None:
        # Without it `.delay()` finds no broker; in `__init__` it would load Django for every SDK user.
        from cacheai import celery  # noqa: F401


def log_formatter(**_: Any) -> logging.Formatter:
    """JSON lines of events. What is logged are reasons, milliseconds and ids: no prompt, no answer, no key."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(allow=LOGGED),
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
