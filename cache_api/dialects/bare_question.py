"""Which chat call does a bare question stand for?

A question alone is one user message without parameters, so that it shares its entries with the chat endpoint.
"""

import re
from collections.abc import Mapping
from typing import Any

from cache_api.dialects.errors import Refused

SPELLINGS = ("question", "prompt", "query", "messages")
MODEL_MAX = 128
_TOLD_BY = ("system", "developer")

_UNPRINTABLE = re.compile(r"[\x00\r\n]")


def chat_body(asked: Mapping[str, Any], *, default_model: str, wanted: str = "question") -> dict[str, Any]:
    """The body of `request`, or one made of a question, its context and parameters. Raises Refused.

    `wanted` is how this endpoint calls the question.
    """
    if asked.get("request") is not None:
        return whole_body(asked, default_model=default_model)

    messages = _messages(asked, wanted)
    for name in ("context", "system"):  # the last one put in stands first
        text = asked.get(name)
        if not isinstance(text, str | None):
            raise _bad(f"{name} must be a string", name)
        if text:
            messages.insert(0, {"role": "system", "content": text})
    params = asked.get("params")
    if not isinstance(params, dict | None):
        raise _bad("params must be an object", "params")
    model = chat_model(asked.get("model") or (params or {}).get("model") or default_model)
    return {**(params or {}), "model": model, "messages": messages}


def whole_body(asked: Mapping[str, Any], *, default_model: str) -> dict[str, Any]:
    """The body of `request`, where the endpoint takes nothing but a body. Raises Refused."""
    request = asked.get("request")
    if not isinstance(request, dict):
        raise _bad("Field required: request, the body of a call to this endpoint", "request")
    return {**request, "model": chat_model(request.get("model") or asked.get("model") or default_model)}


def chat_model(model: Any, *, name: str = "model") -> str:
    """A model's name as it may be stored. Raises Refused."""
    if not model:
        raise _bad(f"Field required: {name}", name)
    if not isinstance(model, str):
        raise _bad(f"{name} must be a string", name)
    if len(model) > MODEL_MAX or _UNPRINTABLE.search(model):
        message = f"{name} must be at most {MODEL_MAX} characters, without NUL or line ends"
        raise Refused(400, "invalid_control", message, name)
    return model


def context_of(scoped: Any) -> str | None:
    """The system prompt of what a call's Scope was made of, as one text."""
    if not isinstance(scoped, dict):
        return None
    # Some protocols have it beside the turns.
    told = [scoped.get("system"), scoped.get("instructions")]
    turns = scoped.get("messages") or scoped.get("input")
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, dict) and turn.get("role") in _TOLD_BY:
            told.append(turn.get("content"))
    return "\n\n".join([text for content in told if content for text in _texts(content)]) or None


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return [text for text in texts if isinstance(text, str)]


def _messages(asked: Mapping[str, Any], wanted: str) -> list[Any]:
    given = [name for name in SPELLINGS if asked.get(name) not in (None, "", [])]
    if not given:
        raise _bad(f"Field required: {wanted}", wanted)
    if len(given) > 1:
        raise _bad(f"Send one of {' and '.join(given)}, not both", given[1])
    (name,) = given
    value = asked[name]
    if name == "messages":
        if not isinstance(value, list):
            raise _bad("messages must be an array with at least one message", name)
        return list(value)
    if not isinstance(value, str):
        raise _bad(f"{name} must be a string", name)
    return [{"role": "user", "content": value}]


def _bad(message: str, param: str) -> Refused:
    return Refused(400, "invalid_request", message, param)
