"""How does a call to an endpoint that is not cached reach its provider? As it is, with nothing kept."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http.response import HttpResponseBase

from cache_api import wiring
from cache_api.adapters.upstream import headers_up
from cache_api.dialects.errors import Refused
from cache_api.dialects.pass_through import PassThrough
from cache_api.domain.controls import InvalidControl, controls_of
from cache_api.domain.request import Request
from cache_api.http.answering import as_refused, build_request, identify, refusal, respond
from cache_api.http.bodies import read_raw
from cache_api.http.paths import path_of, query_of
from cache_api.http.shapes import shape_of
from cache_api.ports import Arriving, UpstreamError

METHODS = ("GET", "POST", "DELETE")
UNNAMED_CONTENT = "application/octet-stream"

_CONTENT_TYPE = re.compile(r"[ -~]{0,256}")


def pass_through(http: WSGIRequest, path: str) -> HttpResponseBase:
    """`path` is what follows /v1/."""
    rate: Mapping[str, str] = {}
    shape = shape_of(http.path)
    try:
        if http.method not in METHODS:
            allowed = ", ".join(METHODS)
            raise Refused(405, "method_not_allowed", f"Use {allowed} here.", headers={"Allow": allowed})
        who = identify(http, scope="proxy", own_credential_suffices=True)
        rate = who.rate
        endpoint = PassThrough(http.method, path_of(http, path), house_of(who.headers))
        query, content_type = query_of(http), _content_type(http)
        raw = read_raw(http)
        parsed = endpoint.parse(raw)
        controls = controls_of(who.headers, _controls_in(parsed.body))
        if controls.model:
            parsed = replace(parsed, model=controls.model)
        request, policy = build_request(endpoint, who, controls, parsed, raw=raw)

        def send(request: Request, body: bytes) -> Arriving:
            url = f"{request.target.base_url}/{request.endpoint}"
            headers = headers_up(request.target, request.headers, request.endpoint) | content_type
            if not content_type:
                del headers["content-type"]
            arriving = wiring.parts().upstream.relay(endpoint.method, url, headers, body or None, query=query)
            return replace(arriving, headers={"content-type": UNNAMED_CONTENT, **arriving.headers})

        return respond(wiring.parts().service.relay(request, policy, endpoint, send), rate, shape=shape)
    except InvalidControl as error:
        return refusal(Refused(400, "invalid_control", str(error), error.param), shape, rate)
    except Refused as refused:
        return refusal(refused, shape, rate)
    except UpstreamError as error:
        return refusal(as_refused(error), shape, rate)


def house_of(headers: Mapping[str, str]) -> str:
    """Files and models, say, are at many providers: Anthropic's own clients tell whose are meant."""
    named = headers.get("x-cacheai-backend-provider", "").strip().lower()
    return "M" if "anthropic-version" in headers and named in ("", "anthropic") else ""


def _content_type(http: WSGIRequest) -> dict[str, str]:
    """The caller's own, with a form's boundary; none where nothing is sent. Raises Refused."""
    content_type = str(http.META.get("CONTENT_TYPE") or "")
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise Refused(400, "invalid_request", "Content-Type must be plain ASCII.")
    return {"content-type": content_type} if content_type else {}


def _controls_in(body: Mapping[str, Any]) -> Any:
    """An endpoint may have a `cache` of its own; ours is an object."""
    cache = body.get("cache")
    return cache if isinstance(cache, Mapping) else None
