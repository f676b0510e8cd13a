"""Queue `default`: mails. The task is a hint, and can be lost or come twice."""

from celery import shared_task

from tenants import mailing


@shared_task(name=mailing.TASK)  # type: ignore[untyped-decorator]
def mail() -> int:
    return mailing.deliver()
