"""Which entry does a line of an upload become?

A line is one of three: an entry as our export writes it, the fields of `POST /v1/cache/entries`, or a row with
`request_data` and `response_data`, as another system's export has it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import orjson

from cache_api import wiring
from cache_api.adapters import bulk
from cache_api.adapters.bulk import Imported, Ready
from cache_api.adapters.jobs import Part, Rejected
from cache_api.adapters.origin import has_own_vector, is_signed
from cache_api.adapters.store import COLUMN
from cache_api.adapters.targets import target_of
from cache_api.described import VALUE
from cache_api.dialects import openai_chat
from cache_api.dialects.bare_question import chat_body, whole_body
from cache_api.dialects.errors import Refused
from cache_api.dialects.spoken import dialect_at
from cache_api.domain.admission import ttl_seconds
from cache_api.domain.call import numbered_id
from cache_api.domain.controls import InvalidControl, controls_of
from cache_api.domain.entry import METADATA_MAX_BYTES, NewEntry
from cache_api.domain.policy import Policy
from cache_api.domain.request import Caller, Controls, Parsed, Request, Target
from cache_api.domain.scope import digest, fingerprint_of, scope_of
from cache_api.domain.usage import Usage
from cache_api.given import answer_in, entry_of, refuse_unstorable
from cache_api.models import Job
from cache_api.ports import CacheUnavailable
from tenants import vault
from tenants.authentication import Access

KEYED = "keyed"
PROBE_TEXT, PROBE_SECONDS = "ready", 2.0
LINES_AT_A_TIME = 32

# What of a line is a wish of the cache; headers of the upload join them.
WISHES = ("namespace", "tags", "depends_on", "ttl")
# Of the upload's own headers, what holds for every line.
HEADERS = ("namespace", "tags", "depends-on", "ttl", "end-user", "backend-provider")
_ELSEWHERE = ("x-cacheai-namespace", "x-cacheai-depends-on", "x-cacheai-end-user", "x-cacheai-backend-provider")


class Line(NamedTuple):
    line: int
    text: bytes


class Told(NamedTuple):
    """What it says."""

    line: int
    id: UUID
    fields: Mapping[str, Any]
    controls: Controls


class Asked(NamedTuple):
    """What it answers, or what became of it already."""

    line: int
    told: Told
    of: Request | NewEntry


class Made(NamedTuple):
    line: int
    fields: Mapping[str, Any]
    entry: NewEntry


class Numbered(Protocol):
    @property
    def line(self) -> int: ...


N = TypeVar("N", bound=Numbered)
T = TypeVar("T")


class Importer:
    """Makes entries of one job's lines, for the key that sent them, as of the moment they were sent."""

    def __init__(self, job: Job) -> None:
        self._access = _access(job)
        self._headers: Mapping[str, str] = job.settings["headers"]
        self._now = job.created_at
        self._key = vault.digest_key(job.tenant_id)
        self._policy: Policy = wiring.parts().policies.of(job.tenant_id, job.project_id)
        self._ready = partial(bulk.ready, vault.sealer(job.tenant_id, column=COLUMN))
        self._embedder = _embedder_version()
        # A signature says where an entry belongs: nothing of it may be changed by the upload.
        self._moved = any(name in self._headers for name in _ELSEWHERE)
        self._home = str(job.project_id)
        # What lines have in common is made out the first time.
        self._controls: dict[bytes, Controls] = {}
        self._aims: dict[tuple[str, Controls, str, str], tuple[Target, dict[bytes, bytes]]] = {}
        self._caller = Caller(
            self._access.tenant_id,
            self._access.project_id,
            self._access.key_id,
            ttl_max_seconds=self._access.ttl_max_seconds,
        )

    def read(self, part: Part) -> tuple[list[Ready], list[Rejected]]:
        """Raises CacheUnavailable or DatabaseUnavailable.

        Some lines take a step together: one by one through all steps takes half as long again, since the code of each
        step then has to come into the processor's cache anew for every line.
        """
        taken: list[Ready] = []
        rejected: list[Rejected] = []
        each = partial(_each, rejected)
        numbered = enumerate(part.lines.split(b"\n"), part.first_line)
        lines = (Line(number, text) for number, text in numbered if text.strip())
        while some := list(islice(lines, LINES_AT_A_TIME)):
            asked = each(self._asked, each(self._told, some))
            made = each(self._made, each(self._storable, asked))
            taken += each(self._ready, each(self._imported, made))
        return taken, rejected

    def _told(self, line: Line) -> Told:
        """Ids are in the order of lines, whoever reads them: of two with one Fingerprint the later one stays."""
        try:
            fields = orjson.loads(line.text)
        except orjson.JSONDecodeError:
            raise _bad("this is no JSON") from None
        if not isinstance(fields, dict):
            raise _bad("a line must be an object")
        may_be_null = (VALUE, "answer") if fields.get("endpoint") == KEYED else ()
        fields = {name: value for name, value in fields.items() if value is not None or name in may_be_null}
        fields = _renamed(fields)
        return Told(line.line, numbered_id(self._now, line.line), fields, self._wished(fields))

    def _wished(self, fields: Mapping[str, Any]) -> Controls:
        wishes = {name: fields[name] for name in WISHES if fields.get(name)}
        key = orjson.dumps(wishes)
        if (controls := self._controls.get(key)) is None:
            controls = self._controls[key] = controls_of(self._headers, wishes)
        return controls

    def _asked(self, told: Told) -> Asked:
        """The call that it answers here. What has a place of its own is made at once."""
        fields = told.fields
        if fields.get("endpoint") == KEYED:
            return Asked(told.line, told, self._keyed(told))
        if self._may_be_home(fields) and is_signed(self._key, self._access.project_id, fields):
            return Asked(told.line, told, self._returned(told))
        if fields.get("bound"):
            raise _bad("it belongs to an end user, a credential or an address of the project it was exported from")
        return Asked(told.line, told, self._request(fields, told.controls))

    def _may_be_home(self, fields: Mapping[str, Any]) -> bool:
        """Most lines name the project they were exported from; of another's a signature need not be looked at."""
        return not self._moved and fields.get("project_id") in (None, self._home)

    def _request(self, fields: Mapping[str, Any], controls: Controls) -> Request:
        """With the Fingerprint that it has here."""
        dialect = dialect_at(fields.get("endpoint"))
        read = chat_body if dialect is openai_chat else whole_body
        body = read(fields, default_model=self._access.default_model)
        parsed = dialect.parse(body)
        provider = fields.get("provider") or ""
        if not isinstance(provider, str):
            raise _bad("provider must be a string")
        target, scopes = self._aim(controls.provider or provider.lower(), controls, parsed.model, dialect.SPEAKS)
        scope = self._scope(scopes, dialect.ENDPOINT, target, controls, parsed)
        fingerprint = fingerprint_of(self._key, scope, parsed)
        return Request(self._caller, dialect.ENDPOINT, target, controls, parsed, fingerprint, scope)

    def _storable(self, asked: Asked) -> Asked:
        if isinstance(asked.of, Request):
            refuse_unstorable(asked.of, self._policy)
        return asked

    def _made(self, asked: Asked) -> Made:
        told, of = asked.told, asked.of
        if isinstance(of, Request):
            answer, usage = answer_in(told.fields, of)
            of = entry_of(of, self._policy, answer, now=self._now, usage=usage, source="import", entry_id=told.id)
        return Made(told.line, told.fields, of)

    def _imported(self, made: Made) -> Imported:
        entry, fields = made.entry, made.fields
        created_at, expires_at = self._times(entry, fields)
        vector = self._vector(fields, entry.question) if entry.matchable else ""
        embedder = self._embedder if vector else ""
        return Imported(made.line, entry, created_at, expires_at, _metadata(fields), vector, embedder)

    def _aim(self, provider: str, controls: Controls, model: str, speaks: str) -> tuple[Target, dict[bytes, bytes]]:
        """Where the call would go, and the Scopes that are known there, by a digest of their context."""
        key = (provider, controls, model, speaks)
        if (aim := self._aims.get(key)) is None:
            target = target_of(
                self._access,
                replace(controls, provider=provider),
                self._policy,
                model=model,
                speaks=speaks,
                spare_credential="",
                allowed=wiring.allowed_addresses(),
                credential_needed=False,
            )
            aim = self._aims[key] = target, {}
        return aim

    def _scope(
        self, known: dict[bytes, bytes], endpoint: str, target: Target, controls: Controls, parsed: Parsed
    ) -> bytes:
        context = blake2b(orjson.dumps(parsed.context), digest_size=16).digest()
        if (scope := known.get(context)) is None:
            scope = scope_of(self._key, self._access.project_id, endpoint, target, controls, parsed)
            known[context] = scope
        return scope

    def _returned(self, told: Told) -> NewEntry:
        """As it was: its signature was checked, and what that does not cover may say anything."""
        fields, controls = told.fields, told.controls
        answer = fields.get("response")
        dialect = dialect_at(fields["endpoint"])
        if not isinstance(answer, dict) or dialect.read_answer({**answer, "usage": None}).answer is None:
            raise _bad("response must be one finished answer, neither refused nor empty")
        cost = fields.get("cost_usd")
        return NewEntry(
            id=told.id,
            tenant_id=self._access.tenant_id,
            project_id=self._access.project_id,
            fingerprint=bytes.fromhex(fields["cache_key"]),
            scope=bytes.fromhex(fields["scope"]),
            namespace=fields["namespace"],
            provider=fields["provider"],
            model=fields["model"],
            endpoint=fields["endpoint"],
            question=fields.get("question"),
            request=fields["request"],
            answer=answer,
            vector=None,
            matchable=fields["matchable"],
            usage=Usage(**fields["usage"]),
            cost_usd=None if cost is None else Decimal(cost),
            latency_ms=fields["latency_ms"],
            writer_id=self._access.key_id,
            source="import",
            created_at=self._now,
            expires_at=self._ends(fields.get("question"), controls),
            tags=controls.tags,
            depends_on=controls.depends_on,
        )

    def _keyed(self, told: Told) -> NewEntry:
        """A value under a caller's own key."""
        fields, controls = told.fields, told.controls
        name = fields.get("cache_key")
        if not isinstance(name, str) or not name or len(name) > 128 or not name.isprintable():
            raise _bad("cache_key must be a name of 1 to 128 characters")
        if VALUE not in fields and "answer" not in fields:
            raise _bad("Field required: answer")
        fingerprint = digest(self._key, "caller_key", [name])
        model = fields.get("model", "")
        if not isinstance(model, str) or "\0" in model:
            raise _bad("model must be a string without NUL")
        return NewEntry(
            id=told.id,
            tenant_id=self._access.tenant_id,
            project_id=self._access.project_id,
            fingerprint=fingerprint,
            scope=fingerprint,
            namespace=controls.namespace,
            provider="",
            model=model,
            endpoint=KEYED,
            question=None,
            request=None,
            answer={VALUE: fields.get(VALUE, fields.get("answer"))},
            vector=None,
            matchable=False,
            usage=Usage(),
            cost_usd=None,
            latency_ms=0,
            writer_id=self._access.key_id,
            source=KEYED,
            created_at=self._now,
            expires_at=self._ends(None, controls),
            caller_key=name,
            tags=controls.tags,
            depends_on=controls.depends_on,
        )

    def _ends(self, question: str | None, controls: Controls) -> datetime | None:
        """When an entry is over that was not asked for here."""
        parsed = Parsed("", {}, None, question)
        seconds = ttl_seconds(Request(self._caller, "", Target("", "", ""), controls, parsed, b"", b""), self._policy)
        return None if seconds is None else self._now + timedelta(seconds=seconds)

    def _times(self, entry: NewEntry, fields: Mapping[str, Any]) -> tuple[datetime, datetime | None]:
        """As old as it was, and kept no longer than its line and all who have a say allow."""
        ends = [one for one in (entry.expires_at, _time(fields, "expires_at")) if one is not None]
        expires_at = min(ends, default=None)
        if expires_at is not None and expires_at <= self._now:
            raise _bad(f"it expired on {expires_at:%Y-%m-%d at %H:%M:%S}")
        return min(_time(fields, "created_at") or self._now, self._now), expires_at

    def _vector(self, fields: Mapping[str, Any], question: str | None) -> str:
        """ "" of what our own embedder did not make here, of this very question: it is made anew."""
        if not self._embedder or fields.get("embedder") != self._embedder:
            return ""
        return fields["vector"] if has_own_vector(self._key, question, fields) else ""


