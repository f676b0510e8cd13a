"""How is OpenAI's embeddings protocol asked and answered? Each item of a list is a question of its own."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson

from cache_api.dialects import openai_chat
from cache_api.dialects.asked_model import model_asked
from cache_api.dialects.errors import Refused, openai_error
from cache_api.dialects.tape import ANSWER_MAX_BYTES, Heard, Tape
from cache_api.domain.request import Parsed, Request
from cache_api.domain.scope import IGNORED_FIELDS
from cache_api.domain.usage import Usage, estimated_tokens, usage_of_openai

NAME = "openai_embeddings"
ENDPOINT = "embeddings"
SPEAKS = "E"

ITEMS_MAX = 2048  # more are taken by nobody
HELD_MAX_BYTES = 48 * 1024 * 1024  # 2,048 vectors of 3,072 numbers in base64; larger answers pass as they come

Filling = Callable[[Mapping[str, Any], Usage], dict[str, Any] | None]

error = openai_error
upstream_body = openai_chat.upstream_body


def parse(body: Mapping[str, Any], model: str = "") -> Parsed:
    """What is asked; `texts` are the items. `model` is asked instead of the body's. Raises Refused."""
    model = model_asked(body, model)
    items = items_of(body.get("input"))
    rest = {name: value for name, value in body.items() if name not in IGNORED_FIELDS}
    rest["model"] = model
    rest["input"] = "tokens" if items and isinstance(items[0], list) else "text"
    texts = tuple(item if isinstance(item, str) else " ".join(map(str, item)) for item in items)
    return Parsed(
        model=model, body=body, context=rest, question=None, texts=texts, prompt_texts=texts, unsupported=not items
    )


def items_of(asked: Any) -> list[Any]:
    """One text or several, one list of tokens or several; nothing of what only the provider can judge."""
    items = [asked] if isinstance(asked, str) or _is_tokens(asked) else asked
    if not isinstance(items, list) or len(items) > ITEMS_MAX:
        return []
    if all(isinstance(item, str) for item in items) or all(map(_is_tokens, items)):
        return items
    return []


def tape(request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape:
    return VectorTape(request.parsed.texts, status=status)


def read_answer(body: Mapping[str, Any]) -> Heard:
    """What a whole body says. What is stored is one vector; of a list each has an entry of its own."""
    model = body.get("model")
    heard = Heard(
        usage=usage_of_openai(body.get("usage")),
        model=model if isinstance(model, str) else "",
        recognised="data" in body,
    )
    if in_order(body, 1):
        heard.answer = body
    return heard


def in_order(body: Mapping[str, Any], count: int) -> bool:
    """Whether there is a vector for each of `count` items, where it belongs."""
    data = body.get("data")
    if not isinstance(data, list) or len(data) != count or "error" in body:
        return False
    return all(is_vector(datum) and datum.get("index") == place for place, datum in enumerate(data))


def is_vector(datum: Any) -> bool:
    """Numbers, or the same as base64, which is kept to the byte."""
    return isinstance(datum, dict) and isinstance(datum.get("embedding"), list | str) and bool(datum["embedding"])


def has_tool_calls(answer: Mapping[str, Any]) -> bool:
    return False


def answer_text(answer: Mapping[str, Any]) -> str:
    """Numbers are nothing to read."""
    return ""


def answer_of_text(text: str, model: str) -> dict[str, Any]:
    """Raises Refused."""
    raise Refused(400, "invalid_request", "An embedding is no text: send response with the whole body.", "response")


def usage_as_sent(usage: Usage) -> dict[str, Any]:
    """Counted tokens in the provider's words."""
    return {"prompt_tokens": usage.in_total, "total_tokens": usage.in_total}


def replay(request: Request, answer: Mapping[str, Any], signals: Mapping[str, Any], now: datetime) -> bytes:
    """The stored answer; it has no id, and nothing of ours is put into it."""
    return orjson.dumps(answer)


class VectorTape:
    """A whole body, held until its end and passed as it came, unless `fill` makes the whole answer of it.

    A body past what is held passes at once; with `fill` that is a broken answer.
    """

    def __init__(self, asked: tuple[str, ...], *, status: int, fill: Filling | None = None) -> None:
        self.heard = Heard()
        self.closing = b""
        self._asked = asked
        self._succeeded = status < 300
        self._fill = fill
        self._held = bytearray()
        self._passing = False

    def take(self, chunk: bytes) -> bytes:
        if self._passing:
            return chunk if self._fill is None else b""
        self._held += chunk
        if len(self._held) <= HELD_MAX_BYTES:
            return b""

        self._passing = True
        first = bytes(self._held)
        self._held.clear()
        return first if self._fill is None else b""

    def end(self, *, complete: bool) -> None:
        self.closing = bytes(self._held)
        self.heard.broken = not complete or (self._passing and self._fill is not None)
        if self._passing or not complete or not self._succeeded:
            return
        try:
            answer = orjson.loads(self.closing)
        except orjson.JSONDecodeError:
            answer = None
        self._read(answer if isinstance(answer, dict) else {})

    def _read(self, answer: dict[str, Any]) -> None:
        usage = usage_of_openai(answer.get("usage")) or _estimated(self._asked)
        whole: Mapping[str, Any] | None = answer
        if self._fill is not None:
            whole = self._fill(answer, usage)
            self.heard.broken = whole is None
            self.closing = b"" if whole is None else orjson.dumps(whole)
        self.heard.model = model if isinstance(model := answer.get("model"), str) else ""
        self.heard.usage = usage
        count = len(self._asked)
        if in_order(answer, count) and len(self._held) <= count * ANSWER_MAX_BYTES:
            self.heard.answer = whole


def _estimated(texts: tuple[str, ...]) -> Usage:
    return Usage(in_total=sum(map(estimated_tokens, texts)), estimated=True)


def _is_tokens(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(type(token) is int for token in item)
