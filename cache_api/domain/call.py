"""What is kept of a call? One ledger row, without any text."""

import os
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cache_api.domain.records import record
from cache_api.domain.scope import digest
from cache_api.domain.usage import Usage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LAST_MILLISECOND = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_CHANCE_BYTES = 5


def new_id(now: datetime) -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of unix milliseconds, then chance."""
    return _id_of(now, int.from_bytes(os.urandom(10), "big"))


def numbered_id(now: datetime, number: int) -> UUID:
    """A UUIDv7 that lies behind those of the same time with lower numbers, of at most 30 bits (RFC 9562, 6.2)."""
    return _id_of(now, number << 44 | int.from_bytes(os.urandom(_CHANCE_BYTES), "big"))


def _id_of(now: datetime, bits: int) -> UUID:
    """Of the last 74 bits, the first 12 stand before the variant."""
    milliseconds = (now - _EPOCH) // _MILLISECOND
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64 | 0b10 << 62
    return UUID(int=value | bits & (1 << 62) - 1)


def time_of(call_id: UUID) -> datetime:
    """The id's own millisecond: where its row is filed, however often it is written.

    Of an id that is no call's it may be any; past the last day there is, it is that.
    """
    return _EPOCH + timedelta(milliseconds=min(call_id.int >> 80, _LAST_MILLISECOND))


def end_user_digest(key: bytes, name: str) -> str:
    """How the ledger knows an end user: by a digest under the tenant's own key, never by the name.

    Names are often mail addresses, and ledger rows lie open in backups, exports and replicas. Who has a name finds its
    figures by the same digest; who has only the rows learns no name, and nobody does once the tenant's key is gone.
    """
    return digest(key, "end_user", [name])[:16].hex()


@record(frozen=True, slots=True)
class Timings:
    """Milliseconds a call spent where."""

    total: int = 0
    embed: int = 0
    lookup: int = 0
    upstream: int = 0
    first_byte: int = 0


@record(frozen=True, slots=True)
class Call:
    """Who, what, decision, tokens, milliseconds; money is added by the accounting worker."""

    id: UUID
    tenant_id: UUID
    project_id: UUID
    key_id: UUID | None
    dialect: str
    provider: str
    model_asked: str
    model_served: str
    stream: bool
    status: int
    decision: str
    layer: str
    reason: str
    usage: Usage
    timings: Timings
    service_tier: str = ""
    similarity: float | None = None
    entry_id: UUID | None = None  # the entry served, or the one stored
    task: str = ""
    origin: str = "client"
    parent_id: UUID | None = None
    retry: bool = False
    fingerprint: bytes = b""  # of what was asked, so that feedback can name the pair by the call
    end_user: str = ""  # see end_user_digest
    in_served: int = 0  # tokens of a list's items that were stored, beside those bought

    @property
    def at(self) -> datetime:
        return time_of(self.id)

    @property
    def billable(self) -> bool:
        """A client's hit, miss or block; what only passes through is not."""
        return self.origin == "client" and self.decision != "bypass"
