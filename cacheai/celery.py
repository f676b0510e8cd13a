"""Which queue does a task go to, and when does the clock call?"""

import os
from typing import Any

from celery import Celery, bootsteps
from celery.schedules import crontab
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cacheai.settings")

TASK_TIME_LIMIT_SECONDS = 600
VISIBILITY_TIMEOUT_SECONDS = 900  # Above the time limit: a task is never handed out twice while it still runs.


def broker_url(redis_url: str) -> str:
    """Kombu spells a unix socket its own way."""
    if not redis_url.startswith("unix://"):
        return redis_url
    return redis_url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=")


class Unacknowledged(bootsteps.StartStopStep):  # type: ignore[misc]
    """Of a queue without acknowledgements none are sent.

    The worker acknowledges every message, and kombu's Redis transport sends that, two trips for nothing, and remembers
    the message for ever: only one that is kept for acknowledgement would make it forget.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """On each connection that is made anew."""
        if all(queue.no_ack for queue in consumer.task_consumer.queues):
            consumer.task_consumer.channel.basic_ack = _nothing


def _nothing(*_: object, **__: object) -> None:
    pass


def _configure(app: Celery) -> None:
    from django.conf import settings  # Celery is imported before settings are ready.

    socket_options = {
        "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
        "socket_timeout": 5,
        "socket_connect_timeout": 1,
        "retry_on_timeout": False,
    }
    app.conf.update(
        imports=(
            "cache_api.tasks.embed",
            "cache_api.tasks.accounting",
            "cache_api.tasks.default",
            "tenants.tasks",
            "billing.tasks",
        ),
        broker_url=broker_url(settings.REDIS_URL),
        broker_transport_options=socket_options,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_time_limit=TASK_TIME_LIMIT_SECONDS,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_publish_retry=False,
        worker_send_task_events=False,
        task_track_started=False,
        worker_hijack_root_logger=False,
        task_default_queue="default",
        # A text is worth no vector once its caller stopped waiting: a dying worker may lose it, and acknowledgements
        # would be two trips to Redis for each task.
        task_queues=[Queue("embed", no_ack=True), Queue("accounting"), Queue("default")],
        task_routes={
            "cache_api.embed": {"queue": "embed"},
            "cache_api.accounting.*": {"queue": "accounting"},
            "billing.*": {"queue": "accounting"},
        },
        beat_scheduler="cacheai.beat:Scheduler",
        beat_schedule={
            "price": {"task": "cache_api.accounting.price", "schedule": 60.0},
            "roll-up": {"task": "cache_api.accounting.roll_up", "schedule": 60.0},
            "alerts": {"task": "cache_api.accounting.alerts", "schedule": 60.0, "options": {"expires": 60}},
            "months": {"task": "cache_api.accounting.months", "schedule": 3600.0},
            # Each day once; by the hour, so that a machine that sleeps at night does it in the morning.
            "prove": {"task": "cache_api.accounting.prove", "schedule": 3600.0},
            "stripe-events": {"task": "billing.act", "schedule": 60.0, "options": {"expires": 60}},
            "limits": {"task": "billing.limits", "schedule": 60.0, "options": {"expires": 60}},
            "push-usage": {"task": "billing.push", "schedule": 300.0, "options": {"expires": 300}},
            "stripe-by-night": {"task": "billing.nightly", "schedule": crontab(hour=2, minute=41)},
            "hold-to-limits": {
                "task": "cache_api.default.hold_to_limits",
                "schedule": 60.0,
                "options": {"expires": 60},
            },
            "send-webhooks": {"task": "cache_api.default.send_webhooks", "schedule": 15.0, "options": {"expires": 15}},
            "expire": {"task": "cache_api.default.expire", "schedule": 60.0},
            "fill-vectors": {"task": "cache_api.default.fill_vectors", "schedule": 30.0, "options": {"expires": 30}},
            "mail": {"task": "tenants.mail", "schedule": 60.0, "options": {"expires": 60}},
            "expiry-mails": {"task": "tenants.expiry_mails", "schedule": 3600.0, "options": {"expires": 3600}},
            "audit-check": {"task": "tenants.audit_check", "schedule": crontab(hour=3, minute=17)},
            "verify": {"task": "cache_api.default.verify", "schedule": 60.0, "options": {"expires": 60}},
            "recalibrate": {"task": "cache_api.default.recalibrate", "schedule": 3600.0},
            "find-jobs": {"task": "cache_api.default.find_jobs", "schedule": 15.0, "options": {"expires": 15}},
            "find-exports": {"task": "cache_api.default.find_exports", "schedule": 60.0, "options": {"expires": 60}},
            "renew-keys": {"task": "cache_api.default.renew_keys", "schedule": 3600.0, "options": {"expires": 3600}},
            "erase-tenants": {
                "task": "cache_api.default.erase_tenants",
                "schedule": 600.0,
                "options": {"expires": 600},
            },
        },
    )


app = Celery("cacheai")
_configure(app)
app.steps["consumer"].add(Unacknowledged)
