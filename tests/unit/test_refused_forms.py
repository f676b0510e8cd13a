"""Is a larger plan offered where it helps, and there alone?"""

import pytest

from dashboard.forms import TenantName
from tenants.refusals import LimitReached, NameTaken, NotInPlan, Refusal


@pytest.mark.parametrize(
    ("refusal", "offered"),
    [
        (LimitReached.of("free", 1, "project"), True),
        (NotInPlan(), True),
        (LimitReached("A tenant invites at most 50 times a day."), False),
        (NameTaken(), False),
    ],
)
def test_a_larger_plan_is_offered_where_it_helps(refusal: Refusal, offered: bool) -> None:
    form = TenantName({"name": "Team"})
    assert form.is_valid()

    form.refuse(refusal)

    assert form.wants_plan is offered
