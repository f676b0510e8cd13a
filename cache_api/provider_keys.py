"""Does a provider take this credential? Asked before it is stored, by a call that costs nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import connection

from cache_api import wiring
from cache_api.adapters.addresses import BadAddress, check_url
from cache_api.adapters.targets import known_providers
from cache_api.adapters.upstream import headers_up
from cache_api.domain.provider import Provider
from cache_api.domain.request import Target
from cache_api.ports import UpstreamError, UpstreamRefused
from tenants import provider_keys, vault
from tenants.audit import SYSTEM, Actor
from tenants.refusals import BadBaseUrl, BadCredential, BadValue, NotFound

ASK_SECONDS = 10.0  # a person waits
READ_BYTES = 16 * 1024  # of what the provider says of a credential it refuses
URL_MAX_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Tested:
    """What the provider said. Where `taken` is false, `trouble` says in a sentence why nobody knows."""

    taken: bool
    trouble: str = ""


def provider_key_put(
    *, tenant_id: UUID, provider: str, secret: str, base_url: str = "", actor: Actor = SYSTEM
) -> Tested:
    """Test it, then store it. One that the provider refuses is not stored, one that nobody could test is.

    Raises BadCredential, BadBaseUrl, or BadValue with the field.
    """
    base_url = base_url.strip().rstrip("/")
    house = _provider(provider)
    secret = provider_keys.checked(secret)
    tested = _ask(house, secret, _address(house, base_url))
    provider_keys.provider_key_put(
        tenant_id=tenant_id,
        provider=provider,
        secret=secret,
        base_url=base_url,
        taken_at=datetime.now(UTC) if tested.taken else None,
        trouble=tested.trouble,
        actor=actor,
    )
    return tested


def provider_key_test(*, tenant_id: UUID, provider: str) -> Tested:
    """Ask again about what is stored, and remember the answer. Raises NotFound, or VaultUnavailable."""
    stored = vault.provider_key_of(tenant_id, provider)
    if stored is None or provider not in known_providers():
        raise NotFound
    house = known_providers()[provider]
    try:
        tested = _ask(house, stored.secret, stored.base_url or house.base_url)
    except BadValue as refused:
        tested = Tested(taken=False, trouble=str(refused))
    provider_keys.provider_key_note(tenant_id=tenant_id, provider=provider, taken=tested.taken, trouble=tested.trouble)
    return tested


def _provider(name: str) -> Provider:
    found = known_providers().get(name)
    if found is None:
        known = ", ".join(sorted(known_providers()))
        raise BadValue(f"Unknown provider {name!r}. Known are: {known}.", field="provider")
    if found.self_hosted_only and not settings.SELF_HOSTED:
        raise BadValue(f"{name} is for self-hosted installations only.", field="provider")
    return found


def _address(provider: Provider, own_url: str) -> str:
    """Where the credential goes, and nowhere else."""
    if not own_url:
        if not provider.base_url or "{" in provider.base_url:
            raise BadBaseUrl(f"{provider.name} needs a base URL of your own.", field="base_url")
        return provider.base_url
    if len(own_url) > URL_MAX_CHARACTERS or not own_url.isascii() or not own_url.isprintable() or " " in own_url:
        raise BadBaseUrl("The base URL cannot be read.", field="base_url")
    try:
        check_url(own_url, wiring.allowed_addresses())
    except BadAddress as error:
        raise BadBaseUrl(str(error), field="base_url") from error
    return own_url


def _ask(provider: Provider, secret: str, base_url: str) -> Tested:
    """Raises BadCredential or BadBaseUrl."""
    target = Target(provider.name, base_url, "", credential=secret, auth_header=provider.messages_auth_header)
    headers = headers_up(target, {}, "messages" if "M" in provider.speaks else "")
    connection.close()  # None is held while a provider is waited for.
    try:
        arriving = wiring.parts().upstream.relay(
            "GET",
            f"{base_url}/{provider.credential_path}",
            headers,
            None,
            read_seconds=ASK_SECONDS,
            total_seconds=ASK_SECONDS,
        )
        with_words = arriving.status in {400, 401, 403}
        said = next(iter(arriving.chunks), b"")[:READ_BYTES].lower() if with_words else b""
        arriving.close()
    except UpstreamRefused as error:
        raise BadBaseUrl(str(error), field="base_url") from error
    except UpstreamError as error:
        return Tested(taken=False, trouble=f"{provider.name} could not be asked: {error}")
    if arriving.status < 300:
        return Tested(taken=True)
    if _knows_no_such_key(arriving.status, said):
        raise BadCredential(f"{provider.name} does not know this credential.", field="secret")
    return Tested(taken=False, trouble=f"{provider.name} answered {arriving.status} when it was asked.")


def _knows_no_such_key(status: int, said: bytes) -> bool:
    """A key for some of a provider's paths may be refused the list of models, and is none the worse for it."""
    if status == 401:
        return b"insufficient permission" not in said and b"missing scope" not in said
    return status == 400 and b"api key" in said  # as some say it
