"""Which items of a list have to be embedded, and how do theirs and the stored ones become one answer?

Each item is an entry of its own. To the service the list is one call, and this object is its store and its dialect:

    find_exact     all items in one read; whole if every one is there, and what is not is remembered
    upstream_body  the caller's own bytes, or the missing items alone, each once
    tape           the provider's answer, filled up with what was here already
    put            an entry for each item that was bought

A hit has the usage of all its entries, a filled-up answer what was billed beside that of its entries. The ledger has a
row for the call: a hit if nothing had to be bought, else a miss that cost what was billed, and saved what its stored
items would have cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Any
from uuid import UUID

import orjson

from cache_api.dialects import openai_embeddings
from cache_api.dialects.openai_embeddings import HELD_MAX_BYTES, VectorTape, is_vector, items_of, usage_as_sent
from cache_api.dialects.tape import ANSWER_MAX_BYTES, Tape
from cache_api.domain.call import new_id
from cache_api.domain.cost import rounded
from cache_api.domain.decision import freshness_refusal
from cache_api.domain.entry import Candidate, Entry, NewEntry
from cache_api.domain.request import Request
from cache_api.domain.usage import Usage, estimated_tokens
from cache_api.ports import ManyStore


class EmbeddingList:
    """One call's list: the Store port and the Answering protocol at once."""

    NAME, ENDPOINT, SPEAKS = openai_embeddings.NAME, openai_embeddings.ENDPOINT, openai_embeddings.SPEAKS
    error = staticmethod(openai_embeddings.error)
    replay = staticmethod(openai_embeddings.replay)
    has_tool_calls = staticmethod(openai_embeddings.has_tool_calls)
    answer_text = staticmethod(openai_embeddings.answer_text)
    answer_of_text = staticmethod(openai_embeddings.answer_of_text)
    usage_as_sent = staticmethod(openai_embeddings.usage_as_sent)

    def __init__(self, store: ManyStore, fingerprints: Sequence[bytes], now: datetime) -> None:
        self._store = store
        self._items = fingerprints
        self._now = now
        self._stored: dict[bytes, Entry] = {}
        self._asked: Sequence[int] = range(len(fingerprints))  # the places whose items go to the provider

    # -- the store

    def find_exact(self, request: Request) -> Entry | None:
        """The whole list's answer, expired if one of its entries is. Raises CacheUnavailable."""
        found = self._store.find_many(request.caller, list(dict.fromkeys(self._items)))
        fresh = {key: entry for key, entry in found.items() if freshness_refusal(request, entry, self._now) is None}
        first_places = {item: place for place, item in reversed(list(enumerate(self._items)))}
        missing = sorted(place for item, place in first_places.items() if item not in fresh)
        if not (fresh and missing) or len(missing) * _size(next(iter(fresh.values()))) <= HELD_MAX_BYTES:
            self._stored, self._asked = fresh, missing
        every = [found[item] for item in self._items if item in found]
        return _together(every, self._now) if every and len(every) == len(self._items) else None

    def search(self, request: Request, vector: bytes, *, limit: int, at_least: float, checked: bool) -> list[Candidate]:
        """Nothing here is fuzzy."""
        return []

    def put(self, entry: NewEntry) -> UUID:
        """An entry for each item that was bought. Raises CacheUnavailable."""
        self._store.put_many(list(self._entries(entry)))
        return entry.id

    def _entries(self, whole: NewEntry) -> Iterator[NewEntry]:
        data = whole.answer["data"]
        if len(self._items) == 1:
            yield whole
            return

        items = items_of((whole.request or {}).get("input"))
        bought = {self._items[place]: place for place in self._asked}
        shares = _shares(whole.usage.in_total, [_weight(items[place]) for place in bought.values()])
        for (fingerprint, place), share in zip(bought.items(), shares, strict=True):
            usage = replace(whole.usage, in_total=share)
            answer = {**whole.answer, "data": [{**data[place], "index": 0}], "usage": usage_as_sent(usage)}
            if len(orjson.dumps(answer)) > ANSWER_MAX_BYTES:
                continue
            item = items[place]
            yield replace(
                whole,
                id=new_id(whole.created_at),
                fingerprint=fingerprint,
                question=item if isinstance(item, str) else " ".join(map(str, item)),
                request={**(whole.request or {}), "input": item},
                answer=answer,
                usage=usage,
                cost_usd=_part(whole.cost_usd, share, whole.usage.in_total),
            )

    # -- the dialect

    def upstream_body(self, request: Request) -> bytes:
        if len(self._asked) == len(self._items):
            return openai_embeddings.upstream_body(request)
        items = items_of(request.parsed.body["input"])
        body = {**request.parsed.body, "input": [items[place] for place in self._asked]}
        return openai_embeddings.upstream_body(
            replace(request, parsed=replace(request.parsed, body=body), raw=orjson.dumps(body))
        )

    def tape(self, request: Request, *, status: int, streamed: bool, signals: Mapping[str, Any]) -> Tape:
        if len(self._asked) == len(self._items) or status >= 400:
            return VectorTape(request.parsed.texts, status=status)
        texts = tuple(request.parsed.texts[place] for place in self._asked)
        tape = VectorTape(texts, status=status, fill=self._filled)
        tape.heard.in_served = self._served_tokens()
        return tape

    def _served_tokens(self) -> int:
        """Of the items that were stored, each as often as it was asked for."""
        return sum(self._stored[item].usage.in_total for item in self._items if item in self._stored)

    def _filled(self, answer: Mapping[str, Any], billed: Usage) -> dict[str, Any] | None:
        """The whole list's answer; shorter if the provider's was. None where vectors cannot be told apart."""
        bought: dict[bytes, Any] = {}
        for datum in answer.get("data") or ():
            place = datum.get("index") if isinstance(datum, dict) else None
            if not is_vector(datum) or type(place) is not int or not 0 <= place < len(self._asked):
                return None
            bought[self._items[self._asked[place]]] = datum
        if not bought:
            return None

        known = {**bought, **{item: entry.answer["data"][0] for item, entry in self._stored.items()}}
        data = [{**known[item], "index": place} for place, item in enumerate(self._items) if item in known]
        usage = Usage(in_total=billed.in_total + self._served_tokens())
        return {**answer, "data": data, "usage": usage_as_sent(usage)}


