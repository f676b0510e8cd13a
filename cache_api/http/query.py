"""How is a question in Vectorcache's words answered? Like any chat call; only the words differ."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter
from typing import Any

import orjson
from django.http.response import HttpResponseBase

from cache_api import wiring
from cache_api.adapters import catalogue
from cache_api.dialects import openai_chat, vectorcache
from cache_api.dialects.errors import Refused
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.usage import Usage, estimated_usage, usage_of_openai
from cache_api.http.answering import build_request, read_controls, respond
from cache_api.http.headers import signal_headers
from cache_api.http.visits import Visit
from cache_api.looking import milliseconds_since
from cache_api.service import Reply
from tenants.isolation import DatabaseUnavailable


@dataclass(frozen=True, slots=True)
class Asked:
    fields: Mapping[str, Any]  # the known ones in snake_case
    request: Request
    policy: Policy


@dataclass(frozen=True, slots=True)
class Heard:
    text: str
    usage: Usage
    cost_usd: Decimal | None  # of its tokens, whether they were bought now or when they were stored


def query(visit: Visit) -> HttpResponseBase:
    began = perf_counter()
    asked = read(visit)
    parts = wiring.parts()
    reply = parts.service.answer(asked.request, asked.policy, vectorcache, parts.upstream.send)
    answered = translated(asked, reply, began=began)
    if asked.fields.get("include_debug"):
        answered["debug"] = vectorcache.debug(reply.signals, reply.timings, entries=_entries(visit))
    return respond(replace(reply, body=orjson.dumps(answered)), visit.who.rate)


def read(visit: Visit, *, required: tuple[str, ...] = ()) -> Asked:
    """Raises Refused."""
    body = visit.body()
    fields = vectorcache.fields_of(body.value)
    visit.same_project(fields.get("project_id"))
    for name in required:
        if fields.get(name) is None:
            raise Refused(400, "invalid_request", f"Field required: {name}", name)
    chat = vectorcache.chat_of(fields, default_model=visit.access.default_model)
    controls = read_controls(visit.who.headers, body)
    controls = replace(
        controls,
        threshold=max(controls.threshold or 0, vectorcache.threshold_of(fields)),
        baseline_protocol=False,  # the client-side miss is a chat client's alone
    )
    parsed = openai_chat.parse(chat, controls.model)
    if parsed.unsupported:
        raise Refused(422, "not_cacheable", "Images and files are not cacheable: use /v1/chat/completions")
    if body.unparsed:
        parsed = replace(parsed, unparsed=True, question=None)
    raw = json.dumps(chat).encode() if body.unparsed else orjson.dumps(chat)
    return Asked(fields, *build_request(vectorcache, visit.who, controls, parsed, raw=raw))


def translated(asked: Asked, reply: Reply, *, began: float) -> dict[str, Any]:
    """What a chat call's answer says, in Vectorcache's words. Raises Refused for one that failed."""
    heard = hear(asked, reply)
    passed = milliseconds_since(began)
    return vectorcache.answer(
        heard.text, reply.signals, usage=heard.usage, cost_usd=heard.cost_usd, milliseconds=passed
    )


def hear(asked: Asked, reply: Reply) -> Heard:
    """What a chat call's answer says. Raises Refused for one that failed."""
    whole = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
    told = _read(whole)
    if reply.status >= 400 or told is None:
        raise _failed(reply, told)
    request, signals = asked.request, reply.signals
    text = openai_chat.answer_text(told)
    usage = usage_of_openai(told.get("usage")) or estimated_usage(list(request.parsed.prompt_texts), text)
    if signals.served:
        cost = Decimal(signals.saved_usd) if signals.saved_usd is not None else None
    else:
        names = (openai_chat.read_answer(told).model, request.target.model)
        cost = wiring.parts().service.cost_of(request.caller, signals.provider, names, usage)
    return Heard(text, usage, cost)


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None


def _failed(reply: Reply, told: Mapping[str, Any] | None) -> Refused:
    """The provider's own message, whatever it has around it; a block is said in our words already."""
    signals = signal_headers(reply.signals, stored=False)
    if reply.signals.decision == "blocked" and told is not None:
        beside = tuple((name, value) for name, value in told.items() if name not in {"detail", "message", "error"})
        return Refused(reply.status, told["error"], told["message"], extra=beside, headers=signals)
    error = (told or {}).get("error")
    message = error.get("message") if isinstance(error, Mapping) else error
    if not isinstance(message, str):
        message = "the provider did not answer in JSON" if told is None else f"status {reply.status}"
    after = reply.headers.get("retry-after", "")
    return Refused(
        502,
        "upstream_unreachable",
        message,
        retry_after_seconds=float(after) if after.isdecimal() else None,
        headers=signals,
    )


def _entries(visit: Visit) -> int:
    try:
        return catalogue.counts(visit.place, now=datetime.now(UTC)).entries
    except DatabaseUnavailable:
        return 0
