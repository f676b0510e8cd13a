"""Which Request does a bare question, or a whole body handed over, stand for?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cache_api.dialects import openai_chat
from cache_api.dialects.bare_question import chat_body, whole_body
from cache_api.dialects.errors import Refused
from cache_api.dialects.spoken import dialect_at
from cache_api.domain.controls import InvalidControl, controls_of
from cache_api.domain.policy import Policy
from cache_api.domain.request import Controls, Request
from cache_api.http.answering import build_request
from cache_api.http.visits import Visit, unavailable

CONTROLS = ("ttl", "tags", "namespace", "depends_on", "similarity_threshold")


def request_of(visit: Visit, fields: Mapping[str, Any], *, unparsed: bool = False) -> tuple[Request, Policy]:
    """A Request nobody will send. Raises Refused."""
    dialect = dialect_at(fields.get("endpoint"))
    read = chat_body if dialect is openai_chat else whole_body
    body = read(fields, default_model=visit.access.default_model)
    controls = controls_in(visit.who.headers, fields, body.get("cache"))
    provider = fields.get("provider")
    if not isinstance(provider, str | None):
        raise Refused(400, "invalid_request", "provider must be a string", "provider")
    if provider and not controls.provider:
        controls = replace(controls, provider=provider.lower())
    parsed = dialect.parse(body, controls.model)
    if unparsed:
        parsed = replace(parsed, unparsed=True, question=None)
    request, policy = build_request(dialect, visit.who, controls, parsed, credential_needed=False)
    if not request.fingerprint:
        raise unavailable()
    return request, policy


def controls_in(headers: Mapping[str, str], fields: Mapping[str, Any], cache: Any = None) -> Controls:
    """Of headers, of the body's `cache` and of the fields themselves. Raises Refused."""
    named = {name: fields[name] for name in CONTROLS if fields.get(name) is not None}
    for given in (cache, fields.get("cache")):
        if not isinstance(given, Mapping | None):
            raise Refused(400, "invalid_control", "cache must be an object.", "cache")
        named = {**(given or {}), **named}
    try:
        return controls_of(headers, named)
    except InvalidControl as error:
        name = error.param.removeprefix("cache.")
        raise Refused(400, "invalid_control", str(error).replace(error.param, name, 1), name) from None
