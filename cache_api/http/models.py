"""Which model endpoints are there?"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from cache_api import wiring
from cache_api.adapters.targets import target_of
from cache_api.adapters.upstream import headers_up
from cache_api.dialects import Dialect
from cache_api.dialects.errors import Refused, openai_error
from cache_api.domain.call import new_id
from cache_api.domain.controls import InvalidControl, controls_of
from cache_api.domain.decision import Reason
from cache_api.domain.policy import Policy
from cache_api.domain.request import Controls, Target
from cache_api.domain.signals import Signals, request_id_of
from cache_api.http.answering import Identity, answer, as_refused, identify, refusal
from cache_api.http.headers import ALWAYS, relayed, signal_headers
from cache_api.http.pass_through import house_of, pass_through
from cache_api.http.paths import name_of, query_of
from cache_api.ports import UpstreamError


def model_endpoint(dialect: Dialect) -> Callable[[WSGIRequest], HttpResponseBase]:
    """The view of one dialect; what was answered there before may be listed, too."""

    def view(http: WSGIRequest) -> HttpResponseBase:
        return answer(http, dialect) if http.method == "POST" else pass_through(http, dialect.ENDPOINT)

    return view


def model_list(http: WSGIRequest, model: str = "") -> HttpResponseBase:
    """The provider's own list, relayed and never stored."""
    if http.method != "GET":
        return pass_through(http, f"models/{model}" if model else "models")
    rate: Any = {}
    try:
        who = identify(http, scope="proxy")
        rate = who.rate
        controls = controls_of(who.headers)
        target = _asked_for_models(who, controls, model)
        path = f"models/{name_of(http, target.model)}" if model else "models"
        arriving = wiring.parts().upstream.relay(
            "GET", f"{target.base_url}/{path}", headers_up(target, who.headers), None, query=query_of(http)
        )
        response = HttpResponse(b"".join(arriving.chunks), status=arriving.status)
    except InvalidControl as error:
        return refusal(Refused(400, "invalid_control", str(error), error.param), openai_error, rate)
    except Refused as refused:
        return refusal(refused, openai_error, rate)
    except UpstreamError as error:
        return refusal(as_refused(error), openai_error, rate)
    response.headers["Content-Type"] = arriving.headers.get("content-type", "application/json")
    told = Signals(
        decision="bypass",
        reason=Reason.ENDPOINT,
        provider=target.provider,
        request_id=request_id_of(new_id(datetime.now(UTC))),
    )
    ours = ALWAYS | signal_headers(told, stored=False)
    for name, value in (*relayed(arriving.headers).items(), *ours.items(), *rate.items()):
        response.headers[name] = value
    return response


def _asked_for_models(who: Identity, controls: Controls, model: str) -> Target:
    """Of a team without any provider's key the demo provider is asked: so a newcomer sees a list."""
    find = partial(
        target_of,
        who.access,
        policy=Policy(),
        model=model,
        speaks=house_of(who.headers) or "C",
        spare_credential=who.spare_credential,
        allowed=wiring.allowed_addresses(),
    )
    try:
        return find(controls)
    except Refused as refused:
        if refused.code != "provider_key_missing" or model or controls.provider or controls.base_url:
            raise
        return find(replace(controls, provider="demo"))
