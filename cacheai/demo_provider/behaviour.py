"""How was the provider told to behave on this call?"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from cacheai.demo_provider.refusals import Refusal

# Written by hand into a question, as in `[demo: delay=0.5 cut_after=3]`, so the common ones are short.
SHORT_NAMES = {
    "delay": "delay_seconds",
    "chunk_delay": "chunk_delay_seconds",
    "fail": "fail_status",
    "cut_after": "cut_after_chunks",
    "error_after": "error_after_chunks",
}
DIRECTIVE = re.compile(r"\[demo:([^\]]*)\]")


@dataclass(frozen=True)
class Behaviour:
    """Every way to be slow, odd or broken. The defaults are a provider in good health."""

    delay_seconds: float = 0.0
    chunk_delay_seconds: float = 0.0

    chunks: int | None = None
    """Exactly so many pieces of text."""
    tokens: int | None = None
    """Exactly so many tokens of text."""
    body_bytes: int = 0
    """At least so many bytes of text."""
    long_line_bytes: int = 0
    """The first piece has at least so many bytes, so that one line of a stream has."""
    empty_answer: bool = False
    refusal: bool = False
    reasoning: str | None = None
    finish_reason: str | None = None
    cached_tokens: int = 0
    no_usage: bool = False
    usage_in_odd_chunk: bool = False
    """A first count on the first chunk, the last on the one that finishes, asked for or not."""

    fail_status: int | None = None
    fail_body: Any = None
    retry_after: float | str | None = None
    fail_times: int | None = None
    """So many calls fail or break off, later ones are well. None: all. Kept by /control alone."""
    drop_before_headers: bool = False
    cut_after_chunks: int | None = None
    """After so many pieces of text the connection closes; a plain body stops half-way."""
    error_after_chunks: int | None = None
    """After so many pieces of text the stream ends in an error event."""

    crlf: bool = False
    comments: bool = False
    no_space_after_data: bool = False
    byte_by_byte: bool = False
    half_utf8: bool = False
    """Writes end inside a character; so does a stream that is cut."""
    content_encoding: str | None = None
    """`gzip`, whether or not the caller takes it."""
    stamp_chunks: bool = False
    """Each event carries the time it left, `demo_sent_unix_seconds`, to measure who relays it."""

    @property
    def breaks(self) -> bool:
        return self.fail_status is not None or self.drop_before_headers or self.cuts

    @property
    def cuts(self) -> bool:
        return self.cut_after_chunks is not None or self.error_after_chunks is not None

    def healed(self) -> Self:
        return replace(
            self, fail_status=None, drop_before_headers=False, cut_after_chunks=None, error_after_chunks=None
        )

    def told(self, settings: Mapping[str, Any]) -> Self:
        """A wrong name or kind is refused: a test that mistypes must not pass for want of a fault."""
        if not settings:
            return self
        changes = {SHORT_NAMES.get(name, name): value for name, value in settings.items()}
        for name, value in changes.items():
            if name not in KINDS:
                raise Refusal(400, f"Unknown demo setting: '{name}'.", code="unknown_demo_setting")
            if not isinstance(value, KINDS[name]) or (isinstance(value, bool) and bool not in KINDS[name]):
                raise Refusal(400, f"Wrong kind of value for demo setting '{name}'.", code="wrong_demo_setting")
        if changes.get("content_encoding") not in (None, "gzip"):
            raise Refusal(400, "The demo setting 'content_encoding' is 'gzip' or null.")
        return replace(self, **changes)


def _kinds() -> dict[str, tuple[type, ...]]:
    by_annotation: dict[Any, tuple[type, ...]] = {
        float: (float, int),
        int: (int,),
        bool: (bool,),
        int | None: (int, type(None)),
        str | None: (str, type(None)),
        float | str | None: (float, int, str, type(None)),
        Any: (object, bool),
    }
    return {field.name: by_annotation[field.type] for field in fields(Behaviour)}


KINDS = _kinds()


def in_text(text: str) -> dict[str, Any]:
    """Settings that a question carries in its own words."""
    found = DIRECTIVE.search(text)
    return {} if found is None else dict(_setting(word) for word in found[1].split())


def in_metadata(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = body.get("metadata")
    told = metadata.get("demo") if isinstance(metadata, dict) else None
    if told is None:
        return {}
    try:
        settings = json.loads(told) if isinstance(told, str) else told
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise Refusal(400, "metadata.demo is a JSON object of demo settings.", param="metadata.demo")
    return settings


def _setting(word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    try:
        return name, json.loads(value or "true")
    except ValueError:
        return name, value