def _each(rejected: list[Rejected], step: Callable[[N], T], lines: Iterable[N]) -> list[T]:
    """Of those that come through it; the others are told with their reasons."""
    done: list[T] = []
    for one in lines:
        try:
            done.append(step(one))
        except (Refused, InvalidControl) as error:
            if isinstance(error, Refused) and error.status == 503:
                raise CacheUnavailable from error
            rejected.append(Rejected(one.line, str(error)))
        except RecursionError:
            rejected.append(Rejected(one.line, "nested too deeply"))
    return done


def settings_of(access: Access, headers: Mapping[str, str]) -> dict[str, Any]:
    """What a job must know of the upload's key and headers; no secret is among them."""
    wanted = {name: value for name in HEADERS if (value := headers.get(f"x-cacheai-{name}"))}
    return {
        "headers": {f"x-cacheai-{name}": value for name, value in wanted.items()},
        "provider": access.provider,
        "default_model": access.default_model,
        "ttl_max_seconds": access.ttl_max_seconds,
        "entries_max": access.entries_max,
    }


def _access(job: Job) -> Access:
    told = job.settings
    return Access(
        tenant_id=job.tenant_id,
        project_id=job.project_id,
        key_id=UUID(told["key_id"]),
        scopes=frozenset({"cache:write"}),
        rpm=0,
        key_rpm=None,
        provider=told["provider"],
        default_model=told["default_model"],
        ttl_max_seconds=told["ttl_max_seconds"],
        entries_max=told["entries_max"],
        requests_included=0,
        requests_hard=False,
        created_at=job.created_at,
    )


