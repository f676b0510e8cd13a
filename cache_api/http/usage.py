"""What did this project's calls come to, hour by hour or day by day?"""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.fields import Field

from cache_api import calls, selectors
from cache_api.adapters import catalogue
from cache_api.dialects.errors import Refused
from cache_api.http import tables
from cache_api.http.serializers import NameField, validated
from cache_api.http.statistics import BEGINNING
from cache_api.http.visits import Visit, answer

# How far back without `from`, and how long a time one answer may span: it holds a row for each group and bucket.
DEFAULT_SPAN = {"hour": timedelta(days=1), "day": timedelta(days=30)}
LONGEST_SPAN = {"hour": timedelta(days=93), "day": timedelta(days=800)}


class UsageSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    bucket = serializers.ChoiceField(("hour", "day"), default="day")
    group_by = serializers.ChoiceField(("model", "key", "task", "decision", "end_user"), required=False)
    end_user = NameField()
    format = serializers.ChoiceField(("json", "csv"), required=False)

    def get_fields(self) -> dict[str, Field[Any, Any, Any, Any]]:
        """`from` cannot be the name of an attribute."""
        times = {name: serializers.DateTimeField(required=False) for name in ("from", "to")}
        return {**super().get_fields(), **times}


def usage(visit: Visit) -> HttpResponseBase:
    values = validated(UsageSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    bucket, place = values["bucket"], visit.place
    since, until = times_in(values, DEFAULT_SPAN[bucket], LONGEST_SPAN[bucket], by=bucket)
    named = values.get("end_user")
    group_by = values.get("group_by", None if named is None else "end_user")
    if named is not None and group_by != "end_user":
        raise Refused(400, "invalid_request", "end_user: one end user's figures have no other group", "end_user")

    end_user = None if named is None else calls.end_user_named(place.tenant_id, named)
    rows = catalogue.guarded(
        lambda: selectors.usage_by(
            place.tenant_id,
            place.project_id,
            bucket=bucket,
            group_by=group_by,
            since=since,
            until=until,
            end_user=end_user,
        )
    )
    if wants_csv(visit, values):
        return table(tables.usage_csv(rows, group_by), "usage.csv")
    unpriced = catalogue.guarded(
        lambda: (
            selectors.unpriced_models(place.tenant_id, place.project_id, since, until)
            if any(row.figures.unpriced for row in rows)
            else []
        )
    )
    described = {
        "object": "list",
        "from": since,
        "to": until,
        "bucket": bucket,
        "group_by": group_by,
        "unpriced_models": [asdict(one) for one in unpriced],
    }
    return answer({**described, "data": [tables.plain(tables.usage_row(row, group_by)) for row in rows]})


def times_in(values: dict[str, Any], default: timedelta, longest: timedelta, *, by: str) -> tuple[datetime, datetime]:
    """`from` and `to`. Raises Refused."""
    until: datetime = values.get("to", datetime.now(UTC))
    since: datetime = values["from"] if "from" in values else max(until, BEGINNING) - default
    if since >= until:
        raise Refused(400, "invalid_request", "from must be before to", "from")
    if until - since > longest:
        raise Refused(400, "invalid_request", f"from: at most {longest.days} days before to, by the {by}", "from")
    return since, until


def wants_csv(visit: Visit, values: dict[str, Any]) -> bool:
    """What the query says goes before what is accepted."""
    if "format" in values:
        return bool(values["format"] == "csv")
    return visit.who.headers.get("accept", "").partition(",")[0].partition(";")[0].strip().lower() == "text/csv"


def table(lines: Iterator[bytes], name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(lines, content_type=tables.CSV, headers=tables.attachment(name))
