"""What does a project's Policy say, without asking the database each time?"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from cache_api.domain.policy import BadPolicy, Policy
from cache_api.ports import CacheUnavailable
from tenants import isolation
from tenants.kept import Kept

FRESH_SECONDS = 5.0
KEPT_SECONDS = 900.0  # while the database is away, the last known rules hold this long
READ_SECONDS = 0.05
PROJECTS_MAX = 10_000

_SELECT = (
    "SELECT (SELECT settings FROM policy WHERE tenant_id = %s AND project_id = %s), "
    "EXISTS (SELECT FROM blocklist_entry WHERE tenant_id = %s AND project_id = %s AND expires_at > now()), "
    "(SELECT to_json(calibration) FROM calibration WHERE tenant_id = %s AND project_id = %s), "
    "EXISTS (SELECT FROM answer_check WHERE tenant_id = %s AND project_id = %s) "
    "OR EXISTS (SELECT FROM feedback WHERE tenant_id = %s AND project_id = %s)"
)

log = logging.getLogger(__name__)


class Policies:
    """Safe in threads."""

    def __init__(self) -> None:
        self._kept: Kept[tuple[UUID, UUID], Policy] = Kept(
            fresh_seconds=FRESH_SECONDS, usable_seconds=KEPT_SECONDS, limit=PROJECTS_MAX
        )

    def of(self, tenant_id: UUID, project_id: UUID) -> Policy:
        """Raises CacheUnavailable if the rules were not read lately and cannot be read now.

        Where nothing is on the blocklist it is `off`, so that nobody pays for looking.
        """
        try:
            return self._kept.get((tenant_id, project_id), lambda: _read(tenant_id, project_id))
        except isolation.DatabaseUnavailable as error:
            raise CacheUnavailable(error.reason) from error

    def forget(self, tenant_id: UUID, project_id: UUID) -> None:
        """What was changed here is read anew by the next call of this process."""
        self._kept.forget((tenant_id, project_id))


def _read(tenant_id: UUID, project_id: UUID) -> Policy:
    place = (tenant_id, project_id)
    ((settings, blocklisted, learnt, checked),) = isolation.read(
        tenant_id, _SELECT, place * 5, deadline_seconds=READ_SECONDS
    )
    policy = Policy() if settings is None else _built(settings, project_id)
    policy = replace(policy, blocklist=policy.blocklist if blocklisted else "off", checked=checked)
    return (
        policy if learnt is None else _with_learnt(policy, orjson.loads(learnt) if isinstance(learnt, str) else learnt)
    )


def _with_learnt(policy: Policy, learnt: Mapping[str, Any]) -> Policy:
    """What was learnt under another promise says nothing of this one's cut."""
    cut = learnt["cut"] if learnt["promise"] == policy.max_wrong_hit_rate else None
    return replace(policy, learnt_cut=cut, labels=learnt["checked"], alarmed=learnt["state"] == "alarm")


def _built(settings: dict[str, object] | str, project_id: UUID) -> Policy:
    try:
        return Policy.build(orjson.loads(settings) if isinstance(settings, str) else settings)
    except (BadPolicy, TypeError):
        # Serving by rules nobody set would be a guess: pass the project's calls through until it is mended.
        log.error("policy_unreadable", extra={"project_id": str(project_id)})
        return Policy(mode="off")
