"""A CacheAI without a socket that keeps what is put under a caller's own key."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx2

from .sdk_server import Server, Wire


@dataclass
class KeyedServer(Server):
    """Answers laid out go first; then it stores, shows and deletes."""

    values: dict[str, Any] = field(default_factory=dict)
    status: str = "live"

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        if self.answers or not request.url.path.startswith("/v1/cache/"):
            return super().handle(request)
        request.read()
        self.asked.append(request)
        answer = self._kept(request, request.url.path.removeprefix("/v1/cache/"))
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=Wire(answer.content))

    def _kept(self, request: httpx2.Request, key: str) -> httpx2.Response:
        if request.method == "PUT":
            self.values[key] = json.loads(request.content)["value"]
            return httpx2.Response(200, json={"cache_key": key, "updated_fields": ["value"], "created": True})
        if key not in self.values:
            return httpx2.Response(404, json={"error": {"message": "There is no entry.", "code": "not_found"}})
        if request.method == "DELETE":
            del self.values[key]
            return httpx2.Response(200, json={"cache_key": key, "deleted": True})
        entry = {"cache_key": key, "answer": self.values[key], "source": "keyed", "status": self.status}
        return httpx2.Response(200, json=entry)

    @property
    def puts(self) -> list[httpx2.Request]:
        return [request for request in self.asked if request.method == "PUT"]
