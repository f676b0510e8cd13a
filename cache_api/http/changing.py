"""What may be put under a cache key: a client's own answer, a change, or a value under a caller's own name?"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.http import HttpResponse

from cache_api import wiring
from cache_api.adapters import catalogue, pending
from cache_api.adapters.catalogue import Described
from cache_api.described import VALUE
from cache_api.dialects.bare_question import chat_model
from cache_api.dialects.errors import Refused
from cache_api.dialects.tape import ANSWER_MAX_BYTES
from cache_api.domain.admission import may_store, ttl_seconds
from cache_api.domain.call import new_id
from cache_api.domain.entry import METADATA_MAX_BYTES, NewEntry
from cache_api.domain.policy import Policy
from cache_api.domain.request import Caller, Controls, Parsed, Request, Target
from cache_api.domain.usage import Usage, estimated_usage
from cache_api.given import entry_of, finished
from cache_api.http.answering import caller_of
from cache_api.http.entries import fingerprint_under, is_fingerprint, no_entry
from cache_api.http.putting import vectors_of, with_vector
from cache_api.http.questions import controls_in
from cache_api.http.visits import Visit, answer

# What is no metadata. A prompt is known already, and metadata is not sealed.
_OWN = frozenset({"output", "model_id", "ttl", "tags", "value", "model", "prompt", "project_id", "cache"})


def put_under(visit: Visit, cache_key: str) -> HttpResponse:
    fields = {name: value for name, value in visit.fields().items() if value is not None or name == VALUE}
    visit.same_project(fields.get("project_id"))
    if not fields.keys() - {"project_id", "prompt"}:
        raise Refused(400, "invalid_request", "Send a field to update: output, model_id, converter_type or another.")
    _check(fields)
    fingerprint = fingerprint_under(visit, cache_key)
    caller = caller_of(visit.access)

    if "output" in fields and (awaited := pending.find(caller, fingerprint)) is not None:
        return _awaited(visit, cache_key, fields, awaited, fingerprint)
    visit.require("cache:write")
    found = catalogue.find(visit.place, fingerprint)
    if found is not None:
        return _changed(visit, cache_key, fields, found)
    if is_fingerprint(cache_key) or VALUE not in fields:
        raise no_entry(cache_key)
    return _kept(visit, cache_key, fields, fingerprint, caller)


def _awaited(
    visit: Visit, cache_key: str, fields: Mapping[str, Any], awaited: pending.Awaited, fingerprint: bytes
) -> HttpResponse:
    """The answer of the client's own model. Where it may not be stored the client hears no error."""
    request = awaited.request
    given = sorted(fields.keys() & {"output", "model_id"})
    if request is None or not may_store(request) or not str(fields["output"]).strip():
        return answer({"cache_key": cache_key, "updated_fields": [], "created": False})

    text = fields["output"]
    if len(text.encode()) > ANSWER_MAX_BYTES // 2:
        return answer({"cache_key": cache_key, "updated_fields": [], "created": False})
    usage = estimated_usage(list(request.parsed.prompt_texts), text)
    model = fields.get("model_id") or request.target.model
    whole = finished(request.endpoint, text, model, usage)
    entry = entry_of(request, _policy(visit), whole, now=datetime.now(UTC), usage=usage, source="baseline")
    vectors = vectors_of([entry])
    wiring.parts().store.put(with_vector(entry, vectors.get(entry.question)))
    pending.forget(request.caller, fingerprint)
    return answer({"cache_key": cache_key, "updated_fields": given, "created": True})


