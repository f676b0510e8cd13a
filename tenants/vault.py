"""Which keys are a tenant's own, and what do they open?

Each tenant has two keys: `text` seals what is stored, `digest` keys fingerprints. Both lie in the database wrapped by
the operator's master key. Without their rows, all the tenant ever stored is noise: that is how a tenant is destroyed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_bytes
from uuid import UUID

from django.conf import settings
from django.utils.functional import SimpleLazyObject

from tenants import isolation, sealing
from tenants.isolation import DatabaseUnavailable, as_owner, as_tenant
from tenants.kept import Kept
from tenants.keys import Versioned, read_versions
from tenants.models import DataKey
from tenants.sealing import Corrupt, header, key_version

READ_DEADLINE_SECONDS = 0.05
# A destroyed tenant's keys open nothing anywhere after the first; in an outage known ones work on for the second.
KEYS_FRESH_SECONDS = 8
KEYS_USABLE_SECONDS = 600
# A changed credential is used everywhere after the first; in an outage calls still reach their provider for the second.
PROVIDER_KEY_FRESH_SECONDS = 5
PROVIDER_KEY_USABLE_SECONDS = 900

TEXT, DIGEST = "text", "digest"

__all__ = ["Corrupt", "ProviderSecret", "VaultUnavailable", "WrongMasterKey", "header", "key_version"]


class VaultUnavailable(DatabaseUnavailable):
    """A tenant's keys cannot be had at the moment."""

    def __init__(self, reason: str = "cache_unavailable") -> None:
        super().__init__(reason)


class Destroyed(Exception):
    """A tenant's keys are gone, and with them all it stored."""


class WrongMasterKey(Exception):
    """A tenant's key was wrapped by a master key that is not in CACHEAI_MASTER_KEYS."""


@dataclass(frozen=True, slots=True)
class ProviderSecret:
    """A tenant's credential, and the only address it may go to: empty is its provider's own."""

    secret: str = field(repr=False)
    base_url: str


@dataclass(frozen=True, slots=True)
class _TenantKeys:
    text: dict[int, bytes] = field(repr=False)
    digest: bytes = field(repr=False)

    def text_key(self, version: int) -> bytes:
        try:
            return self.text[version]
        except KeyError:
            raise Corrupt(Corrupt.__doc__) from None


class _Masters:
    """The operator's master keys by version, and the transport key of each."""

    def __init__(self, found: tuple[Versioned, ...]) -> None:
        self.newest = found[0].version
        self._keys = {one.version: one.secret for one in found}
        self._transport = {one.version: sealing.derive(one.secret, "cacheai transport") for one in found}

    def key(self, version: int) -> bytes:
        return self._find(self._keys, version)

    def transport(self, version: int) -> bytes:
        return self._find(self._transport, version)

    def _find(self, keys: dict[int, bytes], version: int) -> bytes:
        try:
            return keys[version]
        except KeyError:
            raise WrongMasterKey(WrongMasterKey.__doc__) from None


_masters: _Masters = SimpleLazyObject(  # type: ignore[assignment]
    lambda: _Masters(read_versions(settings.CACHEAI_MASTER_KEYS))
)
_tenant_keys: Kept[UUID, _TenantKeys] = Kept(fresh_seconds=KEYS_FRESH_SECONDS, usable_seconds=KEYS_USABLE_SECONDS)
_provider_keys: Kept[tuple[UUID, str], ProviderSecret | None] = Kept(
    fresh_seconds=PROVIDER_KEY_FRESH_SECONDS, usable_seconds=PROVIDER_KEY_USABLE_SECONDS
)


def digest_key(tenant_id: UUID) -> bytes:
    return _keys_of(tenant_id).digest


def seal(tenant_id: UUID, plain: bytes, *, column: str, row_id: UUID) -> bytes:
    """`column` is table and column, as in `entry.body`."""
    return sealer(tenant_id, column=column)(plain, row_id)


def sealer(tenant_id: UUID, *, column: str) -> Callable[[bytes, UUID], bytes]:
    """`seal` for many rows, of text and row: what they have in common is made out once."""
    keys = _keys_of(tenant_id)
    newest = max(keys.text)
    seal_one = sealing.sealer(keys.text[newest], key_version=newest)
    context = sealing.row_context(tenant_id, column, "").encode()
    return lambda plain, row_id: seal_one(plain, context + str(row_id).encode())


def unseal(tenant_id: UUID, sealed: bytes, *, column: str, row_id: UUID) -> bytes:
    """Raises Corrupt or VaultUnavailable."""
    keys = _keys_of(tenant_id)
    if key_version(sealed) not in keys.text:  # Another process has a newer one already.
        _tenant_keys.forget(tenant_id)
        keys = _keys_of(tenant_id)
    return sealing.unseal(sealed, keys.text_key, context=sealing.row_context(tenant_id, column, row_id))


def transport_seal(plain: bytes) -> bytes:
    """For text on its way through Redis, which never holds any."""
    newest = _masters.newest
    return sealing.seal(plain, _masters.transport(newest), key_version=newest, context="transport")


