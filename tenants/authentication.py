"""Whose call is this, and may it be made?

AuthenticationError
├── InvalidKey       unknown, expired, revoked, from a network it is not for, or its tenant is suspended
├── TooManyBadKeys   an address that keeps guessing
└── Unverifiable     the database is away and this key was not met before
"""

import ipaddress
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.utils.functional import SimpleLazyObject

from tenants import isolation, keys, revocation
from tenants.isolation import DatabaseUnavailable
from tenants.kept import Kept

READ_DEADLINE_SECONDS = 0.05
# A revoked key stops within this even if Redis, which drops it at once, is away.
VERIFIED_SECONDS = 5
# With the database away, a key verified so lately works on.
OUTAGE_SECONDS = 900
VERIFIED_MAX = 50_000
UNKNOWN_SECONDS = 5
UNKNOWN_MAX = 10_000
BAD_KEYS_PER_MINUTE = 20
ADDRESSES_MAX = 10_000
MINUTE_SECONDS = 60
NOTE_USE_SECONDS = 60

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

log = structlog.stdlib.get_logger(__name__)


class AuthenticationError(Exception):
    """The caller is not known."""


class InvalidKey(AuthenticationError):
    """Invalid or missing API key"""


class TooManyBadKeys(AuthenticationError):
    """Too many invalid API keys from this address. Try again in a minute."""


class Unverifiable(AuthenticationError):
    """Service temporarily unavailable"""


@dataclass(frozen=True, slots=True)
class Access:
    """What a verified ApiKey opens, and its tenant's limits."""

    tenant_id: UUID
    project_id: UUID
    key_id: UUID
    scopes: frozenset[str]
    rpm: int
    key_rpm: int | None
    provider: str
    default_model: str
    ttl_max_seconds: int
    entries_max: int
    requests_included: int
    requests_hard: bool
    created_at: datetime
    expires_at: datetime | None = None
    networks: tuple[Network, ...] = ()
    models_allowed: tuple[str, ...] = ()  # names, or beginnings with *; empty: any
    key_tpm: int | None = None
    tpm: int | None = None
    bytes_max: int | None = None
    period_start: datetime | None = None  # from here on requests count against the plan
    read_only: bool = False
    features: frozenset[str] = frozenset()
    plan: str = ""
    overage_cap_usd: Decimal | None = None  # None: the plan's price

    def admits(self, address: str, now: datetime) -> bool:
        if self.expires_at is not None and now >= self.expires_at:
            return False
        return not self.networks or _is_in(address, self.networks)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the auth headers bring: our key, and perhaps the caller's own for the provider."""

    api_key: str = field(repr=False)
    provider_key: str = field(repr=False)


@dataclass(slots=True)
class _Addresses:
    """Bad keys by address in this minute."""

    counts: dict[str, int] = field(default_factory=dict)
    ends: float = 0.0

    def add(self, address: str, now: float) -> None:
        self._turn(now)
        if address in self.counts or len(self.counts) < ADDRESSES_MAX:
            self.counts[address] = self.counts.get(address, 0) + 1

    def is_over(self, address: str, now: float) -> bool:
        self._turn(now)
        return self.counts.get(address, 0) >= BAD_KEYS_PER_MINUTE

    def _turn(self, now: float) -> None:
        if now >= self.ends:
            self.counts, self.ends = {}, now + MINUTE_SECONDS


_peppers: tuple[keys.Versioned, ...] = SimpleLazyObject(  # type: ignore[assignment]
    lambda: keys.read_versions(settings.CACHEAI_KEY_PEPPERS)
)
_verified: Kept[bytes, Access] = Kept(fresh_seconds=VERIFIED_SECONDS, usable_seconds=OUTAGE_SECONDS, limit=VERIFIED_MAX)
_unknown: dict[bytes, float] = {}
_bad_keys = _Addresses()


def credentials_of(headers: Mapping[str, str]) -> Credentials:
    """Tell our key from the caller's own. `headers` have names in lower case."""
    bearer, other = _bearer(headers.get("authorization", "")), headers.get("x-api-key", "").strip()
    if not bearer or not other or bearer == other:
        return Credentials(bearer or other, "")

    bearer_is_ours, other_is_ours = keys.is_well_formed(bearer), keys.is_well_formed(other)
    if bearer_is_ours and other_is_ours:
        raise InvalidKey("Two different API keys were sent")
    if other_is_ours:
        return Credentials(other, bearer)
    if bearer_is_ours:
        return Credentials(bearer, other)
    return Credentials(bearer, "")  # Neither: what was meant for us is unknown, and goes nowhere.


def authenticate(api_key: str, *, address: str) -> Access:
    """Raises InvalidKey, TooManyBadKeys or Unverifiable."""
    _listen()
    digest = keys.digest(api_key, _peppers[0].secret)
    if digest not in _verified:
        _refuse_without_asking(api_key, digest, address)
    try:
        access = _verified.get(digest, lambda: _verify(api_key, digest, address))
    except DatabaseUnavailable as error:
        raise Unverifiable(Unverifiable.__doc__) from error

    if (access.expires_at is not None or access.networks) and not access.admits(address, datetime.now(UTC)):
        raise _refused(address)
    _used[access.key_id] = access.tenant_id
    return access


