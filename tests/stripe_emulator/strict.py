"""Would Stripe take these parameters? The published TypedDicts of stripe-python say so, held to the letter."""

import sys
import types
from functools import cache
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

import stripe.params
from pydantic import ConfigDict, TypeAdapter, ValidationError
from stripe._request_options import RequestOptions
from typing_extensions import TypedDict, is_typeddict

from .errors import InvalidRequest

# Options of a call in Python, mixed into the parameters' types; they never travel as parameters.
_OPTIONS = frozenset(RequestOptions.__annotations__)


def checked(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their types; `name` is `SubscriptionCreateParams` or `billing.MeterCreateParams`."""
    try:
        return _adapter(name).validate_python(given)
    except ValidationError as error:
        raise _refusal(error, given) from None


@cache
def _adapter(name: str) -> TypeAdapter[dict[str, Any]]:
    found: Any = stripe.params
    for part in name.split("."):
        found = getattr(found, part)
    return TypeAdapter(_strict(found))


@cache
def _strict(kind: Any) -> Any:
    if is_typeddict(kind):
        return _strict_fields(kind)
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return Union[tuple(_strict(each) for each in _without_catch_all(inside))]  # noqa: UP007 (a tuple)
    if origin is NotRequired:
        return NotRequired[_strict(inside[0])]
    if origin in (list, dict):
        return origin[tuple(_strict(each) for each in inside)]
    return kind


def _strict_fields(kind: Any) -> Any:
    own = {name: hint for name, hint in kind.__annotations__.items() if name not in _OPTIONS}
    holder = type(kind.__name__, (), {"__annotations__": own, "__module__": kind.__module__})
    hints = get_type_hints(holder, vars(sys.modules[kind.__module__]), include_extras=True)
    strict = TypedDict(kind.__name__, {name: _strict(hint) for name, hint in hints.items()})  # type: ignore[operator]
    strict.__pydantic_config__ = ConfigDict(extra="forbid")
    return strict


def _without_catch_all(members: tuple[Any, ...]) -> list[Any]:
    """`Literal["a", "b"] | str` means that later versions may know more values; this one does not."""
    closed = any(get_origin(each) is Literal and get_args(each) != ("",) for each in members)
    return [
        each
        for each in members
        if not (closed and each is str) and not getattr(get_origin(each), "__name__", "").startswith("UntypedStripe")
    ]


def _refusal(error: ValidationError, given: dict[str, Any]) -> InvalidRequest:
    """The error that got furthest into the parameters is the one a person meant to be told."""
    told = max(error.errors(), key=lambda one: len(_param(one["loc"], given)))
    path = _param(told["loc"], given)
    if told["type"] == "missing":
        path.append(str(told["loc"][-1]))
    param = path[0] + "".join(f"[{part}]" for part in path[1:]) if path else ""
    match told["type"]:
        case "extra_forbidden":
            return InvalidRequest(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
        case "missing":
            return InvalidRequest(f"Missing required param: {param}.", code="parameter_missing", param=param)
        case "literal_error":
            wanted = told["ctx"]["expected"].replace("'", "")
            return InvalidRequest(f"Invalid {param}: must be one of {wanted}", param=param)
        case "int_parsing" | "int_type":
            return InvalidRequest(f"Invalid integer: {told['input']}", code="parameter_invalid_integer", param=param)
        case "dict_type" | "list_type":
            what = "object" if told["type"] == "dict_type" else "array"
            return InvalidRequest(f"Invalid {what}", param=param)
    return InvalidRequest(f"Invalid {param}: {told['msg']}", param=param)


def _param(location: tuple[int | str, ...], given: Any) -> list[str]:
    """pydantic's place also names the members of unions: only what was given counts."""
    path: list[str] = []
    for part in location:
        if (isinstance(given, dict) and part in given) or (
            isinstance(given, list) and isinstance(part, int) and part < len(given)
        ):
            given = given[part]
        else:
            continue
        path.append(str(part))
    return path