def _embedder_version() -> str:
    """ "" while the embedder is away: then every vector is made anew."""
    embedder = wiring.parts().embedder
    if not embedder.version:
        try:
            embedder.embed(PROBE_TEXT, PROBE_SECONDS)
        except CacheUnavailable:
            return ""
    return embedder.version


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    """Under our names, with one answer: the whole body if there is one."""
    if "request_data" in fields:
        answer = fields.get("response_data", fields.get("response_text"))
        endpoint = str(fields.get("endpoint", "")).replace(".", "/")
        fields = {**fields, "request": fields["request_data"], "endpoint": endpoint, "response": answer}
        fields.pop("answer", None)
    elif isinstance(fields.get("response"), dict):
        fields.pop("answer", None)
    return fields


def _time(fields: Mapping[str, Any], name: str) -> datetime | None:
    given = fields.get(name)
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise _bad(f"{name} must be a time such as 2026-01-31T12:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _metadata(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict):
        raise _bad("metadata must be an object")
    written = orjson.dumps(metadata)
    if len(written) > METADATA_MAX_BYTES or b"\\u0000" in written:
        raise _bad(f"metadata must be at most {METADATA_MAX_BYTES // 1024} KiB, without NUL")
    return metadata


def _bad(message: str) -> Refused:
    return Refused(400, "invalid_request", message)
