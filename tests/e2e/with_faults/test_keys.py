"""Does a revoked key stop everywhere, under load and without Redis?"""

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.test_data_plane import fresh
from tests.e2e.with_faults.hurting import (
    BUSY_START_SECONDS,
    lines_to_every_worker,
    load,
    some_tenant,
    stopped,
)
from tests.waiting import wait_until


@pytest.mark.parametrize("told", ["at once", "never"])
def test_a_key_revoked_under_load_stops_on_every_worker(own_stack: Stack, told: str) -> None:
    key = own_stack.manage("create_key", "--tenant", some_tenant(own_stack)).split()[-1]
    with lines_to_every_worker(own_stack, api_key=key) as lines, load(own_stack, fresh, lines=lines) as calls:
        wait_until(lambda: len(calls.answers) > 20, seconds=30, what="calls")
        with stopped([own_stack.pids()["redis"]] if told == "never" else []):
            own_stack.manage("revoke_key", key)
            wait_until(
                lambda: [answer.status for answer in list(calls.answers)].count(401) == len(lines),
                seconds=10 + BUSY_START_SECONDS,
                what="a refusal on every connection",
            )

    assert {answer.status for answer in calls.answers} == {200, 401}
