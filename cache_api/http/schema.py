"""What is everything here called, and how is it asked?"""

from functools import cache

import orjson
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse

from cache_api.http.answering import JSON
from cache_api.http.headers import plain_headers
from cache_api.http.operation import version_here


def schema(http: WSGIRequest) -> HttpResponse:
    return HttpResponse(_written(), content_type=JSON, headers=plain_headers())


@cache
def _written() -> bytes:
    from cache_api.http.openapi import document  # Megabytes and milliseconds that a process seldom needs.

    return orjson.dumps(document(version_here()))
