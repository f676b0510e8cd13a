"""How are entries asked for, stored, judged and removed?

Each function below writes one request down; the two classes at the end send it.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Concatenate, Final, Generic, Literal, ParamSpec, TypeVar, get_args

from openai import AsyncOpenAI, OpenAI, RequestOptions

from ._errors import CacheError, ValidationError
from ._types import (
    Answer,
    DeleteAnswer,
    Entry,
    EntryList,
    FeedbackAnswer,
    LookupAnswer,
    PurgeAnswer,
    PutAnswer,
    PutManyAnswer,
    QueryAnswer,
    Stats,
    UpdateAnswer,
)

# `.` and `..` would fit too, but a proxy on the way would fold them into the path.
CACHE_KEY: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.:-]{1,128}", re.ASCII)

A = TypeVar("A", bound=Answer)
P = ParamSpec("P")
Messages = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Ask(Generic[A]):
    """One request, not sent yet, and the type of its answer."""

    method: Literal["get", "post", "put", "delete"]
    path: str
    answer: type[A]
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)

    def options(self) -> RequestOptions:
        options: RequestOptions = {"params": self.query}
        if self.body is not None:
            options["extra_json"] = self.body
        return options

    def read(self, answer: object) -> A:
        # Anything but JSON comes through as text: a web page, where `base_url` is not CacheAI's.
        if not isinstance(answer, self.answer):
            raise CacheError(CacheError.__doc__)
        return answer


def _query(
    prompt: str | None = None,
    *,
    messages: Messages | None = None,
    model: str | None = None,
    context: str | None = None,
    similarity_threshold: float | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    project_id: str | None = None,
    include_debug: bool | None = None,
) -> Ask[QueryAnswer]:
    """Answer a question from the cache, else from the provider. `context` goes along as a system message."""
    body = _given(
        prompt=prompt,
        messages=_listed(messages),
        model=model,
        context=context,
        similarity_threshold=similarity_threshold,
        max_tokens=max_tokens,
        temperature=temperature,
        metadata=metadata,
        project_id=project_id,
        include_debug=include_debug,
    )
    return Ask("post", "/cache/query", QueryAnswer, body)


def _lookup(
    question: str | None = None,
    *,
    messages: Messages | None = None,
    request: Mapping[str, Any] | None = None,
    endpoint: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    system: str | None = None,
    context: str | None = None,
    params: Mapping[str, Any] | None = None,
    similarity_threshold: float | None = None,
    limit: int | None = None,
    include_answer: bool | None = None,
) -> Ask[LookupAnswer]:
    """Ask what the cache would decide, and why. `request` is a whole body, in place of a question."""
    body = _given(
        question=question,
        messages=_listed(messages),
        request=request,
        endpoint=endpoint,
        model=model,
        provider=provider,
        system=system,
        context=context,
        params=params,
        similarity_threshold=similarity_threshold,
        limit=limit,
        include_answer=include_answer,
    )
    return Ask("post", "/cache/lookup", LookupAnswer, body)


def _put(
    question: str | None = None,
    *,
    answer: str | None = None,
    response: Any = None,
    messages: Messages | None = None,
    request: Mapping[str, Any] | None = None,
    endpoint: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    system: str | None = None,
    context: str | None = None,
    params: Mapping[str, Any] | None = None,
    usage: Mapping[str, Any] | None = None,
    ttl: int | str | timedelta | None = None,
    tags: Iterable[str] | None = None,
    namespace: str | None = None,
    depends_on: Iterable[str] | None = None,
) -> Ask[PutAnswer]:
    """Store an answer: its text as `answer`, or a provider's whole body as `response`."""
    body = _given(
        question=question,
        answer=answer,
        response=response,
        messages=_listed(messages),
        request=request,
        endpoint=endpoint,
        model=model,
        provider=provider,
        system=system,
        context=context,
        params=params,
        usage=usage,
        ttl=_seconds(ttl),
        tags=_listed(tags),
        namespace=namespace,
        depends_on=_listed(depends_on),
    )
    return Ask("post", "/cache/entries", PutAnswer, body)


def _put_many(entries: Iterable[Mapping[str, Any]]) -> Ask[PutManyAnswer]:
    """Store up to 100 entries, each a mapping of what `put` takes."""
    return Ask("post", "/cache/entries", PutManyAnswer, {"entries": _listed(entries)})


def _get(cache_key: str) -> Ask[Entry]:
    """The entry under a key, with its answer."""
    return Ask("get", _path(cache_key), Entry)


def _update(
    cache_key: str,
    *,
    output: str | None = None,
    model_id: str | None = None,
    converter_type: str | None = None,
    **fields: Any,
) -> Ask[UpdateAnswer]:
    """Change an entry, or create one under a key of your own from `value`. Other fields become metadata."""
    body = _given(output=output, model_id=model_id, converter_type=converter_type) | fields
    if not body:
        raise ValidationError("give a field to update: output, model_id, converter_type or another")
    return Ask("put", _path(cache_key), UpdateAnswer, body)


def _delete(cache_key: str) -> Ask[DeleteAnswer]:
    """Remove the entry under a key."""
    return Ask("delete", _path(cache_key), DeleteAnswer)


