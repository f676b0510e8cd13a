"""What are a project's rules?"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

DAY_SECONDS = 86_400

# Cosine of plain MiniLM vectors under which nothing is served; see the README for what it buys.
DEFAULT_SIMILARITY_FLOOR = 0.90


class BadPolicy(ValueError):
    """A rule has a value that cannot be kept."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A project's rules. Refuses bad values when built."""

    mode: Literal["on", "exact", "off"] = "on"
    similarity_floor: float = DEFAULT_SIMILARITY_FLOOR
    ttl_seconds: int | None = 7 * DAY_SECONDS
    tools: Literal["off", "exact", "similar"] = "exact"
    max_temperature: float = 1.0
    volatile_ttl_seconds: int = 0  # 0: a question about the present is not cached at all
    stale_on_error_seconds: int = 0  # how long past its end an entry may stand in for a failing provider
    end_users: Literal["optional", "separate"] = "optional"
    allow_base_url: bool = True  # a URL from a header, with the caller's own credential

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, "on", "exact", "off")
        _one_of("tools", self.tools, "off", "exact", "similar")
        _one_of("end_users", self.end_users, "optional", "separate")
        _within("similarity_floor", self.similarity_floor, 0, 1)
        _within("max_temperature", self.max_temperature, 0, 2)
        _within("ttl_seconds", self.ttl_seconds, 1, 3650 * DAY_SECONDS)
        _within("volatile_ttl_seconds", self.volatile_ttl_seconds, 0, DAY_SECONDS)
        _within("stale_on_error_seconds", self.stale_on_error_seconds, 0, 30 * DAY_SECONDS)

    @classmethod
    def build(cls, settings: Mapping[str, Any]) -> Self:
        """From stored settings; raises BadPolicy on an unknown name or a bad value."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise BadPolicy(f"unknown rule {unknown[0]!r}; known are {', '.join(sorted(known))}")
        return cls(**settings)


def _one_of(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise BadPolicy(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _within(name: str, value: float | None, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadPolicy(f"{name} must be a number from {low} to {high}, not {value!r}")
