"""Which dialect is spoken where, and does each speak whole?"""

from typing import Any

import pytest

from cache_api.dialects import Dialect, openai_chat
from cache_api.dialects.errors import Refused
from cache_api.dialects.spoken import DIALECTS, dialect_at


@pytest.mark.parametrize("named", [None, "", "chat", "chat/completions", "/v1/chat/completions"])
def test_a_question_is_a_chat_call_unless_another_endpoint_is_named(named: Any) -> None:
    assert dialect_at(named) is openai_chat


@pytest.mark.parametrize("named", ["images/generations", ["chat"], 3])
def test_an_endpoint_nobody_speaks_is_refused_by_name(named: Any) -> None:
    with pytest.raises(Refused) as refused:
        dialect_at(named)
    assert (refused.value.status, refused.value.param) == (400, "endpoint")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.NAME)
def test_a_bare_text_becomes_an_answer_that_could_be_stored(dialect: Dialect) -> None:
    answer = dialect.answer_of_text("Up there.", "demo-small")

    heard = dialect.read_answer(answer)

    assert heard.recognised
    assert heard.answer is not None
    assert dialect.answer_text(answer) == heard.text == "Up there."
    assert dialect.answer_text({}) == ""
    assert not dialect.has_tool_calls(answer)
