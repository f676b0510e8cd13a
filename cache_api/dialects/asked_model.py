"""Which model does a body ask?"""

from collections.abc import Mapping
from typing import Any

from cache_api.dialects.errors import Refused

MODEL_MAX_CHARACTERS = 256  # resource names of some clouds are long


def model_asked(body: Mapping[str, Any], model: str = "") -> str:
    """The body's, unless `model` is asked instead. Raises Refused."""
    model = model or body.get("model") or ""
    if not isinstance(model, str) or not model:
        raise Refused(400, "invalid_request", "you must provide a model parameter", "model")
    if len(model) > MODEL_MAX_CHARACTERS or "\x00" in model:
        longest = f"model must have at most {MODEL_MAX_CHARACTERS} characters, without NUL"
        raise Refused(400, "invalid_request", longest, "model")
    return model
