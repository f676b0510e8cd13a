"""Who listens, and what happens to a call from its first byte to its last?"""

import contextlib
import hashlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import parse_qs, unquote

from cacheai.demo_provider import chat, embeddings, messages, responses
from cacheai.demo_provider.behaviour import Behaviour, in_metadata, in_text
from cacheai.demo_provider.calls import CallLog, SeenCall, arrived
from cacheai.demo_provider.connection import ClientGone, Connection, CutOff, Received, json_bytes
from cacheai.demo_provider.refusals import Refusal, ToldToFail, anthropic_refusal, openai_refusal
from cacheai.demo_provider.reply import Json, Plain, Reply, Stamp, with_failure

WAITING_CONNECTIONS = 2048  # Hundreds may arrive at once.
SLOW_MODEL = "demo-slow"
SLOW_MODEL_SECONDS = 1.0
LONGEST_CONTROL_WAIT_SECONDS = 60.0
STOP_SECONDS = 1.0


@dataclass(frozen=True)
class Endpoint:
    answer: Callable[[Json, Behaviour, Stamp], Reply]
    question_text: Callable[[Json], str]


ENDPOINTS = {
    "/v1/chat/completions": Endpoint(chat.answer, chat.question_text),
    "/v1/completions": Endpoint(chat.complete, chat.prompt_text),
    "/v1/responses": Endpoint(responses.answer, responses.question_text),
    "/v1/messages": Endpoint(messages.answer, messages.question_text),
    "/v1/messages/count_tokens": Endpoint(messages.count, messages.question_text),
    "/v1/embeddings": Endpoint(embeddings.answer, embeddings.question_text),
}


