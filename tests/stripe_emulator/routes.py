"""Which function answers this method and path, and with which parameters?"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import InvalidRequest
from .world import World

Handler = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    params: str | None  # the TypedDict in stripe.params; None takes none
    handler: Handler

    def __call__(self, world: World, params: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
        return self.handler(world, params, **ids)


ROUTES: list[Route] = []


def route(method: str, path: str, params: str | None = None) -> Callable[[Handler], Handler]:
    """`{name}` in the path is an argument of the handler, beside the world and the checked parameters."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "$")

    def remember(handler: Handler) -> Handler:
        ROUTES.append(Route(method, pattern, params, handler))
        return handler

    return remember


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    for each in ROUTES:
        if each.method == method and (match := each.pattern.match(path)):
            return each, match.groupdict()
    raise InvalidRequest(f"Unrecognized request URL ({method}: {path}).", status=404)
