"""How much of its limits has each tenant truly used, and do its people know?

Each minute. What the ledger says corrects what the web processes counted in Redis; what is half, four fifths or all of
a limit is told by mail and webhook, once in a period.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from redis import Redis
from redis.exceptions import RedisError

from cache_api import budgets
from cache_api.adapters.quotas import NANO
from cache_api.adapters.used import budget_name, requests_name, set_used
from cache_api.domain.budget import Budget, passed, period_start
from cache_api.domain.quota import overage_usd, spend_cap_usd
from tenants import selectors, webhooks
from tenants.isolation import as_owner, as_tenant
from tenants.mailing import mail_send
from tenants.models import Tenant

LOOKED_BACK = timedelta(hours=1)  # who did not call for so long has used no more than when last looked at
# What was spent just before a day or month turned is looked at once more after it.
AFTER_THE_TURN = timedelta(minutes=10)
TOLD_ROLES = ("owner", "admin", "billing")
REQUESTS, SPEND = "requests", "spend"  # the plan's own limits, among the budgets' alerts

_CALLED = """
SELECT tenant.id FROM tenant
WHERE EXISTS (SELECT FROM call WHERE call.tenant_id = tenant.id AND call.at > %s)
  OR EXISTS (SELECT FROM usage_dirty WHERE usage_dirty.tenant_id = tenant.id)
"""
_TELL_ONCE = """
INSERT INTO budget_alert (tenant_id, budget, period, threshold, at)
SELECT %s, %s, %s, threshold, %s FROM unnest(%s::smallint[]) AS threshold
ON CONFLICT DO NOTHING RETURNING threshold
"""


@dataclass(frozen=True, slots=True)
class Reached:
    """A threshold that was passed for the first time in this period."""

    event: str
    threshold: int
    subject: str
    text: str
    data: dict[str, Any]


def look(redis: Redis, now: datetime) -> int:
    """Correct the counters and tell what was reached; how many alerts."""
    with as_owner() as owner, owner.cursor() as cursor:
        cursor.execute(_CALLED, [now - LOOKED_BACK])
        tenant_ids = [tenant_id for (tenant_id,) in cursor.fetchall()]
    return sum(_look_at(redis, tenant_id, now) for tenant_id in tenant_ids)


def _look_at(redis: Redis, tenant_id: UUID, now: datetime) -> int:
    with as_tenant(tenant_id):
        tenant = Tenant.objects.get(id=tenant_id)
        calls, _ = budgets.used(tenant_id, since=tenant.period_start)
        numbers = {requests_name(tenant.period_start): calls}
        reached = list(_of_plan(tenant, calls, now))
        for budget in budgets.all_of(tenant_id):
            since = period_start(budget.period, now)
            spent = budgets.spent(tenant_id, budget, since=since)
            numbers[budget_name(budget.id, since)] = round(spent * NANO)
            reached += _of_budget(tenant, budget, since, spent, now)
            if now - since < AFTER_THE_TURN:
                before = period_start(budget.period, since - timedelta(seconds=1))
                late = budgets.spent(tenant_id, budget, since=before, until=since)
                reached += _of_budget(tenant, budget, before, late, now)
        told = selectors.emails_of(tenant_id=tenant_id, roles=TOLD_ROLES) if reached else []
        for one in reached:
            mail_send(to=told, subject=one.subject, text=one.text)
            webhooks.event_add(tenant=tenant, event=one.event, data=one.data, now=now)
    with suppress(RedisError):  # Then the processes go on with what they know.
        set_used(redis, tenant_id, numbers)
    return len(reached)


def _of_plan(tenant: Tenant, calls: int, now: datetime) -> Iterator[Reached]:
    since = tenant.period_start
    if threshold := _first_time(tenant.id, REQUESTS, since, passed(calls, tenant.requests_included), now):
        then = (
            "From now on calls pass through uncached until the period ends. No call fails."
            if tenant.requests_hard and threshold == 100
            else "After the last one calls pass through uncached until the period ends. No call fails."
            if tenant.requests_hard
            else "Further ones cost what the plan says, up to the spend cap."
        )
        yield Reached(
            "quota.reached",
            threshold,
            f"{tenant.name} has used {threshold} % of its requests",
            f"{calls:,} of the {tenant.requests_included:,} requests of this period are used.\n{then}\n",
            {"limit": "requests", "threshold": threshold, "used": calls, "most": tenant.requests_included}
            | {"since": since.isoformat()},
        )

    cap = None if tenant.requests_hard else spend_cap_usd(tenant.plan, tenant.overage_cap_usd)
    beyond = overage_usd(tenant.plan, included=tenant.requests_included, calls=calls)
    if cap is None or beyond is None or not beyond:
        return
    if threshold := _first_time(tenant.id, SPEND, since, passed(beyond, cap), now):
        yield Reached(
            "quota.reached",
            threshold,
            f"{tenant.name} has used {threshold} % of its spend cap",
            f"Requests beyond the plan cost {_dollars(beyond)} of at most {_dollars(cap)} in this period.\n"
            "At the cap calls pass through uncached until the period ends. No call fails.\n",
            {"limit": "spend_usd", "threshold": threshold, "used": str(beyond), "most": str(cap)}
            | {"since": since.isoformat()},
        )


def _of_budget(tenant: Tenant, budget: Budget, since: datetime, spent: Decimal, now: datetime) -> Iterator[Reached]:
    threshold = _first_time(tenant.id, str(budget.id), since, passed(spent, budget.amount_usd), now)
    if not threshold:
        return
    then = {
        "alert": "Nothing is refused: this budget only tells.",
        "cache_only": "When it is spent, stored answers are served and all other calls are refused.",
        "block": "When it is spent, all calls it covers are refused.",
    }[budget.action]
    yield Reached(
        "budget.reached",
        threshold,
        f"{tenant.name} has spent {threshold} % of a budget",
        f"{_dollars(spent)} of {_dollars(budget.amount_usd)} are spent this {budget.period} "
        f"by {budgets.described(tenant.id, budget)}.\n{then}\n",
        {
            "budget_id": str(budget.id),
            "threshold": threshold,
            "used_usd": str(spent),
            "amount_usd": str(budget.amount_usd),
            "period": budget.period,
            "since": since.isoformat(),
            "action": budget.action,
            "project_id": budget.project_id and str(budget.project_id),
            "key_id": budget.key_id and str(budget.key_id),
            "task": budget.task or None,
        },
    )


def _first_time(tenant_id: UUID, budget: str, period: datetime, thresholds: Sequence[int], now: datetime) -> int | None:
    """The highest that nobody was told of yet. Those below it are told with it."""
    if not thresholds:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_TELL_ONCE, [tenant_id, budget, period, now, list(thresholds)])
        new = [threshold for (threshold,) in cursor.fetchall()]
    return max(new) if new and max(new) == max(thresholds) else None


def _dollars(amount: Decimal) -> str:
    return f"${amount:,.2f}"
