"""What if CacheAI may not call the caller's own model?

It then answers with a cache key instead. The client asks the model itself and stores the answer under that
key, so that the next to ask gets a hit. Only a chat's whole answer can be handed over so: a stream, and what is no
chat, goes straight to the model.
"""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx2

# As CacheAI's own rule for addresses from a header.
DIALLED_PORTS: Final = (None, 443, 8443)
PRIVATE_DOMAINS: Final = (".local", ".internal", ".localhost", ".lan", ".home.arpa")

CHAT: Final = "chat/completions"
ENDPOINTS: Final = (CHAT, "completions", "responses", "embeddings")  # the first that a path ends in

# The model sees what openai's package tells about itself, and nothing meant for CacheAI: no key, no control.
FORWARDED_HEADERS: Final = ("accept", "content-type", "user-agent")
FORWARDED_PREFIX: Final = "x-stainless-"


@dataclass(frozen=True)
class OwnModel:
    """The caller's model, as the headers of one call name it, and what to send there."""

    base_url: str
    api_key: str = field(repr=False)
    endpoint: str
    body: dict[str, Any] = field(repr=False)

    @property
    def is_never_awaited(self) -> bool:
        return bool(self.body.get("stream")) or self.endpoint != CHAT

    @property
    def goes_straight(self) -> bool:
        return self.is_never_awaited and is_private(self.base_url)

    def request(self, asked: "httpx2.Request") -> dict[str, Any]:
        """The arguments of an HTTP request to the model, in place of the one to CacheAI."""
        headers = {
            name: value
            for name, value in asked.headers.items()
            if name in FORWARDED_HEADERS or name.startswith(FORWARDED_PREFIX)
        }
        return {
            "method": "POST",
            "url": f"{self.base_url.rstrip('/')}/{self.endpoint}",
            "headers": headers | {"authorization": f"Bearer {self.api_key}"},
            "content": json.dumps(self.body).encode(),
            "extensions": {"timeout": asked.extensions.get("timeout", {})},
        }

    def entry(self, answer: "httpx2.Response") -> dict[str, str] | None:
        """What to store of the answer; None: it cannot be given back faithfully as one finished text."""
        parsed = _json(answer) if answer.is_success else {}
        choices = parsed.get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
            return None

        message = choices[0].get("message")
        if choices[0].get("finish_reason") != "stop" or not isinstance(message, Mapping):
            return None
        if message.get("tool_calls") or not isinstance(message.get("content"), str):
            return None
        return {"output": message["content"], "model_id": str(self.body["model"]), "prompt": self._prompt()}

    def _prompt(self) -> str:
        texts = ((turn.get("role"), turn.get("content")) for turn in self.body.get("messages", ()))
        return "\n".join(f"{role}: {text}" for role, text in texts if isinstance(text, str))


def own_model(request: "httpx2.Request") -> OwnModel | None:
    """The caller's own model, if this is a call to a model whose headers name it whole."""
    endpoint = next((one for one in ENDPOINTS if request.url.path.endswith(f"/{one}")), None)
    if request.method != "POST" or endpoint is None:
        return None

    provider, api_key, base_url = (
        request.headers.get(f"X-CacheAI-Baseline-Model-{part}") for part in ("Provider", "API-Key", "Base-URL")
    )
    if not (provider and api_key and base_url):
        return None

    body = json.loads(request.content)
    body.pop("cache", None)  # Controls of ours.
    body["model"] = request.headers.get("X-CacheAI-Baseline-Model") or body.get("model")
    if endpoint == CHAT and "max_tokens" in body:
        # Newer models refuse the old name; a body that has both keeps the new one's value.
        body.setdefault("max_completion_tokens", body["max_tokens"])
        del body["max_tokens"]
    return OwnModel(base_url=base_url, api_key=api_key, endpoint=endpoint, body=body)


def awaited_under(response: "httpx2.Response") -> str | None:
    """The cache key CacheAI wants the answer under, if it leaves the call to the client."""
    answer = _json(response) if response.is_success else {}
    key = answer.get("cache_key")
    return key if answer.get("requires_baseline_model") is True and isinstance(key, str) else None


def is_refused(response: "httpx2.Response") -> bool:
    """Whether CacheAI will not dial the address: a private one behind a public-looking name."""
    error = _json(response).get("error") if response.status_code == 400 else None
    return isinstance(error, Mapping) and error.get("code") == "base_url_not_allowed"


def is_private(url: str) -> bool:
    """Whether CacheAI may not dial it, as far as the text tells without asking a name server."""
    try:
        parts = urlsplit(url)
        dialled = parts.scheme == "https" and parts.port in DIALLED_PORTS
    except ValueError:
        return False  # No address at all: CacheAI's own refusal says so.
    if not dialled:
        return True

    host = (parts.hostname or "").rstrip(".")

    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_DOMAINS)


def _json(response: "httpx2.Response") -> Mapping[str, Any]:
    try:
        parsed = json.loads(response.content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, Mapping) else {}
