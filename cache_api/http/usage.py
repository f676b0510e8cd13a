"""What did this project's calls come to, hour by hour or day by day?"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.fields import Field

from cache_api import selectors
from cache_api.adapters import catalogue
from cache_api.dialects.errors import Refused
from cache_api.http.serializers import validated
from cache_api.http.statistics import BEGINNING, money
from cache_api.http.visits import Visit, answer
from cache_api.selectors import UsageRow

# How far back without `from`, and how long a time one answer may span: it holds a row for each group and bucket.
DEFAULT_SPAN = {"hour": timedelta(days=1), "day": timedelta(days=30)}
LONGEST_SPAN = {"hour": timedelta(days=93), "day": timedelta(days=800)}
NO_KEY = str(UUID(int=0))  # of a call from the dashboard


class UsageSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    bucket = serializers.ChoiceField(("hour", "day"), default="day")
    group_by = serializers.ChoiceField(("model", "key", "task", "decision"), required=False)

    def get_fields(self) -> dict[str, Field[Any, Any, Any, Any]]:
        """`from` cannot be the name of an attribute."""
        times = {name: serializers.DateTimeField(required=False) for name in ("from", "to")}
        return {**super().get_fields(), **times}


def usage(visit: Visit) -> HttpResponse:
    values = validated(UsageSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    bucket, group_by = values["bucket"], values.get("group_by")
    until: datetime = values.get("to", datetime.now(UTC))
    since: datetime = values["from"] if "from" in values else max(until, BEGINNING) - DEFAULT_SPAN[bucket]
    if since >= until:
        raise Refused(400, "invalid_request", "from must be before to", "from")
    if until - since > LONGEST_SPAN[bucket]:
        message = f"from: at most {LONGEST_SPAN[bucket].days} days before to, by the {bucket}"
        raise Refused(400, "invalid_request", message, "from")

    place = visit.place
    rows = catalogue.guarded(
        lambda: selectors.usage_by(
            place.tenant_id, place.project_id, bucket=bucket, group_by=group_by, since=since, until=until
        )
    )
    described = {"object": "list", "from": since, "to": until, "bucket": bucket, "group_by": group_by}
    return answer({**described, "data": [_row(row, group_by) for row in rows]})


def _row(row: UsageRow, group_by: str | None) -> dict[str, Any]:
    named: dict[str, Any] = {}
    if group_by is not None:
        named[group_by] = None if group_by == "key" and row.group == NO_KEY else row.group
    if group_by == "task":
        named["model"] = row.model
    figures = row.figures
    return {
        "start": row.since,
        **named,
        "calls": figures.calls,
        "hits": figures.hits,
        "tokens": figures.tokens,
        "cost_usd": money(figures.cost_usd),
        "saved_usd": money(figures.saved_usd),
        "unpriced": figures.unpriced,
    }
