"""Did this line of an export leave this project as it is now?

An entry may belong to one end user, one credential or one address: its line alone does not show it. A keyed digest of
what says when the entry may be served lets it come home, and no line that was changed.

Its vector is believed only where it was made: one that was laid between many questions would answer them all.
"""

import hmac
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

# The answer, tags and times may be edited: whoever may import may change those of any entry.
SIGNED = (
    "cache_key",
    "scope",
    "namespace",
    "provider",
    "model",
    "endpoint",
    "depends_on",
    "question",
    "request",
    "matchable",
    "usage",
    "cost_usd",
    "latency_ms",
)


def signature_of(key: bytes, project_id: UUID, line: Mapping[str, Any]) -> str:
    said = orjson.dumps([project_id.hex, [line.get(name) for name in SIGNED]], option=orjson.OPT_SORT_KEYS)
    return blake2b(said, digest_size=32, key=key, person=b"export").hexdigest()


def is_signed(key: bytes, project_id: UUID, line: Mapping[str, Any]) -> bool:
    return _is(line.get("signature"), signature_of(key, project_id, line))


def vector_signature_of(key: bytes, question: str | None, line: Mapping[str, Any]) -> str:
    said = orjson.dumps([question, line["embedder"], line["vector"]])
    return blake2b(said, digest_size=32, key=key, person=b"vector").hexdigest()


def has_own_vector(key: bytes, question: str | None, line: Mapping[str, Any]) -> bool:
    """Whether it was made of this very question."""
    given = line.get("vector_signature")
    return given is not None and "vector" in line and _is(given, vector_signature_of(key, question, line))


def _is(given: object, expected: str) -> bool:
    return isinstance(given, str) and given.isascii() and hmac.compare_digest(given, expected)
