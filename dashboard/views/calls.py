"""Which calls were made, and why was each decided as it was?"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from cache_api import calls as services
from cache_api import judging, selectors, wiring
from cache_api.adapters.catalogue import Place
from cache_api.calls import CallFilters, CallPlace, LedgerRow
from cache_api.described import answer_in
from cache_api.explaining import explain
from cache_api.http import tables
from cache_api.ports import CacheUnavailable
from dashboard import ranges, waterfall
from dashboard.explanations import candidate, reason_words
from dashboard.forms import CallFilter
from dashboard.people import Visit, done, page, show
from tenants import selectors as tenants

PAGE_CALLS = 50
CANDIDATES = 5


@page(may="figures")
def calls(http: HttpRequest, visit: Visit) -> HttpResponse:
    asked = ranges.of(http)
    keys = {str(key.id): key.name or key.hint for key in tenants.keys_of(tenant_id=visit.tenant.id)}
    after = _place_in(http)
    found = services.calls_page(
        visit.tenant.id,
        visit.project.id if visit.project else None,
        _filters(http),
        since=asked.since,
        until=asked.until,
        limit=PAGE_CALLS,
        after=after,
    )
    context: dict[str, Any] = {
        "calls": [(one, keys.get(str(one.key_id), "")) for one in found.calls],
        "next": found.next,
        "after": after,
        "query": _query(http),
    }
    if "live" in http.GET:
        return show(http, visit, "parts/calls.html", **context)
    form = CallFilter(http.GET, offered=_offered(visit, asked, keys))
    return show(http, visit, "calls.html", form=form, range=asked, ranges=ranges.RANGES, **context)


@page(may="figures")
def export(http: HttpRequest, visit: Visit) -> StreamingHttpResponse:
    """All that fit, not only what a page shows."""
    asked = ranges.of(http)
    found = services.every_call(
        visit.tenant.id,
        visit.project.id if visit.project else None,
        _filters(http),
        since=asked.since,
        until=asked.until,
    )
    return StreamingHttpResponse(
        tables.calls_csv(found), content_type=tables.CSV, headers=tables.attachment("calls.csv")
    )


@page(may="figures")
def call(http: HttpRequest, visit: Visit, call_id: UUID) -> HttpResponse:
    row = _call(visit, call_id)
    keys = {key.id: key.name or key.hint for key in tenants.keys_of(tenant_id=visit.tenant.id)}
    return show(
        http,
        visit,
        "call.html",
        call=row,
        why=_why(visit, row),
        key=keys.get(row.key_id) if row.key_id else None,
        project=next((one.name for one in visit.projects if one.id == row.project_id), ""),
        spans=waterfall.spans(row),
        **_money(row, services.corrections_of(visit.tenant.id, row.id)),
        **(_texts(visit, row) if visit.may("texts") else {}),
    )


@page(may="feedback", methods=("POST",))
def verdict(http: HttpRequest, visit: Visit, call_id: UUID) -> HttpResponseBase:
    row = _call(visit, call_id)
    right = http.POST.get("verdict") == "right"
    said = judging.judge_call(Place(visit.tenant.id, row.project_id), row.id, right=right, now=datetime.now(UTC))
    if said is None or not said.stored:
        told = "That answer is not stored any more."
        told = f"{told} Its saving is taken back." if said is not None and said.corrected else told
        return done(http, visit, told, "calls-call", row.id)
    if right:
        return done(http, visit, "Noted: it was right.", "calls-call", row.id)
    told = "The answer is gone, and will not match this question again."
    return done(http, visit, f"{told} Its saving is taken back." if said.corrected else told, "calls-call", row.id)


def _call(visit: Visit, call_id: UUID) -> LedgerRow:
    row = services.call_of(visit.tenant.id, call_id)
    if row is None:
        raise Http404
    return row


def _money(row: LedgerRow, corrections: Sequence[LedgerRow]) -> Mapping[str, Any]:
    """What was taken back is known at once; its row is priced within a minute."""
    taken_back = -row.saved_usd if corrections and row.saved_usd is not None else None
    net = row.net_usd if row.net_usd is None or taken_back is None else row.net_usd + taken_back
    return {"corrections": corrections, "taken_back": taken_back, "net": net}


def _why(visit: Visit, row: LedgerRow) -> str:
    """By the floor of now: the ledger keeps neither the one of then nor a caller's own."""
    try:
        floor = wiring.parts().policies.of(visit.tenant.id, row.project_id).similarity_floor
    except CacheUnavailable:
        floor = None
    return reason_words(row.reason, similarity=row.similarity, floor=floor)


def _texts(visit: Visit, row: LedgerRow) -> Mapping[str, Any]:
    """What only those see who may read stored texts."""
    now = datetime.now(UTC)
    try:
        found = explain(Place(visit.tenant.id, row.project_id), row.id, limit=CANDIDATES, now=now)
    except CacheUnavailable:
        found = None
    if found is None:
        return {"texts": {}}
    texts = {"question": found.question, "matched": None, "answer": None}
    if found.kept is not None:
        texts["answer"] = _plain(answer_in(found.kept.answer, found.kept.endpoint))
        if found.question is None:
            texts["matched"] = found.kept.question
    return {"texts": texts, "candidates": [candidate(one, found.policy) for one in found.judged]}


def _plain(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _filters(http: HttpRequest) -> CallFilters:
    """What is no filter is none."""
    chosen = dict(CallFilter(http.GET).chosen())
    return CallFilters(key_id=chosen.pop("key", None), **chosen)


def _place_in(http: HttpRequest) -> CallPlace | None:
    try:
        return CallPlace.read(http.GET["after"]) if "after" in http.GET else None
    except ValueError:
        return None


def _query(http: HttpRequest) -> str:
    """The address's own, without what tells the page apart from its neighbours."""
    query = http.GET.copy()
    for name in ("after", "live"):
        query.pop(name, None)
    return query.urlencode()


def _offered(visit: Visit, asked: ranges.Range, keys: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    names = selectors.names_in(visit.tenant.id, visit.project.id if visit.project else None, asked.since, asked.until)
    return {
        "provider": {name: name for name in names.providers},
        "model": {name: name for name in names.models},
        "key": keys,
    }
