"""Which calls did this project make, one by one? As pages, or all of them as lines or as a table."""

from datetime import timedelta
from typing import Any

import orjson
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.fields import Field

from cache_api import calls
from cache_api.adapters import catalogue
from cache_api.calls import CallFilters, CallPlace
from cache_api.dialects.errors import Refused
from cache_api.http import tables
from cache_api.http.export import CONTENT_TYPES, begun, together
from cache_api.http.serializers import KeyIdField, NameField, validated
from cache_api.http.usage import table, times_in, wants_csv
from cache_api.http.visits import Visit, answer

DEFAULT_SPAN = timedelta(days=1)
LONGEST_SPAN = timedelta(days=800)  # a plan may keep calls for more than a year; they come page by page
LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
DECISIONS = ("hit", "miss", "bypass", "blocked")
_PLAIN_FILTERS = ("decision", "origin", "provider", "model", "task", "unpriced")
ORIGINS = ("client", "playground", "shadow", "warm", "backtest", "adjust")


class CallsSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    format = serializers.ChoiceField(("json", "jsonl", "csv"), required=False)
    limit = serializers.IntegerField(min_value=1, max_value=LIMIT_MAX, default=LIMIT_DEFAULT)
    cursor = serializers.CharField(required=False, max_length=64)
    decision = serializers.ChoiceField(DECISIONS, required=False)
    origin = serializers.ChoiceField(ORIGINS, required=False)
    provider = NameField()
    model = NameField()
    key = KeyIdField(required=False)
    task = NameField()
    end_user = NameField()
    unpriced = serializers.BooleanField(default=False)

    def get_fields(self) -> dict[str, Field[Any, Any, Any, Any]]:
        """`from` cannot be the name of an attribute."""
        times = {name: serializers.DateTimeField(required=False) for name in ("from", "to")}
        return {**super().get_fields(), **times}


def called(visit: Visit) -> HttpResponseBase:
    """`limit` is of a page; lines and tables hold all there is, from the cursor on if there is one."""
    values = validated(CallsSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    place = visit.place
    since, until = times_in(values, DEFAULT_SPAN, LONGEST_SPAN, by="call")
    filters = CallFilters(
        **{name: values[name] for name in _PLAIN_FILTERS if name in values},
        key_id=values.get("key"),
        end_user=calls.end_user_named(place.tenant_id, values["end_user"]) if "end_user" in values else None,
    )
    form = "csv" if wants_csv(visit, values) else values.get("format", "json")
    ids = (place.tenant_id, place.project_id)
    after = _place_in(values)
    if form == "json":
        page = catalogue.guarded(
            lambda: calls.calls_page(*ids, filters, since=since, until=until, limit=values["limit"], after=after)
        )
        told = {
            "data": [tables.plain(tables.call_row(call)) for call in page.calls],
            "has_more": page.next is not None,
            "next_cursor": None if page.next is None else page.next.text,
        }
        return answer({"object": "list", "from": since, "to": until, **told})
    found = catalogue.guarded(lambda: begun(calls.every_call(*ids, filters, since=since, until=until, after=after)))
    if form == "csv":
        return table(tables.calls_csv(found), "calls.csv")
    lines = together(part for call in found for part in (orjson.dumps(tables.plain(tables.call_row(call))), b"\n"))
    return StreamingHttpResponse(lines, content_type=CONTENT_TYPES["jsonl"], headers=tables.attachment("calls.jsonl"))


def _place_in(values: dict[str, Any]) -> CallPlace | None:
    """Raises Refused."""
    if "cursor" not in values:
        return None
    try:
        return CallPlace.read(values["cursor"])
    except ValueError:
        raise Refused(400, "invalid_request", "cursor: take next_cursor of a page", "cursor") from None
