"""What is stored in a project, and what is never to be answered there?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cache_api import tending, wiring
from cache_api.adapters import blocklist as blocked_questions
from cache_api.adapters import catalogue
from cache_api.adapters.blocklist import Full
from cache_api.adapters.catalogue import Described, Filters, Order, Place
from cache_api.described import answer_in, described
from cache_api.dialects.errors import Refused
from cache_api.domain.blocklist import ENTRIES_MAX
from cache_api.http.entries import SEARCH_SECONDS, is_fingerprint
from cache_api.http.serializers import cursor_of, read_cursor
from cache_api.models import Entry
from cache_api.ports import CacheUnavailable
from dashboard.entry_forms import (
    SOURCE_WORDS,
    BlockedQuestion,
    EntryChange,
    EntrySearch,
    NewBlocked,
    PurgeChoice,
)
from dashboard.one_project import one_project
from dashboard.people import Visit, done, page, show
from tenants.refusals import Conflict, NotFound

PAGE_ENTRIES = 50
_VALUE_OF: Mapping[Order, str] = {
    "-created": "created_at",
    "created": "created_at",
    "-hits": "hits",
    "-saved": "saved_usd",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of entries, and how the next one is asked for."""

    entries: Sequence[Mapping[str, Any]] = ()
    following: str = ""
    trouble: str = ""
    # Where texts have to be opened one by one: a part of them with each answer, and how the page asks for the next.
    looked_through: int = 0
    found: int = 0
    further: str = ""


@page(may="texts")
@one_project
def cache(http: HttpRequest, visit: Visit, place: Place) -> HttpResponse:
    now = datetime.now(UTC)
    form = EntrySearch(http.GET, auto_id="filter-%s")
    shown = _found(http, place, form, now) if form.is_valid() else Shown()
    if "further" in http.GET:
        return show(http, visit, "parts/found.html", form=form, shown=shown, narrow=visit.project)
    narrowed = {name: value for name, value in http.GET.items() if value and name in PurgeChoice.base_fields}
    return show(
        http,
        visit,
        "cache.html",
        form=form,
        shown=shown,
        narrowed=urlencode(narrowed),
        is_asked=bool(narrowed or http.GET.get("q")),
        sources=SOURCE_WORDS,
    )


@page(may="texts")
@one_project
def entry(http: HttpRequest, visit: Visit, place: Place, fingerprint: str) -> HttpResponse:
    one = _entry(place, fingerprint)
    form = EntryChange(initial={"tags": ", ".join(sorted(one.tags))})
    return _entry_page(http, visit, one, form)


@page(may="purge", methods=("POST",), back="cache")
@one_project
def change(http: HttpRequest, visit: Visit, place: Place, fingerprint: str) -> HttpResponseBase:
    one, now = _entry(place, fingerprint), datetime.now(UTC)
    form = EntryChange(http.POST)
    if not form.is_valid():
        return _entry_page(http, visit, one, form)
    tags, lives = form.cleaned_data["tags"], form.lives_for
    if not tending.entry_change(place, one, tags=tags, lives=lives, now=now, actor=visit.actor):
        raise NotFound("This entry is gone.")
    return done(http, visit, "The entry is changed.", "cache-entry", fingerprint)


@page(may="purge", methods=("POST",), back="cache")
@one_project
def delete(http: HttpRequest, visit: Visit, place: Place, fingerprint: str) -> HttpResponseBase:
    if not catalogue.delete(place, _bytes_of(fingerprint), actor=visit.actor):
        raise NotFound("This entry is gone already.")
    return done(http, visit, "The entry is gone.", "cache")


