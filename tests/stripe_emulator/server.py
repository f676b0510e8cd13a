"""How does a request over HTTP become a change of the world, and an answer in Stripe's words?"""

import base64
import contextlib
import importlib
import json
import pkgutil
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from . import control, idempotency, pages, resources, routes, timeline
from .answers import expanded
from .errors import Broken, InvalidRequest, Refusal, TooManyRequests, Unauthorized
from .faults import Faults
from .forms import decode
from .webhooks import Postman
from .world import API_VERSION, Object, World

KEY_PREFIX = "sk_test_"
TICK_SECONDS = 1.0  # a running clock is looked at so often

for _module in pkgutil.iter_modules(resources.__path__):
    importlib.import_module(f"{resources.__name__}.{_module.name}")


class HungUp(Exception):
    """The caller hears nothing: a fault that was asked for."""


@dataclass
class Request:
    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("idempotency-key") if self.method == "POST" else None


@dataclass
class Emulator:
    world: World
    faults: Faults = field(default_factory=Faults)
    keys: idempotency.Keys = field(default_factory=idempotency.Keys)
    requests: list[Object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.postman = Postman(self.world)

    def answer(self, request: Request) -> tuple[int, Object, dict[str, str]]:
        request_id = self.world.new_id("req")
        headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
        try:
            status, body, replayed = self._answer(request, request_id)
        except Refusal as refusal:
            status, body, replayed = refusal.status, refusal.body(request_id), False
        except HungUp:
            self._note(request, 0)
            raise
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        if replayed:
            headers["Idempotent-Replayed"] = "true"
            headers["Original-Request"] = request_id
        if status == 409:
            headers["Stripe-Should-Retry"] = "true"
        self._note(request, status)
        return status, body, headers

    def _note(self, request: Request, status: int) -> None:
        noted = {"method": request.method, "path": request.path, "status": status, "key": request.idempotency_key}
        self.requests.append(noted)

    def _answer(self, request: Request, request_id: str) -> tuple[int, Object, bool]:
        _authorized(request)
        fault = self.faults.take(request.method, request.path)
        key = request.idempotency_key
        print_ = idempotency.fingerprint(request.method, request.path, request.body)
        kept = self.keys.begin(self.world, key, print_) if key else None
        try:
            self._fail(fault, before=True)
            status, body = (kept["status"], kept["body"]) if kept else self._run(request, request_id, key, print_)
            self._fail(fault, before=False)
            return status, body, kept is not None
        finally:
            if key and kept is None:
                self.keys.finish(key)

    def _fail(self, fault: str | None, *, before: bool) -> None:
        match fault, before:
            case "429", True:
                raise TooManyRequests()
            case ("500", True) | ("500_after", False):
                raise Broken()
            case ("timeout_before", True) | ("timeout_after", False):
                raise HungUp
            case ("hold_before", True) | ("hold_after", False):
                self.faults.hold()

    def _run(self, request: Request, request_id: str, key: str | None, print_: str) -> tuple[int, Object]:
        """Parameters that are refused unseen leave no answer behind their key; what an object refuses does."""
        found, ids = routes.find(request.method, request.path)
        params = _params(found, request)
        expand = params.pop("expand", [])
        with self.world.lock:
            timeline.run(self.world)
            try:
                with self.world.during(request_id, key):
                    status, body = 200, expanded(self.world, found(self.world, params, ids), expand)
            except Refusal as refusal:
                status, body = refusal.status, refusal.body(request_id)
            if key:
                idempotency.keep(self.world, key, print_, status, body)
            if request.method != "GET":
                self.world.save()
        self.postman.wake()
        return status, body

    def tick(self) -> None:
        with self.world.lock:
            if timeline.run(self.world):
                self.world.save()
        self.postman.wake()


def _authorized(request: Request) -> None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    key = base64.b64decode(credentials).decode().rstrip(":") if scheme == "Basic" else credentials
    if not key:
        raise Unauthorized("You did not provide an API key.")
    if not key.startswith(KEY_PREFIX):
        raise Unauthorized(f"Invalid API Key provided: {key[:7]}***")
    version = request.headers.get("stripe-version", API_VERSION)
    if version != API_VERSION:
        raise InvalidRequest(f"Invalid Stripe API version: {version}; the emulator speaks {API_VERSION} alone.")


def _params(found: routes.Route, request: Request) -> Object:
    from .strict import checked

    given = decode(request.body if request.method == "POST" else request.query)
    if found.params is None:
        if given:
            raise InvalidRequest(f"Received unknown parameter: {next(iter(given))}", code="parameter_unknown")
        return {}
    return checked(found.params, given)


class Server:
    """`with Server(world) as it: it.url`; the thread of its clock and the one of its webhooks end with it."""

    def __init__(self, world: World, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.emulator = Emulator(world)
        self._http = ThreadingHTTPServer((host, port), _handler(self.emulator))
        self._http.daemon_threads = True
        self.url = f"http://{host}:{self._http.server_port}"
        world.root = world.root or self.url
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}),
            threading.Thread(target=self._ticking),
            threading.Thread(target=self.emulator.postman.deliver_until, args=(self._stopping,)),
        ]

    def __enter__(self) -> "Server":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.emulator.faults.clear()
        self.emulator.postman.wake()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join()

    def _ticking(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            if self.emulator.world.frozen_at is None:
                self.emulator.tick()


def _handler(emulator: Emulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _serve(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, url.path, url.query, body, headers)
            if url.path.startswith("/_emulator/"):
                self._send(*_json(control.answer(emulator, request)))
            elif not url.path.startswith("/v1/"):
                match pages.answer(emulator, request):
                    case pages.Redirect(address):
                        self._send(303, "text/plain", b"", {"Location": address})
                    case pages.Shown(content, status):
                        self._send(status, "text/html; charset=utf-8", content)
            else:
                try:
                    status, answer, more = emulator.answer(request)
                except HungUp:
                    self.close_connection = True
                    return
                self._send(*_json((status, answer)), more)

        def _send(self, status: int, kind: str, content: bytes, more: dict[str, str] | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in (more or {}).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # The caller was patient no longer.
                self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *_: Any) -> None:
            """Requests are kept for /_emulator/requests."""

    return Handler


def _json(answer: tuple[int, Any]) -> tuple[int, str, bytes]:
    return answer[0], "application/json", json.dumps(answer[1]).encode()
