"""How is one request to CacheAI written down, sent, and its answer read?"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, get_args

from openai import AsyncOpenAI, OpenAI, RequestOptions

from ._errors import CacheError, ValidationError
from ._types import Answer

A = TypeVar("A")
P = ParamSpec("P")


@dataclass(frozen=True)
class Ask(Generic[A]):
    """One request, not sent yet, and the type of its answer."""

    method: Literal["get", "post", "put", "delete"]
    path: str
    answer: type[Answer]
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    part: str | None = None  # of the answer, where the rest only wraps it

    def options(self) -> RequestOptions:
        options: RequestOptions = {"params": self.query}
        if self.body is not None:
            options["extra_json"] = self.body
        return options

    def read(self, answer: object) -> A:
        # Where `base_url` is not CacheAI's: a web page, which comes through as text, or JSON of somebody else's.
        if not isinstance(answer, self.answer) or not answer.model_fields_set & self.answer.model_fields.keys():
            raise CacheError(CacheError.__doc__)
        read: A = getattr(answer, self.part) if self.part else answer  # type: ignore[assignment]
        return read


class Asks(Protocol):
    _client: OpenAI


class AsksLater(Protocol):
    _client: AsyncOpenAI


R = TypeVar("R", bound=Asks)
L = TypeVar("L", bound=AsksLater)


def sent(ask: Callable[P, Ask[A]]) -> Callable[Concatenate[R, P], A]:
    @wraps(ask)
    def method(resource: R, /, *args: P.args, **kwargs: P.kwargs) -> A:
        request = ask(*args, **kwargs)
        send = getattr(resource._client, request.method)
        return request.read(send(request.path, cast_to=request.answer, options=request.options()))

    return as_method(method, ask)


def sent_async(ask: Callable[P, Ask[A]]) -> Callable[Concatenate[L, P], Awaitable[A]]:
    @wraps(ask)
    async def method(resource: L, /, *args: P.args, **kwargs: P.kwargs) -> A:
        request = ask(*args, **kwargs)
        send = getattr(resource._client, request.method)
        return request.read(await send(request.path, cast_to=request.answer, options=request.options()))

    return as_method(method, ask)


def given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def listed(values: Iterable[Any] | None) -> list[Any] | None:
    if isinstance(values, str):
        raise ValidationError("give a list of texts, not one text")
    return None if values is None else [*values]


def seconds(ttl: int | str | timedelta | None) -> int | str | None:
    return int(ttl.total_seconds()) if isinstance(ttl, timedelta) else ttl


def instant(moment: datetime | str | None) -> str | None:
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValidationError("a time needs its time zone, as in datetime.now(UTC)")
    return moment.isoformat()


M = TypeVar("M", bound=Callable[..., Any])


def as_method(method: M, ask: Callable[..., Any]) -> M:
    """Show in `help()` what `ask` takes: after `wraps` alone its first argument would pass for `self`."""
    shown = signature(ask)
    self = Parameter("self", Parameter.POSITIONAL_ONLY)
    method.__name__ = ask.__name__.removeprefix("_")
    (answer,) = get_args(shown.return_annotation)
    method.__signature__ = shown.replace(  # type: ignore[attr-defined]
        parameters=[self, *shown.parameters.values()], return_annotation=answer
    )
    return method
