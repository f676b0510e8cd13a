"""Is each project's promise kept, and from which probability on?

Once an hour, from the checks of the last 30 days. The cut is tightened at once and loosened once a week. An alarm
tightens it by far, and says so.
"""

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cache_api import wiring
from cache_api.adapters import checks
from cache_api.domain.confidence import shipped
from cache_api.domain.policy import Policy
from cache_api.domain.risk import STRICTER, learn, tightens
from cache_api.models import Calibration
from tenants import selectors, webhooks
from tenants.isolation import as_tenant
from tenants.mailing import mail_send
from tenants.models import Tenant

REFITTED = timedelta(days=7)
JUDGED = (*checks.SERVED, "doubt")
TOLD_ROLES = ("owner", "admin", "developer")

log = logging.getLogger(__name__)


def recalibrate(now: datetime) -> int:
    """How many projects were looked at."""
    projects = checks.projects_checked_since(now - checks.MEASURED - REFITTED)
    for tenant_id, project_id in projects:
        _calibrate(tenant_id, project_id, now)
    return len(projects)


def _calibrate(tenant_id: UUID, project_id: UUID, now: datetime) -> None:
    policy = wiring.parts().policies.of(tenant_id, project_id)
    promise = policy.max_wrong_hit_rate
    served = list(checks.checks_of(tenant_id, project_id, checks.SERVED, now))
    judged = list(checks.checks_of(tenant_id, project_id, JUDGED, now))
    stricter = max(shipped().cut(promise * STRICTER), policy.learnt_cut or 0.0)
    cut, state = learn(judged, served, promise, shipped=shipped().cut(promise), stricter=stricter)
    alarm = state == "alarm"
    before = checks.calibration_of(tenant_id, project_id)
    if state == "kept" and before is not None and _stands(before, policy, now) and not tightens(cut, before.cut):
        cut = before.cut
    found: dict[str, Any] = {
        "cut": cut,
        "state": state,
        "promise": promise,
        "checked": len(judged),
        "wrong": sum(check.wrong for check in served),
        "foretold": sum(1 - check.probability for check in served),
    }
    fitted_at = before.fitted_at if before and before.cut == cut and before.state == state else now
    alarmed_at = (before.alarmed_at if before and before.state == "alarm" else now) if alarm else None
    checks.calibration_put(tenant_id, project_id, fitted_at=fitted_at, alarmed_at=alarmed_at, **found)
    wiring.parts().policies.forget(tenant_id, project_id)
    if (before.state == "alarm" if before else False) != alarm:
        _tell(tenant_id, project_id, found, now, alarm=alarm)


def _stands(before: Calibration, policy: Policy, now: datetime) -> bool:
    return before.state == "kept" and before.promise == policy.max_wrong_hit_rate and now - before.fitted_at < REFITTED


def _tell(tenant_id: UUID, project_id: UUID, found: dict[str, Any], now: datetime, *, alarm: bool) -> None:
    log.warning("policy_drift" if alarm else "policy_drift_over", extra={"project_id": str(project_id)})
    with as_tenant(tenant_id):
        tenant = Tenant.objects.get(id=tenant_id)
        data = {"project_id": str(project_id), "state": found["state"], "promise": found["promise"]}
        data |= {"checked": found["checked"], "wrong": found["wrong"], "cut": found["cut"]}
        webhooks.event_add(tenant=tenant, event="policy.drift", data=data, now=now)
        if alarm:
            told = selectors.emails_of(tenant_id=tenant_id, roles=TOLD_ROLES)
            mail_send(
                to=told,
                subject=f"{tenant.name}: more cached answers were wrong than foretold",
                text=(
                    f"Of the answers served by similarity that were checked, {found['wrong']} were wrong; "
                    f"{found['foretold']:.1f} were foretold. The promise is {found['promise']:.1%}.\n"
                    "Until 300 checks in a row keep it, answers are served from a stricter probability on: fewer hits, "
                    "and more of them are looked at.\n"
                ),
            )
