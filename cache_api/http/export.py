"""How do all entries of a project leave it, whatever their number?"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TypeVar

from django.http import StreamingHttpResponse

from cache_api.adapters import catalogue
from cache_api.export_lines import Lines
from cache_api.http.entries import filters_in
from cache_api.http.serializers import ExportSerializer, validated
from cache_api.http.visits import Visit
from tenants import vault

T = TypeVar("T")

SENT_BYTES = 256 * 1024  # at a time
CONTENT_TYPES = {"jsonl": "application/x-ndjson", "json": "application/json"}


def exported(visit: Visit) -> StreamingHttpResponse:
    """Entry, request and response of each, with its vector. A stream that breaks off has no proper end."""
    values = validated(ExportSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    now = datetime.now(UTC)
    line_of = Lines(vault.digest_key(visit.access.tenant_id), visit.access.project_id, now)
    entries = catalogue.every(visit.place, filters_in(values), now=now, limit=values.get("limit"))
    lines = map(line_of, begun(entries))
    form = values["format"]
    body = together(chain.from_iterable((line, b"\n") for line in lines) if form == "jsonl" else _array(lines))
    response = StreamingHttpResponse(body, content_type=CONTENT_TYPES[form])
    response.headers["X-Accel-Buffering"] = "no"
    return response


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
