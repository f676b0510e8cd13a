"""How does a model call pass through us? The hot path: authenticate, throttle, parse, answer, respond."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from cache_api import wiring
from cache_api.adapters import pending
from cache_api.adapters.targets import small_model_of, target_of
from cache_api.dialects.errors import Refused, Shape, anthropic_error, openai_error
from cache_api.domain.call import end_user_digest, new_id
from cache_api.domain.controls import InvalidControl, controls_of
from cache_api.domain.policy import Policy
from cache_api.domain.request import Caller, Controls, Parsed, Request, Target
from cache_api.domain.scope import fingerprint_of, scope_of
from cache_api.domain.signals import request_id_of
from cache_api.http.bodies import DUPLICATES_SOUGHT_BYTES, Body, read_json
from cache_api.http.headers import ALWAYS, rate_headers, relayed, signal_headers
from cache_api.http.paths import query_of
from cache_api.ports import CacheUnavailable, UpstreamError, UpstreamRefused
from cache_api.service import Reply
from tenants import authentication, throttling, vault
from tenants.authentication import Access
from tenants.keys import covers

NOBODY = UUID(int=0)
JSON = "application/json"
WRITING = "cache:write"
CHAT = "chat/completions"
EVENT_STREAM = "text/event-stream; charset=utf-8"

# Headers by which a call asks its provider for an answer of another kind.
BETA_HEADERS = ("anthropic-beta", "openai-beta")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls: None as access means a key that could not be verified, with a credential of the caller's own."""

    access: Access | None
    spare_credential: str
    headers: Mapping[str, str]
    rate: Mapping[str, str]


def answer(http: WSGIRequest, dialect: Any) -> HttpResponseBase:
    """One call in one dialect, from bytes to bytes."""
    rate: Mapping[str, str] = {}
    try:
        who = identify(http, scope="proxy", own_credential_suffices=True)
        rate = who.rate
        request, policy = read_request(http, dialect, who)
        return respond(ask(request, policy, dialect), rate, shape=dialect.error)
    except Refused as refused:
        return refusal(refused, dialect.error, rate)
    except UpstreamError as error:
        return refusal(as_refused(error), dialect.error, rate)
    except RecursionError:
        return refusal(Refused(400, "invalid_request", "The body is nested too deeply."), dialect.error, rate)


def identify(http: WSGIRequest, *, scope: str = "", own_credential_suffices: bool = False) -> Identity:
    """Authenticate and throttle. Without a scope any key may pass. Raises Refused."""
    headers = lower_case_headers(http.META)
    spare = ""
    try:
        credentials = authentication.credentials_of(headers)
        spare = credentials.provider_key
        access = authentication.authenticate(credentials.api_key, address=http.META.get("REMOTE_ADDR", ""))
    except authentication.InvalidKey:
        raise Refused(401, "invalid_api_key", "Invalid or missing API key") from None
    except authentication.TooManyBadKeys:
        raise _limited(60.0, {}) from None
    except authentication.Unverifiable:
        if own_credential_suffices and (spare or headers.get("x-cacheai-backend-api-key")):
            return Identity(None, spare, headers, {})
        raise Refused(503, "unavailable", "Service temporarily unavailable") from None

    rate = throttling.check(access)
    limits = rate_headers(rate)
    if rate.limited:
        raise _limited(rate.retry_after_seconds, limits)
    if scope:
        require_scope(access, scope, limits)
    return Identity(access, spare, headers, limits)


def require_scope(access: Access, scope: str, limits: Mapping[str, str]) -> None:
    """Raises Refused."""
    if scope not in access.scopes:
        raise Refused(403, "insufficient_scope", f"This API key lacks the scope {scope}.", headers=limits)
    if access.read_only and scope == WRITING:
        message = "Nothing is stored until this team's invoice is paid; what is stored is served."
        raise Refused(403, "insufficient_scope", message, headers=limits)


def read_request(http: WSGIRequest, dialect: Any, who: Identity) -> tuple[Request, Policy]:
    """Raises Refused."""
    body = read_json(http)
    controls = read_controls(who.headers, body)
    parsed = dialect.parse(body.value, controls.model)
    if body.unparsed:
        parsed = replace(parsed, unparsed=True, question=None)
    if len(body.raw) > DUPLICATES_SOUGHT_BYTES:  # a repeated key would go unseen: the bytes themselves must match
        parsed = replace(parsed, texts=(*parsed.texts, sha256(body.raw).hexdigest()))
    return build_request(dialect, who, controls, parsed, raw=body.raw, query=query_of(http))


