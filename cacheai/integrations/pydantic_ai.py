"""What if a Pydantic AI agent was asked the very same before?

Exact only: an agent acts on what it reads, so nothing is served to a question in other words. What counts is what the
agent is about to send: a run goes as far as its first request, and there ends with the stored answer or goes on.
"""

import inspect
import warnings
from asyncio import run, sleep
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Final, NamedTuple, Union

import httpx2
from pydantic import TypeAdapter
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import Hooks
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    UsageLimitExceeded,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.output import NativeOutput, PromptedOutput, TextOutput, ToolOutput
from pydantic_ai.usage import RunUsage

from .._call_key import Unserialisable, text_of
from .._client import AsyncClient, Client
from .._config import is_set
from .._errors import RateLimitError, ValidationError
from .._llm_cache import Found, Kept, LLMCache, Nothing, returned
from .._typed_json import answer_of, stored

DEFAULT_TTL_SECONDS: Final = 15 * 24 * 3600
REDIS_VARIABLE: Final = "LLM_CACHE_REDIS_URL"

# Known by what the agent sends, or no part of what is asked.
NOT_ASKED: Final = frozenset(
    {"model", "toolsets", "instructions", "message_history", "model_settings", "output_type", "usage", "infer_name"}
    | {"run_id", "conversation_id", "timeout", "cancellation_token"}
)

# Different each time a message is made.
OF_THE_MOMENT: Final = frozenset({"timestamp", "run_id", "conversation_id"})

USAGE: Final = TypeAdapter(RunUsage)

MessageConverter = Callable[[list[Any]], list[ModelMessage]]
ExpenseRecorder = Callable[[str, str, float | None], Awaitable[None] | None]


class ModelCosts(NamedTuple):
    """Dollars for a million tokens; without prices of their own, cached tokens cost what others do."""

    cost_per_million_input_tokens: float
    cost_per_million_output_tokens: float
    cost_per_million_caching_input_tokens: float | None = None
    cost_per_million_caching_hit_tokens: float | None = None


class CachedUsage(RunUsage):
    """The usage of the run that was stored; older code calls it."""

    def __call__(self) -> RunUsage:
        return self


@dataclass(frozen=True)
class CachedResult:
    """What a hit has of a run's result. `usage` and `cost` are of the run that was paid for."""

    output: Any
    usage: CachedUsage
    cost: float | None


def default_message_converter(messages: list[Any]) -> list[ModelMessage]:
    """Texts are the user's, mappings have `role` and `content`; messages stay as they are. Raises ValueError."""
    return [_message(index, message) for index, message in enumerate(messages)]


async def cached_agent_run(
    agent: Agent[Any, Any],
    prompt: str | Sequence[Any],
    task_name: str,
    *,
    ttl: int = DEFAULT_TTL_SECONDS,
    transcript_history: list[Any] | None = None,
    max_wait: float = 10.0,
    initial_wait: float = 1.0,
    message_converter: MessageConverter = default_message_converter,
    expense_recorder: ExpenseRecorder | None = None,
    redis_url: str | None = None,
    custom_costs: Mapping[str, ModelCosts] | None = None,
    full_result: bool = False,
    skip_cache: bool = False,
    client: Client | AsyncClient | None = None,
    **run_kwargs: Any,
) -> Any:
    """The agent's output, from the cache if the very same was asked within `ttl` seconds.

    `run_kwargs` are for `agent.run`. `expense_recorder` hears model, task and dollars: 0 on a hit, None without a
    price. Rate limits are waited out, first `initial_wait` seconds, then twice that; once a wait would be longer than
    `max_wait`: RateLimitError.
    """
    if not prompt:
        raise ValidationError("the prompt is empty")
    if redis_url or is_set(REDIS_VARIABLE):
        warnings.warn(f"redis_url and {REDIS_VARIABLE} have no effect: CacheAI keeps the answers", stacklevel=2)
    for name, costs in (custom_costs or {}).items():
        if not isinstance(costs, ModelCosts):
            raise ValidationError(f"custom_costs[{name!r}] must be ModelCosts")
    if transcript_history is not None:
        if "message_history" in run_kwargs:
            raise ValidationError("transcript_history and message_history mean the same: give one of them")
        run_kwargs["message_history"] = message_converter(transcript_history)

    cache = None if skip_cache else _cache_of(client)
    asking = _Run(agent, prompt, run_kwargs, cache)
    try:
        result = await _waited_out(asking, initial_wait, max_wait)
    except _Hit as hit:
        await _told(expense_recorder, asking.model, task_name, 0)
        return hit.result if full_result else hit.result.output

    cost = _cost(result.usage, asking.model, custom_costs or {})
    try:
        await _told(expense_recorder, asking.model, task_name, cost)
    finally:
        # The answer is paid for, whatever becomes of the note.
        await asking.keep(result, cost, task_name, ttl)
    return result if full_result else result.output


