"""The service in process, over WSGI: real database, Redis and provider; only questions' vectors are laid down."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client

from cacheai.demo_provider import DemoProvider
from tests.api import people
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

Rules = Callable[..., None]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """A caller with a key."""

    key: str

    def __call__(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, query: str = "", **headers: str
    ) -> Answer:
        from cacheai.wsgi import application

        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": quote(path, safe="/%:@"),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": headers.pop("declared", str(len(sent))),
            "CONTENT_TYPE": headers.pop("content_type", "application/json"),
            "REMOTE_ADDR": "192.0.2.7",
            "SERVER_NAME": "cache.example.test",
            "SERVER_PORT": "443",
            "wsgi.input": io.BytesIO(sent),
            "wsgi.url_scheme": "https",
        }
        if self.key:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self.key}"
        environ.update({f"HTTP_{name.upper()}": value for name, value in headers.items()})
        begun: list[Any] = []
        chunks = application(environ, lambda status, pairs, *_: begun.extend((status, pairs)))
        try:
            whole = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return Answer(int(begun[0].split()[0]), {name.lower(): value for name, value in begun[1]}, whole)

    def get(self, path: str, query: str = "", **headers: str) -> Answer:
        return self("GET", path, query=query, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self("PUT", path, body, **headers)

    def delete(self, path: str) -> Answer:
        return self("DELETE", path)

    def chat(self, question: str, *, model: str = "demo-small", headers: Any = None, **body: Any) -> Answer:
        messages = [{"role": "user", "content": question}]
        return self.post("/v1/chat/completions", {"model": model, "messages": messages, **body}, **(headers or {}))


@pytest.fixture(scope="session")
def _provider() -> Iterator[DemoProvider]:
    with DemoProvider() as demo:
        yield demo


@pytest.fixture
def demo(_provider: DemoProvider) -> DemoProvider:
    _provider.reset()
    return _provider


@pytest.fixture
def embedder() -> FixedEmbedder:
    return FixedEmbedder()


@pytest.fixture(autouse=True)
def _patient(patient: None) -> None:
    pass


@pytest.fixture(autouse=True)
def _service(
    _patient: None, live: None, demo: DemoProvider, embedder: FixedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    from cache_api import wiring

    monkeypatch.setattr(settings, "DEMO_URL", demo.base_url)
    wiring.allowed_addresses.cache_clear()
    wiring._parts.cache_clear()
    whole = wiring._parts()
    whole.service.embedder = embedder
    parts = replace(whole, embedder=embedder)
    monkeypatch.setattr(wiring, "_parts", lambda: parts)
    yield
    whole.close()
    monkeypatch.undo()
    wiring.allowed_addresses.cache_clear()
    wiring._parts.cache_clear()


@pytest.fixture
def api(cast: Cast) -> Api:
    return Api(cast.owner.api_key)


@pytest.fixture
def owner(cast: Cast) -> Client:
    """The owner at a browser."""
    return people.signed_in(cast.owner)


@pytest.fixture
def outsider(cast: Cast) -> Api:
    return Api(cast.outsider.api_key)


@pytest.fixture
def sibling(cast: Cast) -> Api:
    """A caller in another project of the owner's tenant: row-level security does not tell them apart."""
    from tenants import api_keys, projects

    tenant_id = cast.owner.tenant_id
    project_id = projects.project_create(tenant_id=tenant_id, name="Another cache")
    return Api(api_keys.key_create(tenant_id=tenant_id, project_id=project_id, name="sibling").secret)


@pytest.fixture
def rules(cast: Cast) -> Rules:
    """Changes rules of the owner's project, known at once."""
    from cache_api import wiring
    from cache_api.services import policy_change

    def change(**changes: Any) -> None:
        owner = cast.owner
        policy_change(tenant_id=owner.tenant_id, project_id=owner.project_id, changes=changes)
        wiring.parts().policies.forget(owner.tenant_id, owner.project_id)

    return change


@pytest.fixture
def key_with(cast: Cast) -> Any:
    """A caller whose key has these scopes alone."""
    from tenants import api_keys

    def make(*scopes: str) -> Api:
        owner = cast.owner
        made = api_keys.key_create(tenant_id=owner.tenant_id, project_id=owner.project_id, name="narrow", scopes=scopes)
        return Api(made.secret)

    return make


@pytest.fixture
def outbox(live: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in life: the tests' own backend would keep mails from the outbox."""
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "tenants.mailing.Outbox")


@pytest.fixture
def person(outbox: None) -> people.Person:
    """Signed up, verified and signed in."""
    made = people.Person()
    made.sign_up()
    made.verify()
    made.at.post("/sign-out")
    assert made.sign_in() == "/"
    return made