def build_request(
    dialect: Any,
    who: Identity,
    controls: Controls,
    parsed: Parsed,
    *,
    raw: bytes = b"",
    query: str = "",
    credential_needed: bool = True,
) -> tuple[Request, Policy]:
    """Raises Refused."""
    parsed = _with_betas(parsed, who.headers)
    if query:  # a version of the API, say: what was answered under another is another answer
        parsed = replace(parsed, context={**parsed.context, "?": query})
    policy, known = _policy(who.access)
    target = target_of(
        who.access,
        controls,
        policy,
        model=parsed.model,
        speaks=dialect.SPEAKS,
        spare_credential=who.spare_credential,
        allowed=wiring.allowed_addresses(),
        credential_needed=credential_needed,
    )
    if who.access is not None and who.access.models_allowed:
        _refuse_other_models(who.access, target)
    scope, fingerprint = _digests(who.access, dialect, target, controls, parsed) if known else (b"", b"")
    request = Request(
        caller=caller_of(who.access),
        endpoint=dialect.ENDPOINT,
        target=target,
        controls=controls,
        parsed=parsed,
        fingerprint=fingerprint,
        scope=scope,
        raw=raw,
        headers=who.headers,
        query=query,
        retry=who.headers.get("x-stainless-retry-count", "0") not in {"0", ""},
        end_user=_end_user(who.access, controls.end_user) if controls.end_user else "",
        small_model=None if policy.synthesis == "off" else small_model_of(who.access, policy, target, dialect.SPEAKS),
    )
    return request, policy


def ask(request: Request, policy: Policy, dialect: Any) -> Reply:
    """Raises Refused or UpstreamError."""
    parts = wiring.parts()
    try:
        return parts.service.answer(request, policy, dialect, parts.upstream.send)
    except UpstreamRefused as error:
        # What a client puts back is a text alone, and only a chat's client looks whether one is wanted.
        wanted = request.controls.baseline_protocol and request.endpoint == CHAT
        if not wanted or request.parsed.stream or error.signals is None:
            raise
        pending.wait_for_answer(request, policy)
        asked_back = {"requires_baseline_model": True, "cache_key": request.cache_key}
        return Reply(200, error.signals, orjson.dumps(asked_back))


def respond(reply: Reply, rate: Mapping[str, str], *, shape: Shape = openai_error) -> HttpResponseBase:
    """`shape` is that of the dialect's errors: it tells which names of headers its clients know."""
    response: HttpResponseBase
    if isinstance(reply.body, bytes):
        response = HttpResponse(reply.body, status=reply.status)
    else:
        response = StreamingHttpResponse(reply.body, status=reply.status)
        response.headers["X-Accel-Buffering"] = "no"
    headers = {**ALWAYS, **rate, **_headers_of(reply, shape)}
    if isinstance(response, HttpResponse):
        headers["Content-Length"] = str(len(response.content))
    # Past Django's own door, which checks the characters of each value twice: ours are plain by construction, and a
    # provider's were read from a header's line.
    response.headers._store.update({name.lower(): (name, value) for name, value in headers.items()})
    return response


def _headers_of(reply: Reply, shape: Shape) -> dict[str, str]:
    streamed = not isinstance(reply.body, bytes)
    content_type = reply.headers.get("content-type", EVENT_STREAM if streamed else JSON)
    headers = relayed(reply.headers)
    headers["Content-Type"] = EVENT_STREAM if content_type.startswith("text/event-stream") else content_type
    if reply.status == 429:
        headers["X-CacheAI-Limited-By"] = "provider"
    headers |= signal_headers(reply.signals, stored=reply.stored)
    if reply.signals.decision in {"hit", "blocked"}:
        headers[_request_id_header(shape)] = reply.signals.request_id
    return headers


