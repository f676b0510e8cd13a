"""How is taken back what a hit saved that was judged wrong?

    id = uuid5(the call's id, "wrong"), at = the call's own

One row of negative figures beside the hit, in its very hour: however often and by whomever a hit is judged, the row's
key is the same, and the ledger takes it once. Accounting writes its money once the hit is priced.
"""

import json
from typing import Any
from uuid import UUID, uuid5

from django.db import connection

from cache_api.domain.call import time_of
from tenants.isolation import as_tenant

WRONG = "wrong"

# What a synthesized answer took was bought in any case; of another hit the tokens it saved are taken back.
_CORRECT = """
SELECT ledger_put(jsonb_agg(to_jsonb(hit) || %(changed)s::jsonb || CASE layer
  WHEN 'synthesized' THEN %(nothing)s::jsonb
  ELSE jsonb_build_object('in_total', -in_total, 'in_cached', -in_cached, 'in_write_5m', -in_write_5m,
    'in_write_1h', -in_write_1h, 'in_audio', -in_audio, 'out_total', -out_total, 'out_reasoning', -out_reasoning,
    'out_audio', -out_audio) END))
FROM call AS hit
WHERE tenant_id = %(tenant)s AND project_id = %(project)s AND at = %(at)s AND id = %(id)s
  AND decision = 'hit' AND origin IN ('client', 'playground')
HAVING count(*) > 0
"""
_TOKENS = (
    *("in_total", "in_cached", "in_write_5m", "in_write_1h", "in_audio"),
    *("out_total", "out_reasoning", "out_audio"),
)
_NOTHING = json.dumps(dict.fromkeys(_TOKENS, 0))
_UNPRICED = {
    **dict.fromkeys(("price_source", "price_version"), ""),
    **dict.fromkeys(("unit_prices", "cost_usd", "list_usd", "discount_usd", "fee_usd", "saved_usd", "priced_at")),
}
_UNTIMED = dict.fromkeys(("ms_total", "ms_embed", "ms_lookup", "ms_upstream", "ms_first_byte"), 0)


def put(*, tenant_id: UUID, project_id: UUID, call_id: UUID) -> bool:
    """True if this hit was not corrected yet. A call that is no hit of this project, or is gone, is left alone."""
    changed = {
        "id": str(uuid5(call_id, WRONG)),
        "origin": "adjust",
        "parent_id": str(call_id),
        "billable": False,
        **_UNPRICED,
        **_UNTIMED,
    }
    values: dict[str, Any] = {
        "tenant": tenant_id,
        "project": project_id,
        "at": time_of(call_id),
        "id": call_id,
        "changed": json.dumps(changed),
        "nothing": _NOTHING,
    }
    with as_tenant(tenant_id), connection.cursor() as cursor:
        cursor.execute(_CORRECT, values)
        return cursor.fetchone() is not None
