"""Which cache key stands for a call and its arguments?

Two calls get the same key only if they say the same. What cannot be told apart for sure has no key.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel


class Unserialisable(Exception):
    """A value whose meaning cannot be written down."""


def key_of(text: str) -> str:
    """The key CacheAI knows any text of a caller's by; what the text says stays with the caller."""
    return f"k_{hashlib.sha256(text.encode()).hexdigest()}"


def text_of(**parts: Any) -> str:
    """The same for the same values, whatever the order of names. Raises Unserialisable."""
    return json.dumps(_plain(parts), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return _tagged(value, value.name)
        case None | bool() | str():
            return value
        case int() | float():
            return value if type(value) in (int, float) else _tagged(value, repr(value))
        case Mapping():
            if all(type(name) is str for name in value):
                return {name: _plain(inner) for name, inner in value.items()}
            return {"of": "dict", "value": _in_order([_plain(name), _plain(inner)] for name, inner in value.items())}
        case bytes() | bytearray():
            return {"of": "bytes", "value": hashlib.sha256(value).hexdigest()}
        case Set():
            return {"of": "set", "value": _in_order(_plain(inner) for inner in value)}
        case Sequence():
            return [_plain(inner) for inner in value]
        case datetime() | date() | time() | Decimal() | UUID() | PurePath():
            return _tagged(value, str(value))
        case timedelta():
            return _tagged(value, value.total_seconds())
        case type() if issubclass(value, BaseModel):
            return {"of": _name(value), "value": value.model_json_schema()}
        case BaseModel():
            return _tagged(value, {**_plain(vars(value)), **_plain(value.model_extra or {})})
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return _tagged(value, _plain(fields))
        case _:
            raise Unserialisable(f"a value of type {_name(type(value))}")


def _tagged(value: object, plain: Any) -> dict[str, Any]:
    return {"of": _name(type(value)), "value": plain}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _in_order(values: Any) -> list[Any]:
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))
