"""Which objects match `metadata['tenant_id']:'7' AND email:'a@b.c'`?"""

import re
from collections.abc import Sequence

from .errors import InvalidRequest
from .world import Object

_CLAUSE = re.compile(r"""^(-?)(\w+)(?:\[["']([^"']+)["']\])?\s*(:|~|>=|<=|>|<)\s*(?:["']([^"']*)["']|(\d+|null))$""")
_LIMIT_DEFAULT = 10


def matching(things: Sequence[Object], params: Object, url: str, fields: set[str]) -> Object:
    """Stripe's index lags by up to a minute; this one does not, so nothing may depend on either."""
    query = params["query"]
    joined = " OR " if " OR " in query else " AND "
    if " OR " in query and " AND " in query:
        raise InvalidRequest("Queries may not mix AND and OR.", param="query")
    tests = [_clause(each.strip(), fields | {"created", "metadata"}) for each in query.split(joined)]
    together = any if joined == " OR " else all
    found = [thing for thing in reversed(things) if together(_holds(thing, *test) for test in tests)]
    limit, start = params.get("limit", _LIMIT_DEFAULT), int(params.get("page") or 0)
    more = len(found) > start + limit
    return {
        "object": "search_result",
        "data": found[start : start + limit],
        "has_more": more,
        "next_page": str(start + limit) if more else None,
        "url": url,
    }


def _clause(clause: str, fields: set[str]) -> tuple[bool, str, str | None, str, str | None]:
    match = _CLAUSE.match(clause)
    if not match:
        raise InvalidRequest(f"We were unable to parse your search query: {clause}", param="query")
    negated, field, key, operator, text, number = match.groups()
    if field not in fields:
        raise InvalidRequest(f"Field `{field}` is an unsupported search field for this resource.", param="query")
    return bool(negated), field, key, operator, None if number == "null" else (number if text is None else text)


def _holds(thing: Object, negated: bool, field: str, key: str | None, operator: str, wanted: str | None) -> bool:
    value = thing.get(field)
    if key is not None:
        value = (value or {}).get(key)
    if value is None or wanted is None:
        held = value is None and wanted is None
    elif operator == ":":
        held = str(value).lower() == wanted.lower()
    elif operator == "~":
        held = wanted.lower() in str(value).lower()
    else:
        held = {
            ">": value > int(wanted),
            "<": value < int(wanted),
            ">=": value >= int(wanted),
            "<=": value <= int(wanted),
        }[operator]
    return held != negated
