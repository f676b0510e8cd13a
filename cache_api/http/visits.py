"""How does a call to the management side begin and end? Key, scope and body before; shape and headers after."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from cache_api.adapters.catalogue import Place
from cache_api.dialects.errors import Refused
from cache_api.domain.call import new_id
from cache_api.domain.signals import request_id_of
from cache_api.http.answering import JSON, Identity, as_refused, identify, refusal, require_scope
from cache_api.http.bodies import Body, read_json
from cache_api.http.headers import ALWAYS
from cache_api.http.shapes import shape_of
from cache_api.ports import CacheUnavailable, UpstreamError
from tenants.audit import Actor
from tenants.authentication import Access
from tenants.isolation import DatabaseUnavailable
from tenants.refusals import (
    BadBaseUrl,
    BadCredential,
    BadValue,
    Conflict,
    LimitReached,
    NotFound,
    NotInPlan,
    Refusal,
    TooWide,
)

# The first that fits.
_TOLD: tuple[tuple[type[Refusal], int, str], ...] = (
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (BadCredential, 400, "bad_credential"),
    (BadBaseUrl, 400, "base_url_not_allowed"),
    (BadValue, 400, "invalid_request"),
    (TooWide, 403, "insufficient_scope"),
    (LimitReached, 403, "limit_reached"),
    (NotInPlan, 403, "not_in_plan"),
    (Refusal, 403, "not_allowed"),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A call whose key was checked."""

    http: WSGIRequest
    who: Identity
    access: Access

    @property
    def place(self) -> Place:
        return Place(self.access.tenant_id, self.access.project_id, self.access.key_id)

    @property
    def actor(self) -> Actor:
        """Who changes something, for the audit trail."""
        return Actor("key", self.access.key_id, self.http.META.get("REMOTE_ADDR", ""))

    def body(self) -> Body:
        """An object; perhaps one that only a lenient parser could read. Raises Refused."""
        return read_json(self.http)

    def fields(self) -> dict[str, Any]:
        """An object of plain JSON. Raises Refused."""
        body = self.body()
        if body.unparsed:
            raise Refused(400, "invalid_request", "Invalid JSON format")
        return body.value

    def require(self, scope: str) -> None:
        require_scope(self.access, scope, self.who.rate)

    def same_project(self, named: Any) -> None:
        """Real or not, any other project is refused alike. Raises Refused."""
        if named is None:
            return
        try:
            if UUID(named) == self.access.project_id:
                return
        except (ValueError, TypeError, AttributeError):
            pass
        message = "API key does not have permission to access this project"
        raise Refused(403, "project_mismatch", message, "project_id")


Handler = Callable[..., HttpResponseBase]


def resource(**handlers: tuple[str, Handler]) -> Callable[..., HttpResponseBase]:
    """A view of one path: for each method the scope it takes, "" if the handler asks itself, and who handles it."""

    def view(http: WSGIRequest, **parts: str) -> HttpResponseBase:
        found = handlers.get(http.method or "")
        if found is None:
            refused = Refused(405, "method_not_allowed", f"Use {' or '.join(sorted(handlers))} here.")
            response = refusal(refused, shape_of(http.path), {})
            response.headers["Allow"] = ", ".join(sorted(handlers))
            return response
        return _visit(http, *found, parts)

    return view


def answer(body: Mapping[str, Any], status: int = 200) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, content_type=JSON)


def _visit(http: WSGIRequest, scope: str, handler: Handler, parts: Mapping[str, str]) -> HttpResponseBase:
    rate: Mapping[str, str] = {}
    shape = shape_of(http.path)
    try:
        who = identify(http, scope=scope)
        rate = who.rate
        if who.access is None:  # only model calls pass with a key nobody could verify
            raise unavailable()
        response = handler(Visit(http, who, who.access), **parts)
    except Refused as refused:
        return refusal(refused, shape, rate)
    except UpstreamError as error:
        return refusal(as_refused(error), shape, rate)
    except Refusal as error:
        return refusal(_refused(error), shape, rate)
    except (DatabaseUnavailable, CacheUnavailable):
        return refusal(unavailable(), shape, rate)
    except RecursionError:
        return refusal(Refused(400, "invalid_request", "The body is nested too deeply."), shape, rate)
    headers = response.headers
    for name, value in (*ALWAYS.items(), *rate.items()):
        headers[name] = value
    if isinstance(response, HttpResponse):
        headers["Content-Length"] = str(len(response.content))
    headers.setdefault("X-CacheAI-Request-Id", request_id_of(new_id(datetime.now(UTC))))
    return response


def _refused(error: Refusal) -> Refused:
    status, code = next((status, code) for kind, status, code in _TOLD if isinstance(error, kind))
    return Refused(status, code, str(error), error.field)


def unavailable() -> Refused:
    return Refused(503, "unavailable", "Service temporarily unavailable")
