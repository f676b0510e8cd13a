"""What does an ApiKey look like, and how is it kept without keeping it?

`ca-`, 33 characters of base62 (24 random bytes, zero-padded), 6 of base62 (CRC-32 of all before): 42 in all. The
checksum tells junk from keys without a query. What is stored is HMAC-SHA256 under a pepper: a slow hash would cost
54 ms a call and add nothing to 192 random bits.
"""

import base64
import binascii
import hmac
import re
import zlib
from dataclasses import dataclass, field

PREFIX = "ca-"
RANDOM_BYTES = 24
HINT_CHARACTERS = 7
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_CHARACTERS = 33
CHECKSUM_CHARACTERS = 6
SECRET_BYTES = 32

_SHAPE = re.compile(r"ca-[0-9A-Za-z]{39}", re.ASCII)
_ANYWHERE = re.compile(r"\bca-[0-9A-Za-z]{39}\b", re.ASCII)

TENANT_MANAGE = "tenant:manage"  # all projects, their keys, and what belongs to the tenant as a whole
SCOPES = frozenset({"proxy", "cache:read", "cache:write", "cache:purge", "stats:read", "keys:manage", TENANT_MANAGE})
DEFAULT_SCOPES = SCOPES - {"keys:manage", TENANT_MANAGE}
ALIASES = {
    TENANT_MANAGE: frozenset({TENANT_MANAGE, "keys:manage"}),
    "cache:*": frozenset({"cache:read", "cache:write", "cache:purge"}),
    "analytics:read": frozenset({"stats:read"}),
}


class UnknownScope(ValueError):
    """There is no such scope."""


class BadSecrets(ValueError):
    """Secrets must be a comma list of version:base64, each 32 bytes, the newest first."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A secret of the operator and the number it is known by: a pepper, a master key."""

    version: int
    secret: bytes = field(repr=False)


def make(chance: bytes) -> str:
    """Turn 24 random bytes into a key."""
    if len(chance) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} bytes, not {len(chance)}")

    body = PREFIX + _base62(int.from_bytes(chance), BODY_CHARACTERS)
    return body + _checksum(body)


def is_well_formed(text: str) -> bool:
    return _SHAPE.fullmatch(text) is not None and _checksum(text[:-CHECKSUM_CHARACTERS]) == text[-CHECKSUM_CHARACTERS:]


def digest(key: str, pepper: bytes) -> bytes:
    return hmac.digest(pepper, key.encode(), "sha256")


def hint(key: str) -> str:
    """What people recognise a key by."""
    return key[:HINT_CHARACTERS]


def expand_scopes(names: list[str]) -> frozenset[str]:
    scopes: frozenset[str] = frozenset()
    for name in names:
        scopes |= ALIASES.get(name, frozenset({name}))
    if unknown := scopes - SCOPES:
        raise UnknownScope(f"no such scope: {', '.join(sorted(unknown))}")
    return scopes


def covers(pattern: str, name: str) -> bool:
    """Whether a model's name, or a narrower pattern, is among those of a pattern: a name, or a beginning with `*`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def find_in(text: str) -> list[str]:
    """The well-formed keys in a text: what only looks like one has the wrong checksum."""
    return [found for found in _ANYWHERE.findall(text) if is_well_formed(found)]


def read_versions(text: str) -> tuple[Versioned, ...]:
    """Read `2:base64,1:base64`."""
    found = []
    for part in text.split(","):
        number, _, encoded = part.strip().partition(":")
        try:
            version, secret = int(number), base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise BadSecrets(BadSecrets.__doc__) from None
        if not 0 < version < 256 or len(secret) != SECRET_BYTES:
            raise BadSecrets(BadSecrets.__doc__)
        found.append(Versioned(version, secret))
    if len({one.version for one in found}) != len(found):
        raise BadSecrets("Two secrets have the same version.")
    return tuple(found)


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_CHARACTERS)


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, remainder = divmod(number, 62)
        digits = ALPHABET[remainder] + digits
    return digits.rjust(width, "0")
