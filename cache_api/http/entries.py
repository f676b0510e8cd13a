"""How are entries put, listed, shown, changed, judged and removed by those who look after a project?"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse

from cache_api import jobs, judging, wiring
from cache_api.adapters import catalogue
from cache_api.adapters.catalogue import Filters
from cache_api.described import described, full
from cache_api.dialects.errors import Refused
from cache_api.domain.scope import digest
from cache_api.domain.signals import call_id_of
from cache_api.http.jobs import LINES_OF_JSON, accepted, imported
from cache_api.http.putting import Rejected, put
from cache_api.http.serializers import (
    FeedbackSerializer,
    ListSerializer,
    PurgeSerializer,
    age_of,
    cursor_of,
    read_cursor,
    validated,
)
from cache_api.http.visits import Visit, answer
from tenants import vault

ENTRIES_MAX = 100
SEARCH_SECONDS = 2.0  # a person waits
PURGED_AT_ONCE = 10_000  # in a second or two; more is a job
FILTERS = ("provider", "model", "namespace", "tag", "writer", "depends_on", "source", "status")
TIMES = ("created_after", "created_before")

_VALUE_OF = {"-created": "created_at", "created": "created_at", "-hits": "hits", "-saved": "saved_usd"}


def store(visit: Visit) -> HttpResponse:
    """One entry, or up to a hundred; as lines, as many as an import takes."""
    if (visit.http.content_type or "").lower() in LINES_OF_JSON:
        return imported(visit)
    body = visit.body()
    fields = body.value
    visit.same_project(fields.get("project_id"))
    if "entries" not in fields:
        (result,) = put(visit, [fields], unparsed=body.unparsed)
        if isinstance(result, Rejected):
            raise result.refused
        return answer({"cache_key": result.cache_key, "status": result.status}, status=201)

    entries = fields["entries"]
    if not isinstance(entries, list) or not entries:
        raise Refused(400, "invalid_request", "entries must be an array with at least one entry", "entries")
    if len(entries) > ENTRIES_MAX:
        message = f"entries must hold at most {ENTRIES_MAX} entries, not {len(entries)}"
        raise Refused(400, "invalid_request", message, "entries")
    results = put(visit, entries, unparsed=body.unparsed)
    return answer({"results": [{"index": index, **result.as_dict()} for index, result in enumerate(results)]})


def listed(visit: Visit) -> HttpResponse:
    values = validated(ListSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    now = datetime.now(UTC)
    filters = filters_in(values)
    order, limit, place = values["order"], values["limit"], visit.place
    with_answer = values.get("include") == "answer"

    if question := values.get("q"):
        if "cursor" in values:
            raise Refused(400, "invalid_request", "cursor: pages by meaning are told by their offset", "cursor")
        vector, offset = wiring.parts().embedder.embed(question, SEARCH_SECONDS), values["offset"]
        page = catalogue.nearest(place, filters, vector, limit=limit, now=now, offset=offset)
    else:
        after = read_cursor(values["cursor"], order) if "cursor" in values else None
        offset = 0 if after else values["offset"]
        page = catalogue.page(place, filters, order=order, limit=limit, now=now, after=after, offset=offset)
    next_cursor = None
    if page.has_more and not question:
        last = page.entries[-1].entry
        next_cursor = cursor_of(order, getattr(last, _VALUE_OF[order]), last.id)
    return answer(
        {
            "object": "list",
            "data": [described(one, now, with_answer=with_answer) for one in page.entries],
            "has_more": page.has_more,
            "next_cursor": next_cursor,
        }
    )


def filters_in(values: Mapping[str, Any]) -> Filters:
    return Filters(**{name: values[name] for name in (*FILTERS, *TIMES) if name in values})


def shown(visit: Visit, cache_key: str) -> HttpResponse:
    found = catalogue.find(visit.place, fingerprint_under(visit, cache_key))
    if found is None:
        raise no_entry(cache_key)
    return answer(full(found, datetime.now(UTC)))


def removed(visit: Visit, cache_key: str) -> HttpResponse:
    if not catalogue.delete(visit.place, fingerprint_under(visit, cache_key)):
        raise no_entry(cache_key)
    return answer({"cache_key": cache_key, "deleted": True})


def purged(visit: Visit) -> HttpResponse:
    values = validated(PurgeSerializer, visit.fields())
    visit.same_project(values.get("project_id"))
    now = datetime.now(UTC)
    filters = filters_in(values)
    if values["expired"]:
        filters = replace(filters, status="expired")
    if (age := age_of(values)) is not None:
        filters = replace(filters, created_before=now - age)
    if "keys" in values:
        filters = replace(filters, fingerprints=[fingerprint_under(visit, key) for key in values["keys"]])
    matched = catalogue.matching(visit.place, filters, now=now)
    if matched > PURGED_AT_ONCE and not values["dry_run"]:
        return accepted(visit, jobs.purge_later(visit.place, filters, total=matched, now=now))
    deleted = 0 if values["dry_run"] else catalogue.purge(visit.place, filters, now=now)[0]
    return answer({"matched": matched, "deleted": deleted, "dry_run": values["dry_run"]})


def judged(visit: Visit) -> HttpResponse:
    """What a caller says of an answer. A wrong one goes at once, and its pair never matches again."""
    values = validated(FeedbackSerializer, visit.fields())
    visit.same_project(values.get("project_id"))
    place, now = visit.place, datetime.now(UTC)
    cached = fingerprint_under(visit, values["cache_key"])
    wrong = values["verdict"] == "wrong"
    call_id = call_id_of(values["request_id"]) if values.get("request_id") else None
    found = catalogue.find(place, cached)
    if found is None:
        # Another caller's verdict took the entry away; what this one's hit saved is still in the books.
        if call_id is None or judging.judge_gone(place, call_id, right=not wrong) is None:
            raise no_entry(values["cache_key"])
        return answer({"evicted": False, "pair_blocked": False})

    said = judging.judge(
        place,
        found.entry,
        right=not wrong,
        source="caller",
        call_id=call_id,
        question=values.get("question") or None,
        now=now,
    )
    evicted = wrong and values["evict"] and catalogue.delete(place, cached)
    return answer({"evicted": evicted, "pair_blocked": said.pair_blocked})


def fingerprint_under(visit: Visit, cache_key: str) -> bytes:
    """A cache key is a Fingerprint in hex, or a name of the caller's own. Raises DatabaseUnavailable."""
    if is_fingerprint(cache_key):
        return bytes.fromhex(cache_key)
    return digest(vault.digest_key(visit.access.tenant_id), "caller_key", [cache_key])


def is_fingerprint(cache_key: str) -> bool:
    return len(cache_key) == 64 and all(letter in "0123456789abcdefABCDEF" for letter in cache_key)


def no_entry(cache_key: str) -> Refused:
    return Refused(404, "not_found", "There is no entry under this cache key.", "cache_key")
