"""Is a stored answer that cannot be read bought anew?"""

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.with_faults.hurting import (
    KEEP_NOTHING,
    QUESTION,
    REWORDED,
    Line,
    hits_again,
    sql,
    store_with_vector,
)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1)", id="wrong tag"),
        pytest.param("substring(body FROM 1 FOR 20)", id="cut short"),
        pytest.param("''", id="empty"),
        pytest.param("decode(repeat('ff', 300), 'hex')", id="garbage"),
    ],
)
@pytest.mark.parametrize("asked", [QUESTION, REWORDED])
def test_an_entry_that_cannot_be_read_is_a_miss_and_set_aside(own_stack: Stack, damage: str, asked: str) -> None:
    with Line(own_stack) as line:
        store_with_vector(line)
        sql(own_stack, f"UPDATE entry SET body = {damage} WHERE namespace = %s", own_stack.namespace)

        answer = line.ask(asked, headers=KEEP_NOTHING)
        aside = sql(own_stack, "SELECT quarantined FROM entry WHERE namespace = %s", own_stack.namespace)
        bought = line.ask(QUESTION)

        assert (answer.status, answer.decision) == (200, "miss")
        assert aside == [(True,)]
        assert bought.decision == "miss"
        assert hits_again(line)
