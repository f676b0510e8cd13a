"""How does a project say which questions are not to be answered?"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import orjson
from django.http import HttpResponse

from cache_api import wiring
from cache_api.adapters import blocklist
from cache_api.adapters.blocklist import Full, NewQuestion
from cache_api.dialects.errors import Refused
from cache_api.domain.blocklist import FALSE_POSITIVES_MAX, KEPT
from cache_api.domain.entry import METADATA_MAX_BYTES
from cache_api.http.answering import caller_of
from cache_api.http.putting import hint_vectors
from cache_api.http.questions import controls_in
from cache_api.http.serializers import BlockedSerializer, BlocklistSerializer, CheckSerializer, validated
from cache_api.http.visits import Visit, answer
from cache_api.ports import CacheUnavailable

EMBED_SECONDS = 2.0  # a person waits
KEPT_MAX_SECONDS = 3650 * 86_400


def blocked(visit: Visit) -> HttpResponse:
    fields = visit.fields()
    values = validated(BlockedSerializer, fields)
    visit.same_project(values.get("project_id"))
    if len(orjson.dumps(values["metadata"])) > METADATA_MAX_BYTES:
        raise Refused(413, "request_too_large", f"metadata is larger than {METADATA_MAX_BYTES // 1024} KiB.")
    question = NewQuestion(
        query=values["query"],
        reason=values["reason"],
        category=values["category"],
        severity=values["severity"],
        metadata=values["metadata"],
        kept=_kept(fields.get("ttl")),
    )
    parts = wiring.parts()
    try:
        vector = parts.embedder.embed(question.query, EMBED_SECONDS)
    except CacheUnavailable:  # its very text is blocked at once, what is near as soon as it has a vector
        vector = None
        hint_vectors()
    try:
        number, created = parts.blocklist.add(visit.place, question, vector)
    except Full as error:
        raise Refused(400, "invalid_request", str(error)) from None
    parts.policies.forget(visit.access.tenant_id, visit.access.project_id)
    return answer({"id": number, "created": created}, status=201 if created else 200)


def checked(visit: Visit) -> HttpResponse:
    values = validated(CheckSerializer, visit.fields())
    visit.same_project(values.get("project_id"))
    parts = wiring.parts()
    vector = parts.embedder.embed(values["query"], EMBED_SECONDS)  # nobody is told "no" who cannot be told for sure
    match = parts.blocklist.match(caller_of(visit.access), [values["query"]], vector)
    return answer({"match": None if match is None else {**asdict(match), "similarity": round(match.similarity, 4)}})


def blocklisted(visit: Visit) -> HttpResponse:
    values = validated(BlocklistSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    found = blocklist.listed(visit.place, category=values.get("category"), limit=values["limit"])
    return answer({"object": "list", "data": [asdict(one) for one in found]})


def unblocked(visit: Visit, number: str) -> HttpResponse:
    if not blocklist.remove(visit.place, int(number)):
        raise _none(number)
    wiring.parts().policies.forget(visit.access.tenant_id, visit.access.project_id)
    return answer({"id": int(number), "deleted": True})


def reported(visit: Visit, number: str) -> HttpResponse:
    reports = blocklist.report_false_positive(visit.place, int(number))
    if reports is None:
        raise _none(number)
    wiring.parts().policies.forget(visit.access.tenant_id, visit.access.project_id)
    return answer({"id": int(number), "false_positives": reports, "removed": reports >= FALSE_POSITIVES_MAX})


def _kept(ttl: Any) -> timedelta:
    """Raises Refused."""
    if ttl is None:
        return KEPT
    seconds = controls_in({}, {"ttl": ttl}).ttl_seconds
    if seconds is None:
        raise Refused(400, "invalid_control", "ttl must be longer than 0: remove what is not to be blocked.", "ttl")
    return timedelta(seconds=min(seconds, KEPT_MAX_SECONDS))


def _none(number: str) -> Refused:
    return Refused(404, "not_found", f"There is no {number} on the blocklist.")
