"""A model at an address CacheAI may not dial: on this machine, and on nobody's list."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "From the model at home."
API_KEY = "own-key"


@dataclass
class PrivateModel:
    base_url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


@contextmanager
def private_model() -> Iterator[PrivateModel]:
    model = PrivateModel()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.asked.append(body)
            model.keys.add(self.headers["Authorization"].removeprefix("Bearer "))
            kind, text = _stream(body) if body.get("stream") else _whole(body)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """A test that passes has nothing to say."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        model.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield model
        finally:
            server.shutdown()
            thread.join()


def _frame(body: dict[str, Any], kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    choices = [{"index": 0, "finish_reason": "stop", **choice}]
    return {"id": "chatcmpl-home", "object": kind, "created": 1_750_000_000, "model": body["model"], "choices": choices}


def _whole(body: dict[str, Any]) -> tuple[str, str]:
    message = {"message": {"role": "assistant", "content": ANSWER}}
    return "application/json", json.dumps(_frame(body, "chat.completion", message))


def _stream(body: dict[str, Any]) -> tuple[str, str]:
    delta = {"delta": {"role": "assistant", "content": ANSWER}}
    chunk = json.dumps(_frame(body, "chat.completion.chunk", delta))
    return "text/event-stream", f"data: {chunk}\n\ndata: [DONE]\n\n"
