"""How do figures and calls become rows of a spreadsheet?

Text that a spreadsheet would take for a formula is told to be text by an apostrophe before it: names of models and
tasks come from callers, and whoever opens the file is not the one who wrote them.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from cache_api.calls import LedgerRow
from cache_api.figures import Figures
from cache_api.selectors import Group, UsageRow

CSV = "text/csv; charset=utf-8"
SENT_BYTES = 64 * 1024  # at a time
NO_KEY = str(UUID(int=0))  # of a call from the dashboard

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def usage_csv(rows: Iterable[UsageRow], group_by: Group | None) -> Iterator[bytes]:
    names = list(usage_row(_NOTHING, group_by))
    return _lines(names, (list(usage_row(row, group_by).values()) for row in rows))


def figures_csv(buckets: Mapping[datetime, Figures]) -> Iterator[bytes]:
    """All that is known of each bucket."""
    names = [field.name for field in fields(Figures)] + ["net_usd"]
    return _lines(["start", *names], ([at, *(getattr(one, name) for name in names)] for at, one in buckets.items()))


def calls_csv(calls: Iterable[LedgerRow]) -> Iterator[bytes]:
    return _lines(CALL_NAMES, (list(call_row(call).values()) for call in calls))


def attachment(name: str) -> dict[str, str]:
    """Headers of a file to be saved."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def usage_row(row: UsageRow, group_by: Group | None) -> dict[str, Any]:
    named: dict[str, Any] = {}
    if group_by is not None:
        named[group_by] = None if (group_by, row.group) in _NAMELESS else row.group
    if group_by == "task":
        named["model"] = row.model
    figures = row.figures
    return {
        "start": row.since,
        **named,
        "calls": figures.calls,
        "hits": figures.hits,
        "tokens": figures.tokens,
        "cost_usd": figures.cost_usd,
        "list_usd": figures.list_usd,
        "discount_usd": figures.discount_usd,
        "saved_usd": figures.saved_usd,
        "fee_usd": figures.fee_usd,
        "synthesis_cost_usd": figures.synthesis_cost_usd,
        "upkeep_cost_usd": figures.upkeep_cost_usd,
        "net_usd": figures.net_usd,
        "unpriced": figures.unpriced,
        **({} if group_by in _NOT_ESTIMATED else {"estimated": figures.estimated}),
    }


def call_row(call: LedgerRow) -> dict[str, Any]:
    return {"request_id": call.request_id, **{name: getattr(call, name) for name in _COLUMNS}, "net_usd": call.net_usd}


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON, in which money is a string."""
    return {name: money(value) if isinstance(value, Decimal) else value for name, value in row.items()}


def money(dollars: Decimal) -> str:
    return f"{dollars.normalize():f}" if dollars else "0"


def _lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    held = io.StringIO(newline="")
    writer = csv.writer(held)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        if held.tell() >= SENT_BYTES:
            yield held.getvalue().encode()
            held.seek(0)
            held.truncate()
    yield held.getvalue().encode()


def _cell(value: Any) -> str | int | float:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return money(value)
        case datetime():
            return value.isoformat()
        case Mapping():
            return orjson.dumps(value).decode()
        case str() if value.startswith(_FORMULA):
            return f"'{value}"
        case str() | int() | float():
            return value
    return str(value)


_NOTHING = UsageRow(datetime.min, "", Figures())
_NOT_ESTIMATED = {"decision", "end_user"}  # their roll-ups do not tell
_NAMELESS = {("key", NO_KEY), ("decision", "")}
_COLUMNS = [field.name for field in fields(LedgerRow)]
CALL_NAMES = ["request_id", *_COLUMNS, "net_usd"]
