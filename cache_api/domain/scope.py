"""Which calls may share an answer at all?

    scope       = BLAKE2b-256(key, "scope" | RULES | canonical JSON of all but the last user text)
    fingerprint = BLAKE2b-256(key, "fingerprint" | scope | canonical JSON of the last user text)

The key is the tenant's own, so that equal questions of two tenants have unrelated digests. In canonical JSON keys are
sorted, numbers are equal by value (1 = 1.0), strings are NFC with LF line ends, and nothing is filled in.
"""

import json
import unicodedata
from hashlib import blake2b
from typing import Any
from uuid import UUID

from cache_api.domain.request import Controls, Parsed, Target

# Raised whenever a rule on this page changes: old entries then match nothing, rather than the wrong thing.
RULES = 1

# What the provider bills, logs or routes by, but does not answer by.
IGNORED_FIELDS = frozenset(
    {
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "metadata",
        "service_tier",
        "cache",
    }
)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def scope_of(key: bytes, project_id: UUID, endpoint: str, target: Target, controls: Controls, parsed: Parsed) -> bytes:
    """Digest of everything that must match exactly: 32 bytes."""
    of_one_account = target.credential_from_caller or parsed.continuable
    credential = digest(key, "credential", target.credential).hex() if of_one_account else ""
    return digest(
        key,
        "scope",
        [
            RULES,
            project_id.hex,
            endpoint,
            target.provider,
            target.base_url if target.elsewhere else "",
            parsed.model,
            credential,
            controls.namespace,
            controls.end_user,
            sorted(set(controls.depends_on)),
            parsed.context,
        ],
    )


def fingerprint_of(key: bytes, scope: bytes, parsed: Parsed) -> bytes:
    """Digest of everything that can change the answer: 32 bytes."""
    return digest(key, "fingerprint", [scope.hex(), list(parsed.texts)])


def question_fingerprint(key: bytes, scope: bytes, question: str) -> bytes:
    """Of the call in this scope that asks this, whose question is one text."""
    return fingerprint_of(key, scope, Parsed(model="", body={}, context=None, question=question, texts=(question,)))


def digest(key: bytes, purpose: str, value: Any) -> bytes:
    text = _ENCODER.encode(canonical(value))
    return blake2b(text.encode("ascii"), digest_size=32, key=key, person=purpose.encode()[:16]).digest()


def canonical(value: Any) -> Any:
    """The one spelling of a JSON value."""
    if isinstance(value, str):
        return canonical_text(value)
    if isinstance(value, dict):
        return {canonical_text(name): canonical(item) for name, item in value.items()}
    if isinstance(value, list) or isinstance(value, tuple):  # noqa: SIM101 (a tuple of types takes twice as long)
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def canonical_text(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else unicodedata.normalize("NFC", text)