def transport_unseal(sealed: bytes) -> bytes:
    """Raises Corrupt."""
    try:
        return sealing.unseal(sealed, _masters.transport, context="transport")
    except WrongMasterKey as error:
        raise Corrupt(Corrupt.__doc__) from error


def wrap(tenant_id: UUID, purpose: str, version: int, key: bytes) -> bytes:
    newest = _masters.newest
    context = _wrap_context(tenant_id, purpose, version)
    return sealing.encrypt(key, _masters.key(newest), key_version=newest, context=context)


def unwrap(tenant_id: UUID, purpose: str, version: int, wrapped: bytes) -> bytes:
    """Raises Corrupt or WrongMasterKey."""
    return sealing.decrypt(wrapped, _masters.key, context=_wrap_context(tenant_id, purpose, version))


def new_keys(tenant_id: UUID) -> list[tuple[str, int, bytes]]:
    """Purpose, version and wrapped key of a new tenant's first two keys."""
    return [(purpose, 1, wrap(tenant_id, purpose, 1, token_bytes(sealing.KEY_BYTES))) for purpose in (TEXT, DIGEST)]


def text_key_rotate(*, tenant_id: UUID) -> int:
    """From now on the tenant's texts are sealed with a new key; its version. The older ones go on opening."""
    with as_tenant(tenant_id):
        keys = DataKey.objects.filter(tenant_id=tenant_id, purpose=TEXT).select_for_update()
        version = max(key.version for key in keys) + 1
        wrapped = wrap(tenant_id, TEXT, version, token_bytes(sealing.KEY_BYTES))
        DataKey.objects.create(tenant_id=tenant_id, purpose=TEXT, version=version, wrapped=wrapped)
    forget(tenant_id)
    return version


def newest_header() -> bytes:
    """How everything begins that the newest master key sealed or wrapped."""
    return header(_masters.newest)


def rewrap(limit: int) -> int:
    """Bring up to `limit` keys under the newest master key; how many. Raises WrongMasterKey or Corrupt.

    What they open stays as it is: only the wrapping is another.
    """
    newest = newest_header()
    with as_owner():
        outdated = DataKey.objects.extra(where=["substring(wrapped FOR 5) <> %s"], params=[newest])
        found = list(outdated.select_for_update()[:limit])
        for key in found:
            place = (key.tenant_id, key.purpose, key.version)
            wrapped = wrap(*place, unwrap(*place, bytes(key.wrapped)))
            DataKey.objects.filter(tenant_id=place[0], purpose=place[1], version=place[2]).update(wrapped=wrapped)
    return len(found)


def provider_key_of(tenant_id: UUID, provider: str) -> ProviderSecret | None:
    """Raises VaultUnavailable."""
    try:
        return _provider_keys.get((tenant_id, provider), lambda: _read_provider_key(tenant_id, provider))
    except DatabaseUnavailable as error:
        raise VaultUnavailable(error.reason) from error


def forget(tenant_id: UUID) -> None:
    """What was changed here is read anew by the next call of this process."""
    _tenant_keys.forget(tenant_id)
    _provider_keys.forget_where(lambda key, _: key[0] == tenant_id)


def _keys_of(tenant_id: UUID) -> _TenantKeys:
    try:
        return _tenant_keys.get(tenant_id, lambda: _read_tenant_keys(tenant_id))
    except DatabaseUnavailable as error:
        raise VaultUnavailable(error.reason) from error
    except (Corrupt, Destroyed, WrongMasterKey) as error:
        raise VaultUnavailable from error


def _read_tenant_keys(tenant_id: UUID) -> _TenantKeys:
    if isolation.in_transaction():  # It has no room for a message of its own: known keys must do.
        raise VaultUnavailable
    rows = isolation.read(
        tenant_id,
        "SELECT purpose, version, wrapped FROM data_key WHERE tenant_id = %s",
        [tenant_id],
        deadline_seconds=READ_DEADLINE_SECONDS,
    )
    keys = {(purpose, version): unwrap(tenant_id, purpose, version, wrapped) for purpose, version, wrapped in rows}
    text = {version: key for (purpose, version), key in keys.items() if purpose == TEXT}
    digests = [version for purpose, version in keys if purpose == DIGEST]
    if not text or not digests:
        raise Destroyed(Destroyed.__doc__)
    return _TenantKeys(text, keys[DIGEST, max(digests)])


def _read_provider_key(tenant_id: UUID, provider: str) -> ProviderSecret | None:
    rows = isolation.read(
        tenant_id,
        "SELECT id, base_url, sealed FROM provider_key WHERE tenant_id = %s AND provider = %s",
        [tenant_id, provider],
        deadline_seconds=READ_DEADLINE_SECONDS,
    )
    if not rows:
        return None

    row_id, base_url, sealed = rows[0]
    try:
        secret = unseal(tenant_id, sealed, column="provider_key.sealed", row_id=row_id)
    except Corrupt as error:
        raise VaultUnavailable from error
    return ProviderSecret(secret.decode(), base_url)


def _wrap_context(tenant_id: UUID, purpose: str, version: int) -> str:
    return f"dek|{tenant_id}|{purpose}|{version}"
