"""How does OpenAI's older completions protocol ask, answer, stream and fail? A prompt in, text out."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

from cache_api.dialects import openai_chat, sse
from cache_api.dialects.asked_model import model_asked
from cache_api.dialects.chunks import ChunkTape
from cache_api.dialects.errors import openai_error
from cache_api.dialects.joining import join_completion
from cache_api.dialects.tape import BodyTape, Heard, Tape, members_of, with_signals
from cache_api.domain.request import Parsed, Request
from cache_api.domain.scope import IGNORED_FIELDS
from cache_api.domain.usage import usage_of_openai

NAME = "openai_completions"
ENDPOINT = "completions"
SPEAKS = "T"

error = openai_error
upstream_body = openai_chat.upstream_body
usage_as_sent = openai_chat.usage_as_sent


def parse(body: Mapping[str, Any], model: str = "") -> Parsed:
    """What is asked. `model` is asked instead of the body's. Raises Refused."""
    model = model_asked(body, model)
    prompt, options, temperature = body.get("prompt"), body.get("stream_options"), body.get("temperature")
    text = prompt if isinstance(prompt, str) else None
    rest = {name: value for name, value in body.items() if name not in IGNORED_FIELDS}
    rest["model"] = model
    if text is not None:
        rest["prompt"] = [None]
    # An answer that repeats its prompt, or fills the gap before a suffix, belongs to these very words.
    fuzzy = body.get("echo") is not True and not body.get("suffix")
    return Parsed(
        model=model,
        body=body,
        context=rest,
        question=text if fuzzy else None,
        texts=() if text is None else (text,),
        prompt_texts=_texts(prompt),
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=body["n"] if isinstance(body.get("n"), int) else 1,
        temperature=temperature if isinstance(temperature, int | float) else None,
    )


def tape(request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape:
    if status >= 400:
        return BodyTape(read_answer, b"")
    if streamed:
        include_usage = request.parsed.include_usage
        return ChunkTape(join_completion, read_answer, members_of(signals), include_usage=include_usage)
    return BodyTape(read_answer, members_of(signals))


def read_answer(body: Mapping[str, Any]) -> Heard:
    """What a whole body says, and whether it may be stored."""
    choices = body.get("choices")
    choices = choices if isinstance(choices, list) else []
    model = body.get("model")
    heard = Heard(
        usage=usage_of_openai(body.get("usage")),
        text="".join(map(_text, choices)),
        model=model if isinstance(model, str) else "",
        recognised="choices" in body,
    )
    if choices and all(map(_fit_to_store, choices)) and "error" not in body:
        heard.answer = body
    return heard


def has_tool_calls(answer: Mapping[str, Any]) -> bool:
    return False


def answer_text(answer: Mapping[str, Any]) -> str:
    """ "" of what is no answer in this dialect."""
    choices = answer.get("choices")
    return "\n\n".join(map(_text, choices)) if isinstance(choices, list) else ""


def answer_of_text(text: str, model: str) -> dict[str, Any]:
    """A finished completion of a bare text, as a provider would have sent it."""
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    return {"object": "text_completion", "model": model, "choices": [choice]}


def replay(
    request: Request, answer: Mapping[str, Any], signals: Mapping[str, Any], now: datetime
) -> bytes | Iterator[bytes]:
    """The stored answer in the form asked for, with an id and a time of its own."""
    renewed = {**answer, "id": f"cmpl-{uuid4().hex}", "created": int(now.timestamp())}
    members = members_of(signals)
    if not request.parsed.stream:
        return with_signals(orjson.dumps(renewed), renewed, members)
    return _replay_stream(renewed, members, include_usage=request.parsed.include_usage)


def _replay_stream(answer: dict[str, Any], members: bytes, *, include_usage: bool) -> Iterator[bytes]:
    """All text in one block; then the closing part, which waits for the ledger."""
    choices, usage = answer.pop("choices"), answer.pop("usage", None)
    frame = {**answer, "usage": None} if include_usage else answer

    def chunk(choice: Mapping[str, Any], **said: Any) -> bytes:
        return sse.data(orjson.dumps({**frame, "choices": [{**choice, **said}]}))

    out, ends = [], []
    for choice in choices:
        text, finish = choice["text"], choice.get("finish_reason")
        # What is said of each token stays beside the whole text: the tokens' borders are not kept.
        pieces = [text] if choice.get("logprobs") else sse.pieces(text)
        out += [chunk(choice, text=piece, finish_reason=None) for piece in pieces]
        ends.append(chunk(choice, text="", logprobs=None, finish_reason=finish))
    yield b"".join(out)

    ends[0] = sse.with_members(ends[0], members)
    if include_usage:
        ends.append(sse.data(orjson.dumps({**answer, "choices": [], "usage": usage})))
    yield b"".join(ends) + sse.DONE


def _fit_to_store(choice: Any) -> bool:
    """Complete, neither filtered nor cut off, not empty."""
    return isinstance(choice, dict) and choice.get("finish_reason") == "stop" and bool(_text(choice).strip())


def _text(choice: Any) -> str:
    text = choice.get("text") if isinstance(choice, dict) else None
    return text if isinstance(text, str) else ""


def _texts(prompt: Any) -> tuple[str, ...]:
    """A prompt is one text or several; tokens are counted by the provider alone."""
    listed = prompt if isinstance(prompt, list) else [prompt]
    return tuple(text for text in listed if isinstance(text, str))