def forget(key_id: UUID) -> None:
    """Verify this key anew at its next call."""
    _verified.forget_where(lambda _, access: access.key_id == key_id)


def find(api_key: str) -> dict[str, Any] | None:
    """What is stored of a key, ended or not; None of what is none. Raises DatabaseUnavailable."""
    if not keys.is_well_formed(api_key):
        return None
    return _find(api_key, keys.digest(api_key, _peppers[0].secret))


def _refuse_without_asking(api_key: str, digest: bytes, address: str) -> None:
    """Junk, and addresses that guess, cost no query. It also refuses their good keys at a first meeting."""
    now = time.monotonic()
    if _bad_keys.is_over(address, now):
        raise TooManyBadKeys(TooManyBadKeys.__doc__)
    if not keys.is_well_formed(api_key) or _unknown.get(digest, 0.0) > now:
        raise _refused(address)


def _verify(api_key: str, digest: bytes, address: str) -> Access:
    row = _find(api_key, digest)
    if row is None or row["revoked_at"] is not None or row["suspended_at"] is not None:
        _remember_unknown(digest)
        raise _refused(address)
    return _access(row)


def _find(api_key: str, digest: bytes) -> dict[str, Any] | None:
    """Newest pepper first; a key met under an old one is digested anew."""
    if row := _read(digest):
        return row
    for pepper in _peppers[1:]:
        if row := _read(keys.digest(api_key, pepper.secret)):
            _digest_anew(row, digest)
            return row
    return None


def _digest_anew(row: dict[str, Any], digest: bytes) -> None:
    try:
        isolation.write(
            row["tenant_id"],
            "UPDATE api_key SET digest = %s, pepper_id = %s WHERE tenant_id = %s AND id = %s",
            [digest, _peppers[0].version, row["tenant_id"], row["key_id"]],
            deadline_seconds=READ_DEADLINE_SECONDS,
        )
    except DatabaseUnavailable as error:  # The key is good; the next meeting tries again.
        log.warning("key_not_digested_anew", reason=error.reason)


_COLUMNS = (
    "tenant_id", "project_id", "key_id", "scopes", "networks", "models_allowed", "key_rpm", "key_tpm", "provider",
    "created_at", "expires_at", "revoked_at", "suspended_at", "default_model", "rpm", "tpm", "entries_max",
    "bytes_max", "ttl_max_seconds", "requests_included", "requests_hard", "period_start", "read_only", "features",
    "plan", "overage_cap_usd",
)  # fmt: skip
_KEY_BY_DIGEST = f"SELECT {', '.join(_COLUMNS)} FROM key_by_digest(%s)"  # noqa: S608 (names from above)


def _read(digest: bytes) -> dict[str, Any] | None:
    rows = isolation.read_before_tenant(_KEY_BY_DIGEST, [digest], deadline_seconds=READ_DEADLINE_SECONDS)
    return dict(zip(_COLUMNS, rows[0], strict=True)) if rows else None


def _access(row: dict[str, Any]) -> Access:
    facts = {name: value for name, value in row.items() if name not in ("revoked_at", "suspended_at")}
    facts["scopes"] = keys.expand_scopes(row["scopes"])
    facts["networks"] = tuple(ipaddress.ip_network(network) for network in row["networks"])
    facts["models_allowed"], facts["features"] = tuple(row["models_allowed"]), frozenset(row["features"])
    return Access(**facts)


def _refused(address: str) -> AuthenticationError:
    """Counts the bad key, and says no."""
    now = time.monotonic()
    if _bad_keys.is_over(address, now):
        return TooManyBadKeys(TooManyBadKeys.__doc__)
    _bad_keys.add(address, now)
    return InvalidKey(InvalidKey.__doc__)


def _remember_unknown(digest: bytes) -> None:
    if len(_unknown) >= UNKNOWN_MAX:
        _unknown.clear()  # Costs a query for each that comes again: cheaper than keeping them in order.
    _unknown[digest] = time.monotonic() + UNKNOWN_SECONDS


def _bearer(authorization: str) -> str:
    kind, _, token = authorization.strip().partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)


# -- Which keys are in use? Noted in memory, written down together once a minute by a thread of its own.

_used: dict[UUID, UUID] = {}
_listening = False
_starting = threading.Lock()


def note_uses() -> None:
    """Write down which keys were used since the last time."""
    noted = list(_used.items())
    _used.clear()
    if not noted:
        return

    used_at = datetime.now(UTC).isoformat()
    rows = [{"tenant_id": str(tenant), "key_id": str(key), "used_at": used_at} for key, tenant in noted]
    isolation.read_before_tenant("SELECT keys_used(%s::jsonb)", [json.dumps(rows)], deadline_seconds=1)


def _note_forever() -> None:
    while True:
        time.sleep(NOTE_USE_SECONDS)
        try:
            note_uses()
        except DatabaseUnavailable as error:
            log.warning("key_use_not_noted", reason=error.reason)


def _listen() -> None:
    global _listening
    if _listening:
        return
    with _starting:
        if not _listening:
            revocation.listen(forget)
            threading.Thread(target=_note_forever, name="key-use", daemon=True).start()
            _listening = True


def _forget_threads() -> None:
    global _listening
    _listening = False


os.register_at_fork(after_in_child=_forget_threads)
