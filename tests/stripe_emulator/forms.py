"""Which nested parameters does `items[0][price]=p&metadata[a]=b` mean?"""

import re
from typing import Any
from urllib.parse import parse_qsl

from .errors import InvalidRequest

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_PART = re.compile(r"\[([^\[\]]*)\]")


def decode(encoded: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True, strict_parsing=bool(encoded)):
        _put(tree, _path(key), value)
    return {key: _lists(value) for key, value in tree.items()}


def _path(key: str) -> list[str]:
    found = _KEY.match(key)
    if not found:
        raise InvalidRequest(f"Invalid request: malformed parameter {key}", code="parameter_invalid", param=key)
    return [found[1], *_PART.findall(found[2])]


def _put(tree: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        part = part or str(len(tree))  # `items[]=`: the next one
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise InvalidRequest(f"Invalid request: {path[0]} is given as a value and as a hash", param=path[0])
    tree[path[-1] or str(len(tree))] = value


def _lists(value: Any) -> Any:
    """A hash whose keys count from 0 is an array."""
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(item) for key, item in value.items()}
    return list(inner.values()) if list(inner) == [str(index) for index in range(len(inner))] else inner
