"""How are /v1/embeddings and /v1/models spoken?"""

import base64
import hashlib
import math
import struct
from datetime import UTC, datetime

from cacheai.demo_provider.answers import count_tokens
from cacheai.demo_provider.behaviour import Behaviour
from cacheai.demo_provider.checks import check_common, checked_count
from cacheai.demo_provider.refusals import Refusal
from cacheai.demo_provider.reply import UNKNOWN_FIELD, Json, Plain, Reply, Stamp

DIMENSIONS = 16
INPUTS_MAX = 2048
MODELS = ("demo-small", "demo-large", "demo-embed", "demo-slow")
MODELS_SINCE = datetime(2025, 1, 1, tzinfo=UTC)


def question_text(body: Json) -> str:
    return next((text for text in _inputs(body)[-1:] if isinstance(text, str)), "")


def answer(body: Json, behaviour: Behaviour, stamp: Stamp) -> Reply:
    check_common(body)
    inputs = _inputs(body)
    if not inputs:
        raise Refusal(400, "Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    dimensions = checked_count(body, "dimensions", most=4096) or DIMENSIONS
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise Refusal(400, "Invalid 'encoding_format'.", param="encoding_format", code="invalid_value")
    packed = encoding == "base64"
    texts = [text if isinstance(text, str) else " ".join(map(str, text)) for text in inputs]
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
        for index, vector in enumerate(_vector(text, dimensions) for text in texts)
    ]
    tokens = sum(map(count_tokens, texts))
    whole: Json = {"object": "list", "data": data, "model": body["model"], UNKNOWN_FIELD: stamp.unknown}
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Plain(whole if behaviour.no_usage else whole | {"usage": usage})


def models(*, anthropic: bool) -> Json:
    listed = [model(name, anthropic=anthropic) for name in MODELS]
    if anthropic:
        return {"data": listed, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
    return {"object": "list", "data": listed}


def model(name: str, *, anthropic: bool) -> Json:
    if name not in MODELS:
        raise Refusal(404, f"The model '{name}' does not exist.", param="model", code="model_not_found")
    if anthropic:
        return {"type": "model", "id": name, "display_name": name, "created_at": MODELS_SINCE.isoformat()}
    return {"id": name, "object": "model", "created": int(MODELS_SINCE.timestamp()), "owned_by": "demo"}


def _inputs(body: Json) -> list[str | list[int]]:
    """One text, several, or the same as tokens; none of them empty, and not both kinds at once."""
    asked = body.get("input")
    if asked is None:
        return []
    inputs = [asked] if isinstance(asked, str) or _is_tokens(asked) else asked
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= INPUTS_MAX:
        raise Refusal(400, "Invalid 'input'.", param="input", code="invalid_value")
    if not all(isinstance(text, str) and text for text in inputs) and not all(map(_is_tokens, inputs)):
        raise Refusal(400, "Invalid 'input'.", param="input", code="invalid_value")
    return inputs


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def _vector(text: str, dimensions: int) -> list[float]:
    """Each word adds its own direction, so that texts with the same words are near each other."""
    total = [0.0] * dimensions
    for word in text.lower().split() or [""]:
        noise = hashlib.shake_128(word.encode("utf-8", "replace")).digest(dimensions)
        for place, byte in enumerate(noise):
            total[place] += byte - 127.5
    length = math.sqrt(sum(value * value for value in total)) or 1.0
    return [round(value / length, 7) for value in total]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
