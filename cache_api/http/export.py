"""How do all entries of a project leave it, whatever their number?"""

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TypeVar
from uuid import UUID

import orjson
from django.http import StreamingHttpResponse

from cache_api.adapters import catalogue
from cache_api.adapters.bulk import half_vector
from cache_api.adapters.catalogue import Described
from cache_api.adapters.origin import signature_of
from cache_api.dialects.errors import Refused
from cache_api.dialects.spoken import dialect_at
from cache_api.domain.request import Controls, Target
from cache_api.domain.scope import scope_of
from cache_api.http.described import described
from cache_api.http.entries import filters_in
from cache_api.http.serializers import ExportSerializer, validated
from cache_api.http.visits import Visit
from tenants import vault

T = TypeVar("T")

SENT_BYTES = 256 * 1024  # at a time
SCOPES_MAX = 10_000
CONTENT_TYPES = {"jsonl": "application/x-ndjson", "json": "application/json"}


def exported(visit: Visit) -> StreamingHttpResponse:
    """Entry, request and response of each, with its vector. A stream that breaks off has no proper end."""
    values = validated(ExportSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    now = datetime.now(UTC)
    line_of = _Lines(vault.digest_key(visit.access.tenant_id), visit.access.project_id, now)
    entries = catalogue.every(visit.place, filters_in(values), now=now, limit=values.get("limit"))
    lines = map(line_of, begun(entries))
    form = values["format"]
    body = together(chain.from_iterable((line, b"\n") for line in lines) if form == "jsonl" else _array(lines))
    response = StreamingHttpResponse(body, content_type=CONTENT_TYPES[form])
    response.headers["X-Accel-Buffering"] = "no"
    return response


class _Lines:
    """What an import needs to store an entry again, here or anywhere."""

    def __init__(self, key: bytes, project_id: UUID, now: datetime) -> None:
        self._key = key
        self._project_id = project_id
        self._now = now
        self._bound: OrderedDict[bytes, bool] = OrderedDict()  # by Scope

    def __call__(self, one: Described) -> bytes:
        entry, text = one.entry, one.text or {}
        line = described(one, self._now, with_answer=True)
        line |= {"request": text.get("request"), "usage": entry.usage, "matchable": entry.matchable}
        if not entry.caller_key:
            line |= {"scope": bytes(entry.scope).hex(), "bound": self._is_bound(one)}
            line["signature"] = signature_of(self._key, self._project_id, line)
        if one.vector is not None:
            line |= {"embedder": entry.embedder, "vector": b64encode(half_vector(one.vector)).decode()}
        return orjson.dumps(line)

    def _is_bound(self, one: Described) -> bool:
        scope = bytes(one.entry.scope)
        if scope not in self._bound:
            if len(self._bound) >= SCOPES_MAX:
                self._bound.popitem(last=False)
            self._bound[scope] = self._scope_of(one) != scope
        return self._bound[scope]

    def _scope_of(self, one: Described) -> bytes:
        """As a call has it that names no end user, no address and no credential of its own."""
        entry = one.entry
        try:
            dialect = dialect_at(entry.endpoint)
            parsed = dialect.parse((one.text or {}).get("request") or {})
        except Refused:
            return b""
        controls = Controls(namespace=entry.namespace, depends_on=tuple(one.depends_on))
        target = Target(entry.provider, "", entry.model)
        return scope_of(self._key, self._project_id, entry.endpoint, target, controls, parsed)


def begun(found: Iterator[T]) -> Iterable[T]:
    """What cannot be read at all fails before the first byte."""
    return chain(list(islice(found, 1)), found)


def _array(lines: Iterable[bytes]) -> Iterator[bytes]:
    between = b'{"object":"list","data":['
    for line in lines:
        yield between + line
        between = b","
    yield (b"" if between == b"," else between) + b"]}"


def together(parts: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= SENT_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
