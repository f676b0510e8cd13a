"""Queue `default`: mails, and what is looked after by the hour or night. A task can be lost or come twice."""

from celery import shared_task
from django.utils import timezone

from tenants import audit_check, key_expiry, mailing


@shared_task(name=mailing.TASK)  # type: ignore[untyped-decorator]
def mail() -> int:
    return mailing.deliver()


@shared_task(name="tenants.expiry_mails")  # type: ignore[untyped-decorator]
def expiry_mails() -> int:
    return key_expiry.expiry_mails(timezone.now())


@shared_task(name="tenants.audit_check")  # type: ignore[untyped-decorator]
def check_audit() -> int:
    return audit_check.log_trails()
