"""Is the body one that the provider takes?"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from cacheai.demo_provider.refusals import Refusal
from cacheai.demo_provider.reply import Json

OPENAI_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# No provider takes these; a gateway that has its own must take them out.
FOREIGN_FIELDS = ("cache", "cacheai")


def check_common(body: Json, *, hottest: float = 2.0) -> None:
    for field in FOREIGN_FIELDS:
        if field in body:
            raise Refusal(400, f"Unknown parameter: '{field}'.", param=field, code="unknown_parameter")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Refusal(400, "you must provide a model parameter", param="model", code="missing_required_parameter")
    check_number(body, "temperature", 0, hottest)
    check_number(body, "top_p", 0, 1)
    if not isinstance(body.get("stream"), bool | None):
        raise Refusal(400, "Invalid type for 'stream': expected a boolean.", param="stream", code="invalid_type")


def check_stream_options(body: Json) -> bool:
    """Whether usage is asked for on a stream."""
    options = body.get("stream_options")
    if options is None:
        return False
    if body.get("stream") is not True:
        raise Refusal(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    if not isinstance(options, dict):
        raise Refusal(400, "Invalid type for 'stream_options'.", param="stream_options", code="invalid_type")
    return options.get("include_usage") is True


def check_number(body: Json, field: str, least: float, most: float) -> None:
    value = body.get(field)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(400, f"Invalid type for '{field}': expected a number.", param=field, code="invalid_type")
    if not least <= value <= most:  # Also refuses NaN.
        raise Refusal(400, f"Invalid '{field}': must be between {least} and {most}.", param=field, code="invalid_value")


def checked_count(body: Json, *fields: str, most: int = 1_000_000) -> int | None:
    """The first of these fields that is given; they mean the same."""
    for field in fields:
        value = body.get(field)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refusal(400, f"Invalid type for '{field}': expected an integer.", param=field, code="invalid_type")
        if not 1 <= value <= most:
            raise Refusal(400, f"Invalid '{field}': out of range.", param=field, code="integer_out_of_range")
        return value
    return None


def checked_messages(body: Json, roles: Collection[str] = OPENAI_ROLES) -> list[Json]:
    messages = body.get("messages")
    if messages is None:
        raise Refusal(
            400,
            "Missing required parameter: 'messages'.",
            param="messages",
            code="missing_required_parameter",
        )
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "Invalid 'messages': expected a non-empty array.", param="messages", code="empty_array")
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if not isinstance(message, dict):
            raise Refusal(400, f"Invalid type for '{where}': expected an object.", param=where, code="invalid_type")
        role = message.get("role")
        if not isinstance(role, str) or role not in roles:
            raise Refusal(400, f"Invalid value for '{where}.role'.", param=f"{where}.role", code="invalid_value")
        if not isinstance(message.get("content"), str | list | None) or (
            message.get("content") is None and role in ("user", "system", "developer")
        ):
            raise Refusal(400, f"Invalid value for '{where}.content'.", param=f"{where}.content", code="invalid_type")
    return messages


def checked_stops(body: Json, field: str) -> tuple[str, ...]:
    stops = body.get(field)
    listed = [stops] if isinstance(stops, str) else stops or []
    if not isinstance(listed, list) or not all(isinstance(stop, str) for stop in listed):
        raise Refusal(400, f"Invalid type for '{field}'.", param=field, code="invalid_type")
    return tuple(stop for stop in listed if stop)


def checked_list(body: Json, field: str, holds: Callable[[Any], bool]) -> Sequence[Any]:
    values = body.get(field)
    if values is None:
        return []
    if not isinstance(values, list) or not all(holds(value) for value in values):
        raise Refusal(400, f"Invalid value for '{field}'.", param=field, code="invalid_value")
    return values


def text_of(content: object) -> str:
    """The words in a message's content: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def named(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and bool(value["name"])
