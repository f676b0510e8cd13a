"""T6: does the product learn from judged answers, and never something worse than what it knew?"""

from typing import Any


def measured() -> dict[str, Any]:
    """Nothing learns from judgements yet: there is no figure to give."""
    return {"not measured": "not built"}
