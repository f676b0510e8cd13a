"""Which prices of their own have projects set?"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from cache_api.domain.cost import Rates
from cache_api.domain.own_price import OwnPrice
from tenants import isolation

_COLUMNS = "id, provider, model_pattern, input_usd, output_usd, write_usd, cached_usd, valid_from, valid_until"

_CURRENT = f"""
SELECT {_COLUMNS} FROM own_price WHERE tenant_id = %s AND project_id = %s AND valid_until IS NULL
ORDER BY provider, model_pattern
"""  # noqa: S608 (names of columns)

_SINCE = f"""
SELECT project_id, {_COLUMNS} FROM own_price WHERE tenant_id = %s AND (valid_until IS NULL OR valid_until > %s)
"""  # noqa: S608 (names of columns)


def current(tenant_id: UUID, project_id: UUID, *, deadline_seconds: float) -> list[OwnPrice]:
    """Raises DatabaseUnavailable."""
    rows = isolation.read(tenant_id, _CURRENT, (tenant_id, project_id), deadline_seconds=deadline_seconds)
    return [_own_price(*row) for row in rows]


def since(cursor: CursorWrapper, tenant_id: UUID, at: datetime) -> dict[UUID, list[OwnPrice]]:
    """By project: all that held at that time or later."""
    cursor.execute(_SINCE, [tenant_id, at])
    found: dict[UUID, list[OwnPrice]] = {}
    for project_id, *row in cursor.fetchall():
        found.setdefault(project_id, []).append(_own_price(*row))
    return found


def _own_price(
    price_id: UUID,
    provider: str,
    model_pattern: str,
    plain: Any,
    output: Any,
    written: Any,
    cached: Any,
    valid_from: datetime,
    valid_until: datetime | None,
) -> OwnPrice:
    rates = Rates(input=plain, output=output, cached=cached, write_5m=written)
    return OwnPrice(price_id, provider, model_pattern, rates, valid_from, valid_until)
