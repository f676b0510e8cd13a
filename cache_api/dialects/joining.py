"""What whole answer do the chunks of a stream come to?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_Choices = dict[int, dict[str, Any]]  # by index


class CannotJoin(ValueError):
    """The chunks hold something whose joining is not known: the answer is relayed but not stored."""


_NOISE = frozenset({"obfuscation"})  # padding that hides token lengths on the wire


def join_chat(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The chat completion that would have come without `stream`. Raises CannotJoin."""
    return _join(chunks, "chat.completion", _join_choice)


def join_completion(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The text completion that would have come without `stream`."""
    return _join(chunks, "text_completion", _join_text_choice)


def _join(
    chunks: Sequence[Mapping[str, Any]], kind: str, join_choice: Callable[[_Choices, Mapping[str, Any]], None]
) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    choices: _Choices = {}
    for chunk in chunks:
        for name, value in chunk.items():
            if name == "choices":
                for choice in value or ():
                    join_choice(choices, choice)
            elif name not in _NOISE and (value not in (None, "") or name not in whole):  # Azure's have empty ones
                whole[name] = value
    whole["object"] = kind
    whole["choices"] = [choices[index] for index in sorted(choices)]
    return whole


def _join_text_choice(choices: _Choices, part: Mapping[str, Any]) -> None:
    index = part.get("index", 0)
    choice = choices.setdefault(index, {"text": "", "index": index, "logprobs": None, "finish_reason": None})
    for name, value in part.items():
        if name == "text":
            choice["text"] += value or ""
        elif name == "logprobs":
            choice["logprobs"] = _joined_logprobs(choice["logprobs"], value)
        elif value is not None or name not in choice:
            choice[name] = value


def _join_choice(choices: _Choices, part: Mapping[str, Any]) -> None:
    index = part.get("index", 0)
    choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant", "content": None}})
    for name, value in part.items():
        if name == "delta":
            _join_message(choice["message"], value or {})
        elif name == "logprobs":
            choice["logprobs"] = _joined_logprobs(choice.get("logprobs"), value)
        elif name != "index" and (value is not None or name not in choice):
            choice[name] = value
    choice.setdefault("finish_reason", None)


def _join_message(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            for part in value or ():
                _join_tool_call(message.setdefault("tool_calls", []), part)
        elif name == "function_call" and isinstance(value, Mapping):
            _join_strings(message.setdefault("function_call", {}), value, ("name", "arguments"))
        elif name == "reasoning_details" and isinstance(value, list):
            message[name] = _joined_details(message.get(name) or [], value)
        elif name == "role":
            message["role"] = value or message["role"]
        elif isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        elif isinstance(value, list):
            message[name] = [*(message.get(name) or []), *value]
        elif value is None:
            message.setdefault(name, None)
        elif message.get(name) in (None, value):
            message[name] = value
        else:
            raise CannotJoin(name)


def _joined_details(details: list[Any], parts: list[Any]) -> list[Any]:
    """OpenRouter's: what goes on under the last one's index belongs to it."""
    joined = [*details]
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, dict) and isinstance(last, dict) and _goes_on(part, last):
            joined[-1] = dict(last)
            _join_strings(joined[-1], part, ("text", "summary", "data"))
        else:
            joined.append(part)
    return joined


def _goes_on(part: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    return part.get("index") is not None and all(part.get(name) == last.get(name) for name in ("index", "type"))


def _join_tool_call(calls: list[dict[str, Any]], part: Mapping[str, Any]) -> None:
    index = part.get("index", len(calls) - 1 if calls else 0)
    if not isinstance(index, int) or not 0 <= index <= len(calls):
        raise CannotJoin("tool_calls")
    if index == len(calls):
        calls.append({})
    call = calls[index]
    for name, value in part.items():
        if name in {"function", "custom"} and isinstance(value, Mapping):
            _join_strings(call.setdefault(name, {}), value, ("name", "arguments", "input"))
        elif name != "index" and value is not None:
            call[name] = value


def _join_strings(whole: dict[str, Any], part: Mapping[str, Any], grows: tuple[str, ...]) -> None:
    for name, value in part.items():
        if name in grows and isinstance(value, str):
            whole[name] = (whole.get(name) or "") + value
        elif value is not None:
            whole[name] = value


def _joined_logprobs(whole: Any, part: Any) -> Any:
    if not isinstance(part, Mapping):
        return whole
    joined = dict(whole or {})
    for name, value in part.items():
        if isinstance(value, list):
            joined[name] = [*(joined.get(name) or []), *value]
        else:
            joined.setdefault(name, value)
    return joined
