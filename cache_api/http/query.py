"""How is a question in Vectorcache's words answered? Like any chat call; only the words differ."""

import json
from collections.abc import Mapping
from dataclasses import replace
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
from cache_api.domain.usage import estimated_usage, usage_of_openai
from cache_api.http.answering import ask, build_request, read_controls, respond
from cache_api.http.visits import Visit
from cache_api.service import Reply, milliseconds_since
from tenants.isolation import DatabaseUnavailable


def query(visit: Visit) -> HttpResponseBase:
    began = perf_counter()
    body = visit.body()
    fields = vectorcache.fields_of(body.value)
    visit.same_project(fields.get("project_id"))
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
    request, policy = build_request(vectorcache, visit.who, controls, parsed, raw=raw)

    reply = ask(request, policy, vectorcache)
    if not isinstance(reply, Reply):
        return respond(reply, visit.who.rate)
    whole = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
    told = _read(whole)
    if reply.status >= 400 or told is None:
        raise _failed(reply, told)
    heard = openai_chat.read_answer(told)
    text = openai_chat.answer_text(told)
    usage = usage_of_openai(told.get("usage")) or estimated_usage(list(parsed.prompt_texts), text)
    signals = reply.signals
    if signals.decision == "hit":
        cost = Decimal(signals.saved_usd) if signals.saved_usd is not None else None
    else:
        names = (heard.model, request.target.model)
        cost = wiring.parts().service.cost_of(request.caller, signals.provider, names, usage)
    answered = vectorcache.answer(text, signals, usage=usage, cost_usd=cost, milliseconds=milliseconds_since(began))
    if fields.get("include_debug"):
        answered["debug"] = vectorcache.debug(signals, reply.timings, entries=_entries(visit))
    return respond(replace(reply, body=orjson.dumps(answered)), visit.who.rate)


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None


def _failed(reply: Reply, told: Mapping[str, Any] | None) -> Refused:
    """The provider's own message, whatever it has around it."""
    error = (told or {}).get("error")
    message = error.get("message") if isinstance(error, Mapping) else error
    if not isinstance(message, str):
        message = "the provider did not answer in JSON" if told is None else f"status {reply.status}"
    after = reply.headers.get("retry-after", "")
    return Refused(
        502, "upstream_unreachable", message, retry_after_seconds=float(after) if after.isdecimal() else None
    )


def _entries(visit: Visit) -> int:
    try:
        return catalogue.counts(visit.place, now=datetime.now(UTC)).entries
    except DatabaseUnavailable:
        return 0