def _together(entries: Sequence[Entry], now: datetime) -> Entry:
    """The entries of a list's items as one."""
    first = entries[0]
    if len(entries) == 1:
        return first

    usage = Usage(
        in_total=sum(entry.usage.in_total for entry in entries),
        estimated=any(entry.usage.estimated for entry in entries),
    )
    data = [{**entry.answer["data"][0], "index": place} for place, entry in enumerate(entries)]
    costs = [entry.cost_usd for entry in entries]
    ends = [entry.expires_at for entry in entries if entry.expires_at is not None]
    return replace(
        first,
        id=new_id(now),  # of no stored entry: none of them shall be credited with what all saved
        answer={**first.answer, "data": data, "usage": usage_as_sent(usage)},
        usage=usage,
        cost_usd=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
        created_at=min(entry.created_at for entry in entries),
        expires_at=min(ends, default=None),
    )


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """The total in whole parts as heavy as their weights, which come to just the total again."""
    heaviest = sum(weights)
    bounds = [0, *(total * weight // heaviest for weight in accumulate(weights))]
    return [end - begin for begin, end in pairwise(bounds)]


def _weight(item: Any) -> int:
    """About how many tokens."""
    return max(1, estimated_tokens(item) if isinstance(item, str) else len(item))


def _part(cost_usd: Decimal | None, share: int, total: int) -> Decimal | None:
    return rounded(cost_usd * share / total) if cost_usd is not None and total else cost_usd


def _size(entry: Entry) -> int:
    return len(orjson.dumps(entry.answer))
