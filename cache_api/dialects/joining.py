"""What whole answer do the chunks of a chat stream come to?"""

from collections.abc import Mapping, Sequence
from typing import Any


class CannotJoin(ValueError):
    """The chunks hold something whose joining is not known: the answer is relayed but not stored."""


_NOISE = frozenset({"obfuscation"})  # padding that hides token lengths on the wire


def join_chat(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The chat completion that would have come without `stream`. Raises CannotJoin."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for name, value in chunk.items():
            if name == "choices":
                for choice in value or ():
                    _join_choice(choices, choice)
            elif name not in _NOISE and (value is not None or name not in whole):
                whole[name] = value
    whole["object"] = "chat.completion"
    whole["choices"] = [choices[index] for index in sorted(choices)]
    return whole


def _join_choice(choices: dict[int, dict[str, Any]], part: Mapping[str, Any]) -> None:
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
            whole[name] = whole.get(name, "") + value
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