def cached_agent_run_sync(agent: Agent[Any, Any], prompt: str | Sequence[Any], task_name: str, **options: Any) -> Any:
    """As `cached_agent_run`, where no event loop runs."""
    return run(cached_agent_run(agent, prompt, task_name, **options))


cached_agent_run_sync.__signature__ = inspect.signature(cached_agent_run)  # type: ignore[attr-defined]


class _Hit(Exception):
    """Ends a run before its first request."""

    def __init__(self, result: CachedResult) -> None:
        self.result = result


@dataclass
class _Run:
    """One question to an agent, asked as often as its provider wants."""

    agent: Agent[Any, Any]
    prompt: Any
    options: dict[str, Any]
    cache: LLMCache | None
    model: str = "unknown"
    key: str | None = None
    began: bool = False
    annotation: Any = field(init=False)

    def __post_init__(self) -> None:
        self.annotation = _annotation(self.options.get("output_type") or self.agent.output_type)

    async def ask(self) -> Any:
        """Raises _Hit."""
        capabilities = [*(self.options.get("capabilities") or ()), Hooks(before_model_request=self._before_request)]
        return await self.agent.run(self.prompt, **{**self.options, "capabilities": capabilities})

    async def keep(self, result: Any, cost: float | None, task_name: str, ttl_seconds: int) -> None:
        if self.cache is None or self.key is None:
            return

        def write() -> dict[str, Any]:
            usage = USAGE.dump_python(result.usage, mode="json", exclude={"cost"})
            return stored({"output": stored(result.output, self.annotation), "usage": usage, "cost": cost})

        kept = Kept(model=self.model, endpoint=task_name, ttl_seconds=ttl_seconds)
        await self.cache.keep_async(self.key, write, kept)

    async def _before_request(self, _: RunContext[Any], request: ModelRequestContext) -> ModelRequestContext:
        if self.began:
            return request
        self.began = True
        self.model = request.model.model_name
        if self.cache is None:
            return request

        try:
            key = self._text(request)
        except Unserialisable as error:
            self.cache.warn_once(f"an agent called with {error}")
            return request
        found = await self.cache.find_async(key)
        if isinstance(found, Found):
            try:
                raise _Hit(_result(found.answer, self.annotation))
            except Unserialisable:
                found = Nothing.MISS  # Of an output type that has changed since.
        if found is Nothing.MISS:
            self.key = key
        return request

    def _text(self, request: ModelRequestContext) -> str:
        parameters = request.model_request_parameters
        asked = {item.name: getattr(parameters, item.name) for item in fields(parameters) if item.name[0] != "_"}
        return text_of(
            model=[request.model.system, request.model.model_name, request.model.base_url],
            messages=_lasting(request.messages),
            settings=request.model_settings,
            asked=asked,
            output=str(self.annotation),
            options={name: value for name, value in self.options.items() if name not in NOT_ASKED},
        )


@lru_cache(maxsize=8)
def _cache_of(client: Client | AsyncClient | None) -> LLMCache:
    """One for each client: it remembers what it warned of, and its connections."""
    return LLMCache(client)


