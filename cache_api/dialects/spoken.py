"""Which dialect is spoken at which endpoint?"""

from collections.abc import Mapping
from typing import Any

from cache_api.dialects import (
    Dialect,
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from cache_api.dialects.errors import Refused

DIALECTS: tuple[Dialect, ...] = (openai_chat, openai_completions, openai_responses, anthropic_messages)

# A list of texts to be embedded is many questions, so its view is not that of the others.
_BY_ENDPOINT: Mapping[str, Dialect] = {dialect.ENDPOINT: dialect for dialect in (*DIALECTS, openai_embeddings)}


def dialect_at(endpoint: Any) -> Dialect:
    """`chat/completions`, with or without `/v1/` before it; that is also the default. Raises Refused."""
    if not endpoint or endpoint == "chat":
        return openai_chat
    name = str(endpoint).strip("/").removeprefix("v1/")
    if name not in _BY_ENDPOINT:
        raise Refused(400, "invalid_request", f"endpoint must be one of {', '.join(_BY_ENDPOINT)}", "endpoint")
    return _BY_ENDPOINT[name]
