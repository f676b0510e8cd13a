"""Which mails were written?"""

import json

from tenants import vault
from tenants.isolation import as_owner
from tenants.models import Mail


def outbox() -> list[tuple[str, str, str]]:
    """To whom, subject and text, in the order of addresses."""
    with as_owner():
        sealed = [bytes(mail.sealed) for mail in Mail.objects.all()]
    return sorted(tuple(json.loads(vault.transport_unseal(one))) for one in sealed)


def empty_outbox() -> None:
    with as_owner():
        Mail.objects.all().delete()
