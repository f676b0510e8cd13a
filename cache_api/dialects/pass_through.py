"""What do we understand of a call to an endpoint that we only pass on? Which model it asks, and what was billed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from cache_api.dialects import sse
from cache_api.dialects.tape import ANSWER_MAX_BYTES, Heard, Tape
from cache_api.domain.request import Parsed, Request
from cache_api.domain.usage import Usage, usage_of_anthropic, usage_of_openai

# Who speaks a protocol answers what is below its path, too; whatever else there is, any provider may have.
_SPEAKS = {"chat": "C", "completions": "T", "responses": "R", "messages": "M", "embeddings": "E"}

# They name a model and bill nothing.
_FREE = frozenset({"messages/count_tokens", "responses/input_tokens", "moderations"})

_FORM_MODEL = re.compile(rb'name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,256})\r\n')


@dataclass(frozen=True, slots=True)
class PassThrough:
    """One endpoint, as far as relaying a call to it takes."""

    method: str
    ENDPOINT: str
    house: str = ""  # what is spoken where the path does not tell
    NAME = "pass_through"

    @property
    def SPEAKS(self) -> str:
        return _SPEAKS.get(self.ENDPOINT.partition("/")[0], self.house)

    def parse(self, raw: bytes) -> Parsed:
        """The model alone is of interest, in JSON or in a form."""
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            found = _FORM_MODEL.search(raw)
            model = found[1].decode(errors="replace") if found else ""
            return Parsed(model=model, body={}, context={}, question=None, unparsed=True)
        model = body["model"] if isinstance(body.get("model"), str) else ""
        return Parsed(model=model, body=body, context={}, question=None, stream=body.get("stream") is True)

    def upstream_body(self, request: Request) -> bytes:
        """The caller's own bytes, unless they hold what is ours: controls, or a provider before the model's name."""
        parsed, model = request.parsed, request.target.model
        ours = isinstance(parsed.body.get("cache"), Mapping)
        named = model in {"", parsed.body.get("model", "")}
        if parsed.unparsed or (named and not ours):
            return request.raw
        body = {name: value for name, value in parsed.body.items() if not (ours and name == "cache")}
        return orjson.dumps(body if named else {**body, "model": model})

    def tape(self, request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape:
        bills = self.method == "POST" and self.ENDPOINT not in _FREE
        return PassingTape(streamed=streamed, bills=bills, asks_model=bool(request.parsed.model))


@dataclass(slots=True)
class PassingTape:
    """Everything goes on at once; a copy of what is not too long is read at the end for what was billed."""

    streamed: bool
    bills: bool
    asks_model: bool
    heard: Heard = field(default_factory=Heard)
    closing: bytes = b""
    copied: bytearray = field(default_factory=bytearray)

    def take(self, chunk: bytes) -> bytes:
        if len(self.copied) <= ANSWER_MAX_BYTES:
            self.copied += chunk
        return chunk

    def end(self, *, complete: bool) -> None:
        self.heard.broken = not complete
        usage = None
        for said in self._said():
            if isinstance(said.get("model"), str):
                self.heard.model = said["model"]
            usage = _usage(said.get("usage")) or usage
        # Nobody counted what a model was asked for: its price is not known, and not zero.
        uncounted = Usage(estimated=self.asks_model)
        self.heard.usage = (usage or uncounted) if self.bills else Usage()

    def _said(self) -> list[dict[str, Any]]:
        """The answer, or each of its events."""
        whole = bytes(self.copied)
        payloads = [sse.payload(event) for event in sse.Events().take(whole)] if self.streamed else [whole]
        said = []
        for payload in payloads:
            try:
                said.append(orjson.loads(payload))
            except orjson.JSONDecodeError:
                continue
        return [one for one in said if isinstance(one, dict)]


def _usage(raw: Any) -> Usage | None:
    """In whichever of the two ways it was counted."""
    if isinstance(raw, Mapping) and "cache_read_input_tokens" in raw:
        return usage_of_anthropic(raw)
    return usage_of_openai(raw)
