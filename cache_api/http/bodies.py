"""Is this body JSON we can stand behind?"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest

from cache_api.dialects.errors import Refused

WRITABLE_DEPTH = 254  # orjson reads deeper than it writes
PIECE_BYTES = 256 * 1024
DUPLICATES_SOUGHT_BYTES = 64 * 1024  # looking for repeated keys costs 33 us at 2 KB


@dataclass(frozen=True, slots=True)
class Body:
    raw: bytes
    value: dict[str, Any]
    unparsed: bool  # only the lenient parser reads it: forward it, do not key on it


class _RepeatedKey(ValueError):
    """An object has a key twice."""


def read_raw(http: WSGIRequest) -> bytes:
    """The body, bounded. Raises Refused."""
    # In one read the server would hold the whole body three times, and memory in pieces is slow to go back.
    raw = bytearray()
    for piece in pieces(http, limit_bytes=settings.BODY_LIMIT_BYTES):
        raw += piece
    return bytes(raw)


def pieces(http: WSGIRequest, *, limit_bytes: int) -> Iterator[bytes]:
    """The body as it comes. Raises Refused."""
    if http.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Refused(415, "unsupported_encoding", "Send the body uncompressed, without Content-Encoding.")
    declared = http.META.get("CONTENT_LENGTH") or "0"
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)

    size = 0
    while piece := _read(http.META["wsgi.input"]):
        size += len(piece)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        yield piece


def _read(body: BinaryIO) -> bytes:
    try:
        return body.read(PIECE_BYTES)
    except TimeoutError:  # The server waits while it comes steadily, and no longer.
        raise Refused(408, "request_timeout", "The rest of the body did not come.") from None


def _too_large(limit_bytes: int) -> Refused:
    """Made where it is raised: kept in a variable there, it would keep what was read alive in a cycle."""
    return Refused(413, "request_too_large", f"The body is larger than {limit_bytes // 2**20} MiB.")


def read_json(http: WSGIRequest, *, seek_all_duplicates: bool = False) -> Body:
    """An object, or Refused."""
    raw = read_raw(http)
    value, unparsed = parse(raw, seek_all_duplicates=seek_all_duplicates)
    if not isinstance(value, dict):
        raise Refused(400, "invalid_request", "The body must be a JSON object.")
    return Body(raw, value, unparsed)


def parse(raw: bytes, *, seek_all_duplicates: bool = False) -> tuple[Any, bool]:
    """The value, and whether only a lenient parser could read it. Raises Refused."""
    try:
        value, unparsed = orjson.loads(raw), False
    except orjson.JSONDecodeError:
        try:
            value, unparsed = json.loads(raw), True
        except (ValueError, RecursionError):
            raise Refused(400, "invalid_request", "Invalid JSON format") from None
    if raw.count(b"[") + raw.count(b"{") > WRITABLE_DEPTH and not _writable(value):
        unparsed = True
    if (seek_all_duplicates or len(raw) <= DUPLICATES_SOUGHT_BYTES) and not unparsed:
        _refuse_repeated_keys(raw)
    return value, unparsed


def _writable(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _refuse_repeated_keys(raw: bytes) -> None:
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except _RepeatedKey as error:
        raise Refused(400, "invalid_request", f"The key {error} stands twice in one object.") from None
    except (ValueError, RecursionError):
        raise Refused(400, "invalid_request", "Invalid JSON format") from None


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _RepeatedKey(ascii(repeated[:80]))
    return value