class DemoProvider:
    """Listens as soon as it is made, serves inside `with`; port 0 takes a free one."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._log = CallLog()
        self._listener = socket.create_server((host, port), backlog=WAITING_CONNECTIONS)
        self._host, self._port = self._listener.getsockname()[:2]
        self._links: set[socket.socket] = set()
        self._links_lock = threading.Lock()
        self._stopping = False
        self._accepting = threading.Thread(target=self._accept, name="demo-accept", daemon=True)

    @property
    def url(self) -> str:
        """Where Anthropic's client points, and /control is."""
        return f"http://{self._host}:{self._port}"

    @property
    def base_url(self) -> str:
        """Where OpenAI's client points."""
        return f"{self.url}/v1"

    def control(self, **settings: Any) -> None:
        self._log.tell(settings)

    def reset(self) -> None:
        self._log.reset()

    def report(self) -> Json:
        return self._log.report()

    def calls(self) -> list[Json]:
        """The last calls, oldest first."""
        listed: list[Json] = self._log.report()["calls"]
        return listed

    def wait(self, *, arrived: int = 0, ended: int = 0, timeout_seconds: float = 10.0) -> bool:
        """Until so many calls have come and so many are over, since the start or the last reset."""
        return self._log.wait(arrived=arrived, ended=ended, timeout_seconds=timeout_seconds)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        with contextlib.suppress(OSError):  # Some systems refuse this on a listening socket, and need it not.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(STOP_SECONDS)
        with self._links_lock:
            for link in self._links:
                with contextlib.suppress(OSError):  # The other side was faster.
                    link.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                if self._stopping:
                    return
                time.sleep(0.05)  # Out of file handles: those who wait are served when others have left.
                continue
            threading.Thread(target=self._serve, args=(link,), name="demo-call", daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with self._links_lock:
            self._links.add(link)
        try:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with Connection(link) as connection:
                self._converse(connection)
        except (ClientGone, CutOff):
            pass  # Noted with the call, if it was in one.
        finally:
            with self._links_lock:
                self._links.discard(link)

    def _converse(self, connection: Connection) -> None:
        while not self._stopping:
            try:
                received = connection.read()
            except Refusal as refusal:  # What follows cannot be read either.
                body = json_bytes(openai_refusal(refusal))
                connection.answer(
                    refusal.status,
                    {"Content-Type": "application/json", "Connection": "close"},
                    body,
                    Behaviour(),
                )
                return
            if received is None:
                return
            if received.path == "/control":
                self._answer_control(connection, received)
            else:
                self._answer(connection, received)
            if not received.keeps_alive:
                return

    def _answer(self, connection: Connection, received: Received) -> None:
        asked, unread = _parse(received.body)
        call = arrived(
            method=received.method,
            path=received.path,
            body=received.body,
            sha256=hashlib.sha256(received.body).hexdigest(),
            headers=received.headers,
            asked=asked,
        )
        exchange = _Exchange(connection, received, call, self._log.begin(call))
        gone = finished = False
        try:
            exchange.answer(asked, unread)
            finished = True
        except ClientGone:
            gone = True
            raise
        finally:
            self._log.end(call, finished=finished, client_gone=gone)

    def _answer_control(self, connection: Connection, received: Received) -> None:
        status = 200
        try:
            if received.method == "POST":
                settings, unread = _parse(received.body)
                if unread:
                    raise unread
                if settings.pop("reset", False):
                    self._log.reset()
                self._log.tell(settings)
            elif received.method == "GET":
                self._control_wait(parse_qs(received.query))
            else:
                raise Refusal(405, "/control takes GET and POST.")
            answer = self._log.report()
        except Refusal as refusal:
            status, answer = refusal.status, openai_refusal(refusal)
        connection.answer(status, {"Content-Type": "application/json"}, json_bytes(answer), Behaviour())

    def _control_wait(self, query: Mapping[str, list[str]]) -> None:
        """`GET /control?arrived=2&ended=1&timeout=5` answers when that is so, or with 408."""
        try:
            wanted = {name: float(values[-1]) for name, values in query.items()}
        except ValueError as error:
            raise Refusal(400, "The query of /control holds numbers.") from error
        done = self._log.wait(
            arrived=int(wanted.get("arrived", 0)),
            ended=int(wanted.get("ended", 0)),
            timeout_seconds=min(wanted.get("timeout", 10.0), LONGEST_CONTROL_WAIT_SECONDS),
        )
        if not done:
            raise Refusal(408, "It has not come to that.")


class _Exchange:
    """One call and what it is answered."""

    def __init__(self, connection: Connection, received: Received, call: SeenCall, behaviour: Behaviour) -> None:
        self._connection = connection
        self._received = received
        self._call = call
        self._behaviour = behaviour
        self._token = secrets.token_hex(12)
        self._started = time.monotonic()
        self._anthropic = received.path.startswith("/v1/messages") or "anthropic-version" in received.headers

    def answer(self, asked: Json, unread: Refusal | None) -> None:
        try:
            self._admit()
            self._behaviour = self._told(asked)
            self._misbehave()
            if unread:
                raise unread
            reply = self._reply(asked)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        self._call.status = 200
        if isinstance(reply, Plain):
            self._connection.answer(200, self._headers(), json_bytes(reply.body), self._behaviour)
            return
        headers = self._headers() | {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache",
        }
        self._connection.stream(
            headers,
            with_failure(reply, self._behaviour),
            self._behaviour,
            chunked=self._received.version == "HTTP/1.1",
        )

    def _admit(self) -> None:
        headers = self._received.headers
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and bearer.strip():
            return
        if not headers.get("x-api-key") and not headers.get("api-key"):
            message = "x-api-key header is required" if self._anthropic else "You didn't provide an API key."
            raise Refusal(401, message)

    def _told(self, asked: Json) -> Behaviour:
        endpoint = ENDPOINTS.get(self._received.path)
        if endpoint is None:
            return self._behaviour
        behaviour = self._behaviour.told(in_metadata(asked)).told(in_text(endpoint.question_text(asked)))
        if asked.get("model") == SLOW_MODEL:
            behaviour = replace(behaviour, delay_seconds=max(behaviour.delay_seconds, SLOW_MODEL_SECONDS))
        return behaviour

    def _misbehave(self) -> None:
        self._connection.wait(self._behaviour.delay_seconds)
        if self._behaviour.drop_before_headers:
            raise CutOff
        if self._behaviour.fail_status is not None:
            raise ToldToFail(self._behaviour.fail_status, "The demo provider was told to fail.")

    def _reply(self, asked: Json) -> Reply:
        method, path = self._received.method, self._received.path
        endpoint = ENDPOINTS.get(path)
        models = path == "/v1/models" or path.startswith("/v1/models/")
        if endpoint is None and not models:
            raise Refusal(404, f"Unknown request URL: {method} {path}.", code="unknown_url")
        if method != ("GET" if models else "POST"):
            raise Refusal(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
        if endpoint is None:
            name = unquote(path.removeprefix("/v1/models").removeprefix("/"))
            if name:
                return Plain(embeddings.model(name, anthropic=self._anthropic))
            return Plain(embeddings.models(anthropic=self._anthropic))
        if path.startswith("/v1/messages") and "anthropic-version" not in self._received.headers:
            raise Refusal(400, "anthropic-version: header is required")
        stamp = Stamp(self._token, int(time.time()), self._call.number, self._call.body_sha256)
        return endpoint.answer(asked, self._behaviour, stamp)

    def _refuse(self, refusal: Refusal) -> None:
        self._call.status = refusal.status
        headers = self._headers()
        if isinstance(refusal, ToldToFail) and self._behaviour.retry_after is not None:
            headers["Retry-After"] = str(self._behaviour.retry_after)
        body = self._refusal_body(refusal)
        if isinstance(body, str):
            headers["Content-Type"] = "text/html" if body.startswith("<") else "text/plain"
        payload = body.encode() if isinstance(body, str) else json_bytes(body)
        plain = replace(self._behaviour, cut_after_chunks=None)
        self._connection.answer(refusal.status, headers, payload, plain)

    def _refusal_body(self, refusal: Refusal) -> Any:
        if isinstance(refusal, ToldToFail) and self._behaviour.fail_body is not None:
            return self._behaviour.fail_body
        if self._anthropic:
            return anthropic_refusal(refusal, f"req_{self._token}")
        return openai_refusal(refusal)

    def _headers(self) -> dict[str, str]:
        milliseconds = str(int((time.monotonic() - self._started) * 1000))
        if self._anthropic:
            return {
                "Content-Type": "application/json",
                "request-id": f"req_{self._token}",
                "anthropic-organization-id": "demo",
                "anthropic-ratelimit-requests-limit": "10000",
                "anthropic-ratelimit-requests-remaining": "9999",
                "anthropic-ratelimit-tokens-limit": "2000000",
                "anthropic-ratelimit-tokens-remaining": "1999000",
            }
        return {
            "Content-Type": "application/json",
            "x-request-id": f"req_{self._token}",
            "openai-organization": "demo",
            "openai-processing-ms": milliseconds,
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-limit-tokens": "2000000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-remaining-tokens": "1999000",
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-reset-tokens": "30ms",
        }


def _parse(body: bytes) -> tuple[Json, Refusal | None]:
    """The body as an object; else an empty one and what is wrong, to be said when it is its turn."""
    if not body:
        return {}, None
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}, Refusal(400, "We could not parse the JSON body of your request.")
    if not isinstance(parsed, dict):
        return {}, Refusal(400, "The JSON body of your request is not an object.")
    return parsed, None
