"""Can what follows `/v1/` in a call's path be asked of a provider, and of nothing beside it?"""

import re
from urllib.parse import quote

from django.core.handlers.wsgi import WSGIRequest

from cache_api.dialects.errors import Refused

# A server behind may read these as the end of the path, or as steps out of it; encoded twice, so does the next one.
_MISREAD = re.compile(r"[\x00-\x1f\x7f\\%?#;]")
_HIDDEN_STEP = re.compile(r"%(?:2f|5c|2e)", re.IGNORECASE)
_QUERY = re.compile(r"[!\"$-~]*")
_KEPT = ":@!$&'()*+,=~"

PATH_MAX_CHARACTERS = 1024

# What is wrong with a client's base URL is told by no other answer.
_WRONG_BASE_URL = (
    (re.compile(r".*//"), " Two slashes follow each other: does the client's base URL end in one?"),
    (re.compile(r"/v1/v1(?:/|\Z)"), " /v1 stands there twice: leave one out of the client's base URL."),
    (re.compile(r"(?!/v1/)"), " The API's paths begin with /v1/."),
)


def path_of(http: WSGIRequest, path: str) -> str:
    """The path as it goes to the provider. Raises Refused."""
    if _HIDDEN_STEP.search(_as_sent(http)):
        raise _no_such_path(http)
    return quote(_checked(http, path), safe="/" + _KEPT)


def name_of(http: WSGIRequest, name: str) -> str:
    """A name that may hold slashes, encoded if the caller's were. Raises Refused."""
    slash = "" if "%2f" in _as_sent(http).lower() else "/"
    return quote(_checked(http, name), safe=slash + _KEPT)


def query_of(http: WSGIRequest) -> str:
    """The query as it came. Raises Refused."""
    query = str(http.META.get("QUERY_STRING", ""))
    if not _QUERY.fullmatch(query):
        raise Refused(400, "invalid_request", "The query must be percent-encoded.")
    return query


def wrong_base_url(path: str) -> str:
    """A sentence more for a path that nothing is at; empty if it does not look like the base URL's fault."""
    return next((hint for what, hint in _WRONG_BASE_URL if what.match(path)), "")


def _checked(http: WSGIRequest, path: str) -> str:
    steps = path.split("/")
    if len(path) > PATH_MAX_CHARACTERS or _MISREAD.search(path) or any(step in {"", ".", ".."} for step in steps):
        raise _no_such_path(http)
    return path


def _as_sent(http: WSGIRequest) -> str:
    """Before the server decoded it, where the server says."""
    return str(http.META.get("RAW_URI", "")).partition("?")[0]


def _no_such_path(http: WSGIRequest) -> Refused:
    path = http.path[:PATH_MAX_CHARACTERS]
    return Refused(404, "not_found", f"There is nothing at {http.method} {path}.{wrong_base_url(path)}")
