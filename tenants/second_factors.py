"""Which secrets of people are sealed by the master key itself, and how do they come under a newer one?"""

import base64

from allauth.mfa.models import Authenticator

from tenants import vault
from tenants.isolation import as_owner

SECRETS = ("secret", "seed")  # of a one-time password, and of recovery codes


def seal(text: str) -> str:
    return base64.b64encode(vault.transport_seal(text.encode())).decode()


def unseal(sealed: str) -> str:
    """Raises vault.Corrupt."""
    return vault.transport_unseal(base64.b64decode(sealed)).decode()


def reseal() -> int:
    """Bring them all under the newest master key; how many."""
    newest, done = vault.newest_header(), 0
    with as_owner():
        for factor in Authenticator.objects.select_for_update().iterator():
            outdated = [name for name in SECRETS if name in factor.data and not _begins(factor.data[name], newest)]
            for name in outdated:
                factor.data[name] = seal(unseal(factor.data[name]))
            if outdated:
                factor.save(update_fields=["data"])
            done += len(outdated)
    return done


def _begins(sealed: str, header: bytes) -> bool:
    return base64.b64decode(sealed).startswith(header)
