"""Where does this call go, and with whose credential?"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from uuid import UUID

from django.conf import settings

from cache_api.adapters.addresses import Allowed, BadAddress, check_url
from cache_api.dialects.errors import Refused
from cache_api.domain.policy import Policy
from cache_api.domain.provider import NoSuchProvider, Provider, choose, providers
from cache_api.domain.request import Controls, Target
from tenants import vault
from tenants.authentication import Access

NAMES = {
    "C": "/v1/chat/completions",
    "T": "/v1/completions",
    "R": "/v1/responses",
    "M": "/v1/messages",
    "E": "/v1/embeddings",
}

log = logging.getLogger(__name__)


def known_providers() -> Mapping[str, Provider]:
    """Every provider, the demo one at its local address."""
    return _with_demo_at(settings.DEMO_URL)


@cache
def _with_demo_at(url: str) -> Mapping[str, Provider]:
    return {**providers(), "demo": replace(providers()["demo"], base_url=url)}


def target_of(
    access: Access | None,
    controls: Controls,
    policy: Policy,
    *,
    model: str,
    speaks: str,
    spare_credential: str,
    allowed: Allowed,
    credential_needed: bool = True,
) -> Target:
    """Raises Refused with what to do. What never calls the provider needs no credential."""
    try:
        provider, upstream_model = choose(
            known_providers(),
            named=controls.provider,
            base_url=controls.base_url,
            key_default=access.provider if access else "",
            model=model,
            speaks=speaks,
        )
    except NoSuchProvider as error:
        raise Refused(400, "invalid_request", str(error), "X-CacheAI-Backend-Provider") from None
    if speaks and speaks not in provider.speaks:
        raise Refused(
            400,
            "dialect_unsupported",
            f"{provider.name} does not speak {NAMES[speaks]}, and nothing is translated between dialects. "
            f"It speaks {', '.join(NAMES[letter] for letter in sorted(provider.speaks) if letter in NAMES)}.",
        )
    if provider.self_hosted_only and not settings.SELF_HOSTED:
        raise Refused(400, "base_url_not_allowed", f"{provider.name} is for self-hosted installations only.")
    return _with_credential(
        access.tenant_id if access else None,
        controls,
        policy,
        provider,
        upstream_model,
        speaks,
        spare_credential,
        allowed,
        credential_needed,
    )


def tenants_own(tenant_id: UUID, provider: str, model: str) -> Target:
    """Where a chat of the Tenant's own goes, with its ProviderKey. Raises Refused."""
    house = known_providers().get(provider)
    if house is None or "C" not in house.speaks:
        raise Refused(400, "dialect_unsupported", f"{provider} does not speak {NAMES['C']}.")
    return _with_credential(tenant_id, Controls(), Policy(), house, model, "C", "", ())


def small_model_of(access: Access | None, policy: Policy, asked: Target, speaks: str) -> Target | None:
    """Who answers from stored answers: at the provider that was asked, with its credential, or at one of the Tenant's.

    None: it cannot be asked, and nobody is.
    """
    if policy.synthesis_provider in {"", asked.provider}:
        return replace(asked, model=policy.synthesis_model)
    try:
        return target_of(
            access,
            Controls(provider=policy.synthesis_provider),
            policy,
            model=policy.synthesis_model,
            speaks=speaks,
            spare_credential="",
            allowed=(),
        )
    except Refused as refused:
        log.warning("no_small_model", extra={"reason": refused.code})
        return None


def _with_credential(
    tenant_id: UUID | None,
    controls: Controls,
    policy: Policy,
    provider: Provider,
    model: str,
    speaks: str,
    spare_credential: str,
    allowed: Allowed,
    credential_needed: bool = True,
) -> Target:
    auth_header = provider.messages_auth_header if speaks == "M" else provider.auth_header
    callers = controls.provider_key or spare_credential
    target = Target(
        provider=provider.name,
        base_url=provider.base_url,
        model=model,
        credential=callers,
        auth_header=auth_header,
        credential_from_caller=bool(callers),
        takes_stream_options=provider.takes_stream_options,
    )
    if controls.base_url:
        if tenant_id is None:  # Anybody can make up a key nobody can verify, and we are no road to any address.
            raise Refused(503, "unavailable", "Service temporarily unavailable")
        # A URL from a header needs a key from a header: a stored credential never goes where a caller points.
        if not policy.allow_base_url:
            raise Refused(400, "base_url_not_allowed", "This project takes no base URL from a request.")
        if not callers:
            raise _missing("A base URL in a header needs its own key: send X-CacheAI-Backend-API-Key.")
        return _checked(replace(target, base_url=controls.base_url, elsewhere=True), controls, allowed)
    if callers:
        if not target.base_url:
            raise _no_url(provider.name)
        return target

    stored = _stored_key(tenant_id, provider)
    if stored is not None:
        target = replace(target, credential=stored.secret)
        return replace(target, base_url=stored.base_url, elsewhere=True) if stored.base_url else target
    if provider.public_key:
        return replace(target, credential=provider.public_key)
    if provider.needs_key and credential_needed:
        raise _missing(
            f"No key for {provider.name}: send it as X-CacheAI-Backend-API-Key, or in Authorization with your "
            "CacheAI key in X-API-Key, or store it on the dashboard's Providers page. "
            "Without any key, models named demo-small or demo-large answer.",
        )
    if not target.base_url:
        raise _no_url(provider.name)
    return target


def _stored_key(tenant_id: UUID | None, provider: Provider) -> vault.ProviderSecret | None:
    """Raises Refused where nobody knows: a call cannot be made with a key that is out of reach."""
    try:
        return vault.provider_key_of(tenant_id, provider.name) if tenant_id else None
    except vault.VaultUnavailable:
        if provider.public_key:
            return None
        raise Refused(503, "unavailable", "Service temporarily unavailable") from None


def _checked(target: Target, controls: Controls, allowed: Allowed) -> Target:
    try:
        check_url(target.base_url, allowed)
    except BadAddress as error:
        if controls.baseline_protocol:
            return replace(target, reachable=False)
        raise Refused(400, "base_url_not_allowed", str(error), "X-CacheAI-Backend-Base-URL") from None
    return target


def _missing(message: str) -> Refused:
    return Refused(400, "provider_key_missing", message)


def _no_url(provider: str) -> Refused:
    return Refused(400, "base_url_not_allowed", f"{provider} needs a base URL: send X-CacheAI-Backend-Base-URL.")
