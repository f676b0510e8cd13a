"""How are entries asked for, stored, judged and removed?

Each function below writes one request down; the two classes at the end send it.
"""

import re
from collections.abc import AsyncIterable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal

from openai import AsyncOpenAI, OpenAI

from ._asking import Ask, given, instant, listed, seconds, sent, sent_async
from ._blocklist import AsyncBlocklist, Blocklist
from ._errors import ValidationError
from ._transfer import Line, Source, load, load_async, load_headers, sent_lines, sent_lines_async
from ._types import (
    DeleteAnswer,
    Entry,
    EntryList,
    FeedbackAnswer,
    Job,
    LookupAnswer,
    PurgeAnswer,
    PutAnswer,
    PutManyAnswer,
    QueryAnswer,
    Stats,
    UpdateAnswer,
)

# `.` and `..` would fit too, but a proxy on the way would fold them into the path; and so would names of endpoints.
ENDPOINTS: Final = "query|test|clear|projects|lookup|entries|export|purge|feedback|blocklist|stats|jobs"
CACHE_KEY: Final = re.compile(rf"(?!(?:\.{{1,2}}|{ENDPOINTS})\Z)[A-Za-z0-9_.:-]{{1,128}}", re.ASCII)
NO_CACHE_KEY: Final = "a cache key is 1 to 128 letters, digits and _.:-, and no name of an endpoint, as stats is"

JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)

Messages = Iterable[Mapping[str, Any]]


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
    body = given(
        prompt=prompt,
        messages=listed(messages),
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
    body = given(
        question=question,
        messages=listed(messages),
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
    body = given(
        question=question,
        answer=answer,
        response=response,
        messages=listed(messages),
        request=request,
        endpoint=endpoint,
        model=model,
        provider=provider,
        system=system,
        context=context,
        params=params,
        usage=usage,
        ttl=seconds(ttl),
        tags=listed(tags),
        namespace=namespace,
        depends_on=listed(depends_on),
    )
    return Ask("post", "/cache/entries", PutAnswer, body)


def _put_many(entries: Iterable[Mapping[str, Any]]) -> Ask[PutManyAnswer]:
    """Store up to 100 entries, each a mapping of what `put` takes."""
    return Ask("post", "/cache/entries", PutManyAnswer, {"entries": listed(entries)})


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
    body = given(output=output, model_id=model_id, converter_type=converter_type) | fields
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
    query = given(
        q=q,
        provider=provider,
        model=model,
        namespace=namespace,
        tag=tag,
        writer=writer,
        depends_on=depends_on,
        source=source,
        status=status,
        created_after=instant(created_after),
        created_before=instant(created_before),
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
    body = given(cache_key=cache_key, verdict=verdict, request_id=request_id, question=question, evict=evict)
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
    body = given(
        keys=listed(keys),
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
    return Ask("get", "/cache/stats", Stats, query=given(since=instant(since), until=instant(until)))


def _export(
    *,
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
    limit: int | None = None,
) -> Ask[Entry]:
    """Every entry that fits every filter given, with its `request` and `response`; `load` takes them back."""
    query = given(
        provider=provider,
        model=model,
        namespace=namespace,
        tag=tag,
        writer=writer,
        depends_on=depends_on,
        source=source,
        status=status,
        created_after=instant(created_after),
        created_before=instant(created_before),
        limit=limit,
        format="jsonl",
    )
    return Ask("get", "/cache/export", Entry, query=query)


def _job(job_id: str) -> Ask[Job]:
    """How far work is that goes on after its answer, as a long purge does."""
    if not JOB_ID.fullmatch(job_id):
        raise ValidationError("this is no id of a job")
    return Ask("get", f"/cache/jobs/{job_id}", Job)


def _path(cache_key: str) -> str:
    if not CACHE_KEY.fullmatch(cache_key):
        raise ValidationError(NO_CACHE_KEY)
    return f"/cache/{cache_key}"


class Cache:
    """The entries of the key's project."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    query = sent(_query)
    lookup = sent(_lookup)
    put = sent(_put)
    put_many = sent(_put_many)
    get = sent(_get)
    update = sent(_update)
    delete = sent(_delete)
    list = sent(_list)
    feedback = sent(_feedback)
    purge = sent(_purge)
    stats = sent(_stats)
    job = sent(_job)
    export = sent_lines(_export)

    def load(
        self,
        entries: Source,
        *,
        namespace: str | None = None,
        tags: str | Iterable[str] | None = None,
        ttl: int | str | timedelta | None = None,
    ) -> Job:
        """Store entries from a file of JSON lines, its path, or an iterable, and wait until they are in.

        `namespace`, `tags` and `ttl` are for entries that do not bring their own.
        """
        return load(self._client, entries, load_headers(namespace, tags, ttl))

    @cached_property
    def blocklist(self) -> Blocklist:
        return Blocklist(self._client)

    @property
    def negative(self) -> Blocklist:
        """The blocklist under its older name."""
        return self.blocklist


class AsyncCache:
    """The entries of the key's project."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    query = sent_async(_query)
    lookup = sent_async(_lookup)
    put = sent_async(_put)
    put_many = sent_async(_put_many)
    get = sent_async(_get)
    update = sent_async(_update)
    delete = sent_async(_delete)
    list = sent_async(_list)
    feedback = sent_async(_feedback)
    purge = sent_async(_purge)
    stats = sent_async(_stats)
    job = sent_async(_job)
    export = sent_lines_async(_export)

    async def load(
        self,
        entries: Source | AsyncIterable[Line],
        *,
        namespace: str | None = None,
        tags: str | Iterable[str] | None = None,
        ttl: int | str | timedelta | None = None,
    ) -> Job:
        """Store entries from a file of JSON lines, its path, or an iterable, and wait until they are in.

        `namespace`, `tags` and `ttl` are for entries that do not bring their own.
        """
        return await load_async(self._client, entries, load_headers(namespace, tags, ttl))

    @cached_property
    def blocklist(self) -> AsyncBlocklist:
        return AsyncBlocklist(self._client)

    @property
    def negative(self) -> AsyncBlocklist:
        """The blocklist under its older name."""
        return self.blocklist
