"""What was the client told: by argument, else by environment, else by default?"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from ._errors import ConfigurationError

__version__: Final = "1.0.0"

DEFAULT_BASE_URL: Final = "https://api.cacheai.tech/v1"
DEFAULT_TIMEOUT_SECONDS: Final = 60.0
DEFAULT_MAX_RETRIES: Final = 2

ON: Final = frozenset({"1", "true", "yes", "on"})
OFF: Final = frozenset({"0", "false", "no", "off"})

# Two spellings of one thing, each with headers of its own. If they differ, neither can be believed.
SPELLINGS: Final = (
    ("backend_provider", "baseline_model_provider"),
    ("backend_api_key", "baseline_model_api_key"),
    ("backend_base_url", "baseline_model_base_url"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every call of a client asks of the cache; each field is an argument of `Client` and one header."""

    enable_cache: bool = True
    backend_provider: str | None = None
    backend_api_key: str | None = field(default=None, repr=False)
    backend_base_url: str | None = None
    baseline_model_provider: str | None = None
    baseline_model: str | None = None
    baseline_model_api_key: str | None = field(default=None, repr=False)
    baseline_model_base_url: str | None = None
    namespace: str | None = None
    ttl: int | str | timedelta | None = None
    similarity_threshold: float | None = None
    tags: str | Iterable[str] | None = None
    end_user: str | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        if self.tags is not None and not isinstance(self.tags, str):
            object.__setattr__(self, "tags", tuple(self.tags))  # An iterator would be spent.
        for one, other in SPELLINGS:
            spellings = {value for value in (getattr(self, one), getattr(self, other)) if value}
            if len(spellings) > 1:
                raise ConfigurationError(f"{one} and {other} mean the same and differ: give one of them")

        for name, value in self.headers().items():
            require_header_text(name, value)
        for name in ("backend_base_url", "baseline_model_base_url"):
            if address := getattr(self, name):
                require_web_address(name, address)

    def headers(self) -> dict[str, str]:
        """Only what was set: an absent header leaves the choice to the project's policy."""
        sent = {
            "Enable-Cache": None if self.enable_cache else "false",
            "Backend-Provider": self.backend_provider,
            "Backend-API-Key": self.backend_api_key,
            "Backend-Base-URL": self.backend_base_url,
            "Baseline-Model-Provider": self.baseline_model_provider,
            "Baseline-Model": self.baseline_model,
            "Baseline-Model-API-Key": self.baseline_model_api_key,
            "Baseline-Model-Base-URL": self.baseline_model_base_url,
            "Namespace": self.namespace,
            "TTL": _seconds(self.ttl),
            "Similarity-Threshold": _text(self.similarity_threshold),
            "Tags": _comma_list(self.tags),
            "End-User": self.end_user,
            "Task": self.task,
        }
        return {f"X-CacheAI-{name}": value for name, value in sent.items() if value}


def text_or_variable(name: str, given: str | None) -> str | None:
    """The argument, else its variable. An empty argument counts, and switches the variable off."""
    value = given if given is not None else os.environ.get(f"CACHEAI_{name.upper()}")
    return value or None


def switch_or_variable(name: str, given: bool | None, *, default: bool) -> bool:
    if given is not None:
        return given

    text = text_or_variable(name, None)
    if text is None:
        return default
    if text.strip().lower() in ON | OFF:
        return text.strip().lower() in ON
    raise ConfigurationError(f"CACHEAI_{name.upper()} must be true or false")


def is_set(variable: str) -> bool:
    """Whether a variable of another system is still there, that has no effect any more."""
    return bool(os.environ.get(variable))


def require_header_text(name: str, value: str) -> None:
    """Refuse here, with a name, what the HTTP library would refuse in the middle of a call, with none."""
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        # The value stays out of the message: it may be a key.
        raise ConfigurationError(f"{name} must be printable ASCII, no blanks around it: it travels in a header")


def require_web_address(name: str, value: str) -> None:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        whole = False
    if not whole:
        raise ConfigurationError(f"{name} must be an address with http:// or https://")


def _seconds(ttl: int | str | timedelta | None) -> str | None:
    return _text(int(ttl.total_seconds()) if isinstance(ttl, timedelta) else ttl)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _comma_list(tags: str | Iterable[str] | None) -> str | None:
    if tags is None or isinstance(tags, str):
        return tags

    tags = tuple(tags)
    if any("," in tag for tag in tags):
        raise ConfigurationError("a tag cannot hold a comma")
    return ",".join(tags)
