"""How often was a served answer wrong, as far as anybody looked?"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from cache_api import wiring
from cache_api.adapters import checks
from cache_api.domain.decision import cut_of
from cache_api.domain.risk import Measured, measured
from tenants.isolation import as_tenant

_UNSERVED = """
SELECT layer, count(*) FROM call
WHERE tenant_id = %s AND project_id = %s AND at >= %s AND decision = 'bypass' AND layer <> ''
GROUP BY layer
"""


@dataclass(frozen=True, slots=True)
class Promise:
    """Of a project's hits by similarity, in the last 30 days."""

    promised: float  # the share that may be wrong
    cut: float  # the least probability to serve at
    state: str  # learning, kept, alarm
    measured: Measured  # from a random sample
    predicted: float | None  # what was foretold of that sample


def promise_of(*, tenant_id: UUID, project_id: UUID, now: datetime) -> Promise:
    policy = wiring.parts().policies.of(tenant_id, project_id)
    sample = list(checks.checks_of(tenant_id, project_id, checks.SERVED, now))
    calibration = checks.calibration_of(tenant_id, project_id)
    return Promise(
        promised=policy.max_wrong_hit_rate,
        cut=cut_of(policy),
        state=calibration.state if calibration else "learning",
        measured=measured(sum(check.wrong for check in sample), len(sample)),
        predicted=sum(1 - check.probability for check in sample) / len(sample) if sample else None,
    )


def unserved(*, tenant_id: UUID, project_id: UUID, since: datetime) -> dict[str, int]:
    """What a project that only watches would have been served, by layer."""
    with as_tenant(tenant_id), connection.cursor() as cursor:
        cursor.execute(_UNSERVED, [tenant_id, project_id, since])
        return {"exact": 0, "semantic": 0, **dict(cursor.fetchall())}
