"""What does a person see where there is no page, or none for them?

Both doors share one list of URLs, so what came through the data plane's, without a session, is answered in its shape.
"""

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cache_api.http import operation


def bad_request(http: WSGIRequest, exception: Exception) -> HttpResponse:
    if not _is_person(http):
        return operation.bad_request(http, exception)
    return _page(http, 400, "That did not come through", "The request cannot be read. Go back and try again.")


def not_found(http: WSGIRequest, exception: Exception) -> HttpResponse:
    if not _is_person(http):
        return operation.not_found(http, exception)
    return _page(http, 404, "There is nothing here", "The page may have moved, or belong to another tenant.")


def forbidden(http: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(http, 403, "This is not yours to open", str(exception) or "Ask an owner of the tenant for it.")


def forged(http: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token: opened before signing in, in another tab, or made by somebody else."""
    return _page(http, 403, "This form is too old", "Nothing was changed. Go back, reload the page and try again.")


def cut_off(http: WSGIRequest) -> HttpResponse:
    return _page(http, 408, "That did not come whole", "Nothing was changed. Go back and try again.")


def too_large(http: WSGIRequest) -> HttpResponse:
    return _page(http, 413, "That is too much at once", "Nothing was changed. Go back and send less of it.")


def server_error(http: WSGIRequest) -> HttpResponse:
    if not _is_person(http):
        return operation.server_error(http)
    return _page(http, 500, "Something of ours broke", "Nothing you did. It is in our log; try again in a moment.")


def _is_person(http: HttpRequest) -> bool:
    return hasattr(http, "session")


def _page(http: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    return render(http, "dashboard/message.html", {"title": title, "text": text, "messages": ()}, status=status)