@page(may="purge", methods=("GET", "POST"))
@one_project
def purge(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    """A GET counts what would go; the POST of the same choice removes it."""
    now = datetime.now(UTC)
    form = PurgeChoice(http.POST if http.method == "POST" else http.GET)
    if not form.is_valid():
        return show(http, visit, "cache_purge.html", form=form)
    filters = form.filters(now=now)
    if http.method == "GET":
        matched = catalogue.matching(place, filters, now=now)
        return show(http, visit, "cache_purge.html", form=form, matched=matched, is_all=filters == Filters())
    gone, at_once = tending.entries_purge(place, filters, now=now, actor=visit.actor)
    said = f"{gone:,} {'entry is' if gone == 1 else 'entries are'} gone."
    return done(http, visit, said if at_once else f"{gone:,} entries are being removed.", "cache")


@page(may="policy", methods=("GET", "POST"))
@one_project
def blocklist(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    form = NewBlocked(http.POST if http.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            is_new = tending.question_block(place, form.question(), actor=visit.actor)
            said = "It is on the list." if is_new else "One like it was on the list already."
            return done(http, visit, said, "cache-blocklist")
        except Full as full:
            form.refuse(Conflict(str(full)))
    listed = blocked_questions.listed(place, category=None, limit=ENTRIES_MAX)
    asked = BlockedQuestion(http.GET if "asked" in http.GET else None)
    return show(http, visit, "cache_blocklist.html", form=form, listed=listed, asked=asked, **_met(place, asked))


@page(may="policy", methods=("POST",), back="cache-blocklist")
@one_project
def unblock(http: HttpRequest, visit: Visit, place: Place, number: int) -> HttpResponseBase:
    if not tending.question_unblock(place, number, actor=visit.actor):
        raise NotFound("It is off the list already.")
    return done(http, visit, "It is off the list.", "cache-blocklist")


def _met(place: Place, asked: BlockedQuestion) -> Mapping[str, Any]:
    """What of the list the question in the address would meet."""
    if not asked.is_bound or not asked.is_valid():
        return {}
    try:
        return {"is_known": True, "met": tending.question_met(place, asked.cleaned_data["asked"])}
    except CacheUnavailable:
        return {"is_known": False}


def _found(http: HttpRequest, place: Place, form: EntrySearch, now: datetime) -> Shown:
    filters, order = form.filters(now=now), form.order
    try:
        asked, by_words = form.cleaned_data["q"], form.cleaned_data["by"] == "words"
        if asked and not by_words:
            return _nearest(http, place, filters, asked, now)
        cursor = http.GET.get("cursor")
        after = read_cursor(cursor, order) if cursor else None
        if asked:
            return _with_words(http, place, filters, asked, order, after, now)
    except Refused:
        return Shown(trouble="This page of the list is no more. Begin with the first one.")
    except CacheUnavailable:
        return Shown(trouble="Searching by meaning is away for a moment. Try again, or use the filters alone.")
    found = catalogue.page(place, filters, order=order, limit=PAGE_ENTRIES, now=now, after=after)
    following = _behind(http, order, found.entries[-1].entry) if found.has_more else ""
    return Shown([_row(one, now) for one in found.entries], following)


def _with_words(
    http: HttpRequest,
    place: Place,
    filters: Filters,
    asked: str,
    order: Order,
    after: tuple[str, UUID] | None,
    now: datetime,
) -> Shown:
    """All of the words, in the question or the answer, in any order."""
    words = asked.casefold().split()

    def holds_them(endpoint: str, text: Mapping[str, Any]) -> bool:
        answer = answer_in(text.get("answer") or {}, endpoint)
        said = f"{text.get('question') or ''}\n{answer if isinstance(answer, str) else orjson.dumps(answer).decode()}"
        folded = said.casefold()
        return all(word in folded for word in words)

    found_before, looked_before = _counted(http, "found"), _counted(http, "looked")
    limit = max(1, PAGE_ENTRIES - found_before)
    sifted = catalogue.sifted(place, filters, holds_them, order=order, limit=limit, now=now, after=after)
    found, looked = found_before + len(sifted.entries), looked_before + sifted.looked_through
    following = further = ""
    if sifted.has_more and sifted.last is not None:
        following = _behind(http, order, sifted.last)
        if found < PAGE_ENTRIES:
            further = f"{following}&further=1&found={found}&looked={looked}"
    return Shown([_row(one, now) for one in sifted.entries], following, "", looked, found, further)


def _counted(http: HttpRequest, name: str) -> int:
    """How many an earlier part of the same search came to."""
    said = http.GET.get(name, "")
    return int(said) if "further" in http.GET and said.isdecimal() and len(said) < 9 else 0


def _behind(http: HttpRequest, order: Order, last: Entry) -> str:
    """The address of what comes after an entry."""
    return _link(http, cursor=cursor_of(order, getattr(last, _VALUE_OF[order]), last.id))


def _nearest(http: HttpRequest, place: Place, filters: Filters, question: str, now: datetime) -> Shown:
    """Raises CacheUnavailable."""
    vector, asked = wiring.parts().embedder.embed(question, SEARCH_SECONDS), http.GET.get("offset", "")
    offset = int(asked) if asked.isdecimal() and len(asked) < 6 else 0
    found = catalogue.nearest(place, filters, vector, limit=PAGE_ENTRIES, now=now, offset=offset)
    following = _link(http, offset=str(offset + len(found.entries))) if found.has_more else ""
    return Shown([_row(one, now) for one in found.entries], following)


def _link(http: HttpRequest, **page_: str) -> str:
    query = http.GET.copy()
    for name in ("further", "found", "looked"):
        query.pop(name, None)
    for name, value in page_.items():
        query[name] = value
    return f"?{query.urlencode()}"


def _row(one: Described, now: datetime) -> dict[str, Any]:
    """An entry without its answer, as a list shows it."""
    stored = described(one, now)
    return stored | {"fingerprint": bytes(one.entry.fingerprint).hex(), "saved": one.entry.saved_usd}


def _entry_page(http: HttpRequest, visit: Visit, one: Described, form: EntryChange) -> HttpResponse:
    now = datetime.now(UTC)
    stored = _row(one, now) | described(one, now, with_answer=True)
    answer = stored["answer"]
    return show(
        http,
        visit,
        "cache_entry.html",
        entry=stored,
        cost=one.entry.cost_usd,
        answer=answer if isinstance(answer, str) else orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode(),
        form=form,
        source=SOURCE_WORDS.get(one.entry.source, one.entry.source),
    )


def _entry(place: Place, fingerprint: str) -> Described:
    found = catalogue.find(place, _bytes_of(fingerprint))
    if found is None:
        raise Http404
    return found


def _bytes_of(fingerprint: str) -> bytes:
    if not is_fingerprint(fingerprint):
        raise Http404
    return bytes.fromhex(fingerprint)
