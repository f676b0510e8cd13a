"""What may be spent on providers, and what is spent of it?"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from cache_api.domain.budget import ACTIONS, PERIODS, Action, Budget, Period, next_period_start, period_start
from cache_api.domain.controls import is_task
from cache_api.models import Budget as StoredBudget
from cache_api.models import BudgetAlert
from tenants import audit, features
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import ApiKey, Project, Tenant
from tenants.refusals import BadValue, LimitReached, NotFound, NotInPlan

BUDGETS_MAX = 100  # of a tenant: each is looked at with every call it covers
AMOUNT_MAX_USD = Decimal(100_000_000)

_USED = "SELECT billable, cost_usd FROM used_between(%s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget, and how it stands in the period that is under way."""

    budget: Budget
    used_usd: Decimal
    since: datetime
    until: datetime

    @property
    def share(self) -> float:
        return float(self.used_usd / self.budget.amount_usd)


def budgets_of(*, tenant_id: UUID, now: datetime) -> list[BudgetState]:
    with as_tenant(tenant_id):
        return [state_of(tenant_id, budget, now) for budget in all_of(tenant_id)]


def budget_put(
    *,
    tenant_id: UUID,
    actor: Actor,
    amount_usd: Decimal,
    period: Period,
    now: datetime,
    action: Action = "alert",
    project_id: UUID | None = None,
    key_id: UUID | None = None,
    task: str = "",
) -> BudgetState:
    """One for each of whom and period: putting it again changes it.

    Raises BadValue, NotFound, NotInPlan or LimitReached.
    """
    _check(amount_usd, period, action)
    if sum((project_id is not None, key_id is not None, bool(task))) > 1:
        raise BadValue("A budget is for a project, a key or a task, not for two of them.", field="project_id")
    if task and not is_task(task):
        raise BadValue("A task's name is at most 64 letters, digits and any of . : / _ - and blanks.", field="task")
    whom = {"project_id": project_id, "key_id": key_id, "task": task}
    with as_tenant(tenant_id):
        tenant = Tenant.objects.select_for_update().get(id=tenant_id)
        if action != "alert" and features.REFUSING_BUDGETS not in tenant.features:
            raise NotInPlan(f"The plan {tenant.plan} has budgets that tell, none that refuse.", field="action")
        if project_id is not None and not Project.objects.filter(tenant_id=tenant_id, id=project_id).exists():
            raise NotFound("There is no such project.", field="project_id")
        if key_id is not None and not ApiKey.objects.filter(tenant_id=tenant_id, id=key_id).exists():
            raise NotFound("There is no such key.", field="key_id")
        found = StoredBudget.objects.filter(tenant_id=tenant_id, period=period, **whom).first()
        if found is None:
            if StoredBudget.objects.filter(tenant_id=tenant_id).count() >= BUDGETS_MAX:
                raise LimitReached(f"A tenant has at most {BUDGETS_MAX} budgets.")
            found = StoredBudget(tenant_id=tenant_id, period=period, **whom)
        elif found.amount_usd != amount_usd:  # What was told was told of another amount.
            BudgetAlert.objects.filter(tenant_id=tenant_id, budget=str(found.id)).delete()
        found.amount_usd, found.action = amount_usd, action
        found.save()
        audit.record(
            tenant_id=tenant_id,
            actor=actor,
            action="budget.put",
            target=str(found.id),
            diff={"amount_usd": str(amount_usd), "period": period, "action": action}
            | {name: str(value) for name, value in whom.items() if value},
        )
        return state_of(tenant_id, _budget(found), now)


def budget_delete(*, tenant_id: UUID, actor: Actor, budget_id: UUID) -> None:
    """Raises NotFound."""
    with as_tenant(tenant_id):
        deleted, _ = StoredBudget.objects.filter(tenant_id=tenant_id, id=budget_id).delete()
        if not deleted:
            raise NotFound("There is no such budget.", field="id")
        BudgetAlert.objects.filter(tenant_id=tenant_id, budget=str(budget_id)).delete()
        audit.record(tenant_id=tenant_id, actor=actor, action="budget.delete", target=str(budget_id))


# -- inside a transaction of the tenant's


def all_of(tenant_id: UUID) -> list[Budget]:
    stored = StoredBudget.objects.filter(tenant_id=tenant_id).order_by("created_at", "id")
    return [_budget(one) for one in stored]


def state_of(tenant_id: UUID, budget: Budget, now: datetime) -> BudgetState:
    since = period_start(budget.period, now)
    used_usd = spent(tenant_id, budget, since=since)
    return BudgetState(budget, used_usd, since, next_period_start(budget.period, now))


def spent(tenant_id: UUID, budget: Budget, *, since: datetime, until: datetime | None = None) -> Decimal:
    """What calls have cost; those of unknown price are not in it."""
    return _used(tenant_id, since, until, budget.project_id, budget.key_id, budget.task)[1]


def used(tenant_id: UUID, *, since: datetime) -> tuple[int, Decimal]:
    """The whole tenant's billable calls and what they cost."""
    return _used(tenant_id, since, None, None, None, "")


def described(tenant_id: UUID, budget: Budget) -> str:
    if budget.project_id is not None:
        return f"the project {Project.objects.get(tenant_id=tenant_id, id=budget.project_id).name}"
    if budget.key_id is not None:
        key = ApiKey.objects.get(tenant_id=tenant_id, id=budget.key_id)
        return f"the key {key.name or key.hint}"
    return f"the task {budget.task}" if budget.task else "all projects"


def _used(
    tenant_id: UUID, since: datetime, until: datetime | None, project_id: UUID | None, key_id: UUID | None, task: str
) -> tuple[int, Decimal]:
    with connection.cursor() as cursor:
        cursor.execute(_USED, [tenant_id, since, until or "infinity", project_id, key_id, task])
        ((billable, cost_usd),) = cursor.fetchall()
    return billable, cost_usd


def _budget(stored: StoredBudget) -> Budget:
    return Budget(
        id=stored.id,
        amount_usd=stored.amount_usd,
        period=stored.period,  # type: ignore[arg-type]
        action=stored.action,  # type: ignore[arg-type]
        project_id=stored.project_id,
        key_id=stored.key_id,
        task=stored.task,
    )


def _check(amount_usd: Decimal, period: str, action: str) -> None:
    if not amount_usd.is_finite() or not 0 < amount_usd <= AMOUNT_MAX_USD:
        raise BadValue("The amount must be above 0 and at most 100 million dollars.", field="amount_usd")
    if period not in PERIODS:
        raise BadValue(f"The period is one of {', '.join(PERIODS)}.", field="period")
    if action not in ACTIONS:
        raise BadValue(f"The action is one of {', '.join(ACTIONS)}.", field="action")
