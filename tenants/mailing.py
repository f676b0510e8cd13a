"""How does a mail reach a person, although the mail server may be away?

A mail is a sealed row first, written in the transaction of what it tells; a worker sends it, and tries again for some
hours. A worker that dies while it sends sends once more: both mails have the same Message-ID. Without a mail server
mails become files in the home.
"""

import json
import os
import smtplib
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr
from secrets import token_hex

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as Smtp
from django.db import router, transaction
from django.utils import timezone

from tenants import vault
from tenants.hints import hint_aside
from tenants.isolation import as_owner
from tenants.models import Mail

TASK = "tenants.mail"
FIRST_PAUSE = timedelta(minutes=1)  # doubled after each attempt that failed
ATTEMPTS_MAX = 10  # the last comes more than eight hours after the first
RUN_SECONDS = 120  # then the queue's other tasks come in between

log = structlog.stdlib.get_logger(__name__)


def mail_send(*, to: Sequence[str], subject: str, text: str) -> None:
    """A mail to each, in the transaction that is under way, if one is."""
    if not to:
        return
    Mail.objects.bulk_create(Mail(sealed=_sealed(address, subject, text)) for address in to)
    transaction.on_commit(lambda: hint_aside(TASK), using=router.db_for_write(Mail))


class Outbox(BaseEmailBackend):
    """What Django and its apps send takes the same way."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            mail_send(to=message.recipients(), subject=str(message.subject), text=str(message.body))
        return len(email_messages)


def deliver() -> int:
    """Send what is due, for a while. A mail is taken in a transaction of its own; none is open while it is sent."""
    ends, sent = time.monotonic() + RUN_SECONDS, 0
    while time.monotonic() < ends and (mail := _taken(timezone.now())):
        try:
            _send(mail)
        except (OSError, smtplib.SMTPException, vault.Corrupt) as error:
            log.warning("mail_not_sent", reason=type(error).__name__, row=str(mail.id))
            if mail.attempts < ATTEMPTS_MAX:
                continue
            log.error("mail_given_up", row=str(mail.id))
        else:
            sent += 1
        with as_owner():
            Mail.objects.filter(id=mail.id).delete()
    return sent


def _taken(now: datetime) -> Mail | None:
    with as_owner():
        mail = Mail.objects.select_for_update(skip_locked=True).filter(due_at__lte=now).order_by("due_at").first()
        if mail is not None:
            mail.due_at = now + FIRST_PAUSE * 2**mail.attempts
            mail.attempts += 1
            mail.save(update_fields=["due_at", "attempts"])
    return mail


def _send(mail: Mail) -> None:
    to, subject, text = json.loads(vault.transport_unseal(bytes(mail.sealed)))
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    headers = {"Message-ID": f"<{mail.id}@{domain}>", "Auto-Submitted": "auto-generated"}
    message = EmailMessage(subject, text, to=[to], headers=headers, connection=Smtp())
    if settings.EMAIL_HOST:
        message.send()
    else:
        _write(message.message().as_bytes())


def _write(content: bytes) -> None:
    """Moved into place whole: who watches the folder reads no half mail."""
    folder = settings.HOME / "mail"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{timezone.now():%Y%m%dT%H%M%S.%f}-{token_hex(4)}.eml"
    draft = path.with_suffix(".new")
    with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    draft.replace(path)


def _sealed(address: str, subject: str, text: str) -> bytes:
    return vault.transport_seal(json.dumps([address, subject, text]).encode())
