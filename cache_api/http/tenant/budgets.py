"""What may be spent on providers, and what is spent of it?"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework import serializers

from cache_api import budgets, wiring
from cache_api.adapters.catalogue import guarded
from cache_api.budgets import BudgetState
from cache_api.domain.budget import ACTIONS, PERIODS
from cache_api.http.pricing import DollarsField
from cache_api.http.serializers import KeyIdField, NameField, validated
from cache_api.http.visits import Visit, answer


class BudgetSerializer(serializers.Serializer[Any]):
    amount_usd = DollarsField()
    period = serializers.ChoiceField(PERIODS, default="month")
    action = serializers.ChoiceField(ACTIONS, default="alert")
    project_id = KeyIdField(required=False, allow_null=True)
    key_id = KeyIdField(required=False, allow_null=True)
    task = NameField(allow_blank=True)


def listed(visit: Visit) -> HttpResponse:
    found = guarded(lambda: budgets.budgets_of(tenant_id=visit.access.tenant_id, now=datetime.now(UTC)))
    return answer({"object": "list", "data": [_described(state) for state in found]})


def put(visit: Visit) -> HttpResponse:
    values = validated(BudgetSerializer, visit.fields())
    tenant_id = visit.access.tenant_id
    state = guarded(lambda: budgets.budget_put(tenant_id=tenant_id, actor=visit.actor, now=datetime.now(UTC), **values))
    wiring.parts().quotas.forget_budgets(tenant_id)
    return answer(_described(state))


def removed(visit: Visit, budget: UUID) -> HttpResponse:
    tenant_id = visit.access.tenant_id
    guarded(lambda: budgets.budget_delete(tenant_id=tenant_id, actor=visit.actor, budget_id=budget))
    wiring.parts().quotas.forget_budgets(tenant_id)
    return answer({"id": str(budget), "deleted": True})


def _described(state: BudgetState) -> dict[str, Any]:
    budget = state.budget
    return {
        "id": str(budget.id),
        "project_id": budget.project_id and str(budget.project_id),
        "key_id": budget.key_id and str(budget.key_id),
        "task": budget.task or None,
        "period": budget.period,
        "amount_usd": _text(budget.amount_usd),
        "action": budget.action,
        "used_usd": _text(state.used_usd),
        "since": state.since,
        "until": state.until,
    }


def _text(dollars: Decimal) -> str:
    return f"{dollars.normalize():f}"
