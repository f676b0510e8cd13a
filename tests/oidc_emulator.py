"""An OpenID Connect issuer with one person and one client, strict about what it is asked."""

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

CLIENT_ID, CLIENT_SECRET = "cacheai-client", "a secret of the client's"


@dataclass
class OidcEmulator:
    """`person` is who signs in there; `broken` makes it talk nonsense."""

    person: dict[str, Any] = field(default_factory=dict)
    broken: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)

    def __enter__(self) -> "OidcEmulator":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.port = self._server.server_port
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, url: str, form: dict[str, str], bearer: str) -> tuple[int, Any]:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.broken:
            return 200, ["nonsense"]
        match method, parts.path:
            case "GET", "/.well-known/openid-configuration":
                return 200, self._configuration()
            case "GET", "/authorize":
                return self._authorized(query)
            case "POST", "/token":
                return self._token(form)
            case "GET", "/userinfo":
                return (200, self.person) if bearer in self.tokens else (401, {"error": "invalid_token"})
        return 404, {}

    def _configuration(self) -> dict[str, Any]:
        named = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("token", "userinfo")}
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "jwks_uri": f"{self.issuer}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **named,
        }

    def _authorized(self, query: dict[str, str]) -> tuple[int, Any]:
        """The person agrees at once. 302 with where to go."""
        if query.get("client_id") != CLIENT_ID or "openid" not in query.get("scope", "").split():
            return 400, {"error": "invalid_request"}
        if query.get("code_challenge_method") != "S256":
            return 400, {"error": "pkce_required"}
        code = token_hex(8)
        self.codes[code] = query
        return 302, f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def _token(self, form: dict[str, str]) -> tuple[int, Any]:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        fits = (
            asked is not None
            and (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
            and form.get("redirect_uri") == asked["redirect_uri"]
            and challenge.decode() == asked["code_challenge"]
        )
        if not fits:
            return 400, {"error": "invalid_grant"}
        access = token_hex(8)
        self.tokens.add(access)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 60, **self.person}
        signed = jwt.encode(claims, "k" * 32, algorithm="HS256")
        return 200, {"access_token": access, "token_type": "Bearer", "expires_in": 60, "id_token": signed}


def _handler_of(emulator: OidcEmulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(body).items()})

        def _answer(self, form: dict[str, str]) -> None:
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, said = emulator.answer(self.command, self.path, form, bearer)
            body = b"" if status == 302 else json.dumps(said).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", said)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
