"""How may a library that sends for itself ask an address that a tenant named?

By a session of `requests` whose connects are guarded as an upstream's are, that takes no proxy from the environment,
and that reads no more than it should.
"""

from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as Unreachable
from urllib3.exceptions import HTTPError

from cache_api.adapters.addresses import Allowed, BadAddress, check_url
from cache_api.adapters.upstream import guarded_pools, over_within

TIMEOUT_SECONDS = 10.0  # for what is slow, and for all of it
BODY_MAX_BYTES = 1024 * 1024
REDIRECTS_MAX = 3


class _Guarded(HTTPAdapter):
    def __init__(self, allowed: Allowed, denied: tuple[str, ...]) -> None:
        self._allowed = allowed
        self._pools = guarded_pools(allowed, denied)
        super().__init__()

    def init_poolmanager(self, *sizes: Any, **more: Any) -> None:
        super().init_poolmanager(*sizes, **more)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        try:
            check_url(urlsplit(request.url or "")._replace(query="", fragment="").geturl(), self._allowed)
            with over_within(TIMEOUT_SECONDS):
                response = super().send(request, stream=True, timeout=TIMEOUT_SECONDS)
                body = response.raw.read(BODY_MAX_BYTES + 1, decode_content=True)
        except (BadAddress, HTTPError) as error:
            raise Unreachable(str(error)) from error
        response.close()
        if len(body) > BODY_MAX_BYTES:
            raise Unreachable("The answer is too long.")
        response._content, response._content_consumed = body, True
        return response


def guarded_session(*, allowed: Allowed, denied: tuple[str, ...]) -> Session:
    session = Session()
    session.trust_env = False
    session.max_redirects = REDIRECTS_MAX
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Guarded(allowed, denied))
    return session
