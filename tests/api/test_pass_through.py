"""Does whatever is not cached reach its provider, and nothing but that?"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings

from cache_api.ports import UpstreamUnreachable
from tests.api.conftest import Answer, Api
from tests.conftest import Cast

ANY: Any = {"X_CacheAI_Backend_Provider": "demo"}
FORM = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ndemo-hears\r\n--b\r\n\x00\xff\r\n--b--\r\n'
FORM_TYPE = "multipart/form-data; boundary=b"


@dataclass
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Echo:
    """A provider that answers whatever it is asked as it was told to, and remembers what that was."""

    base_url: str = ""
    asked: list[Asked] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    chunks: tuple[bytes, ...] = (b'{"ok": true}',)
    cut: bool = False  # the connection closes before the announced end
    go_on: threading.Event = field(default_factory=threading.Event)  # waited for before the second chunk

    @property
    def last(self) -> Asked:
        return self.asked[-1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    echo: Echo

    def _answer(self) -> None:
        echo = self.echo
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        named = {name.lower(): value for name, value in self.headers.items()}
        echo.asked.append(Asked(self.command, self.path, named, body))
        self.send_response(echo.status)
        for name, value in echo.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(sum(map(len, echo.chunks)) + (9 if echo.cut else 0)))
        self.end_headers()
        for place, chunk in enumerate(echo.chunks):
            if place:
                echo.go_on.wait(20)
            self.wfile.write(chunk)
            self.wfile.flush()
        self.close_connection = echo.cut

    do_GET = do_POST = do_DELETE = do_PUT = _answer

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def demo() -> Iterator[Echo]:
    """In the place of the demo provider, whose address the service may dial."""
    echo = Echo()
    echo.go_on.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Echo", (_Handler,), {"echo": echo}))
    server.daemon_threads = True
    echo.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield echo
    server.shutdown()
    thread.join()
    server.server_close()


def rows(cast: Cast) -> list[tuple[Any, ...]]:
    from tenants import isolation

    columns = "dialect, model_asked, model_served, status, decision, reason, in_total, out_total, tokens_estimated"
    return isolation.read(
        cast.owner.tenant_id,
        f"SELECT {columns}, billable FROM call WHERE tenant_id = %s ORDER BY at, id",
        (cast.owner.tenant_id,),
        deadline_seconds=5,
    )


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("POST", "messages/count_tokens", ""),
        ("GET", "responses/resp_12/input_items", "limit=2&after=item%5F1&include%5B%5D=a"),
        ("DELETE", "responses/resp_12", ""),
        ("POST", "images/generations", ""),
        ("POST", "moderations", ""),
        ("GET", "files", "purpose=batch"),
        ("GET", "files/file-ab.c_1~/content", ""),
        ("DELETE", "models/ft:demo-small:org::ab12", ""),
        ("POST", "models/demo-small:embedContent", "alt=sse"),
        ("GET", "chat/completions", "limit=1"),
        ("GET", "chat/completions/chatcmpl-1/messages", ""),
        ("GET", "embeddings", ""),
        ("POST", "cacheable", ""),
        ("GET", "keysmith", ""),
    ],
)
def test_path_method_query_and_body_go_on_as_they_are(api: Api, demo: Echo, method: str, path: str, query: str) -> None:
    raw = b'{"model": "demo-small",  "input": "x", "later": [1.0]}' if method == "POST" else b""
    answer = api(method, f"/v1/{path}", raw=raw, query=query, **ANY)

    assert (answer.status, answer.body) == (200, b'{"ok": true}')
    assert demo.last.method == method
    assert demo.last.target == f"/v1/{path}" + (f"?{query}" if query else "")
    assert demo.last.body == raw
    assert answer.headers["x-cacheai-decision"] == "bypass"
    assert answer.headers["x-cacheai-reason"] == "endpoint"
    assert answer.headers["cache-status"] == "CacheAI; fwd=bypass; detail=endpoint"
    assert answer.headers["x-cache-hit"] == "false"
    assert answer.headers["x-cacheai-request-id"]
    assert "x-ratelimit-limit" in answer.headers or "anthropic-ratelimit-requests-limit" in answer.headers


@pytest.mark.parametrize("path", ["responses/resp_1", "messages/count_tokens", "chat/completions/c-1"])
def test_below_a_model_endpoint_it_goes_without_v1_too(api: Api, demo: Echo, path: str) -> None:
    assert api.get(f"/{path}", **ANY).status == 200
    assert demo.last.target == f"/v1/{path}"


def test_a_form_goes_on_to_the_byte_with_its_boundary(api: Api, demo: Echo, cast: Cast) -> None:
    answer = api("POST", "/v1/audio/transcriptions", raw=FORM, content_type=FORM_TYPE)
    assert answer.status == 200
    assert (demo.last.body, demo.last.headers["content-type"]) == (FORM, FORM_TYPE)
    assert rows(cast)[0][1] == "demo-hears"


def test_without_a_body_there_is_no_content_type(api: Api, demo: Echo) -> None:
    api("GET", "/v1/files", content_type="", **ANY)
    assert "content-type" not in demo.last.headers
    assert "content-length" not in demo.last.headers


def test_an_answer_of_any_kind_comes_back_as_it_was(api: Api, demo: Echo) -> None:
    demo.status, demo.headers = 201, {"Content-Type": "audio/mpeg", "x-request-id": "r-1", "Set-Cookie": "a=b"}
    demo.chunks = (bytes(range(256)), b"\x00end")
    answer = api.post("/v1/audio/speech", {"model": "demo-speaks", "input": "x"})
    assert (answer.status, answer.body) == (201, bytes(range(256)) + b"\x00end")
    assert (answer.headers["content-type"], answer.headers["x-request-id"]) == ("audio/mpeg", "r-1")
    assert "set-cookie" not in answer.headers


def test_an_answer_without_a_type_is_bytes(api: Api, demo: Echo) -> None:
    demo.headers = {}
    assert api.get("/v1/files/f/content", **ANY).headers["content-type"] == "application/octet-stream"


def test_it_is_handed_on_as_it_comes(api: Api, demo: Echo) -> None:
    from cacheai.wsgi import application

    demo.headers, demo.chunks = {"Content-Type": "text/event-stream"}, (b"data: 1\n\n", b"data: 2\n\n")
    demo.go_on.clear()
    chunks = application(_environ(api, "/v1/images/generations"), lambda status, pairs, *_: None)
    try:
        assert next(iter(chunks)) == b"data: 1\n\n"
        demo.go_on.set()
        assert b"".join(chunks) == b"data: 2\n\n"
    finally:
        chunks.close()


def test_what_breaks_off_does_not_look_whole(api: Api, demo: Echo, cast: Cast) -> None:
    demo.cut = True
    with pytest.raises(UpstreamUnreachable):
        api.get("/v1/files/f/content", **ANY)
    assert rows(cast) == []


def test_a_provider_s_error_comes_back_and_has_no_row(api: Api, demo: Echo, cast: Cast) -> None:
    demo.status, demo.headers = 429, {"Content-Type": "application/json", "Retry-After": "7"}
    demo.chunks = (b'{"error": {"message": "slow down"}}',)
    answer = api.post("/v1/moderations", {"model": "demo-small", "input": "x"})
    assert (answer.status, answer.json["error"]["message"]) == (429, "slow down")
    assert (answer.headers["retry-after"], answer.headers["x-cacheai-limited-by"]) == ("7", "provider")
    assert rows(cast) == []


OPENAI = b'{"model": "m-1", "usage": {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}}'
ANTHROPIC = b'{"usage": {"input_tokens": 2, "cache_read_input_tokens": 10, "output_tokens": 3}}'
EVENTS = b'event: a\ndata: {"type": "a"}\n\nevent: done\ndata: ' + OPENAI + b"\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize(
    ("method", "path", "answered", "kind", "tokens"),
    [
        ("POST", "images/generations", OPENAI, "application/json", (12, 3, False)),
        ("POST", "messages/batches", ANTHROPIC, "application/json", (12, 3, False)),
        ("POST", "images/generations", EVENTS, "text/event-stream", (12, 3, False)),
        ("POST", "images/generations", b'{"data": []}', "application/json", (0, 0, True)),
        ("POST", "audio/speech", b"\x00\x01", "audio/mpeg", (0, 0, True)),
        ("POST", "messages/count_tokens", b'{"input_tokens": 9}', "application/json", (0, 0, False)),
        ("GET", "responses/resp_1", OPENAI, "application/json", (0, 0, False)),
    ],
)
def test_an_answer_has_one_row_with_what_was_billed(
    api: Api, demo: Echo, cast: Cast, method: str, path: str, answered: bytes, kind: str, tokens: Any
) -> None:
    demo.headers, demo.chunks = {"Content-Type": kind}, (answered,)
    assert api(method, f"/v1/{path}", {"model": "demo-small"} if method == "POST" else None, **ANY).body == answered

    asked, served = ("demo-small" if method == "POST" else "", "m-1" if b"m-1" in answered else "")
    assert rows(cast) == [
        ("pass_through", asked, served or asked, 200, "bypass", "endpoint", *tokens, False),
    ]


def test_nothing_is_stored(api: Api, demo: Echo) -> None:
    for _ in range(2):
        api.post("/v1/moderations", {"model": "demo-small", "input": "x"})
    assert len(demo.asked) == 2
    assert api.get("/v1/cache/entries").json["data"] == []


def test_what_is_ours_in_a_body_stays_here(api: Api, demo: Echo) -> None:
    api.post("/v1/moderations", {"model": "demo/omni", "input": "x", "cache": {"task": "t"}})
    assert json.loads(demo.last.body) == {"model": "omni", "input": "x"}
    api.post("/v1/moderations", {"model": "demo-small", "cache": "theirs"})
    assert json.loads(demo.last.body)["cache"] == "theirs"
    api.post("/v1/moderations", {"model": "demo-a"}, X_CacheAI_Baseline_Model="demo-b")
    assert json.loads(demo.last.body)["model"] == "demo-b"


def test_the_caller_s_credential_goes_where_the_rules_say(api: Api, demo: Echo) -> None:
    api.get("/v1/files", **ANY)
    assert demo.last.headers["authorization"] == "Bearer demo"
    api.get("/v1/files", X_CacheAI_Backend_API_Key="sk-own", **ANY)
    assert demo.last.headers["authorization"] == "Bearer sk-own"
    assert not any("cacheai" in name for name in demo.last.headers)
    assert api.key not in str(demo.last.headers)


def test_anthropic_s_paths_have_its_version_and_its_errors(api: Api, demo: Echo) -> None:
    api.post("/v1/messages/count_tokens", {"model": "demo-small"})
    assert demo.last.headers["anthropic-version"] == "2023-06-01"
    api.post("/v1/messages/count_tokens", {"model": "demo-small"}, ANTHROPIC_VERSION="2099-01-01", ANTHROPIC_BETA="b")
    assert (demo.last.headers["anthropic-version"], demo.last.headers["anthropic-beta"]) == ("2099-01-01", "b")
    assert Api("ca-nobody").get("/v1/messages/batches").json["type"] == "error"
    assert Api("ca-nobody").get("/v1/files").json["error"]["code"] == "invalid_api_key"


def test_without_a_key_for_the_provider_it_says_what_to_do(api: Api) -> None:
    answer = api.get("/v1/files")
    assert (answer.status, answer.json["error"]["code"]) == (400, "provider_key_missing")
    claude = api.post("/v1/messages/count_tokens", {"model": "claude-x"})
    assert claude.json["error"]["type"] == "invalid_request_error"
    assert "anthropic" in claude.json["error"]["message"]
    dialect = api.get("/v1/messages/batches", X_CacheAI_Backend_Provider="mistral")
    assert "does not speak /v1/messages" in dialect.json["error"]["message"]


ESCAPES = [
    "files/../models",
    "files/..",
    "../admin",
    "./files",
    "files/./x",
    "files//x",
    "//example.com/x",
    "http://example.com/x",
    "files/..;/x",
    "files/a\\..\\b",
    "files/a%2e%2e",
    "files/a\r\nX-Evil: 1",
    "files/a\nb",
    "files/a\x00b",
    "files/a?b",
    "files/a#b",
    "files/",
    "files/" + "a" * 2000,
]


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leads_elsewhere(api: Api, demo: Echo, path: str) -> None:
    answer = _sent(api, f"/v1/{path}")
    assert answer.status == 404
    assert answer.json["error"]["code"] == "not_found"
    assert demo.asked == []


@pytest.mark.parametrize("target", ["files%2F..%2Fmodels", "files%2fx", "files/%2e%2E/x", "files%5Cx", "files/%252e"])
def test_no_encoded_path_leads_elsewhere(api: Api, demo: Echo, target: str) -> None:
    from urllib.parse import unquote

    raw = f"/v1/{target}"
    assert _sent(api, unquote(raw), RAW_URI=raw).status == 404
    assert demo.asked == []


@pytest.mark.parametrize("query", ["a=b\r\nX-Evil: 1", "a b", "a#b", "\x00", "é"])
def test_no_query_holds_more_than_a_query(api: Api, demo: Echo, query: str) -> None:
    answer = _sent(api, "/v1/files", QUERY_STRING=query)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
    assert demo.asked == []


@pytest.mark.parametrize("content_type", ["a\r\nX-Evil: 1", "a\nb", "é", "x" * 300])
def test_no_content_type_holds_more_than_one(api: Api, demo: Echo, content_type: str) -> None:
    answer = _sent(api, "/v1/files", method="POST", CONTENT_TYPE=content_type)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
    assert demo.asked == []


OURS = [
    "v1/files",
    "cache",
    "cache/nothing/here",
    "usage/x",
    "pricing/x",
    "schema/x",
    "projects/x",
    "keys/x",
    "projects",
    "keys",
]


@pytest.mark.parametrize("path", OURS)
def test_our_own_paths_are_never_passed_on(api: Api, demo: Echo, path: str) -> None:
    assert api.get(f"/v1/{path}", **ANY).status in {403, 404, 405}
    assert demo.asked == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"])
def test_other_methods_are_not_passed_on(api: Api, demo: Echo, method: str) -> None:
    refused = api(method, "/v1/files", **ANY)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, POST, DELETE")
    assert demo.asked == []


def test_bodies_are_bounded_and_plain(api: Api, demo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "BODY_LIMIT_BYTES", 100)
    assert api("POST", "/v1/files", raw=b"x" * 101, content_type=FORM_TYPE, **ANY).status == 413
    assert api("POST", "/v1/files", raw=b"x", content_encoding="gzip", **ANY).status == 415
    assert demo.asked == []


def test_a_key_without_the_scope_opens_nothing(key_with: Any, demo: Echo) -> None:
    assert key_with("cache:read").get("/v1/files", **ANY).status == 403
    assert demo.asked == []


@pytest.mark.parametrize(
    ("sent", "decoded", "asked"),
    [
        ("models/demo-small", "models/demo-small", "models/demo-small"),
        ("models/meta/llama-3", "models/meta/llama-3", "models/meta/llama-3"),
        ("models/meta%2Fllama-3", "models/meta/llama-3", "models/meta%2Fllama-3"),
        ("models/ft%3Ademo%3Aorg%3A%3Aab", "models/ft:demo:org::ab", "models/ft:demo:org::ab"),
        ("models/demo%2Fllama%203", "models/demo/llama 3", "models/llama%203"),
        ("models/mod%C3%A8le", "models/modèle", "models/mod%C3%A8le"),
    ],
)
def test_a_model_is_asked_for_by_its_name(api: Api, demo: Echo, sent: str, decoded: str, asked: str) -> None:
    environ = {"RAW_URI": f"/v1/{sent}?a=b", "QUERY_STRING": "a=b", "HTTP_X_CACHEAI_BACKEND_PROVIDER": "demo"}
    answer = _sent(api, f"/v1/{decoded}", **environ)
    assert answer.status == 200
    assert demo.last.target == f"/v1/{asked}?a=b"
    assert (answer.headers["x-cacheai-decision"], answer.headers["x-cacheai-reason"]) == ("bypass", "endpoint")


@pytest.mark.parametrize(
    "model", ["../files", "a/../../files", "..", "a?b", "a#b", "demo/../x", "demo/", "a\nb", "a%00"]
)
def test_no_model_s_name_leads_elsewhere(api: Api, demo: Echo, model: str) -> None:
    assert _sent(api, f"/v1/models/{model}").status == 404
    assert demo.asked == []


def _environ(api: Api, path: str, *, method: str = "GET", **given: Any) -> dict[str, Any]:
    """As a server hands it over that lets everything through."""
    import io

    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": "",
        "SERVER_NAME": "cache.example.test",
        "SERVER_PORT": "443",
        "REMOTE_ADDR": "192.0.2.7",
        "wsgi.input": io.BytesIO(b""),
        "wsgi.url_scheme": "https",
        "HTTP_AUTHORIZATION": f"Bearer {api.key}",
        "HTTP_X_CACHEAI_BACKEND_PROVIDER": "demo",
        **given,
    }


def _sent(api: Api, path: str, **given: Any) -> Answer:
    from cacheai.wsgi import application

    begun: list[Any] = []
    chunks = application(_environ(api, path, **given), lambda status, pairs, *_: begun.extend((status, pairs)))
    body = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    return Answer(int(begun[0].split()[0]), {name.lower(): value for name, value in begun[1]}, body)


CHAT = {"model": "demo-small", "messages": [{"role": "user", "content": "Which version?"}]}
CHAT_ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "2"}, "finish_reason": "stop"}]}
VECTOR = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "demo-embed"}


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("chat/completions", CHAT, CHAT_ANSWER),
        ("messages", CHAT | {"max_tokens": 9}, {"type": "message", "content": []}),
        ("responses", {"model": "demo-small", "input": "Which version?"}, {"object": "response", "output": []}),
        ("embeddings", {"model": "demo-embed", "input": "Which version?"}, VECTOR),
    ],
)
def test_the_query_of_a_model_endpoint_goes_on_too(api: Api, demo: Echo, path: str, body: Any, answer: Any) -> None:
    """Azure's `api-version`, and the `beta=true` that openai's and Anthropic's packages send."""
    demo.chunks = (json.dumps(answer).encode(),)
    sent = {"X_CacheAI_Backend_Base_URL": demo.base_url, "X_CacheAI_Backend_API_Key": "sk", **ANY}
    assert api("POST", f"/v1/{path}", body, query="api-version=preview&beta=true", **sent).status == 200
    assert demo.last.target == f"/v1/{path}?api-version=preview&beta=true"


