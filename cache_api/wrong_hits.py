"""How often were hits by similarity wrong, of one project and of several together, and of some calls alone?"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from cache_api import wiring
from cache_api.domain.risk import Measured, Sample, pooled
from cache_api.figures import ALL, Only
from tenants.isolation import as_tenant

LOOKED_BACK = timedelta(days=30)

# A check has its call's id, whose first 48 bits are the millisecond under which the call is filed.
_SAMPLES = """
SELECT project_id, count(*), count(*) FILTER (WHERE NOT correct), sum(1 / chance), sum(1 - probability)
FROM answer_check AS checked
WHERE tenant_id = %(tenant)s AND project_id = ANY(%(projects)s) AND source = 'judge' AND kind IN ('hit', 'shadow')
  AND checked_at >= %(since)s AND checked_at < %(until)s {of_calls}
GROUP BY project_id
"""
# One row by its key for each check: as a join it would be a scan of all calls.
_OF_CALLS = """
  AND (
    SELECT (%(provider)s::text IS NULL OR call.provider = %(provider)s)
      AND (%(model)s::text IS NULL OR coalesce(nullif(call.model_served, ''), call.model_asked) = %(model)s)
      AND (%(key)s::uuid IS NULL OR call.key_id = %(key)s)
    FROM call WHERE call.tenant_id = checked.tenant_id AND call.id = checked.call_id
      AND call.at = 'epoch'::timestamptz + interval '1 millisecond'
        * ('x0000' || left(replace(checked.call_id::text, '-', ''), 12))::bit(64)::bigint)
"""


@dataclass(frozen=True, slots=True)
class WrongHits:
    """Of a random sample of what was, or in shadow mode would have been, served in 30 days."""

    measured: Measured
    predicted: float | None  # what was foretold of that sample
    promised: tuple[float, float]  # the strictest and the loosest promise of the projects
    projects: int  # of which something was checked
    by_project: Mapping[UUID, "WrongHits"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Checks:
    sample: Sample
    foretold: float


def wrong_hits(tenant_id: UUID, project_ids: Collection[UUID], until: datetime, *, only: Only = ALL) -> WrongHits:
    found = _checks(tenant_id, project_ids, until, only)
    each = {one: _together(tenant_id, [one], {one: found[one]} if one in found else {}) for one in project_ids}
    return replace(_together(tenant_id, project_ids, found), by_project=each)


def _together(tenant_id: UUID, project_ids: Collection[UUID], found: Mapping[UUID, _Checks]) -> WrongHits:
    promised = [wiring.parts().policies.of(tenant_id, one).max_wrong_hit_rate for one in project_ids]
    whole = sum(one.sample.stands_for for one in found.values())
    foretold = sum(one.sample.stands_for * one.foretold / one.sample.checked for one in found.values())
    return WrongHits(
        measured=pooled([one.sample for one in found.values()]),
        predicted=foretold / whole if whole else None,
        promised=(min(promised, default=0.0), max(promised, default=0.0)),
        projects=len(found),
    )


def _checks(tenant_id: UUID, project_ids: Collection[UUID], until: datetime, only: Only) -> Mapping[UUID, _Checks]:
    values: dict[str, Any] = {
        "tenant": tenant_id,
        "projects": list(project_ids),
        "since": until - LOOKED_BACK,
        "until": until,
        "provider": only.provider,
        "model": only.model,
        "key": only.key_id,
    }
    with as_tenant(tenant_id), connection.cursor() as cursor:
        cursor.execute(_SAMPLES.format(of_calls="" if only == ALL else _OF_CALLS), values)
        rows = cursor.fetchall()
    return {
        project_id: _Checks(Sample(checked, wrong, stands_for), foretold)
        for project_id, checked, wrong, stands_for, foretold in rows
    }