async def _waited_out(run: _Run, wait_seconds: float, max_wait_seconds: float) -> Any:
    """Raises _Hit, RateLimitError."""
    while True:
        try:
            return await run.ask()
        except (UsageLimitExceeded, ModelAPIError) as error:
            if not _is_limit(error):
                raise
            if wait_seconds > max_wait_seconds:
                raise _rate_limit_error(error) from error
        await sleep(wait_seconds)
        wait_seconds *= 2


def _is_limit(error: Exception) -> bool:
    """Whether it may pass: a spent quota does not."""
    if isinstance(error, UsageLimitExceeded | ModelRateLimitError):
        return True
    spent = isinstance(error, ModelQuotaExceededError)
    return isinstance(error, ModelHTTPError) and error.status_code == 429 and not spent


def _rate_limit_error(error: Exception) -> RateLimitError:
    response = httpx2.Response(429, request=httpx2.Request("POST", ""))
    return RateLimitError(str(error), response=response, body=getattr(error, "body", None))


def _result(found: Any, annotation: Any) -> CachedResult:
    """Raises Unserialisable."""
    if not (isinstance(found, dict) and found.keys() >= {"output", "usage", "cost"}):
        raise Unserialisable("an entry that nobody stored here")
    usage = CachedUsage(**vars(USAGE.validate_python(found["usage"])))
    return CachedResult(answer_of(found["output"], annotation), usage, found["cost"])


def _cost(usage: RunUsage, model: str, custom_costs: Mapping[str, ModelCosts]) -> float | None:
    """By the caller's prices, else by those Pydantic AI knows."""
    costs = custom_costs.get(model)
    if costs is None:
        return None if usage.cost is None else float(usage.cost)

    price = costs.cost_per_million_input_tokens
    writing, reading = costs.cost_per_million_caching_input_tokens, costs.cost_per_million_caching_hit_tokens
    plain_tokens = usage.input_tokens - usage.cache_write_tokens - usage.cache_read_tokens
    millions_of_dollars = (
        plain_tokens * price
        + usage.cache_write_tokens * (price if writing is None else writing)
        + usage.cache_read_tokens * (price if reading is None else reading)
        + usage.output_tokens * costs.cost_per_million_output_tokens
    )
    return millions_of_dollars / 1_000_000


async def _told(recorder: ExpenseRecorder | None, model: str, task_name: str, cost: float | None) -> None:
    if recorder is not None and inspect.isawaitable(told := recorder(model, task_name, cost)):
        await told


def _lasting(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    """The messages without what differs each time they are made. What a tool was given or gave stays whole."""
    dumped: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(messages, mode="json")
    return [_without({**message, "parts": [_without(part) for part in message["parts"]]}) for message in dumped]


def _without(fields_of_one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields_of_one.items() if name not in OF_THE_MOMENT}


def _annotation(output_type: Any) -> Any:
    """Of what an agent with this output type returns."""
    if isinstance(output_type, Sequence):
        return Union[tuple(_annotation(one) for one in output_type)]  # noqa: UP007  # it is not known here which
    if isinstance(output_type, ToolOutput):
        return _annotation(output_type.output)
    if isinstance(output_type, NativeOutput | PromptedOutput):
        return _annotation(output_type.outputs)
    if isinstance(output_type, TextOutput):
        return returned(output_type.output_function)
    if inspect.isroutine(output_type):
        return returned(output_type)
    return output_type


def _message(index: int, message: Any) -> Any:
    if isinstance(message, str):
        return ModelRequest(parts=[UserPromptPart(content=message)])
    if not isinstance(message, Mapping):
        if message is None:
            raise ValidationError(f"message {index} is None")
        return message

    role, content = message.get("role"), message.get("content")
    if not (isinstance(role, str) and isinstance(content, str)):
        raise ValidationError(f"message {index} needs role and content, both strings")
    match role:
        case "user":
            return ModelRequest(parts=[UserPromptPart(content=content)])
        case "system" | "developer":
            return ModelRequest(parts=[SystemPromptPart(content=content)])
        case "assistant":
            return ModelResponse(parts=[TextPart(content=content)])
    raise ValidationError(f"message {index} has a role that is neither user, assistant nor system: {role}")