def _list(
    *,
    q: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    namespace: str | None = None,
    tag: str | None = None,
    writer: str | None = None,
    depends_on: str | None = None,
    source: str | None = None,
    status: str | None = None,
    created_after: datetime | str | None = None,
    created_before: datetime | str | None = None,
    include_answer: bool = False,
    order: Literal["-created", "created", "-hits", "-saved"] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    offset: int | None = None,
) -> Ask[EntryList]:
    """Entries that fit every filter given; `q` finds them by meaning."""
    query = _given(
        q=q,
        provider=provider,
        model=model,
        namespace=namespace,
        tag=tag,
        writer=writer,
        depends_on=depends_on,
        source=source,
        status=status,
        created_after=_instant(created_after),
        created_before=_instant(created_before),
        include="answer" if include_answer else None,
        order=order,
        limit=limit,
        cursor=cursor,
        offset=offset,
    )
    return Ask("get", "/cache/entries", EntryList, query=query)


def _feedback(
    cache_key: str,
    verdict: Literal["right", "wrong"],
    *,
    request_id: str | None = None,
    question: str | None = None,
    evict: bool | None = None,
) -> Ask[FeedbackAnswer]:
    """Judge a served answer. `wrong` removes it, and what was asked never gets it again."""
    body = _given(cache_key=cache_key, verdict=verdict, request_id=request_id, question=question, evict=evict)
    return Ask("post", "/cache/feedback", FeedbackAnswer, body)


def _purge(
    *,
    keys: Iterable[str] | None = None,
    expired: bool | None = None,
    older_than_hours: float | None = None,
    older_than_days: float | None = None,
    model: str | None = None,
    provider: str | None = None,
    tag: str | None = None,
    namespace: str | None = None,
    writer: str | None = None,
    depends_on: str | None = None,
    all: bool | None = None,
    dry_run: bool | None = None,
) -> Ask[PurgeAnswer]:
    """Remove the entries that fit every filter given; `dry_run` only counts them."""
    body = _given(
        keys=_listed(keys),
        expired=expired,
        older_than_hours=older_than_hours,
        older_than_days=older_than_days,
        model=model,
        provider=provider,
        tag=tag,
        namespace=namespace,
        writer=writer,
        depends_on=depends_on,
        all=all,
        dry_run=dry_run,
    )
    return Ask("post", "/cache/purge", PurgeAnswer, body)


def _stats(*, since: datetime | str | None = None, until: datetime | str | None = None) -> Ask[Stats]:
    """What the cache did in a time: hits, misses, dollars saved."""
    return Ask("get", "/cache/stats", Stats, query=_given(since=_instant(since), until=_instant(until)))


def _path(cache_key: str) -> str:
    if not CACHE_KEY.fullmatch(cache_key):
        raise ValidationError("a cache key is 1 to 128 letters, digits and _.:-")
    return f"/cache/{cache_key}"


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _listed(values: Iterable[Any] | None) -> list[Any] | None:
    if isinstance(values, str):
        raise ValidationError("give a list of texts, not one text")
    return None if values is None else [*values]


def _seconds(ttl: int | str | timedelta | None) -> int | str | None:
    return int(ttl.total_seconds()) if isinstance(ttl, timedelta) else ttl


def _instant(moment: datetime | str | None) -> str | None:
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValidationError("a time needs its time zone, as in datetime.now(UTC)")
    return moment.isoformat()


def _sent(ask: Callable[P, Ask[A]]) -> Callable[Concatenate["Cache", P], A]:
    @wraps(ask)
    def method(cache: "Cache", /, *args: P.args, **kwargs: P.kwargs) -> A:
        request = ask(*args, **kwargs)
        send = getattr(cache._client, request.method)
        return request.read(send(request.path, cast_to=request.answer, options=request.options()))

    return _as_method(method, ask)


def _sent_async(ask: Callable[P, Ask[A]]) -> Callable[Concatenate["AsyncCache", P], Awaitable[A]]:
    @wraps(ask)
    async def method(cache: "AsyncCache", /, *args: P.args, **kwargs: P.kwargs) -> A:
        request = ask(*args, **kwargs)
        send = getattr(cache._client, request.method)
        return request.read(await send(request.path, cast_to=request.answer, options=request.options()))

    return _as_method(method, ask)


M = TypeVar("M", bound=Callable[..., Any])


def _as_method(method: M, ask: Callable[..., Any]) -> M:
    """Show in `help()` what `ask` takes: after `wraps` alone its first argument would pass for `self`."""
    shown = signature(ask)
    self = Parameter("self", Parameter.POSITIONAL_ONLY)
    method.__name__ = ask.__name__.removeprefix("_")
    (answer,) = get_args(shown.return_annotation)
    method.__signature__ = shown.replace(  # type: ignore[attr-defined]
        parameters=[self, *shown.parameters.values()], return_annotation=answer
    )
    return method


class Cache:
    """The entries of the key's project."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    query = _sent(_query)
    lookup = _sent(_lookup)
    put = _sent(_put)
    put_many = _sent(_put_many)
    get = _sent(_get)
    update = _sent(_update)
    delete = _sent(_delete)
    list = _sent(_list)
    feedback = _sent(_feedback)
    purge = _sent(_purge)
    stats = _sent(_stats)


class AsyncCache:
    """The entries of the key's project."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    query = _sent_async(_query)
    lookup = _sent_async(_lookup)
    put = _sent_async(_put)
    put_many = _sent_async(_put_many)
    get = _sent_async(_get)
    update = _sent_async(_update)
    delete = _sent_async(_delete)
    list = _sent_async(_list)
    feedback = _sent_async(_feedback)
    purge = _sent_async(_purge)
    stats = _sent_async(_stats)
