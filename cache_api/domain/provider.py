"""Which provider answers a model, and where is it?

`providers.json` beside this package lists them all; no code knows one by name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PROVIDERS_FILE = Path(__file__).resolve().parent.parent / "providers.json"
CUSTOM = "custom"  # a base URL alone names no provider


@dataclass(frozen=True, slots=True)
class Provider:
    name: str
    base_url: str
    speaks: frozenset[str]  # C chat, T completions, R responses, M messages, E embeddings
    auth_header: str = "authorization"
    messages_auth_header: str = "authorization"
    takes_stream_options: bool = True
    beginnings: tuple[str, ...] = ()
    needs_key: bool = True
    public_key: str = ""  # sent where the caller has none: any will do
    self_hosted_only: bool = False
    credential_path: str = "models"  # what only a good credential may read


class NoSuchProvider(ValueError):
    """The provider is not one we know."""


@cache
def providers() -> Mapping[str, Provider]:
    rows: list[dict[str, Any]] = json.loads(PROVIDERS_FILE.read_text())["providers"]
    return {row["name"]: _provider(row) for row in rows}


def _provider(row: Mapping[str, Any]) -> Provider:
    return Provider(
        name=row["name"],
        base_url=row["base_url"],
        speaks=frozenset(row["speaks"]),
        auth_header=row.get("auth_header", "authorization"),
        messages_auth_header=row.get("messages_auth_header", row.get("auth_header", "authorization")),
        takes_stream_options=row.get("stream_options", True),
        beginnings=tuple(row.get("beginnings", ())),
        needs_key=row.get("needs_key", True),
        public_key=row.get("public_key", ""),
        self_hosted_only=row.get("self_hosted_only", False),
        credential_path=row.get("credential_path", "models"),
    )


def choose(
    known: Mapping[str, Provider], *, named: str, base_url: str, key_default: str, model: str, speaks: str
) -> tuple[Provider, str]:
    """The provider of a call and the model's name there; raises NoSuchProvider.

    The first that applies: the name in a header, a base URL alone, the key's default if it speaks the dialect, the
    model's prefix `name/` (cut off) or its beginning, else the dialect's own house. `speaks` is "" where no dialect is.
    """
    if named:
        if named not in known:
            raise NoSuchProvider(f"Unknown provider {named!r}. Known are: {', '.join(sorted(known))}.")
        return known[named], _without_prefix(model, named)
    if base_url:
        return known[CUSTOM], model
    if key_default in known and (not speaks or speaks in known[key_default].speaks):
        return known[key_default], _without_prefix(model, key_default)

    prefix, slash, _ = model.partition("/")
    if slash and prefix in known:
        return known[prefix], _without_prefix(model, prefix)
    for provider in known.values():
        if model.startswith(provider.beginnings or ("\0",)):
            return provider, model
    return known["anthropic" if speaks == "M" else "openai"], model


def _without_prefix(model: str, provider: str) -> str:
    return model.removeprefix(f"{provider}/")
