"""What does the environment say, and is it sane?"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar
from urllib.parse import unquote, urlsplit

T = TypeVar("T")

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})


class BadSetting(Exception):
    """A setting in the environment has a value that cannot be used."""


@dataclass(frozen=True)
class Smtp:
    """A mail server; without a host there is none."""

    host: str = ""
    port: int = 25
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    starttls: bool = False


def text(name: str, default: str) -> str:
    return os.environ.get(name) or default


def number(name: str, default: int, *, minimum: int = 0) -> int:
    return _read(name, default, int, f"a whole number of at least {minimum}", lambda value: value >= minimum)


def flag(name: str, default: bool) -> bool:
    raw = os.environ.get(name)
    if raw is None:
        return default

    if raw.strip().lower() in TRUE:
        return True
    if raw.strip().lower() in FALSE:
        return False
    raise BadSetting(f"{name} must be true or false, not {raw!r}")


def words(name: str, default: str = "") -> list[str]:
    """A comma list; blanks around the words do not count."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """A comma list of networks; an address is one by itself."""
    try:
        return [ip_network(word) for word in words(name)]
    except ValueError as error:
        raise BadSetting(f"{name} must be networks like 10.0.0.0/8, with commas between them: {error}") from None


def smtp(url: str) -> Smtp:
    """smtp://user:password@host:port, with ?starttls; or smtps://."""
    if not url:
        return Smtp()

    parts = urlsplit(url)
    tls = parts.scheme == "smtps"
    try:
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.query not in ("", "starttls"):
            raise ValueError
        port = parts.port or (465 if tls else 587 if parts.query else 25)
    except ValueError:  # Its text would hold the password.
        raise BadSetting("CACHEAI_SMTP_URL must be smtp://user:password@host:port, ?starttls, or smtps://") from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Smtp(parts.hostname, port, user, password, tls=tls, starttls=parts.query == "starttls")


def _read(name: str, default: T, convert: Callable[[str], T], wanted: str, ok: Callable[[T], bool]) -> T:
    raw = os.environ.get(name)
    if not raw:
        return default

    try:
        value = convert(raw)
    except ValueError:
        raise BadSetting(f"{name} must be {wanted}, not {raw!r}") from None
    if not ok(value):
        raise BadSetting(f"{name} must be {wanted}, not {raw!r}")
    return value
