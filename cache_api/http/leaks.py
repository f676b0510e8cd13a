"""Was a key of ours found in public? Those who scan public places report it here, signed with the secret we share.

    X-CacheAI-Signature: sha256=HMAC-SHA256(secret, body) in hex
    [{"token": "ca-...", "type": "cacheai_api_key", "url": "https://...", "source": "commit"}]

No key of ours opens this path, and without CACHEAI_LEAK_SECRET there is nothing here.
"""

import hmac
from typing import Any

import orjson
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from rest_framework import serializers

from cache_api.adapters.catalogue import guarded
from cache_api.dialects.errors import Refused, openai_error
from cache_api.http.answering import refusal
from cache_api.http.bodies import pieces
from cache_api.http.headers import plain_headers
from cache_api.http.visits import answer, unavailable
from tenants.isolation import DatabaseUnavailable
from tenants.leaks import LINK_MAX_CHARACTERS, Leak, leak_report

BODY_MAX_BYTES = 2**20
REPORTS_MAX = 1_000


class LeakSerializer(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=256)
    type = serializers.CharField(required=False, allow_blank=True)
    url = serializers.CharField(max_length=LINK_MAX_CHARACTERS * 8, default="", allow_blank=True)
    source = serializers.CharField(default="", allow_blank=True)  # type: ignore[assignment]  # DRF has a `source`, too


def leaked_keys(http: WSGIRequest) -> HttpResponse:
    try:
        if not settings.LEAK_SECRET:
            raise Refused(404, "not_found", f"There is nothing at {http.method} {http.path}.")
        if http.method != "POST":
            raise Refused(405, "method_not_allowed", "Use POST here.", headers={"Allow": "POST"})
        body = b"".join(pieces(http, limit_bytes=BODY_MAX_BYTES))
        _refuse_unsigned(body, http.META.get("HTTP_X_CACHEAI_SIGNATURE", ""))
        leaks = _leaks(body)
        known = guarded(lambda: sum(leak_report(leak) for leak in leaks))
        response = answer({"reports": len(leaks), "known": known})
    except Refused as refused:
        return refusal(refused, openai_error, {})
    except DatabaseUnavailable:
        return refusal(unavailable(), openai_error, {})
    for name, value in plain_headers().items():
        response.headers[name] = value
    return response


def _refuse_unsigned(body: bytes, signature: str) -> None:
    expected = "sha256=" + hmac.digest(settings.LEAK_SECRET.encode(), body, "sha256").hex()
    if not hmac.compare_digest(expected.encode(), signature.strip().encode()):
        raise Refused(401, "invalid_signature", "The body is not signed with the secret we share.")


def _leaks(body: bytes) -> list[Leak]:
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "invalid_request", "Invalid JSON format") from None
    reports = LeakSerializer(data=sent, many=True)
    if not isinstance(sent, list) or len(sent) > REPORTS_MAX or not reports.is_valid():
        message = f"Send an array of at most {REPORTS_MAX} objects with token, type, url and source."
        raise Refused(400, "invalid_request", message)
    return [Leak(one["token"], one["url"], one["source"]) for one in reports.validated_data]
