"""What is asked, of whom, and how may the cache be used for it?"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any
from uuid import UUID

from cache_api.domain.records import record


@record(frozen=True, slots=True)
class Caller:
    """Whose call it is and what its key opens."""

    tenant_id: UUID
    project_id: UUID
    key_id: UUID
    may_read: bool = True
    may_write: bool = True
    over_quota: bool = False
    ttl_max_seconds: int | None = None
    entries_full: bool = False
    counted: bool = False  # against its plan, on arrival: so near the plan's end


@record(frozen=True, slots=True)
class Controls:
    """What the caller wishes of the cache; nothing here can loosen the Policy."""

    use_cache: bool = True
    refresh: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    ttl_seconds: int | None = None
    max_age_seconds: int | None = None
    threshold: float | None = None
    namespace: str = ""
    end_user: str = ""
    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    task: str = ""
    provider: str = ""
    provider_key: str = ""
    base_url: str = ""
    baseline_protocol: bool = False  # provider, key and URL all came in cacheai 0.2.0's spelling
    model: str = ""


@record(frozen=True, slots=True)
class Target:
    """Where the call goes, and with which credential."""

    provider: str
    base_url: str
    model: str  # as the provider knows it
    credential: str = field(repr=False, default="")
    auth_header: str = "authorization"
    credential_from_caller: bool = False
    takes_stream_options: bool = True
    elsewhere: bool = False  # not the provider's own address, but one a caller or a tenant named
    reachable: bool = True  # False: an address we may not dial; only a client-side miss can serve it


@record(frozen=True, slots=True)
class Parsed:
    """What a dialect makes of a body."""

    model: str
    body: Mapping[str, Any]
    context: Any  # the body without the question's text, as it enters the Scope
    question: str | None  # the last user text; None: nothing may be fuzzy
    texts: tuple[str, ...] = ()  # the question's parts as sent, for the Fingerprint
    prompt_texts: tuple[str, ...] = ()  # every text asked with, for estimates
    stream: bool = False
    include_usage: bool = False
    tools: bool = False
    choices: int = 1
    temperature: float | None = None
    unsupported: bool = False  # a part whose bytes we do not hold
    stateful: bool = False  # goes on from, or leaves behind, what only the provider holds
    continuable: bool = False  # the answer's id is of use later, to the same account alone
    unparsed: bool = False  # read by a lenient parser only: to be forwarded untouched


@record(frozen=True, slots=True)
class Request:
    """A parsed call in one dialect."""

    caller: Caller
    endpoint: str
    target: Target
    controls: Controls
    parsed: Parsed
    fingerprint: bytes  # b"": the tenant's digest key is out of reach
    scope: bytes
    raw: bytes = field(repr=False, default=b"")
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    retry: bool = False
    end_user: str = ""  # as the ledger knows them
    query: str = ""  # of the URL, as it came; a part of the Scope
    small_model: Target | None = None  # who may answer from stored answers that are near

    @property
    def question(self) -> str | None:
        return self.parsed.question

    @property
    def cache_key(self) -> str:
        return self.fingerprint.hex()
