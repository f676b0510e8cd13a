"""In which languages is the cache spoken to?

Each file is a dialect with the same functions: parse a body, tape what arrives, replay an answer, say an error.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from cache_api.dialects.errors import Refused
from cache_api.dialects.tape import Heard, Tape
from cache_api.domain.request import Parsed, Request


class Relaying(Protocol):
    """What passing a call on takes."""

    @property
    def NAME(self) -> str:
        """As the ledger knows it."""

    def upstream_body(self, request: Request) -> bytes:
        """The caller's own bytes where nothing has to change."""

    def tape(self, request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape: ...


class Answering(Protocol):
    """What answering a parsed call takes."""

    NAME: str  # as the ledger knows it
    ENDPOINT: str  # the path after /v1/, here and at the provider
    SPEAKS: str  # its letter in providers.json

    def upstream_body(self, request: Request) -> bytes:
        """The caller's own bytes where nothing has to change."""

    def tape(self, request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape: ...

    def replay(
        self, request: Request, answer: Mapping[str, Any], signals: Mapping[str, Any], now: datetime
    ) -> bytes | Iterator[bytes]:
        """The stored answer in the form asked for."""

    def has_tool_calls(self, answer: Mapping[str, Any]) -> bool: ...

    def error(self, refused: Refused, request_id: str = "") -> bytes: ...

    def answer_text(self, answer: Mapping[str, Any]) -> str:
        """The text of a stored answer, for people."""

    def answer_of_text(self, text: str, model: str) -> dict[str, Any]:
        """A finished answer of a bare text, as a provider would have sent it, without usage."""

    def usage_as_sent(self, usage: Any) -> dict[str, Any]:
        """Counted tokens in the provider's words."""


class Dialect(Answering, Protocol):
    """A module of a model endpoint; `spoken` lists them."""

    def parse(self, body: Mapping[str, Any], model: str = "") -> Parsed:
        """What is asked. `model` is asked instead of the body's. Raises Refused."""

    def read_answer(self, body: Mapping[str, Any]) -> Heard:
        """What a whole body says, and whether it may be stored."""