def _changed(visit: Visit, cache_key: str, fields: Mapping[str, Any], found: Described) -> HttpResponse:
    entry, text = found.entry, found.text
    columns: dict[str, Any] = {}
    answered: Mapping[str, Any] | None = None
    before: Mapping[str, Any] = (text or {}).get("answer") or {}
    if VALUE in fields and not entry.caller_key:
        raise Refused(400, "invalid_request", "value is for cache keys of your own; send output.", VALUE)
    if entry.caller_key:
        if VALUE in fields or "output" in fields:
            answered = {VALUE: fields.get(VALUE, fields.get("output"))}
        if model := fields.get("model") or fields.get("model_id"):
            columns["model"] = chat_model(model)
    else:
        if "output" in fields:
            usage = Usage(**entry.usage)
            answered = finished(entry.endpoint, fields["output"], before.get("model") or entry.model, usage)
        if "model_id" in fields:
            answered = {**(answered or before), "model": fields["model_id"]}
    if answered is not None:
        _refuse_large(answered)
        if text is None:
            raise no_entry(cache_key)
        # What was put by hand is traced to the key that put it.
        columns |= {"writer_id": visit.access.key_id, "source": "keyed" if entry.caller_key else "put"}
    controls = controls_in({}, {name: fields[name] for name in ("ttl", "tags") if name in fields})
    if "ttl" in fields:
        columns["expires_at"] = _expires(visit, controls)
    if metadata := _metadata(fields):
        columns["metadata"] = {**entry.metadata, **metadata}
    new_text = None if answered is None else {**(text or {}), "answer": answered}
    tags = controls.tags if "tags" in fields else None
    if not catalogue.change(visit.place, found, text=new_text, tags=tags, **columns):
        raise no_entry(cache_key)
    updated = sorted(fields.keys() - {"prompt", "project_id", "cache"})
    return answer({"cache_key": cache_key, "updated_fields": updated, "created": False})


def _kept(visit: Visit, cache_key: str, fields: Mapping[str, Any], fingerprint: bytes, caller: Caller) -> HttpResponse:
    """A value under a caller's own key, found by that key alone."""
    if caller.entries_full or not caller.may_write:
        raise Refused(400, "invalid_request", "Nothing may be stored: the plan is full, or read-only.")
    answered = {VALUE: fields[VALUE]}
    _refuse_large(answered)
    now = datetime.now(UTC)
    controls = controls_in(visit.who.headers, {name: fields[name] for name in ("ttl", "tags") if name in fields})
    model = fields.get("model") or fields.get("model_id")
    entry = NewEntry(
        id=new_id(now),
        tenant_id=caller.tenant_id,
        project_id=caller.project_id,
        fingerprint=fingerprint,
        scope=fingerprint,
        namespace=controls.namespace,
        provider="",
        model=chat_model(model) if model else "",
        endpoint="keyed",
        question=None,
        request=None,
        answer=answered,
        vector=None,
        matchable=False,
        usage=Usage(),
        cost_usd=None,
        latency_ms=0,
        writer_id=caller.key_id,
        source="keyed",
        created_at=now,
        expires_at=_expires(visit, controls),
        caller_key=cache_key,
        tags=controls.tags,
        depends_on=controls.depends_on,
        metadata=_metadata(fields),
    )
    wiring.parts().store.put(entry)
    updated = sorted(fields.keys() - {"prompt", "project_id", "cache"})
    return answer({"cache_key": cache_key, "updated_fields": updated, "created": True})


def _check(fields: Mapping[str, Any]) -> None:
    """Raises Refused."""
    for name in ("output", "model_id", "model", "converter_type"):
        if name in fields and not isinstance(fields[name], str):
            raise Refused(400, "invalid_request", f"{name} must be a string", name)
    if "model_id" in fields:
        chat_model(fields["model_id"], name="model_id")


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Refused."""
    metadata = {name: value for name, value in fields.items() if name not in _OWN}
    written = orjson.dumps(metadata)
    if len(written) > METADATA_MAX_BYTES:
        raise Refused(413, "request_too_large", f"Metadata is larger than {METADATA_MAX_BYTES // 1024} KiB.")
    if b"\\u0000" in written:
        raise Refused(400, "invalid_control", "Metadata must not hold NUL.")
    return metadata


def _expires(visit: Visit, controls: Controls) -> datetime | None:
    nothing = Parsed(model="", body={}, context=None, question=None)
    request = Request(caller_of(visit.access), "", Target("", "", ""), controls, nothing, b"", b"")
    seconds = ttl_seconds(request, _policy(visit))
    return None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)


def _policy(visit: Visit) -> Policy:
    return wiring.parts().policies.of(visit.access.tenant_id, visit.access.project_id)


def _refuse_large(answered: Mapping[str, Any]) -> None:
    if len(orjson.dumps(answered)) > ANSWER_MAX_BYTES:
        raise Refused(413, "request_too_large", f"Answers over {ANSWER_MAX_BYTES // 2**20} MiB are not stored.")
