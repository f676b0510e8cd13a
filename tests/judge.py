"""A judge model on loopback: it speaks chat completions, and says yes or no by a rule of the test's."""

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_ASKED = re.compile(r"<asked>\n(.*?)\n</asked>\n<earlier_question>\n(.*?)\n</earlier_question>", re.DOTALL)

Rule = Callable[[str, str], str]


class JudgeModel:
    """`rule` is told what was asked and the stored question; what it says is the whole reply."""

    def __init__(self, rule: Rule = lambda asked, stored: "yes") -> None:
        self.rule = rule
        self.asked: list[tuple[str, str]] = []
        self.keys: list[str] = []
        self.status = 200
        judge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, told = judge.answer(body, self.headers.get("Authorization", ""))
                sent = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.base_url = f"http://{self.address}/v1"

    def answer(self, body: Any, authorization: str) -> tuple[int, Any]:
        if set(body) != {"model", "messages"}:
            return 400, {"error": {"message": "Unknown parameter", "type": "invalid_request_error"}}
        if self.status != 200:
            return self.status, {"error": {"message": "Not now", "type": "server_error"}}
        self.keys.append(authorization.removeprefix("Bearer "))
        found = _ASKED.search(body["messages"][0]["content"])
        assert found is not None
        self.asked.append((found[1], found[2]))
        message = {"role": "assistant", "content": self.rule(found[1], found[2]), "refusal": None}
        usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
        return 200, {**whole, "usage": usage}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
