"""How does an answer become JSON, and the same answer again?

What comes back is of a type from `openai.types`, `anthropic.types` or the caller's own annotation. What was stored
can name no other: it is data, and runs nothing.
"""

import math
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, get_args

import httpx2
import openai
from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from ._call_key import Unserialisable

PROVIDER_TYPES: Final = ("openai.types.", "anthropic.types.")
ANNOTATED: Final = "annotated"
PLAIN: Final = "plain"
STREAM: Final = "stream"

# How each protocol says that a stream is whole; without it the provider broke off.
LAST_EVENTS: Final = frozenset({"response.completed", "message_stop"})

Stored = dict[str, Any]


def stored(answer: Any, annotation: Any = None) -> Stored:
    """Raises Unserialisable."""
    named = _name(type(answer))
    if named.startswith(PROVIDER_TYPES) and "[" not in named:
        return {"type": named, "value": answer.to_dict(mode="json")}
    if is_plain(answer):
        return {"type": PLAIN, "value": answer}
    if (annotated := _as_annotated(answer, annotation)) is not None:
        return annotated
    raise Unserialisable(f"an answer of type {type(answer).__module__}.{type(answer).__qualname__}")


def answer_of(found: Any, annotation: Any = None) -> Any:
    """Raises Unserialisable if something else stored it, or the annotation was another then."""
    kind = found.get("type") if isinstance(found, Mapping) else None
    if kind == STREAM:
        return _replayed(found, annotation)
    if kind == PLAIN:
        return found["value"]
    if kind == ANNOTATED and (adapter := _adapter(annotation)):
        try:
            return adapter.validate_python(found["value"])
        except ValidationError as error:
            raise Unserialisable("an answer under another annotation") from error
    if isinstance(kind, str) and kind.startswith(PROVIDER_TYPES):
        return _provider_type(kind).construct(**found["value"])
    raise Unserialisable("an entry that nobody stored here")


def is_stream(answer: Any) -> bool:
    return isinstance(answer, (Generator, *_sdk_streams("Stream").values()))


def is_async_stream(answer: Any) -> bool:
    return isinstance(answer, (AsyncGenerator, *_sdk_streams("AsyncStream").values()))


def streamed(answer: Any) -> Any:
    """What is meant to be a stream, as one: any iterator, or a list of what it would have held."""
    if isinstance(answer, AsyncIterator):
        return answer if is_async_stream(answer) else _passed_on(answer)
    if isinstance(answer, Iterator | list):
        return answer if is_stream(answer) else (item for item in answer)
    return answer


def is_stored_stream(found: Any) -> bool:
    return isinstance(found, Mapping) and found.get("type") == STREAM


def recorded(stream: Any, keep: Callable[[list[Any]], None]) -> Any:
    """The same stream; once it was read to its end, `keep` gets what it held."""
    if isinstance(stream, Generator):
        return _recording(stream, keep)
    stream._iterator = _recording(stream._iterator, keep)
    return stream


def recorded_async(stream: Any, keep: Callable[[list[Any]], Awaitable[None]]) -> Any:
    if isinstance(stream, AsyncGenerator):
        return _recording_async(stream, keep)
    stream._iterator = _recording_async(stream._iterator, keep)
    return stream


def stream_name(stream: Any) -> str:
    if isinstance(stream, Generator):
        return "generator"
    if isinstance(stream, AsyncGenerator):
        return "async_generator"
    return next(name for name, kind in _sdk_streams().items() if isinstance(stream, kind))


def stored_stream(of: str, items: list[Any], annotation: Any = None) -> Stored:
    """Raises Unserialisable, of a provider's stream that broke off too."""
    each = _each(annotation)
    written = [stored(item, each) for item in items]
    if of in _sdk_streams() and not any(map(_ends_it, written)):
        raise Unserialisable("a stream that broke off")
    types = list(dict.fromkeys(item["type"] for item in written))
    return {
        "type": STREAM,
        "of": of,
        "types": types,
        "value": [[types.index(item["type"]), item["value"]] for item in written],
    }


def is_plain(value: Any) -> bool:
    """Whether JSON gives back the very same."""
    if type(value) is list:
        return all(map(is_plain, value))
    if type(value) is dict:
        return all(type(name) is str and is_plain(inner) for name, inner in value.items())
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


def _recording(items: Iterator[Any], keep: Callable[[list[Any]], None]) -> Generator[Any, None, None]:
    held = []
    for item in items:
        held.append(item)
        yield item
    keep(held)


async def _recording_async(
    items: AsyncIterator[Any], keep: Callable[[list[Any]], Awaitable[None]]
) -> AsyncGenerator[Any, None]:
    held = []
    async for item in items:
        held.append(item)
        yield item
    await keep(held)


def _replayed(found: Mapping[str, Any], annotation: Any) -> Any:
    each = _each(annotation)
    items = [answer_of({"type": found["types"][index], "value": value}, each) for index, value in found["value"]]
    if found["of"] == "generator":
        return (item for item in items)
    if found["of"] == "async_generator":
        return _one_by_one(items)

    kind = _sdk_streams().get(found["of"])
    if kind is None:
        raise Unserialisable("a stream of a package that is not loaded")
    # Their constructors want a connection. All there is to close is a response without one.
    stream = kind.__new__(kind)
    stream._iterator = _one_by_one(items) if "Async" in found["of"] else iter(items)
    stream.response = httpx2.Response(200)
    return stream


async def _passed_on(items: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    async for item in items:
        yield item


async def _one_by_one(items: list[Any]) -> AsyncGenerator[Any, None]:
    for item in items:
        yield item


def _sdk_streams(*kinds: str) -> dict[str, Any]:
    """Of each package that the program has loaded."""
    loaded = (sys.modules[name] for name in ("openai", "anthropic") if name in sys.modules)
    return {
        f"{package.__name__}.{kind}": getattr(package, kind)
        for package in loaded
        for kind in kinds or ("Stream", "AsyncStream")
    }


def _each(annotation: Any) -> Any:
    """What a stream of this annotation holds."""
    return next(iter(get_args(annotation)), None)


def _ends_it(item: Stored) -> bool:
    value = item["value"]
    if not isinstance(value, Mapping):
        return False
    choices = value.get("choices") or ()
    return value.get("type") in LAST_EVENTS or any(choice.get("finish_reason") for choice in choices)


def _as_annotated(answer: Any, annotation: Any) -> Stored | None:
    """None: this annotation does not bring the same answer back."""
    adapter = _adapter(annotation)
    if adapter is None:
        return None
    try:
        value = adapter.dump_python(answer, mode="json", warnings="error")
        back = adapter.validate_python(value)
    except (PydanticSerializationError, ValidationError):
        return None
    same = type(back) is type(answer) and back == answer
    return {"type": ANNOTATED, "value": value} if same and is_plain(value) else None


@lru_cache(maxsize=256)
def _adapter_of(annotation: Any) -> "TypeAdapter[Any] | None":
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        return None


def _adapter(annotation: Any) -> "TypeAdapter[Any] | None":
    return None if annotation is None else _adapter_of(annotation)


def _provider_type(named: str) -> type[openai.BaseModel]:
    module, _, name = named.partition(":")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise Unserialisable("an answer of a type that this version does not have") from error
    if not (isinstance(kind, type) and hasattr(kind, "construct")):
        raise Unserialisable("an entry that nobody stored here")
    return kind


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
