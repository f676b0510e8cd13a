"""How does LangChain's own cache become CacheAI's?

What LangChain says of the model is exact, and so is every message but the last: of that, a user's text is compared
by meaning. Answers with tool calls are given to the same words alone.
"""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import AIMessage, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation

from .._asking import given
from .._client import AsyncClient, Client
from .._errors import CacheAIError, ConfigurationError
from .._llm_cache import WAIT_SECONDS, awaited, log, log_not_stored
from .._types import LookupAnswer

TAG: Final = "langchain"
FIELD: Final = "langchain"  # of a stored answer: what LangChain itself made of it

# In both ways LangChain writes a model down: its fields as JSON, its parameters as Python.
MODEL: Final = re.compile(r"""['"](?:model_name|model|model_id|deployment_name)['"][:,]\s*['"]([^'"]+)['"]""")
UNKNOWN_MODEL: Final = "langchain"

# Of CacheAI; of JSON, which cannot hold everything. The answer is paid for: the call goes on.
NOT_STORED: Final = (CacheAIError, TypeError, ValueError)

REASONS: Final = {"tool_use": "tool_calls", "end_turn": "stop"}


class CacheAICache(BaseCache):
    """For `set_llm_cache`, or `cache=` of one model.

    With an `AsyncClient` only LangChain's async calls are cached; with a `Client` all are.
    """

    def __init__(
        self,
        client: Client | AsyncClient | None = None,
        *,
        ttl: int | str | timedelta | None = None,
        namespace: str | None = None,
        semantic: bool = True,
    ) -> None:
        client = client if client is not None else Client()
        self._client = client.with_options(**given(ttl=ttl, namespace=namespace))
        self._quick = self._client.with_options(timeout=WAIT_SECONDS, max_retries=0)
        self._namespace = namespace
        self._semantic = semantic

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        client = _sync(self._quick)
        try:
            return _generations(client.cache.lookup(**self._asked(prompt, llm_string)))
        except CacheAIError as error:
            _log_not_asked(error)
            return None

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        try:
            return _generations(await awaited(self._quick.cache.lookup, **self._asked(prompt, llm_string)))
        except CacheAIError as error:
            _log_not_asked(error)
            return None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        client = _sync(self._quick)
        try:
            client.cache.put(**_stored(prompt, llm_string, return_val))
        except NOT_STORED as error:
            log_not_stored(error)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        try:
            await awaited(self._quick.cache.put, **_stored(prompt, llm_string, return_val))
        except NOT_STORED as error:
            log_not_stored(error)

    def clear(self, **kwargs: Any) -> None:
        """Remove what this cache stored, in its namespace if it has one."""
        _sync(self._client).cache.purge(tag=TAG, namespace=self._namespace)

    async def aclear(self, **kwargs: Any) -> None:
        """Remove what this cache stored, in its namespace if it has one."""
        await awaited(self._client.cache.purge, tag=TAG, namespace=self._namespace)

    def _asked(self, prompt: str, llm_string: str) -> dict[str, Any]:
        floor = {} if self._semantic else {"similarity_threshold": 1.0}
        return {**_question(prompt, llm_string), **floor, "include_answer": True, "limit": 1}


def _sync(client: Client | AsyncClient) -> Client:
    if not isinstance(client, Client):
        raise ConfigurationError("this call is not async: give CacheAICache a Client")
    return client


def _question(prompt: str, llm_string: str) -> dict[str, Any]:
    """Scope and question, as the cache compares them."""
    before, text = _split(prompt)
    told = [*before, *([] if text is None else [{"role": "user", "content": text}])]
    named = MODEL.search(llm_string)
    return {"messages": told, "context": llm_string, "model": named[1] if named else UNKNOWN_MODEL}


def _split(prompt: str) -> tuple[list[dict[str, str]], str | None]:
    """What is exact, and the user's text if it comes last."""
    try:
        messages = json.loads(prompt)
    except ValueError:
        return [], prompt  # Of a model that completes a text.
    if not (isinstance(messages, list) and messages and all(_is_message(message) for message in messages)):
        return [], prompt

    *before, last = messages
    text = _text(last) if last["id"][-1] == "HumanMessage" else None
    exact = before if text is not None else messages
    return ([{"role": "system", "content": json.dumps(exact, sort_keys=True)}] if exact else []), text


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("id"), list) and isinstance(message.get("kwargs"), dict)


def _text(message: dict[str, Any]) -> str | None:
    """None: there is more to the message than text."""
    fields = {name: value for name, value in message["kwargs"].items() if value and name != "type"}
    content = fields.pop("content", None)
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
        content = content[0]["text"]
    return content if isinstance(content, str) and content.strip() and not fields else None


def _stored(prompt: str, llm_string: str, generations: Sequence[Generation]) -> dict[str, Any]:
    """A chat answer as anybody reads it, and beside it all that LangChain knows of it."""
    asked = _question(prompt, llm_string)
    first = generations[0] if generations else Generation(text="")
    response = {
        "object": "chat.completion",
        "model": asked["model"],
        "choices": [_choice(index, generation) for index, generation in enumerate(generations)],
        FIELD: [_dumped(generation) for generation in generations],
    }
    return {**asked, "response": response, "usage": _usage(first), "tags": [TAG]}


def _choice(index: int, generation: Generation) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": generation.text}
    reason = (generation.generation_info or {}).get("finish_reason")
    if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
        reason = reason or generation.message.response_metadata.get("stop_reason")
        if calls := generation.message.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call["id"] or f"call_{number}",
                    "type": "function",
                    "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
                }
                for number, call in enumerate(calls)
            ]
    fallback = "tool_calls" if "tool_calls" in message else "stop"
    return {"index": index, "message": message, "finish_reason": REASONS.get(reason, reason) if reason else fallback}


def _usage(generation: Generation) -> dict[str, int] | None:
    message = generation.message if isinstance(generation, ChatGeneration) else None
    counted = message.usage_metadata if isinstance(message, AIMessage) else None
    if not counted:
        return None
    return {
        "prompt_tokens": counted["input_tokens"],
        "completion_tokens": counted["output_tokens"],
        "total_tokens": counted["total_tokens"],
    }


def _dumped(generation: Generation) -> dict[str, Any]:
    dumped: dict[str, Any] = {"text": generation.text, "info": generation.generation_info}
    if isinstance(generation, ChatGeneration):
        message = generation.message
        dumped["message"] = {"type": message.type, "data": message.model_dump(mode="json")}
    return dumped


def _generations(found: LookupAnswer) -> list[Generation] | None:
    if found.decision != "hit" or found.response is None:
        return None
    try:
        return [_generation(one) for one in found.response[FIELD]]
    except (KeyError, TypeError, ValueError):
        return None  # Somebody else stored it.


def _generation(dumped: dict[str, Any]) -> Generation:
    if "message" not in dumped:
        return Generation(text=dumped["text"], generation_info=dumped["info"])
    (message,) = messages_from_dict([dumped["message"]])
    return ChatGeneration(message=message, generation_info=dumped["info"])


def _log_not_asked(error: CacheAIError) -> None:
    log.warning("Called without the cache, which is out of reach: %s", error)
