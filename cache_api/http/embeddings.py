"""How is a list of texts embedded? Like any model call; but each item of the list is looked up by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from django.core.handlers.wsgi import WSGIRequest
from django.http.response import HttpResponseBase

from cache_api import wiring
from cache_api.dialects import openai_embeddings
from cache_api.dialects.errors import Refused
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request
from cache_api.domain.scope import fingerprint_of
from cache_api.embedding_list import EmbeddingList
from cache_api.http.answering import Identity, as_refused, build_request, identify, read_controls, refusal, respond
from cache_api.http.bodies import read_json
from cache_api.http.pass_through import pass_through
from cache_api.http.paths import query_of
from cache_api.ports import UpstreamError
from tenants import vault


def embeddings(http: WSGIRequest) -> HttpResponseBase:
    if http.method != "POST":
        return pass_through(http, openai_embeddings.ENDPOINT)
    rate: Mapping[str, str] = {}
    try:
        who = identify(http, scope="proxy", own_credential_suffices=True)
        rate = who.rate
        request, policy = _read(http, who)
        parts, items = wiring.parts(), _fingerprints(request)
        many = EmbeddingList(parts.store, items, datetime.now(UTC))
        reply = parts.service.over(many).answer(request, policy, many, parts.upstream.send)
        if len(items) > 1:  # then no one entry is served or stored
            reply.signals = replace(reply.signals, cache_key=None)
        return respond(reply, rate)
    except Refused as refused:
        return refusal(refused, openai_embeddings.error, rate)
    except UpstreamError as error:
        return refusal(as_refused(error), openai_embeddings.error, rate)


def _read(http: WSGIRequest, who: Identity) -> tuple[Request, Policy]:
    """Raises Refused."""
    # Lists are long: were only the bytes of a long body keyed, an item would never be found in another list.
    body = read_json(http, seek_all_duplicates=True)
    controls = read_controls(who.headers, body)
    parsed = openai_embeddings.parse(body.value, controls.model)
    if body.unparsed:
        parsed = replace(parsed, unparsed=True)
    return build_request(openai_embeddings, who, controls, parsed, raw=body.raw, query=query_of(http))


def _fingerprints(request: Request) -> Sequence[bytes]:
    """Of each item, as if it were asked alone; none where the tenant's digest key is out of reach."""
    texts = request.parsed.texts
    if len(texts) == 1 or not request.fingerprint:
        return [request.fingerprint for _ in texts]
    key = vault.digest_key(request.caller.tenant_id)  # met a moment ago, so it is kept
    return [fingerprint_of(key, request.scope, replace(request.parsed, texts=(text,))) for text in texts]
