"""What does an answer look like that a filter held back, in the words of its dialect?"""

from collections.abc import Mapping
from typing import Any


def held_back(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The same finished answer, ended by a filter."""
    if "stop_reason" in answer:
        return {**answer, "stop_reason": "refusal"}
    if "output" in answer:
        return {**answer, "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    (choice,) = answer["choices"]
    return {**answer, "choices": [{**choice, "finish_reason": "content_filter"}]}
