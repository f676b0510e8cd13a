"""When does `make run` say that the stack is ready?"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic
from typing import Any

import pytest

from cacheai.management.commands.runstack import web_ready


class _Web(BaseHTTPRequestHandler):
    status, degraded = 200, []  # type: ignore[var-annotated]

    def do_GET(self) -> None:
        body = json.dumps({"status": "ready", "degraded": self.degraded}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing to say."""


@pytest.fixture
def web() -> Iterator[tuple[type[_Web], str]]:
    kind = type("Web", (_Web,), {})
    server = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kind, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "degraded", "late", "ready"),
    [
        (200, [], False, True),
        (200, ["redis"], False, True),
        (200, ["embedder"], False, False),
        (200, ["embedder"], True, True),
        (503, [], True, False),
    ],
)
def test_a_missing_model_holds_the_start_up_for_a_while_only(
    web: tuple[Any, str], status: int, degraded: list[str], late: bool, ready: bool
) -> None:
    kind, root = web
    kind.status, kind.degraded = status, degraded

    assert web_ready(root, monotonic() + (-1 if late else 60)) is ready
