"""A project's rules: changed by one door, met by the next look."""

from dataclasses import replace

import pytest

from cache_api.adapters.policies import Policies
from cache_api.domain.policy import BadPolicy, Policy
from cache_api.services import policy_change
from tests.conftest import Cast

NOTHING_LISTED = Policy(blocklist="off")  # where nothing is on the blocklist nobody looks
BAD_SYNTHESIS: list[dict[str, object]] = [
    {"synthesis": "auto"},
    {"synthesis": "sometimes", "synthesis_model": "small"},
    {"synthesis_provider": "nobody"},
    {"synthesis_floor": -1},
]


def test_a_project_without_rules_has_the_defaults(cast: Cast) -> None:
    assert Policies().of(cast.owner.tenant_id, cast.owner.project_id) == NOTHING_LISTED


def test_a_change_keeps_the_other_rules_and_null_takes_one_back(cast: Cast) -> None:
    where = {"tenant_id": cast.owner.tenant_id, "project_id": cast.owner.project_id}
    policy_change(**where, changes={"similarity_floor": 0.97, "tools": "off"})
    policy_change(**where, changes={"tools": None})

    assert Policies().of(cast.owner.tenant_id, cast.owner.project_id) == replace(NOTHING_LISTED, similarity_floor=0.97)
    assert Policies().of(cast.outsider.tenant_id, cast.outsider.project_id) == NOTHING_LISTED


@pytest.mark.parametrize(
    "bad", [{"similarity_floor": 2}, {"mode": "wild"}, {"nonsense": 1}, {"ttl_seconds": "soon"}, *BAD_SYNTHESIS]
)
def test_a_bad_rule_changes_nothing(cast: Cast, bad: dict[str, object]) -> None:
    where = {"tenant_id": cast.owner.tenant_id, "project_id": cast.owner.project_id}

    with pytest.raises(BadPolicy):
        policy_change(**where, changes=bad)

    assert Policies().of(cast.owner.tenant_id, cast.owner.project_id) == NOTHING_LISTED
