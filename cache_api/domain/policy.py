"""What are a project's rules?"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from cache_api.domain.provider import providers

DAY_SECONDS = 86_400
TEXT_MAX_CHARACTERS = 10_000
NAME_MAX_CHARACTERS = 256

# A floor under the probability, which alone decides above it; of plain MiniLM vectors, hardly any that is right lies
# lower.
DEFAULT_SIMILARITY_FLOOR = 0.70
DEFAULT_MAX_WRONG_HIT_RATE = 0.02
DEFAULT_SYNTHESIS_FLOOR = 0.80  # under it the stored answers are about something else
DEFAULT_VERIFY_SHARE = 0.03  # of the hits by similarity
DEFAULT_VERIFY_BUDGET_USD = 5.0
LEARNT = frozenset({"learnt_cut", "checked", "labels", "alarmed"})


class BadPolicy(ValueError):
    """A rule has a value that cannot be kept."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A project's rules. Refuses bad values when built.

    Synthesis: where stored questions are near the asked one, but none near enough to be served, `synthesis_model` may
    answer it from their answers. `auto` hands it those alone that every guard lets pass: nothing but a few points of
    cosine keeps them from being served. `always` hands it also those that a guard refused, whose numbers, names or
    negations are others than what was asked: cheaper more often, and more often wrong.
    """

    mode: Literal["on", "shadow", "exact", "off"] = "on"  # shadow: decide and record, never serve
    max_wrong_hit_rate: float = DEFAULT_MAX_WRONG_HIT_RATE  # of the hits by similarity; 0: none are served
    similarity_floor: float = DEFAULT_SIMILARITY_FLOOR
    ttl_seconds: int | None = 7 * DAY_SECONDS
    tools: Literal["off", "exact", "similar"] = "exact"
    max_temperature: float = 1.0
    volatile_ttl_seconds: int = 0  # 0: a question about the present is not cached at all
    stale_on_error_seconds: int = 0  # how long past its end an entry may stand in for a failing provider
    end_users: Literal["optional", "separate"] = "optional"
    allow_base_url: bool = True  # a URL from a header, with the caller's own credential
    blocklist: Literal["refuse", "skip", "observe", "off"] = "refuse"  # what becomes of a question that is on it
    blocklist_text: str = ""  # what `skip` answers
    synthesis: Literal["off", "auto", "always"] = "off"
    synthesis_model: str = ""
    synthesis_provider: str = ""  # empty: the one that was asked
    synthesis_floor: float = DEFAULT_SYNTHESIS_FLOOR
    actions: Literal["similar", "exact", "off"] = "similar"  # a request to do something: cancel, order, send
    personal: Literal["similar", "exact", "off"] = "similar"  # a question about the asker's own data
    maths: Literal["similar", "exact", "off"] = "exact"
    verify_model: str = ""  # who says of a share of the hits whether they were right; empty: nobody
    verify_provider: str = ""  # whose it is; with the Tenant's ProviderKey
    verify_share: float = DEFAULT_VERIFY_SHARE
    verify_budget_usd: float = DEFAULT_VERIFY_BUDGET_USD  # a month
    # Learnt, not set: the least probability at which the promise is kept here, and whether any answer was checked.
    learnt_cut: float | None = None
    checked: bool = False
    labels: int = 0  # checks so far
    alarmed: bool = False  # more answers were wrong than foretold

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, "on", "shadow", "exact", "off")
        _one_of("tools", self.tools, "off", "exact", "similar")
        _one_of("end_users", self.end_users, "optional", "separate")
        if self.max_wrong_hit_rate != 0:
            _within("max_wrong_hit_rate", self.max_wrong_hit_rate, 0.001, 0.10, besides="0 or ")
        _within("similarity_floor", self.similarity_floor, 0, 1)
        _within("max_temperature", self.max_temperature, 0, 2)
        _within("ttl_seconds", self.ttl_seconds, 1, 3650 * DAY_SECONDS)
        _within("volatile_ttl_seconds", self.volatile_ttl_seconds, 0, DAY_SECONDS)
        _within("stale_on_error_seconds", self.stale_on_error_seconds, 0, 30 * DAY_SECONDS)
        _one_of("blocklist", self.blocklist, "refuse", "skip", "observe", "off")
        _text("blocklist_text", self.blocklist_text, TEXT_MAX_CHARACTERS)
        _one_of("synthesis", self.synthesis, "off", "auto", "always")
        _text("synthesis_model", self.synthesis_model, NAME_MAX_CHARACTERS)
        if self.synthesis_provider:
            _one_of("synthesis_provider", self.synthesis_provider, *sorted(providers()))
        _within("synthesis_floor", self.synthesis_floor, 0, 1)
        for name in ("actions", "personal", "maths"):
            _one_of(name, getattr(self, name), "similar", "exact", "off")
        _text("verify_model", self.verify_model, NAME_MAX_CHARACTERS)
        if self.verify_provider or self.verify_model:
            _one_of("verify_provider", self.verify_provider, *sorted(providers()))
        _within("verify_share", self.verify_share, 0, 1)
        _within("verify_budget_usd", self.verify_budget_usd, 0, 1_000_000)
        if self.synthesis != "off" and not self.synthesis_model:
            raise BadPolicy(f"synthesis={self.synthesis} needs synthesis_model, the name of a small model")

    @classmethod
    def build(cls, settings: Mapping[str, Any]) -> Self:
        """From stored settings; raises BadPolicy on an unknown name or a bad value."""
        known = {field.name for field in fields(cls)} - LEARNT
        if unknown := sorted(set(settings) - known):
            raise BadPolicy(f"unknown rule {unknown[0]!r}; known are {', '.join(sorted(known))}")
        return cls(**settings)


def _one_of(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise BadPolicy(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _text(name: str, value: str, longest: int) -> None:
    if not isinstance(value, str) or len(value) > longest or "\x00" in value:
        raise BadPolicy(f"{name} must be a text of at most {longest} characters, without NUL")


def _within(name: str, value: float | None, low: float, high: float, *, besides: str = "") -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadPolicy(f"{name} must be {besides}a number from {low} to {high}, not {value!r}")