def refusal(refused: Refused, shape: Shape, rate: Mapping[str, str]) -> HttpResponse:
    """An error of our own, in the dialect's shape."""
    request_id = request_id_of(new_id(datetime.now(UTC)))
    response = HttpResponse(shape(refused, request_id), status=refused.status, content_type=JSON)
    headers = response.headers
    headers["Content-Length"] = str(len(response.content))
    headers["X-CacheAI-Request-Id"] = headers[_request_id_header(shape)] = request_id
    for name, value in (*ALWAYS.items(), *rate.items(), *refused.headers.items()):
        headers[name] = value
    if (seconds := refused.wait_seconds) is not None:
        headers["Retry-After"] = str(math.ceil(seconds))
        headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
    if refused.status == 429:
        headers["X-CacheAI-Limited-By"] = "cacheai"
    if refused.code == "budget_exceeded":  # a month is not waited out
        headers["x-should-retry"] = "false"
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return response


def _request_id_header(shape: Shape) -> str:
    return "request-id" if shape is anthropic_error else "x-request-id"


def as_refused(error: UpstreamError) -> Refused:
    return Refused(error.status, error.code, str(error))


def read_controls(headers: Mapping[str, str], body: Body) -> Controls:
    """Raises Refused."""
    try:
        return controls_of(headers, body.value.get("cache"))
    except InvalidControl as error:
        raise Refused(400, "invalid_control", str(error), error.param) from None


def caller_of(access: Access | None) -> Caller:
    if access is None:
        return Caller(NOBODY, NOBODY, NOBODY, may_read=False, may_write=False)
    over_quota, entries_full = wiring.parts().quotas.standing(access)
    return Caller(
        access.tenant_id,
        access.project_id,
        access.key_id,
        may_read="cache:read" in access.scopes,
        may_write=WRITING in access.scopes and not access.read_only,
        over_quota=over_quota,
        ttl_max_seconds=access.ttl_max_seconds,
        entries_full=entries_full,
    )


def lower_case_headers(meta: Mapping[str, Any]) -> dict[str, str]:
    """Of a WSGI environ; Content-Type and -Length are not among them."""
    return {name[5:].replace("_", "-").lower(): value for name, value in meta.items() if name.startswith("HTTP_")}


def _refuse_other_models(access: Access, target: Target) -> None:
    """By the name the provider knows, or that and the provider's own before it. Raises Refused."""
    for name in (target.model, f"{target.provider}/{target.model}") if target.model else ():
        if any(covers(pattern, name) for pattern in access.models_allowed):
            return
    which = f"{target.model!r} is not among them" if target.model else "this call names none"
    message = f"This API key is for some models only, and {which}."
    raise Refused(403, "model_not_allowed", message, "model")


def _with_betas(parsed: Parsed, headers: Mapping[str, str]) -> Parsed:
    """What was answered with a beta feature is no answer to a call without it."""
    asked = {
        name: sorted({beta.strip() for beta in headers[name].split(",")}) for name in BETA_HEADERS if name in headers
    }
    return replace(parsed, context={**parsed.context, **asked}) if asked else parsed


def _policy(access: Access | None) -> tuple[Policy, bool]:
    """The project's rules, and whether they are known."""
    if access is None:
        return Policy(), False
    try:
        return wiring.parts().policies.of(access.tenant_id, access.project_id), True
    except CacheUnavailable:
        return Policy(), False


def _digests(
    access: Access | None, dialect: Any, target: Target, controls: Controls, parsed: Parsed
) -> tuple[bytes, bytes]:
    """Scope and Fingerprint; empty where the tenant's key for them is out of reach."""
    if access is None:
        return b"", b""
    try:
        key = vault.digest_key(access.tenant_id)
    except vault.VaultUnavailable:
        return b"", b""
    scope = scope_of(key, access.project_id, dialect.ENDPOINT, target, controls, parsed)
    return scope, fingerprint_of(key, scope, parsed)


def _end_user(access: Access | None, name: str) -> str:
    """Nobody where the tenant's key for digests is out of reach: the name itself is kept nowhere."""
    try:
        return "" if access is None else end_user_digest(vault.digest_key(access.tenant_id), name)
    except vault.VaultUnavailable:
        return ""


def _limited(seconds: float, limits: Mapping[str, str]) -> Refused:
    message = "Rate limit exceeded. Please try again later."
    return Refused(429, "rate_limit_exceeded", message, retry_after_seconds=seconds, headers=limits)
