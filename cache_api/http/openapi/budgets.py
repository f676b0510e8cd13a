"""How are budgets described?"""

from cache_api.domain.budget import ACTIONS, PERIODS
from cache_api.http.openapi.controls import LIMITED, gone, listed
from cache_api.http.openapi.pieces import (
    WITH_BODY,
    Json,
    answer,
    asked,
    fields_of,
    in_path,
    link,
    maybe,
    moment,
    money,
    one_of,
    operation,
    ref,
    sent,
    string,
    told,
)
from cache_api.http.tenant.budgets import BudgetSerializer
from tenants.keys import TENANT_MANAGE

TAG = "Budgets"

_ID = string(format="uuid")
_ACTIONS = (
    "What happens when it is spent: people are told; or stored answers are served and all else is refused; or "
    "everything is refused. The last two need a plan that has them."
)
_WORDS = {
    "amount_usd": "Dollars, of what providers charge.",
    "period": "A day or a month, by UTC.",
    "action": _ACTIONS,
    "project_id": "For this project alone.",
    "key_id": "For this key alone.",
    "task": "For the calls of this task alone. Without project, key and task it is the whole tenant's.",
}

SCHEMAS: Json = {
    "NewBudget": asked(fields_of(BudgetSerializer, _WORDS), "amount_usd"),
    "Budget": told(
        {
            "id": _ID,
            "project_id": maybe(_ID),
            "key_id": maybe(_ID),
            "task": maybe(string()),
            "period": one_of(*PERIODS),
            "amount_usd": money(),
            "action": one_of(*ACTIONS),
            "used_usd": money("In this period; calls of unknown price are not in it."),
            "since": moment(),
            "until": moment(),
        }
    ),
}

PATHS: Json = {
    "/v1/budgets": {
        "put": operation(
            "putBudget",
            "Set a budget",
            words="There is one for each project, key or task and period: setting it again changes it.",
            tag=TAG,
            scope=TENANT_MANAGE,
            body=sent(ref("NewBudget"), month={"amount_usd": "250", "period": "month", "action": "alert"}),
            answers={
                200: answer("The budget.", ref("Budget"), headers=LIMITED, delete=link("deleteBudget", budget="id"))
            },
            errors=(*WITH_BODY, 404),
        ),
        "get": operation(
            "listBudgets",
            "List the budgets, and what is spent of each",
            tag=TAG,
            scope=TENANT_MANAGE,
            answers={200: listed("Budget")},
        ),
    },
    "/v1/budgets/{budget}": {
        "delete": operation(
            "deleteBudget",
            "Remove a budget",
            tag=TAG,
            scope=TENANT_MANAGE,
            parameters=[in_path("budget", "The budget's id.", _ID)],
            answers={200: gone(id=_ID)},
            errors=(*WITH_BODY, 404),
        )
    },
}
