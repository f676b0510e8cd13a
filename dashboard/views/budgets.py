"""How much may be spent on providers, and who is told?"""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cache_api import budgets as services
from cache_api import wiring
from cache_api.domain.budget import Budget
from dashboard.forms import NewBudget
from dashboard.people import Visit, done, page, show
from tenants import features, selectors
from tenants.refusals import Refusal


@page(may="figures")
def budgets(http: HttpRequest, visit: Visit) -> HttpResponse:
    states = services.budgets_of(tenant_id=visit.tenant.id, now=datetime.now(UTC))
    names = _names(visit)
    return show(http, visit, "budgets.html", budgets=[(state, _whom(state.budget, names)) for state in states])


@page(may="budgets", methods=("GET", "POST"))
def new(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    form = NewBudget(
        http.POST if http.method == "POST" else None,
        whom=[(name, f"{kind} {words}") for name, (kind, words) in _names(visit).items()],
        may_refuse=features.REFUSING_BUDGETS in visit.tenant.features,
        initial={name: value for name, value in http.GET.items() if name in NewBudget.base_fields},
    )
    if form.is_bound and form.is_valid():
        try:
            services.budget_put(tenant_id=visit.tenant.id, actor=visit.actor, now=datetime.now(UTC), **form.budget())
            wiring.parts().quotas.forget_budgets(visit.tenant.id)
            return done(http, visit, "The budget is set.", "budgets")
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "budget_new.html", form=form)


@page(may="budgets", methods=("POST",), back="budgets")
def delete(http: HttpRequest, visit: Visit, budget_id: UUID) -> HttpResponseBase:
    services.budget_delete(tenant_id=visit.tenant.id, actor=visit.actor, budget_id=budget_id)
    wiring.parts().quotas.forget_budgets(visit.tenant.id)
    return done(http, visit, "The budget is gone.", "budgets")


def _names(visit: Visit) -> Mapping[str, tuple[str, str]]:
    """Whom a budget can be for, by what its form calls it."""
    found = {f"project:{one.id}": ("Project", one.name) for one in visit.projects}
    for key in selectors.keys_of(tenant_id=visit.tenant.id):
        if key.revoked_at is None:
            found[f"key:{key.id}"] = ("Key", key.name or key.hint)
    return found


def _whom(budget: Budget, names: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    if budget.task:
        return "Task", budget.task
    if budget.project_id is not None:
        return names.get(f"project:{budget.project_id}", ("Project", str(budget.project_id)))
    if budget.key_id is not None:
        return names.get(f"key:{budget.key_id}", ("Key", "revoked"))
    return "Tenant", "all projects"