def test_an_answer_belongs_to_the_query_it_was_asked_with(api: Api, demo: Echo) -> None:
    demo.chunks = (json.dumps(CHAT_ANSWER).encode(),)
    sent = {"X_CacheAI_Backend_Base_URL": demo.base_url, "X_CacheAI_Backend_API_Key": "sk", **ANY}

    def decision(query: str) -> str:
        return api("POST", "/v1/chat/completions", CHAT, query=query, **sent).headers["x-cacheai-decision"]

    queries = ("api-version=1", "api-version=1", "api-version=2", "")
    assert [decision(query) for query in queries] == ["miss", "hit", "miss", "miss"]


@pytest.mark.parametrize("path", ["models", "models/claude-x", "files", "skills"])
def test_what_anthropic_s_client_asks_for_is_asked_of_anthropic(
    api: Api, demo: Echo, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Its credential goes to nobody else, and in the header that its own endpoints take."""
    urls: list[tuple[str, dict[str, str]]] = []

    def relay(_: Any, method: str, url: str, headers: Any, *args: Any, **kwargs: Any) -> Any:
        urls.append((url, dict(headers)))
        raise UpstreamUnreachable("not asked in tests")

    monkeypatch.setattr("cache_api.adapters.upstream.UrllibUpstream.relay", relay)
    api.get(f"/v1/{path}", ANTHROPIC_VERSION="2023-06-01", X_CacheAI_Backend_API_Key="sk-ant")
    api.get(f"/v1/{path}", X_CacheAI_Backend_API_Key="sk-openai")
    ((url, headers), (openai_url, _)) = urls
    assert (url, headers["x-api-key"]) == (f"https://api.anthropic.com/v1/{path}", "sk-ant")
    assert "authorization" not in headers
    assert openai_url.startswith("https://api.openai.com/" if "claude" not in path else "https://api.anthropic.com/")
